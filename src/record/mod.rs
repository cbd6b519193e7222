//! Points into lines: the recorder and the filter.

pub(crate) mod filter;
mod finished_request;
pub(crate) mod keep_rule;
pub(crate) mod misplaced;
mod own_points;
pub(crate) mod recorder;
pub(crate) mod request_counter;
pub(crate) mod rollup;
mod scratch;
