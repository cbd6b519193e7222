//! Why points are dropped or rejected, and why delivery is blocked.

use std::fmt;

use serde::Serialize;

/// Why this crate dropped an accepted point.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// Memory was full, and newer points were kept instead.
    BufferFull,
    /// The point waited in memory for longer than `max_retry_time`.
    Expired,
    /// The spool was full, in bytes or files, and newer points were kept instead.
    SpoolFull,
    /// The point waited in the spool for longer than `spool.max_age`.
    SpoolExpired,
    /// The file of the point was damaged, deleted or replaced while it was in the spool.
    SpoolCorrupt,
    /// The shutdown ran out of time, and there was no spool for the point.
    Shutdown,
    /// The flusher panicked while it handled the point. This is a bug: please report it.
    Internal,
}

impl DropReason {
    /// Returns the reason as one word, as in the serialized statistics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Expired => "expired",
            Self::SpoolFull => "spool_full",
            Self::SpoolExpired => "spool_expired",
            Self::SpoolCorrupt => "spool_corrupt",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// Why the server permanently refused a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// The server could not parse the line.
    Malformed,
    /// A field has another type in the database.
    FieldType,
    /// The point is older than the retention period of the bucket.
    Retention,
    /// The line is larger than the server accepts.
    TooLarge,
    /// The point exceeds a limit of the server: series, columns or tables.
    Limit,
    /// The server gave another reason.
    #[default]
    Other,
}

impl RejectReason {
    /// Returns the reason as one word, as in the serialized statistics and in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::FieldType => "field_type",
            Self::Retention => "retention",
            Self::TooLarge => "too_large",
            Self::Limit => "limit",
            Self::Other => "other",
        }
    }
}

impl fmt::Display for RejectReason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// What must be corrected before the destination accepts points again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// The token, the user or the password: it is wrong, or has no write permission.
    Authorization,
    /// The bucket, database, organization or retention policy: it does not exist.
    Target,
    /// The address: it answers, but not as a server that accepts points.
    Configuration,
}
