#![doc = include_str!("../docs/links.md")]
#![doc = include_str!("../../docs/live.md")]

mod chart;
mod facts;
mod history;
mod latencies;
mod model;
mod observer;
mod page;
mod ring;
mod router;
mod scan;
mod snapshot;
mod window;
mod words;

pub use router::{LivePage, router};
