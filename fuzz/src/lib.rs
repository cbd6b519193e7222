//! What is fuzzed: each function takes arbitrary bytes, and panics where a promise is broken.

#[path = "../../src/batch.rs"]
mod batch;
#[path = "../../src/disk.rs"]
mod disk;
#[path = "../../src/error.rs"]
mod error;
#[path = "../../src/field_types.rs"]
mod field_types;
#[path = "../../src/fingerprints.rs"]
mod fingerprints;
#[path = "../../src/line_protocol/mod.rs"]
mod line_protocol;
/// What is to be stored of a point, as the properties of the encoder have it.
#[path = "../../src/line_protocol/properties/model.rs"]
mod model;
#[path = "../../src/point/mod.rs"]
mod point;
#[path = "../../src/secret.rs"]
mod secret;
#[path = "../../src/settings/mod.rs"]
mod settings;
#[path = "../../src/sink/mod.rs"]
mod sink;
#[path = "../../src/spool/mod.rs"]
mod spool;
#[path = "../../src/stats/mod.rs"]
mod stats;
#[path = "../../src/sync.rs"]
mod sync;
#[path = "../../src/tag_values.rs"]
mod tag_values;

mod targets;

use batch::Batch;
use error::Error;
use point::{DataPoint, Field, Point, RequestErrorPoint, RequestPoint, Tag, Timestamp, Value, route};
use secret::Token;
use settings::{
    FileSettings, FilterSettings, InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings,
    LicensingSettings, Limits, Overflow, Settings, SpoolMode, SpoolSettings, Storage,
};
use sink::{Blocked, MemorySink, RejectReason, Sink, SinkFuture, WriteError, Written};
use stats::{
    DeliveryState, DeliveryStats, DropReason, Histogram, IntakeStats, LedgerStats, SpoolStats, Stats,
    WriteStats,
};

pub use targets::{
    own_points::own_points, parser::parser, request_lines::request_lines, settings::settings, spool::spool,
};
