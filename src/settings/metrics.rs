//! Settings of the metrics for Prometheus.

use std::time::Duration;

/// Settings of metrics that Prometheus scrapes from the service, with the feature `prometheus`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MetricsSettings {
    /// The naming convention of the metrics. Defaults to none: there are no metrics.
    pub names: Option<MetricNames>,
}

/// The naming convention of metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricNames {
    /// OpenTelemetry's conventions for HTTP servers, in the form of Prometheus:
    /// `http_server_request_duration_seconds` and `http_server_active_requests`.
    OpenTelemetry,
    /// The names of the LUNA services: `request_count_total`, `errors_count_total` and `requests`.
    Luna,
}

impl MetricNames {
    /// Returns the upper bounds of the duration histogram's buckets, except the last one.
    pub(crate) fn boundaries(self) -> &'static [Duration] {
        const fn us(microseconds: u64) -> Duration {
            Duration::from_micros(microseconds)
        }
        const LUNA: [Duration; 19] = [
            us(100),
            us(250),
            us(500),
            us(1_000),
            us(2_500),
            us(5_000),
            us(10_000),
            us(25_000),
            us(50_000),
            us(75_000),
            us(100_000),
            us(250_000),
            us(500_000),
            us(750_000),
            us(1_000_000),
            us(2_500_000),
            us(5_000_000),
            us(7_500_000),
            us(10_000_000),
        ];
        match self {
            // The conventions recommend the ones from 5 ms on.
            Self::OpenTelemetry => &LUNA[5..],
            Self::Luna => &LUNA,
        }
    }
}
