//! Rollups: counts by key and interval beside raw points, or instead of them.

use std::time::Duration;

/// Rollups: one line for every key and interval in the measurement `requests_rollup`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RollupSettings {
    /// How long requests are counted before their counts are written, 100 ms to 1 hour. Defaults to
    /// none: no rollups.
    pub interval: Option<Duration>,
    /// Extra tags of requests by which they are counted apart, at most 8. Defaults to none. A tag
    /// that no handler sets changes nothing.
    pub tags: Vec<String>,
    /// Which histogram a line has. Defaults to [`RollupHistogram::Fine`].
    pub histogram: RollupHistogram,
}

/// The histogram of a rollup line, one field for every bucket that is not empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum RollupHistogram {
    /// 170 buckets: a quantile is at most 5 % off from 100 µs to 60 s, at most 15 % from 1 µs to 1
    /// hour.
    #[default]
    Fine,
    /// None. The quantiles of each line are there; those of several lines together cannot be
    /// computed.
    Off,
    /// The ends of the buckets, rising, at most 169. One more bucket holds what is longer.
    Boundaries(Vec<Duration>),
}

/// Which requests get points of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RequestSettings {
    /// Which requests get a point. Defaults to [`KeepRequests::All`]; anything else needs rollups.
    pub keep: KeepRequests,
    /// From which execution time on a request is slow, for [`KeepRequests::Slow`]. Defaults to
    /// none.
    pub slow: Option<Duration>,
}

/// Which requests get points of their own, where rollups count all of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeepRequests {
    /// Every request.
    #[default]
    All,
    /// Those that failed, and those that took at least [`slow`](RequestSettings::slow).
    Slow,
    /// Those that failed.
    Failed,
    /// None but those that a handler or the classifier asks to keep.
    None,
}
