//! What a monitor knows of itself: the ledger, the counters beside it, and the state of delivery.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::Serialize;

pub(crate) mod ledger;

mod delivery;
mod histogram;
mod snapshot;
mod state;

pub use delivery::WriteStats;
pub use histogram::Histogram;
pub use snapshot::{DeliveryStats, IntakeStats, LedgerStats, SpoolStats, Stats};
pub use state::DeliveryState;

pub(crate) use delivery::Delivery;

/// Why an accepted point was given up by us.
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
    /// Its file in the spool was damaged, deleted or replaced after it had been stored or recovered.
    SpoolCorrupt,
    /// Shutdown ran out of time, and there was no spool to keep it.
    Shutdown,
    /// The flusher failed in the middle of handling it. This is a bug: please report it.
    Internal,
}

impl DropReason {
    /// One word, the same as in the statistics as data and in the log.
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

/// A counter that any thread may raise.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl IntakeCounters {
    /// Without what the buffer counts.
    pub(crate) fn snapshot(&self) -> IntakeStats {
        IntakeStats {
            sanitized: self.sanitized.count(),
            truncated: self.truncated.count(),
            refused_extras: self.refused_extras.count(),
            excess_extras: self.excess_extras.count(),
            late_extras: self.late_extras.count(),
            type_conflicts: self.type_conflicts.count(),
            overflowed_tags: self.overflowed_tags.count(),
            detached: DETACHED.count(),
            ..IntakeStats::default()
        }
    }
}

impl Counter {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// `MonitoringData` taken where no monitored request was running, in the whole process: no monitor can be blamed for it.
pub(crate) static DETACHED: Counter = Counter::new();

/// Counters of what happens to values before they reach the buffer. Rarely written, so one line for all.
#[derive(Debug, Default)]
pub(crate) struct IntakeCounters {
    /// Names and values that were changed so that InfluxDB takes them.
    pub(crate) sanitized: Counter,
    /// Tags and fields that were cut to their greatest size.
    pub(crate) truncated: Counter,
    /// Extra tags and fields with a reserved or empty name, or with a value that cannot be stored.
    pub(crate) refused_extras: Counter,
    /// Extra tags and fields beyond the number that one point may have.
    pub(crate) excess_extras: Counter,
    /// Extra tags and fields that came after their request had ended.
    pub(crate) late_extras: Counter,
    /// Fields left out because the measurement has another type under that name.
    pub(crate) type_conflicts: Counter,
    /// Tag values replaced by the overflow value.
    pub(crate) overflowed_tags: Counter,
}

#[cfg(test)]
mod tests;
