//! Points into lines: the recorder and the filter.

pub(crate) mod filter;
pub(crate) mod recorder;
