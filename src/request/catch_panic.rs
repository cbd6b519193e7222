//! Calls of the application's own functions, which may panic.

use std::panic::{self, AssertUnwindSafe};

use crate::stats::RecorderCounters;

/// Runs a function of the application. Returns `None` if it panics, which is counted. If a request
/// ends while its handler's panic unwinds, a second panic would abort the process. Anywhere else
/// the request would not be counted.
#[inline]
pub(crate) fn catch_panic<R>(counters: &RecorderCounters, run: impl FnOnce() -> R) -> Option<R> {
    match panic::catch_unwind(AssertUnwindSafe(run)) {
        Ok(result) => Some(result),
        Err(_) => {
            count(counters);
            None
        }
    }
}

/// Apart, so that a function that returns pays nothing for it.
#[cold]
#[inline(never)]
fn count(counters: &RecorderCounters) {
    counters.callback_panics.add(1);
}
