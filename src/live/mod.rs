#![doc = include_str!("../docs/links.md")]
#![doc = include_str!("../../docs/live.md")]

mod chart;
mod history;
mod humanize;
mod latencies;
mod model;
mod observer;
mod page;
mod ring;
mod rollups;
mod router;
mod scan;
mod snapshot;
mod summary;
mod window;

pub use router::{LivePage, router};
