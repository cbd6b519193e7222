#![doc = include_str!("docs/links.md")]
#![cfg_attr(feature = "live", doc = include_str!("docs/with_live.md"))]
#![cfg_attr(not(feature = "live"), doc = include_str!("docs/without_live.md"))]
#![doc = include_str!("docs/front.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// The code of a feature is partly unused without other features. With all of them, nothing is.
#![cfg_attr(
    not(all(
        feature = "axum",
        feature = "tls",
        feature = "influxdb2",
        feature = "license-file",
        feature = "live",
        feature = "process",
        feature = "prometheus"
    )),
    allow(dead_code)
)]

pub mod client;
mod clock;
mod delivery;
#[cfg(any(doc, doctest))]
pub mod docs;
mod error;
mod fs_ext;
#[cfg(any(test, tower_influx_internals, tower_influx_loom))]
pub mod internals;
pub mod licensing;
mod line_protocol;
#[cfg(feature = "live")]
pub mod live;
mod monitor;
pub mod point;
#[cfg(feature = "process")]
mod process;
#[cfg(feature = "prometheus")]
pub mod prometheus;
mod record;
mod request;
mod schema;
pub mod settings;
pub mod stats;
mod sync;
#[cfg(test)]
mod test_log;
mod work;

pub use delivery::{
    flusher::{FlushReport, ShutdownReport},
    sink,
};
pub use error::Error;
pub use monitor::{Monitor, MonitorBuilder};
pub use point::{DataPoint, Point, error_code::ErrorCode};
pub use request::{Connection, MonitoringData, MonitoringLayer, RequestId, classify, head, layer, timer};
pub use settings::Settings;
