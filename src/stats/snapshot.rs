//! The public snapshot of all that a monitor reports about itself.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

use crate::stats::{DropReason, RejectReason};

use super::{ConnectionStats, DeliveryState, Histogram, RollupStats, TargetStats, WriteStats};

/// Where every point is, and how delivery is going: a snapshot. Durations serialize as
/// seconds.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The ledger. It balances at every moment: see [`balances`](Self::balances).
    #[serde(flatten)]
    pub ledger: LedgerStats,
    /// What happened to points and values before they were accepted.
    pub recorder: RecorderStats,
    /// How delivery is going.
    pub delivery: DeliveryStats,
    /// What lies on disk, where there is a spool.
    pub spool: Option<SpoolStats>,
    /// Outgoing calls by target, of the [client layers](crate::Monitor::client_layer).
    pub targets: BTreeMap<String, TargetStats>,
    /// Long connections by kind.
    pub connections: BTreeMap<String, ConnectionStats>,
    /// The ledger of the rollups, where there are any.
    pub rollup: Option<RollupStats>,
    /// Each destination alone, by the name of the [added sink](crate::MonitorBuilder::add_sink),
    /// and `main` for the other one. The ledger, `delivery` and `spool` above are their sums, where
    /// each copy of a point counts. Empty where no sink was added.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub destinations: BTreeMap<String, DestinationStats>,
}

/// The ledger, in points. Each is a counter of its own; none is computed from the others.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Given to the monitoring, whether they were accepted or not.
    pub offered: u64,
    /// Accepted into the buffer.
    pub accepted: u64,
    /// Found in the spool, left there by an earlier process.
    pub recovered: u64,
    /// Written by the sink.
    pub written: u64,
    /// Permanently refused by the server, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Dropped by this crate, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// In the buffer now.
    pub buffered: u64,
    /// In batches in memory now: being sent, or waiting.
    pub in_flight: u64,
    /// On disk now.
    pub spooled: u64,
}

/// Counters of what happened before the buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Requests that have started and not ended.
    pub running_requests: u64,
    /// Points that cannot be stored: no field left, an empty measurement, a time out of range, a
    /// line too long.
    pub invalid: u64,
    /// Points not accepted because memory was full.
    pub refused_full: u64,
    /// Points not accepted because the monitor was shut down.
    pub refused_closed: u64,
    /// Names and values that were changed so that InfluxDB accepts them.
    pub sanitized: u64,
    /// Tags and fields that were cut to their greatest size.
    pub truncated: u64,
    /// Extra tags and fields with a reserved or empty name, or with a value that cannot be stored.
    pub refused_extras: u64,
    /// Extra tags and fields beyond the number that one point may have.
    pub excess_extras: u64,
    /// Extra tags and fields that came after their request had ended.
    pub late_extras: u64,
    /// Headers `traceparent` that are not valid, where trace ids are taken from them.
    pub invalid_traces: u64,
    /// Panics of functions given to `on_request` and `on_response`.
    pub callback_panics: u64,
    /// Tags and fields left out because the measurement has another type or kind under that name.
    pub type_conflicts: u64,
    /// Tag values replaced by the overflow value.
    pub overflowed_tags: u64,
    /// `MonitoringData` taken where no monitored request was running.
    pub detached: u64,
    /// Requests that [`filter`](crate::settings::FilterSettings) left out.
    pub filtered: u64,
}

/// The state of delivery and what was done so far.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct DeliveryStats {
    /// How it is going.
    pub state: DeliveryState,
    /// When the sink is tried again, in seconds since the epoch; `None` unless a pause is on.
    #[serde(serialize_with = "seconds_since_epoch")]
    pub backoff_until: Option<SystemTime>,
    /// What went wrong last, at most 1 KiB, without secrets and without points.
    pub last_error: Option<String>,
    /// The sink, as it describes itself.
    pub sink: String,
    /// Writes by how they ended.
    pub writes: WriteStats,
    /// Points that were sent more than once, each time counted.
    pub resent: u64,
    /// Points that were written without columns that handlers or settings had added, since the
    /// server refuses these: by the reason for the refusal. They count as written.
    pub stripped: BTreeMap<RejectReason, u64>,
    /// Bytes of the lines that were written.
    pub raw_bytes: u64,
    /// Bytes that were sent for them, if the sink reports this.
    pub wire_bytes: u64,
    /// How long the sink took for a successful write.
    pub write_time: Histogram,
    /// How long a batch was in the flusher before it was written.
    pub queue_time: Histogram,
    /// How long the oldest batch in memory has been waiting.
    #[serde(serialize_with = "seconds")]
    pub oldest_age: Option<Duration>,
    /// Batches in memory, and those being sent.
    pub waiting_batches: u64,
    /// Bytes of these batches as they are held, and of the buffer.
    pub memory: u64,
    /// How often the flusher panicked and was restarted. Each is a bug: please report it.
    pub restarts: u64,
    /// What servers said they had dropped. For information only; the ledger does not use it.
    pub server_reported_dropped: u64,
    /// Different combinations of measurement and tags that this process has made since its start,
    /// points and rollups together: what a database calls series. Exact up to 100,000, where
    /// counting ends. With further destinations each counts its own.
    pub series: u64,
}

