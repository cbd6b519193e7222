//! Requests whose start and end somebody else counts.

use std::{fmt, sync::OnceLock};

/// Counts the requests that have started and ended, and of which the buffer is not told.
#[derive(Default)]
pub(crate) struct CountedElsewhere(OnceLock<ToldCounts>);

struct ToldCounts {
    ended: Box<CountFunction>,
    started: Box<CountFunction>,
}

type CountFunction = dyn Fn() -> u64 + Send + Sync;

impl CountedElsewhere {
    /// Sets who counts the ends of requests, and who their starts. Each start is counted before its
    /// end. Only the first call counts.
    pub(crate) fn set(
        &self,
        ended: impl Fn() -> u64 + Send + Sync + 'static,
        started: impl Fn() -> u64 + Send + Sync + 'static,
    ) {
        let _ = self.0.set(ToldCounts { ended: Box::new(ended), started: Box::new(started) });
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
