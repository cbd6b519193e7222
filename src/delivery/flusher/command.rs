//! The commands from the handle to the task.

use std::time::Duration;

use tokio::sync::oneshot;

use super::{destination::Destination, report::FlushReport, settings::FlushSettings};

#[derive(Debug)]
pub(super) enum Command {
    Flush(oneshot::Sender<FlushReport>),
    Interval(Duration),
    Reload {
        destination: Destination,
        settings: FlushSettings,
        done: oneshot::Sender<()>,
    },
    /// A probe by the handle has succeeded.
    TryNow,
    Shutdown {
        /// When the shutdown was requested, by a clock that no runtime stops. `None` if the flusher
        /// does not run in real time.
        asked: Option<std::time::Instant>,
        timeout: Duration,
    },
    #[cfg(test)]
    Panic {
        losing_a_batch: bool,
    },
}
