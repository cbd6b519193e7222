//! Why points are dropped or rejected, and why delivery is blocked.

use std::fmt;

use serde::Serialize;

/// Why an accepted point was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum DropReason {
    /// Memory was full, and newer points were kept instead.
    BufferFull,
    /// It waited in memory for longer than `max_retry_time`.
    Expired,
    /// The spool was full, in bytes or files, and newer points were kept instead.
    SpoolFull,
    /// It lay in the spool for longer than the spool's `max_age`.
    SpoolExpired,
    /// Its file in the spool was damaged, deleted or replaced after it had been stored or
    /// recovered.
    SpoolCorrupt,
    /// Shutdown ran out of time, and there was no spool to keep it.
    Shutdown,
    /// The flusher failed in the middle of handling it. This is a bug: please report it.
    Internal,
}

impl DropReason {
    /// Returns one word, the same as in the statistics as data and in the log.
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

/// Why a point was refused by the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RejectReason {
    /// The server could not parse the line.
    Malformed,
    /// The field has another type in the database.
    FieldType,
    /// Older than the bucket's retention.
    Retention,
    /// One line is larger than the server accepts.
    TooLarge,
    /// A limit of the server: series, columns, tables.
    Limit,
    /// The server gave a reason that is none of these.
    #[default]
    Other,
}

impl RejectReason {
    /// Returns one word, the same as in the statistics as data and in the log.
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

/// What has to change before points are accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Blocked {
    /// Token, user or password are wrong, or may not write.
    Authorization,
    /// The bucket, database, organization or retention policy does not exist.
    Target,
    /// The address answers, but not as a server that takes points there.
    Configuration,
}
