//! The settings of a deployment: section `[monitoring]` of an application's configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

mod check;
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
mod value;

pub(crate) use check::check_flush_interval;
#[cfg(any(test, feature = "reqwest"))]
pub(crate) use check::socket_path;
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

#[doc = include_str!("../docs/links.md")]
#[doc = include_str!("../../docs/settings.md")]
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Value of the tag `service` of every point that has none of its own. Required, in the section
    /// or in code.
    pub service: String,
    /// Whether anything is recorded at all. Defaults to true. The reference calls it
    /// `send_data_for_monitoring`.
    pub enabled: bool,
    /// Where the points go. Defaults to [`Storage::File`].
    pub storage: Storage,
    /// Value of the tag `instance` of every point, which keeps replicas of one service apart.
    /// Defaults to none.
    pub instance: Option<String>,
    /// Further tags of every point. Defaults to none.
    pub tags: BTreeMap<String, String>,
    /// Whether points carry the field `request_id`, most of what compresses badly. Defaults to
    /// true.
    pub request_id: bool,
    /// Whether requests have the field `trace_id` from a valid header `traceparent`, and rollups an
    /// example of it. Defaults to false. A layer may say otherwise:
    /// [`MonitoringLayer::trace_id`](crate::MonitoringLayer::trace_id).
    pub trace_id: bool,
    /// The InfluxDB server, for [`Storage::Influx`].
    pub influx: InfluxSettings,
    /// The line-protocol files, for [`Storage::File`].
    pub file: FileSettings,
    /// How long points are collected before they are sent. Defaults to 1 second, with a tenth of
    /// jitter.
    pub flush_interval: Duration,
    /// The most lines of a batch, 1 to 1,000,000. Defaults to 50,000. Full batches begin with
    /// 5,000, as InfluxData advises, and grow while writes are in flight and the destination takes
    /// more.
    pub batch_size: usize,
    /// The most bytes of a batch before compression. Defaults to 4 MiB. Full batches begin with 768
    /// KiB, since nginx refuses bodies above 1 MiB by default, and grow while writes are in flight
    /// and the destination takes more. A quarter of `buffer_size` and half of `spool.max_size` are
    /// bounds as well.
    pub batch_bytes: usize,
    /// Bytes of points kept in memory. Defaults to 32 MiB.
    pub buffer_size: usize,
    /// What goes when memory is full. Defaults to [`Overflow::DropOldest`].
    pub overflow: Overflow,
    /// The first pause after a failed write; it doubles with each further failure, with full
    /// jitter. Defaults to 500 ms.
    pub retry_interval: Duration,
    /// The longest pause between tries. Defaults to 30 seconds.
    pub max_retry_interval: Duration,
    /// How long a point may wait in memory before it is dropped. Defaults to 1 hour. There is no
    /// bound on tries.
    pub max_retry_time: Duration,
    /// The most writes in flight at once, 1 to 16. Defaults to 16. How many there are adapts: more
    /// while the rate grows with them, fewer when the destination throttles, does not answer, or
    /// only gets slower.
    pub max_in_flight: usize,
    /// Whether a point that the server refuses because of tags or fields that handlers or settings
    /// added is written without them, so that the request keeps its point. Defaults to true.
    pub strip_refused_extras: bool,
    /// Directory for lines that the server permanently refused. Defaults to none: they are counted
    /// and gone.
    pub rejected_directory: Option<PathBuf>,
    /// Bounds of what handlers add.
    pub limits: Limits,
    /// Batches that wait on disk. Defaults to none: what waits, waits in memory.
    pub spool: Option<SpoolSettings>,
    /// Request templates and methods that are not recorded, or the only ones that are.
    pub filter: FilterSettings,
    /// Which requests get points of their own.
    pub requests: RequestSettings,
    /// Metrics for Prometheus.
    pub metrics: MetricsSettings,
    /// Counts of requests by key and interval.
    pub rollup: RollupSettings,
    /// Values of the process and its runtime.
    pub process: ProcessSettings,
    /// The licence check.
    pub licensing: LicensingSettings,
    /// Whether the monitoring writes points about itself, in the measurement `monitoring`. Defaults
    /// to false.
    pub own_points: bool,
}

/// Where points go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// To an InfluxDB server, or another server with its write API.
    Influx,
    /// To line-protocol files, which `influx write` can import.
    #[default]
    File,
    /// Nowhere: no point is made. Requests are counted all the same, for
    /// [`Monitor::rollup`](crate::Monitor::rollup).
    None,
}

/// What goes when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest points go: what happens now is worth more.
    #[default]
    DropOldest,
    /// New points are refused.
    DropNewest,
}

impl Settings {
    /// Creates the default settings for a service of this name: points go to files under
    /// `monitoring-data`.
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
