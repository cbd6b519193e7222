//! The public snapshot of everything that a monitor reports about itself.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, Serializer};

use crate::stats::{DropReason, RejectReason};

use super::{ConnectionStats, DeliveryState, Histogram, RollupStats, TargetStats, WriteStats};

/// A snapshot of a monitor's statistics: where every point is, and the state of delivery.
///
/// Durations serialize as seconds.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// The ledger. It [balances](Self::balances) in every snapshot.
    #[serde(flatten)]
    pub ledger: LedgerStats,
    /// What happened to points and values before they were accepted.
    pub recorder: RecorderStats,
    /// The state of delivery.
    pub delivery: DeliveryStats,
    /// The files on disk. `None` without a spool.
    pub spool: Option<SpoolStats>,
    /// The outgoing calls of [client layers](crate::Monitor::client_layer), by target.
    pub targets: BTreeMap<String, TargetStats>,
    /// The long connections, by kind.
    pub connections: BTreeMap<String, ConnectionStats>,
    /// The ledger of the rollups. `None` if no setting asks for counts of requests.
    pub rollup: Option<RollupStats>,
    /// Each destination alone: [added sinks](crate::MonitorBuilder::add_sink) by their names, and
    /// the destination of the settings as `main`. Empty without an added sink.
    ///
    /// `ledger`, `delivery` and `spool` above are sums over all destinations, so a point counts
    /// once for each destination.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub destinations: BTreeMap<String, DestinationStats>,
}

/// The ledger, in points. No counter is computed from others, so a sum that does not balance shows
/// a bug.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct LedgerStats {
    /// Points that were offered to the buffer, accepted or not.
    pub offered: u64,
    /// Points that were accepted into the buffer.
    pub accepted: u64,
    /// Points of an earlier process that were found in the spool.
    pub recovered: u64,
    /// Points that the sink has written.
    pub written: u64,
    /// Points that the server has permanently refused, by reason.
    pub rejected: BTreeMap<RejectReason, u64>,
    /// Points that this crate has dropped, by reason.
    pub dropped: BTreeMap<DropReason, u64>,
    /// Points that are in the buffer now.
    pub buffered: u64,
    /// Points that are in batches in memory now. The batches are being sent, or wait for that.
    pub in_flight: u64,
    /// Points that are on disk now.
    pub spooled: u64,
}

/// Counters of what happened before points were accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RecorderStats {
    /// Requests that have started and not ended.
    pub running_requests: u64,
    /// Points that cannot be stored. They have no field that can be stored, an empty measurement, a
    /// time out of range, or a line that is too long.
    pub invalid: u64,
    /// Points that were not accepted because memory was full.
    pub refused_full: u64,
    /// Points that were not accepted because the monitor was shut down.
    pub refused_closed: u64,
    /// Names and values that were changed so that InfluxDB accepts them.
    pub sanitized: u64,
    /// Values that were truncated to their maximum size.
    pub truncated: u64,
    /// Extra tags and fields that were left out: with a reserved or empty name, or with a value
    /// that cannot be stored.
    pub refused_extras: u64,
    /// Extra tags and fields that were left out because the point already had the maximum number.
    pub excess_extras: u64,
    /// Extra tags and fields that were added after the points of their request were written.
    pub late_extras: u64,
    /// Invalid headers `traceparent`, counted only while trace ids are read from this header.
    pub invalid_traces: u64,
    /// Panics of functions of the application that a [layer](crate::MonitoringLayer) or a [client
    /// layer](crate::client::ClientLayer) calls: callbacks, classifiers, functions for routes and
    /// trace ids, and `Display` of a client's errors. The request is recorded without the values of
    /// that function.
    pub callback_panics: u64,
    /// Tags and fields that were left out because the name has another type in the measurement. A
    /// name that is a tag in one point and a field in another counts, too.
    pub type_conflicts: u64,
    /// Tag values that were replaced by the overflow value.
    pub overflowed_tags: u64,
    /// Uses of [`MonitoringData`](crate::MonitoringData) outside of a monitored request, in the
    /// whole process.
    pub detached: u64,
    /// Requests that [`filter`](crate::settings::FilterSettings) excluded.
    pub filtered: u64,
    /// Requests that [`MonitoringData::skip`](crate::MonitoringData::skip) excluded.
    pub skipped: u64,
}

