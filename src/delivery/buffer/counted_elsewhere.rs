//! Counters of requests that are not counted by the buffer.

use std::{fmt, sync::OnceLock};

/// Reads the numbers of started and ended requests that the buffer does not count itself.
#[derive(Default)]
pub(crate) struct CountedElsewhere(OnceLock<CountFunctions>);

struct CountFunctions {
    ended: Box<CountFunction>,
    started: Box<CountFunction>,
}

type CountFunction = dyn Fn() -> u64 + Send + Sync;

impl CountedElsewhere {
    /// Sets the functions that return the numbers of ended and started requests. Each start must be
    /// counted before its end. Only the first call has an effect.
    pub(crate) fn set(
        &self,
        ended: impl Fn() -> u64 + Send + Sync + 'static,
        started: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let _ = self.0.set(CountFunctions { ended: Box::new(ended), started: Box::new(started) });
    }

    pub(super) fn ended(&self) -> u64 {
        self.0.get().map_or(0, |counts| (counts.ended)())
    }

    pub(super) fn started(&self) -> u64 {
        self.0.get().map_or(0, |counts| (counts.started)())
    }
}

impl fmt::Debug for CountedElsewhere {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.0.get().is_some() { "CountedElsewhere" } else { "None" })
    }
}
