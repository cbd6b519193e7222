//! Turns points into lines: the recorder, the filter and the rollups.

pub(crate) mod filter;
mod finished_request;
pub(crate) mod keep_rule;
pub(crate) mod known_routes;
pub(crate) mod misplaced;
mod own_points;
pub(crate) mod recorder;
pub(crate) mod request_counter;
pub(crate) mod rollup;
mod scratch;
