//! The wall clock by which licences are judged, replaceable in tests.

use std::{fmt, sync::Arc};

use jiff::Timestamp;

/// Returns the time of day. It is not the clock of the stamps: that one never steps back, but a
/// licence check must notice when the system's clock does.
#[derive(Clone)]
pub(crate) struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    pub(crate) fn system() -> Self {
        Self::new(Timestamp::now)
    }

    pub(crate) fn new(now: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    pub(crate) fn now(&self) -> Timestamp {
        (self.0)()
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WallClock")
    }
}
