//! Requests whose end somebody else counts.

use std::{fmt, sync::OnceLock};

/// Counts the requests that have ended and of which the buffer is not told.
#[derive(Default)]
pub(crate) struct OtherEnds(OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>);

impl OtherEnds {
    /// Sets who counts the ends of requests of which the buffer is told nothing, each after its
    /// start. Only the first call counts.
    pub(crate) fn set(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        let _ = self.0.set(Box::new(count));
    }

    pub(super) fn count(&self) -> u64 {
        self.0.get().map_or(0, |count| count())
    }
}

impl fmt::Debug for OtherEnds {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.get().is_some() { "OtherEnds" } else { "None" })
    }
}
