//! Restarts the flusher after a panic, so that its batches are kept and delivery continues.

use tokio::time::{Duration, sleep};

use super::{accounting::points_in_memory, in_flight::guarded, worker::Worker};

/// Runs the worker to its end, and again after each panic.
pub(super) async fn supervise(mut worker: Worker) {
    let mut pause = FIRST_PAUSE;
    while guarded(worker.run()).await.is_none() {
        worker.recover();
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Worker {
    /// Counts the points that the panic lost as dropped, so that every point is accounted for.
    fn recover(&mut self) {
        let pending = self.batcher.points() + points_in_memory(self.batches());
        let lost = self.accounting.drop_missing(pending);
        tracing::error!(
            target: "tower_influx", lost,
            "the flusher panicked and is restarted; points that the panic lost are counted as dropped; this is a bug: \
             please report it with the message of the panic"
        );
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
