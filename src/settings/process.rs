//! Settings of the values of the process and its runtime.

use std::time::Duration;

/// Settings for values of the process and of tokio's runtime, with the feature `process`.
///
/// The values are points in the measurement `process` and, if
/// [`metrics.names`](crate::settings::MetricsSettings::names) is set, metrics for Prometheus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessSettings {
    /// How often a point is written, 1 second to 1 hour. Defaults to none: neither points nor
    /// metrics of the process.
    pub interval: Option<Duration>,
}
