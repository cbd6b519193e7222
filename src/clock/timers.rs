//! Checks that a runtime has the timers that delivery needs.

use std::{panic, time::Duration};

use tokio::{runtime::Handle, time};

use crate::error::Error;

/// Checks that the runtime has timers. `what` is the part that needs them.
///
/// Without timers tokio panics when one is created. It is better to find out here, at the start,
/// than in a task later.
///
/// # Errors
///
/// Fails if the runtime was built without `enable_time`.
pub(crate) fn check(runtime: &Handle, what: &str) -> Result<(), Error> {
    let _entered = runtime.enter();
    panic::catch_unwind(|| drop(time::sleep(Duration::ZERO))).map_err(|_| {
        Error::runtime(format!(
            "{what} needs the timers of the tokio runtime, and it has none: build it with `enable_all`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_runtime_without_timers_is_refused() {
        let with = Builder::new_current_thread().enable_time().build().expect("builds");
        check(with.handle(), "delivery").expect("has timers");
        let without = Builder::new_current_thread().build().expect("builds");
        let error = check(without.handle(), "delivery").expect_err("has none");
        assert!(error.is_runtime() && error.to_string().contains("`enable_all`"), "{error}");
    }
}
