//! The settings of a deployment: the section `[monitoring]` of an application's configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

mod defaults;
mod deserialize;
mod duration;
mod file;
mod influx;
mod licensing;
mod limits;
mod metrics;
mod node;
mod printable_url;
mod process;
mod rollup;
mod section;
mod size;
mod spool;
mod suggestion;
#[cfg(test)]
mod tests;
mod token;
mod validate;
mod value;

use defaults::{
    BATCH_BYTES, BATCH_SIZE, BUFFER_SIZE, FLUSH_INTERVAL, MAX_IN_FLIGHT, MAX_RETRY_INTERVAL, MAX_RETRY_TIME,
    RETRY_INTERVAL,
};
pub use file::FileSettings;
pub use influx::{InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings};
pub use licensing::LicensingSettings;
pub use limits::{FilterSettings, Limits};
pub use metrics::{MetricNames, MetricsSettings};
pub use process::ProcessSettings;
pub use rollup::{KeepRequests, RequestSettings, RollupHistogram, RollupSettings};
pub use spool::{SpoolMode, SpoolSettings};
pub use token::Token;
#[cfg(any(test, feature = "reqwest"))]
pub(crate) use validate::socket_path;
pub(crate) use validate::validate_flush_interval;

#[doc = include_str!("../docs/links.md")]
#[doc = include_str!("../../docs/settings.md")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// The tag `service` of every point that has no such tag itself. Required, in the file or in
    /// code. At most 1,024 bytes, without control characters.
    pub service: String,
    /// Whether anything is recorded. Defaults to true. The key can also be written as
    /// `send_data_for_monitoring`, its name in the LUNA services.
    pub enabled: bool,
    /// The destination of the points. Defaults to [`Storage::File`]. In a deserialized section
    /// without this key, it is [`Storage::Influx`] if `url`, `host` or `bucket` is given.
    pub storage: Storage,
    /// The tag `instance` of every point. Give each replica of a service its own; otherwise
    /// replicas can overwrite each other's points. At most 1,024 bytes. Defaults to none.
    pub instance: Option<String>,
    /// Further tags of every point. Each multiplies the number of series, so use few distinct
    /// values. Names have at most 256 bytes, values 1,024 bytes, and all tags together 6 KiB.
    /// Defaults to none.
    pub tags: BTreeMap<String, String>,
    /// Whether points have the field `request_id`. It is most of the data that does not compress.
    /// Defaults to true.
    pub request_id: bool,
    /// Whether requests have the field `trace_id` from a valid header `traceparent`, and rollups
    /// the field `example_trace_id`. Defaults to false. A layer can override it by
    /// [`MonitoringLayer::trace_id`](crate::MonitoringLayer::trace_id).
    pub trace_id: bool,
    /// Settings of the InfluxDB server, for [`Storage::Influx`].
    pub influx: InfluxSettings,
    /// Settings of the line-protocol files, for [`Storage::File`].
    pub file: FileSettings,
    /// How long points are collected before they are sent, 10 ms to 1 hour, with 10 % jitter.
    /// Defaults to 1 second.
    pub flush_interval: Duration,
    /// The maximum number of lines in a batch, 1 to 1,000,000. Defaults to 50,000.
    ///
    /// Full batches start with 5,000 lines, as InfluxData recommends. They grow while writes are in
    /// flight and the destination accepts more.
    pub batch_size: usize,
    /// The maximum size of a batch in bytes before compression, 64 KiB or more. Defaults to 4 MiB.
    ///
    /// Full batches start with 768 KiB, since nginx rejects bodies above 1 MiB by default. They
    /// grow while writes are in flight and the destination accepts more. A quarter of `buffer_size`
    /// and half of `spool.max_size` are further limits.
    pub batch_bytes: usize,
    /// The memory for points in bytes: in the buffer, and in batches that wait or are being sent.
    /// Defaults to 32 MiB. At least `batch_bytes` if that is set, otherwise 768 KiB.
    pub buffer_size: usize,
    /// Which points are dropped, and counted, when memory is full. Defaults to
    /// [`Overflow::DropOldest`].
    pub overflow: Overflow,
    /// The first pause after a failed write, 10 ms to 1 hour. It doubles with each further failure,
    /// with full jitter. Defaults to 500 ms.
    pub retry_interval: Duration,
    /// The longest pause between retries, from `retry_interval` to 1 day. Defaults to 30 seconds.
    /// If a server throttles, the longest pause is twice as long, or what its `Retry-After` says,
    /// up to 5 minutes.
    pub max_retry_interval: Duration,
    /// How long a point may wait in memory before it is dropped and counted, from
    /// `max_retry_interval` to 365 days. Defaults to 1 hour. The number of retries is not limited.
    pub max_retry_time: Duration,
    /// The maximum number of concurrent writes, 1 to 16. Defaults to 16.
    ///
    /// The actual number adapts to the destination. It grows while more writes increase the
    /// throughput. It shrinks if the destination throttles, does not answer, or only becomes
    /// slower.
    pub max_in_flight: usize,
    /// Whether points that the server rejects because of tags or fields of handlers, or of `tags`,
    /// are written without these. So the request keeps its point. Defaults to true.
    pub strip_refused_extras: bool,
    /// The directory for lines that the server permanently rejects. Defaults to none: such lines
    /// are only counted.
    pub rejected_directory: Option<PathBuf>,
    /// Limits for the tags and fields of handlers.
    pub limits: Limits,
    /// The spool for waiting batches on disk. Defaults to none: batches wait in memory.
    pub spool: Option<SpoolSettings>,
    /// Which routes are recorded. Defaults to all.
    pub filter: FilterSettings,
    /// Which requests get points of their own. Defaults to all.
    pub requests: RequestSettings,
    /// Metrics for Prometheus. Defaults to none.
    pub metrics: MetricsSettings,
    /// Rollups: counts of requests by key and interval. Defaults to none.
    pub rollup: RollupSettings,
    /// Values of the process and of tokio's runtime. Defaults to none.
    pub process: ProcessSettings,
    /// Settings of the licence check. Without a check they have no effect.
    pub licensing: LicensingSettings,
    /// Whether the monitoring writes points about itself, in the measurement `monitoring`. Defaults
    /// to false.
    pub own_points: bool,
}

