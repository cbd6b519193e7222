//! A panic of the flusher costs neither the points in its hands nor the monitoring.

use tokio::time::{Duration, sleep};

use crate::stats::{DropReason, ledger::PointLocation};

use super::{
    bisect::Search,
    held::Held,
    wire::{Job, guarded},
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
        let held = self.points_in_memory() as u64;
        let mut books = self.ledger.lock();
        let lost = books.in_flight.saturating_sub(held);
        books.drop_in_flight(DropReason::Internal, lost as usize);
        drop(books);
        tracing::error!(
            target: "tower_influx", lost,
            "the flusher failed and is started again; points that were in its hands in this moment are counted as \
             dropped; this is a bug: please report it with the message of the panic"
        );
    }

    /// Returns the points that the ledger counts as in flight.
    fn points_in_memory(&self) -> usize {
        let jobs = self.wire.jobs();
        let batches = self.queue.batches().chain(&self.to_store).chain(jobs.filter_map(Job::held));
        let batches = batches.filter(|held| held.origin.place() == PointLocation::Memory).map(Held::points);
        let searches = self.queue.searches.iter().chain(self.wire.jobs().filter_map(Job::search));
        let searches = searches
            .filter(|search| search.origin.place() == PointLocation::Memory)
            .map(Search::remaining_points);
        self.sealer.points() + batches.chain(searches).sum::<usize>()
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
