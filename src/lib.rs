//! Request monitoring for tower and axum.
#![cfg_attr(docsrs, feature(doc_cfg))]
#![allow(dead_code)]

mod batch;
mod buffer;
mod clock;
mod disk;
mod error;
mod flusher;
pub mod licensing;
mod line_protocol;
mod point;
mod secret;
mod settings;
mod shard;
mod sink;
mod spool;
mod stats;

pub use batch::Batch;
pub use error::Error;
pub use flusher::{FlushReport, ShutdownReport};
pub use point::{Field, Point, Tag, Timestamp, Value};
pub use secret::Token;
pub use settings::{
    Api, Authorization, Client, FileSettings, FilterSettings, InfluxSettings, LicensingSettings, Limits,
    Overflow, Settings, SpoolMode, SpoolSettings, Storage,
};
pub use sink::{Blocked, RejectReason, Sink, SinkFuture, WriteError, Written};
pub use stats::{
    DeliveryStats, DropReason, Histogram, IntakeStats, LedgerStats, SpoolStats, State, Stats, Writes,
};
