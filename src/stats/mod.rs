//! Statistics of a monitor: the ledger, further counters, and the state of delivery.

use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) mod ledger;

mod delivery;
mod histogram;
mod merge;
mod named;
mod reasons;
mod rollup;
mod snapshot;
mod state;

pub use delivery::WriteStats;
pub use histogram::Histogram;
pub use named::{ConnectionStats, TargetStats};
pub(crate) use named::{Named, TargetCounters};
pub use reasons::{Blocked, DropReason, RejectReason};
pub use rollup::{RollupRow, RollupSnapshot, RollupStats};
pub use snapshot::{DeliveryStats, DestinationStats, LedgerStats, RecorderStats, SpoolStats, Stats};
pub use state::DeliveryState;

pub(crate) use delivery::{Delivery, MANY_SERIES};

/// A counter that any thread may increase.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl RecorderCounters {
    /// Returns a snapshot without the counts of the buffer.
    pub(crate) fn snapshot(&self) -> RecorderStats {
        RecorderStats {
            sanitized: self.sanitized.count(),
            truncated: self.truncated.count(),
            refused_extras: self.refused_extras.count(),
            excess_extras: self.excess_extras.count(),
            late_extras: self.late_extras.count(),
            invalid_traces: self.invalid_traces.count(),
            callback_panics: self.callback_panics.count(),
            type_conflicts: self.type_conflicts.count(),
            overflowed_tags: self.overflowed_tags.count(),
            detached: DETACHED.count(),
            filtered: self.filtered.count(),
            skipped: self.skipped.count(),
            ..RecorderStats::default()
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

/// Counts `MonitoringData` extracted where no monitored request was running. It counts for the
/// whole process, since it belongs to no monitor.
pub(crate) static DETACHED: Counter = Counter::new();

/// Counters of changes to values before they reach the buffer. They are rarely written, so they
/// share a cache line.
#[derive(Debug, Default)]
pub(crate) struct RecorderCounters {
    /// Names and values that were changed so that InfluxDB accepts them.
    pub(crate) sanitized: Counter,
    /// Tags and fields that were cut to their maximum size.
    pub(crate) truncated: Counter,
    /// Extra tags and fields with a reserved or empty name, or with a value that cannot be stored.
    pub(crate) refused_extras: Counter,
    /// Extra tags and fields beyond the number that one point may have.
    pub(crate) excess_extras: Counter,
    /// Extra tags and fields that were set after their request had ended.
    pub(crate) late_extras: Counter,
    /// Invalid `traceparent` headers.
    pub(crate) invalid_traces: Counter,
    /// Panics of the application's functions that layers call.
    pub(crate) callback_panics: Counter,
    /// Tags and fields left out because the measurement has another type or kind under that name.
    pub(crate) type_conflicts: Counter,
    /// Tag values replaced by the overflow value.
    pub(crate) overflowed_tags: Counter,
    /// Requests that the filter left out.
    pub(crate) filtered: Counter,
    /// Requests that their handlers skipped.
    pub(crate) skipped: Counter,
}

#[cfg(test)]
mod tests;
