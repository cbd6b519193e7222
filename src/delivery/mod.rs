//! The way from accepted bytes to written points: the buffer, the flusher, the spool and the sinks.

pub(crate) mod batch;
pub(crate) mod buffer;
pub(crate) mod directory;
pub(crate) mod flusher;
#[cfg(all(test, unix))]
pub(crate) mod hostile;
pub(crate) mod lock;
pub(crate) mod log_throttle;
pub mod sink;
pub(crate) mod spool;
pub(crate) mod thread;
