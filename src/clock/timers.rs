//! Whether a runtime has what delivery needs of it.

use std::{panic, time::Duration};

use tokio::{runtime::Handle, time};

use crate::error::Error;

/// Checks that the runtime has timers. `what` needs them.
///
/// tokio does not tell, but panics where a timer is made without them: better here, at the start,
/// than in a task later.
///
/// # Errors
///
/// A runtime that was built without `enable_time`.
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
