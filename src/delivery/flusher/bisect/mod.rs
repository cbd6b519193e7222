//! The search for the lines that a server refuses: the others are written, each refused one is
//! found and rejected.
//!
//! Servers differ. Some refuse the whole batch for one line, some write the rest; some quote the
//! line, some name a field, some say nothing. The search asks the same question each time, "would
//! you take these?", and uses what the server says to ask about fewer.
//!
//! - Nearly every refusal is a matter of the [shape](shape::LineShape) of a line. So a batch is
//!   divided by shape before it is halved, accepted shapes first.
//! - A request is worth more than its extra. Where columns that handlers added are the cause, the
//!   points are sent without them; a [search](column_search::ColumnSearch) finds which.
//! - What is [remembered](refusal_cache) holds for the destination: later batches are cut by it
//!   before they are sent.
//!
//! It sends nothing itself: the worker asks it for the next piece and passes on the answer, so that
//! fresh batches go in between and a pause, a shutdown or a reload finds every line in its place.

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
