//! From accepted bytes to written points: the buffer, the flusher, the spool and the sinks.

pub(crate) mod batch;
pub(crate) mod buffer;
pub(crate) mod flusher;
pub mod sink;
pub(crate) mod spool;