/// The state of delivery, and counters since the start.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct DeliveryStats {
    /// The state.
    pub state: DeliveryState,
    /// When the sink is tried again. `None` unless delivery pauses. Serializes as seconds since the
    /// Unix epoch.
    #[serde(serialize_with = "seconds_since_epoch")]
    pub backoff_until: Option<SystemTime>,
    /// The last error, at most 1 KiB, without secrets and without points.
    pub last_error: Option<String>,
    /// The sink, as [`Sink::describe`](crate::sink::Sink::describe) names it.
    pub sink: String,
    /// Writes by their results.
    pub writes: WriteStats,
    /// Points that were sent again. A point that is sent three times counts twice.
    pub resent: u64,
    /// Points that were written without tags or fields of handlers or settings, because the server
    /// refuses these. By the reason of the refusal. Such points count as written.
    pub stripped: BTreeMap<RejectReason, u64>,
    /// Bytes of the lines that were written, before compression.
    pub raw_bytes: u64,
    /// Bytes that were sent for these lines, if the sink reports them.
    pub wire_bytes: u64,
    /// The durations of successful writes.
    pub write_time: Histogram,
    /// How long batches were in the flusher before they were written.
    pub queue_time: Histogram,
    /// How long the oldest batch in memory has been waiting.
    #[serde(serialize_with = "seconds")]
    pub oldest_age: Option<Duration>,
    /// Batches in memory, including those that are being sent.
    pub waiting_batches: u64,
    /// Bytes of memory that these batches and the buffer use.
    pub memory: u64,
    /// How often the flusher panicked and was restarted. Each panic is a bug: please report it.
    pub restarts: u64,
    /// Points that servers reported as dropped. For information only: the ledger does not use it.
    pub server_reported_dropped: u64,
    /// Distinct combinations of measurement and tags in the points and rollups of this process
    /// since its start. A database calls them series. Exact up to 100,000, where counting stops.
    /// Further destinations count separately.
    pub series: u64,
}

/// The files of the spool.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SpoolStats {
    /// Files that wait or are being sent.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Damaged files that were set aside since the start.
    pub corrupt: u64,
    /// Files that are not read: for other destinations, of newer versions, or with unknown names.
    pub foreign: u64,
    /// Disk operations that failed since the start.
    pub errors: u64,
    /// How long the oldest file has been waiting. Time while the machine was off does not count.
    #[serde(serialize_with = "seconds")]
    pub oldest_age: Option<Duration>,
    /// Bytes of memory that the index of the files uses.
    pub memory: u64,
}

/// Where the points of one destination are, and the state of its delivery. See
/// [`Stats::destinations`].
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct DestinationStats {
    /// The ledger of this destination.
    #[serde(flatten)]
    pub ledger: LedgerStats,
    /// Points that cannot be stored. Only the main destination counts them.
    pub invalid: u64,
    /// Points that were not accepted because the memory of this destination was full.
    pub refused_full: u64,
    /// Points that were not accepted because this destination was shut down.
    pub refused_closed: u64,
    /// The state of its delivery.
    pub delivery: DeliveryStats,
    /// The files of its spool. `None` without a spool.
    pub spool: Option<SpoolStats>,
}

impl Stats {
    /// Returns whether every point is accounted for. False is a bug: please report it.
    ///
    /// The equations are: offered = accepted + invalid + refused, and accepted + recovered =
    /// written + rejected + dropped + buffered + in flight + spooled. With rollups and further
    /// destinations, [their](RollupStats::balances) [equations](DestinationStats::balances) must
    /// hold, too.
    pub fn balances(&self) -> bool {
        let RecorderStats { invalid, refused_full, refused_closed, .. } = self.recorder;
        self.ledger.offered == self.ledger.accepted + invalid + refused_full + refused_closed
            && self.ledger.balances()
            && self.rollup.is_none_or(|rollup| rollup.balances())
            && self.destinations.values().all(DestinationStats::balances)
    }
}

impl LedgerStats {
    /// Returns the number of points that the server has permanently refused, for all reasons.
    pub fn rejected_total(&self) -> u64 {
        self.rejected.values().sum()
    }

    /// Returns the number of points that this crate has dropped, for all reasons.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    fn balances(&self) -> bool {
        let gone = self.written + self.rejected_total() + self.dropped_total();
        self.accepted + self.recovered == gone + self.buffered + self.in_flight + self.spooled
    }
}

impl DestinationStats {
    /// Returns whether every point of this destination is accounted for. False is a bug: please
    /// report it.
    ///
    /// The equations are: offered = accepted + invalid + refused, and accepted + recovered =
    /// written + rejected + dropped + buffered + in flight + spooled.
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