/// What lies on disk.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Files that wait, or are being sent.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Files set aside since the start because they are damaged.
    pub corrupt: u64,
    /// Files that are left alone: for other targets, of newer versions, or with names that are not
    /// ours.
    pub foreign: u64,
    /// Operations on the disk that failed since the start.
    pub errors: u64,
    /// How long the oldest file has been waiting. Time in which the machine was off does not count.
    #[serde(serialize_with = "seconds")]
    pub oldest_age: Option<Duration>,
    /// Bytes of memory that the index of the files takes.
    pub memory: u64,
}

/// Where the points of one destination are, and how its delivery is going. See
/// [`Stats::destinations`].
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct DestinationStats {
    /// The ledger of this destination alone.
    #[serde(flatten)]
    pub ledger: LedgerStats,
    /// Points that cannot be stored. Only the main destination counts them.
    pub invalid: u64,
    /// Points not accepted because its memory was full.
    pub refused_full: u64,
    /// Points not accepted because it was shut down.
    pub refused_closed: u64,
    /// How its delivery is going.
    pub delivery: DeliveryStats,
    /// What lies in its spool, where there is one.
    pub spool: Option<SpoolStats>,
}

impl Stats {
    /// Returns whether the ledger balances: offered = accepted + invalid + refused, and accepted +
    /// recovered = written + rejected + dropped + buffered + in flight + spooled. With rollups,
    /// [their equations](RollupStats::balances) must hold, too. False is a bug: please report it.
    pub fn balances(&self) -> bool {
        let RecorderStats { invalid, refused_full, refused_closed, .. } = self.recorder;
        self.ledger.offered == self.ledger.accepted + invalid + refused_full + refused_closed
            && self.ledger.balances()
            && self.rollup.is_none_or(|rollup| rollup.balances())
            && self.destinations.values().all(DestinationStats::balances)
    }
}

impl LedgerStats {
    /// Returns how many points the server permanently refused, for any reason.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Returns how many points were dropped here, for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    fn balances(&self) -> bool {
        let gone = self.written + self.rejected_total() + self.dropped_total();
        self.accepted + self.recovered == gone + self.buffered + self.in_flight + self.spooled
    }
}

impl DestinationStats {
    /// Returns whether the ledger of this destination balances: offered = accepted + invalid +
    /// refused, and accepted + recovered = written + rejected + dropped + buffered + in flight +
    /// spooled. False is a bug: please report it.
    pub fn balances(&self) -> bool {
        let refused = self.invalid + self.refused_full + self.refused_closed;
        self.ledger.offered == self.ledger.accepted + refused && self.ledger.balances()
    }
}

impl From<&Stats> for DestinationStats {
    fn from(stats: &Stats) -> Self {
        Self {
            ledger: stats.ledger.clone(),
            invalid: stats.recorder.invalid,
            refused_full: stats.recorder.refused_full,
            refused_closed: stats.recorder.refused_closed,
            delivery: stats.delivery.clone(),
            spool: stats.spool.clone(),
        }
    }
}

impl fmt::Display for Stats {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ledger, delivery, .. } = self;
        write!(
            formatter,
            "accepted {} written {} rejected {} dropped {} spooled {} buffered {} in flight {} recovered {} · {} · {}",
            ledger.accepted,
            ledger.written,
            ledger.rejected_total(),
            ledger.dropped_total(),
            ledger.spooled,
            ledger.buffered,
            ledger.in_flight,
            ledger.recovered,
            delivery.sink,
            delivery.state,
        )?;
        match &delivery.last_error {
            Some(error) if delivery.state != DeliveryState::Healthy => write!(formatter, " · {error}"),
            _ => Ok(()),
        }
    }
}

fn seconds<S: Serializer>(duration: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

fn seconds_since_epoch<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    let since = time.map(|time| time.duration_since(UNIX_EPOCH).unwrap_or_default());
    seconds(&since, serializer)
}
