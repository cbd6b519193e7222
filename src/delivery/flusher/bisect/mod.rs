//! The search for the lines that a server refuses. The others are written, and each refused one is
//! found and rejected.
//!
//! Servers differ. Some refuse the whole batch because of one line, some write the others. Some
//! quote the line, some name a field, some give no hint. The search always tests whether the server
//! accepts some lines, and uses the server's message to test fewer of them.
//!
//! - Nearly every refusal depends on the [shape](shape::LineShape) of a line. So a batch is divided
//!   by shape before it is halved, accepted shapes first.
//! - A request is worth more than its extras. If columns that handlers added are the cause, the
//!   points are sent without them. A [search](column_search::ColumnSearch) finds these columns.
//! - [Known results](refusal_cache) apply to the destination: later batches are cut by them before
//!   they are sent.
//!
//! It sends nothing itself. The worker asks it for the next piece and passes on the answer. So
//! fresh batches are sent in between, and a pause, a shutdown or a reload loses no line.

pub(super) use failing::LINE_FAILURES;
pub(super) use refusal_cache::RefusalCache;
pub(super) use search::{Accepted, Search};

mod attribution;
mod chosen_by;
mod column_search;
mod divide;
mod failing;
mod item;
mod refusal;
mod refusal_cache;
mod refusal_rate;
mod search;
mod shape;
mod strip;

#[cfg(all(test, any(feature = "influxdb2", feature = "reqwest")))]
mod tests;