/// The destination of points.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// An InfluxDB server, or another server with its write API.
    Influx,
    /// Line-protocol files, which `influx write` can import.
    #[default]
    File,
    /// No destination: no point is made. Requests are still counted, for
    /// [`Monitor::rollup`](crate::Monitor::rollup).
    None,
}

/// Which points are dropped when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest points, since new ones are usually more useful.
    #[default]
    DropOldest,
    /// New points: they are refused.
    DropNewest,
}

impl Settings {
    /// Creates the default settings of a service with this name. Points are stored in files in the
    /// directory `monitoring-data`.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            enabled: true,
            storage: Storage::default(),
            instance: None,
            tags: BTreeMap::new(),
            request_id: true,
            trace_id: false,
            influx: InfluxSettings::default(),
            file: FileSettings::default(),
            flush_interval: FLUSH_INTERVAL,
            batch_size: BATCH_SIZE,
            batch_bytes: BATCH_BYTES,
            buffer_size: BUFFER_SIZE,
            overflow: Overflow::default(),
            retry_interval: RETRY_INTERVAL,
            max_retry_interval: MAX_RETRY_INTERVAL,
            max_retry_time: MAX_RETRY_TIME,
            max_in_flight: MAX_IN_FLIGHT,
            strip_refused_extras: true,
            rejected_directory: None,
            limits: Limits::default(),
            spool: None,
            filter: FilterSettings::default(),
            requests: RequestSettings::default(),
            metrics: MetricsSettings::default(),
            rollup: RollupSettings::default(),
            process: ProcessSettings::default(),
            licensing: LicensingSettings::default(),
            own_points: false,
        }
    }
}
