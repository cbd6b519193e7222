//! Values of the process and its runtime.

use std::time::Duration;

/// Values of the process and of tokio's runtime: one point for every interval in the measurement
/// `process`, and metrics for Prometheus where there are any. Needs the feature `process`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessSettings {
    /// How often a point is written, 1 second to 1 hour. Defaults to none: no points, no metrics.
    pub interval: Option<Duration>,
}
