#![doc = include_str!("docs/live.png.md")]
#![cfg_attr(feature = "live", doc = include_str!("docs/with_live.md"))]
#![cfg_attr(not(feature = "live"), doc = include_str!("docs/without_live.md"))]
#![doc = include_str!("docs/links.md")]
#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// What one feature uses is dead without it; with all of them on nothing is.
#![cfg_attr(
    not(all(
        feature = "axum",
        feature = "http",
        feature = "influxdb2",
        feature = "license-file",
        feature = "live"
    )),
    allow(dead_code)
)]

mod batch;
mod buffer;
mod clock;
mod disk;
#[cfg(any(doc, doctest))]
pub mod docs;
mod error;
mod extract;
mod field_types;
mod filter;
mod fingerprints;
mod flusher;
mod intake;
pub mod licensing;
mod line_protocol;
#[cfg(feature = "live")]
pub mod live;
mod middleware;
mod monitor;
mod point;
mod secret;
mod settings;
mod shard;
mod sharded_arc;
mod sink;
mod spool;
mod stats;
mod sync;
mod tag_values;
mod timer;

pub use batch::Batch;
pub use error::Error;
pub use extract::{ErrorCode, MonitoringData, RequestId};
pub use flusher::{FlushReport, ShutdownReport};
pub use middleware::{
    BodyEnding, BodyOutcome, Classification, Classifier, Ending, GrpcClassifier, MonitoringLayer,
    MonitoringService, Outcome, ResponseBody, ResponseFuture, StatusClassifier, TrackBodyFuture,
    TrackBodyLayer, TrackBodyService,
};
pub use monitor::{Monitor, MonitorBuilder};
pub use point::{DataPoint, Field, Point, RequestErrorPoint, RequestPoint, Tag, Timestamp, Value, route};
pub use secret::Token;
pub use settings::{
    FileSettings, FilterSettings, InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings,
    LicensingSettings, Limits, Overflow, Settings, SpoolMode, SpoolSettings, Storage,
};
pub use sink::{Blocked, MemorySink, RejectReason, Sink, SinkFuture, WriteError, Written};
pub use stats::{
    DeliveryState, DeliveryStats, DropReason, Histogram, IntakeStats, LedgerStats, SpoolStats, Stats,
    WriteStats,
};
pub use timer::{Timed, Timer};
