//! Public statistics of the rollups: totals since the start, and their ledger.

use std::time::Duration;

use serde::Serialize;

/// The counts of all requests since the monitor was started, and the requests that run now.
/// Returned by [`Monitor::rollup`](crate::Monitor::rollup).
///
/// ```
/// # use tower_influx::Monitor;
/// # fn look(monitor: &Monitor) {
/// for row in monitor.rollup().into_iter().flat_map(|rollup| rollup.rows) {
///     println!("{} {}: {} requests, p99 {:?}", row.route, row.status_code, row.count, row.p99);
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct RollupSnapshot {
    /// The requests that have ended, one row for each key. No two rows have the same key.
    pub rows: Vec<RollupRow>,
    /// The routes with running requests, and their number. It can be off by the requests that
    /// change their thread at this moment.
    pub running: Vec<(String, u64)>,
}

/// The requests of one key since the start. Durations are exact, except quantiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RollupRow {
    /// The value of the tag `route`, such as `GET:/items/{id}`.
    pub route: String,
    /// The value of the tag `status_code`.
    pub status_code: u16,
    /// The value of the tag `error_code`. `None` for requests that did not fail.
    pub error_code: Option<String>,
    /// The extra tags that were set, of those in
    /// [`RollupSettings::tags`](crate::settings::RollupSettings::tags).
    pub tags: Vec<(String, String)>,
    /// The number of requests that have ended.
    pub count: u64,
    /// How many of these requests got points of their own.
    pub kept: u64,
    /// The sum of their execution times.
    pub total: Duration,
    /// The shortest execution time.
    pub min: Duration,
    /// The longest execution time.
    pub max: Duration,
    /// The median of the execution times, within the error of the histogram.
    pub p50: Duration,
    /// The 95th percentile of the execution times, within the error of the histogram.
    pub p95: Duration,
    /// The 99th percentile of the execution times, within the error of the histogram.
    pub p99: Duration,
    /// The buckets of the histogram that are not empty: upper bound and number of requests. A
    /// request is in the first bucket whose upper bound is not below its execution time. The last
    /// bucket has no upper bound.
    pub buckets: Vec<(Option<Duration>, u64)>,
}

/// The ledger of the rollups, in requests. No counter is computed from others, except `running`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RollupStats {
    /// Requests that reached the layer.
    pub started: u64,
    /// Requests that run now: those that have started, without those that have ended. A request
    /// that ends during the snapshot can still be among them.
    pub running: i64,
    /// Requests that have ended and were excluded by [`filter`](crate::settings::FilterSettings) or
    /// [`MonitoringData::skip`](crate::MonitoringData::skip).
    pub filtered: u64,
    /// Requests that have ended and were counted.
    pub ended: u64,
    /// How many of the ended requests got points of their own.
    pub kept: u64,
    /// Ended requests that are in lines which delivery has accepted.
    pub rolled_up: u64,
    /// Ended requests that are in the open interval.
    pub open: u64,
}

impl RollupStats {
    /// Returns whether every request is accounted for: started = running + filtered + ended, and
    /// ended = rolled up + open.
    pub fn balances(&self) -> bool {
        let ended = i128::from(self.filtered) + i128::from(self.ended);
        i128::from(self.started) == i128::from(self.running) + ended
            && self.ended == self.rolled_up + self.open
    }
}
