//! What was counted of requests, for those who look: totals since the start, and the ledger.

use std::time::Duration;

use serde::Serialize;

/// All requests since the monitor was started, by key, and those that run now. See
/// [`Monitor::rollup`](crate::Monitor::rollup).
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
    /// What ended, one row for every key. No two have the same key.
    pub rows: Vec<RollupRow>,
    /// Routes whose requests run now, and how many. While requests change their thread this may be
    /// off by those.
    pub running: Vec<(String, u64)>,
}

/// The requests of one key since the start. Durations are exact but for the quantiles.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RollupRow {
    /// As the tag `route`: `GET:/items/{id}`.
    pub route: String,
    /// As the tag `status_code`.
    pub status_code: u16,
    /// As the tag `error_code`; `None` for requests that did not fail.
    pub error_code: Option<String>,
    /// Extra tags, those of [`RollupSettings::tags`](crate::settings::RollupSettings::tags) that
    /// were set.
    pub tags: Vec<(String, String)>,
    /// How many requests ended.
    pub count: u64,
    /// How many of these got points of their own.
    pub kept: u64,
    /// The sum of their execution times.
    pub total: Duration,
    /// The shortest.
    pub min: Duration,
    /// The longest.
    pub max: Duration,
    /// Half of them took at most this long, within the error of the histogram.
    pub p50: Duration,
    /// 95 in a hundred took at most this long, within the error of the histogram.
    pub p95: Duration,
    /// 99 in a hundred took at most this long, within the error of the histogram.
    pub p99: Duration,
    /// How many took longer than the end of the bucket before and at most as long as this one's
    /// end, for each bucket that is not empty. The last bucket of a histogram has no end.
    pub buckets: Vec<(Option<Duration>, u64)>,
}

/// The ledger of the rollups, in requests. Each is a counter of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct RollupStats {
    /// Requests that reached the layer.
    pub started: u64,
    /// Of these, those that run now: what has started without what has ended. A request that ends
    /// while this is read may still be among them.
    pub running: i64,
    /// Ended, and left out by [`filter`](crate::settings::FilterSettings).
    pub filtered: u64,
    /// Ended, and counted.
    pub ended: u64,
    /// Of these, those with points of their own.
    pub kept: u64,
    /// Counted in lines that delivery has accepted.
    pub rolled_up: u64,
    /// Counted in the interval that is open.
    pub open: u64,
}

impl RollupStats {
    /// Returns whether started = running + filtered + ended, and ended = rolled up + open.
    pub fn balances(&self) -> bool {
        let ended = i128::from(self.filtered) + i128::from(self.ended);
        i128::from(self.started) == i128::from(self.running) + ended
            && self.ended == self.rolled_up + self.open
    }
}
