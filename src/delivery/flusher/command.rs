//! What the handle asks of the task.

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
    /// Somebody has found that the sink would take points.
    TryNow,
    Shutdown {
        /// When it was asked for, by a clock that no runtime stops; `None` where the flusher does
        /// not run by the clock of the system.
        asked: Option<std::time::Instant>,
        timeout: Duration,
    },
    #[cfg(test)]
    Panic {
        losing_a_batch: bool,
    },
}
