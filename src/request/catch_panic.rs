//! Calls of the application's own functions, which may panic.

use std::panic::{self, AssertUnwindSafe};

/// Runs a function of the application. Returns `None` if it panics. If a request ends while its
/// handler's panic unwinds, a second panic would abort the process. Anywhere else the request would
/// not be counted.
pub(crate) fn catch_panic<R>(run: impl FnOnce() -> R) -> Option<R> {
    panic::catch_unwind(AssertUnwindSafe(run)).ok()
}
