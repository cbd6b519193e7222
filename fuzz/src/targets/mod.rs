//! One file for each target.

pub(crate) mod own_points;
pub(crate) mod parser;
pub(crate) mod request_lines;
pub(crate) mod settings;
pub(crate) mod spool;
mod values;
