//! Settings of rollups, and of requests with points of their own.

use std::time::Duration;

/// Settings of rollups: counts of requests, one line for each key and interval in the measurement
/// `requests_rollup`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RollupSettings {
    /// How long requests are counted before the counts are written, 100 ms to 1 hour. Defaults to
    /// none: no rollups.
    pub interval: Option<Duration>,
    /// Extra tags of requests by which requests are counted separately, at most 8. Defaults to
    /// none. A tag that no handler sets has no effect.
    pub tags: Vec<String>,
    /// The histogram of each line. Defaults to [`RollupHistogram::Fine`].
    pub histogram: RollupHistogram,
}

/// The histogram of a rollup line. Each bucket that is not empty is one field.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum RollupHistogram {
    /// 170 buckets. The error of a quantile is at most 5 % from 100 µs to 60 s, and at most 15 % in
    /// the rest of 1 µs to 1 hour.
    #[default]
    Fine,
    /// No histogram. Each line still has its quantiles. Quantiles over several lines cannot be
    /// computed.
    Off,
    /// The upper bounds of the buckets, in increasing order, at most 169. One more bucket counts
    /// longer durations.
    Boundaries(Vec<Duration>),
}

/// Which requests get points of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RequestSettings {
    /// Which requests get a point. Defaults to [`KeepRequests::All`].
    ///
    /// Every other value needs something that counts all requests: `rollup.interval`,
    /// `metrics.names` or `storage = "none"`.
    pub keep: KeepRequests,
    /// The execution time from which a request is slow, 1 µs to 1 day, for [`KeepRequests::Slow`].
    /// Defaults to none.
    pub slow: Option<Duration>,
}

/// Which requests get points of their own. All requests are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepRequests {
    /// Every request.
    #[default]
    All,
    /// Failed requests, and requests that took at least [`slow`](RequestSettings::slow).
    Slow,
    /// Failed requests.
    Failed,
    /// Only requests that a handler or the classifier asks to keep.
    None,
}
