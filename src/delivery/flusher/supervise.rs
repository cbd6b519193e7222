//! A panic of the flusher costs neither the points in its hands nor the monitoring.

use tokio::time::{Duration, sleep};

use crate::stats::{DropReason, ledger::PointLocation};

use super::{
    bisect::Search,
    in_flight::{Job, guarded},
    pending::PendingBatch,
    worker::Worker,
};

/// Runs the worker to its end, and again after a panic.
pub(super) async fn supervise(mut worker: Worker) {
    let mut pause = FIRST_PAUSE;
    while guarded(worker.run()).await.is_none() {
        worker.recover();
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

impl Worker {
    /// Counts the points that the panic cost, so that every point is accounted for.
    fn recover(&mut self) {
        self.shared.delivery.lock().restarts += 1;
        let pending = self.points_in_memory() as u64;
        let mut ledger = self.ledger.lock();
        let lost = ledger.in_flight.saturating_sub(pending);
        ledger.drop_in_flight(DropReason::Internal, lost as usize);
        drop(ledger);
        tracing::error!(
            target: "tower_influx", lost,
            "the flusher failed and is started again; points that were in its hands in this moment are counted as \
             dropped; this is a bug: please report it with the message of the panic"
        );
    }

    /// Returns the points that the ledger counts as in flight.
    fn points_in_memory(&self) -> usize {
        let jobs = self.in_flight.jobs();
        let batches = self.queue.batches().chain(&self.to_store).chain(jobs.filter_map(Job::pending));
        let batches = batches
            .filter(|pending| pending.origin.place() == PointLocation::Memory)
            .map(PendingBatch::points);
        let searches = self.queue.searches.iter().chain(self.in_flight.jobs().filter_map(Job::search));
        let searches = searches
            .filter(|search| search.origin.place() == PointLocation::Memory)
            .map(Search::remaining_points);
        self.batcher.points() + batches.chain(searches).sum::<usize>()
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
