//! The end: by a shutdown, or because no handle is left to request one.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{
    delivery::{sink::none::NoSink, spool::Spool},
    stats::{DeliveryState, DropReason},
};

use super::{
    bisect::Search,
    closing::{ClosingStep, Situation},
    destination::SinkHandle,
    in_flight::Job,
    pending::{Origin, PendingBatch},
    shared::Ended,
    start::is_too_long,
    worker::Worker,
};

impl Worker {
    /// Advances the shutdown, if one is in progress. Returns true when it is complete.
    pub(super) fn advance_closing(&mut self) -> bool {
        if self.closing.is_none() {
            return false;
        }
        let now = Instant::now();
        let situation = Situation {
            running: self.shared.buffer.running_requests(),
            nothing_left: self.nothing_left(),
            breaker_open: self.breaker.state().is_open(),
            spool: self.feeder.is_usable(now),
        };
        let Some(closing) = &mut self.closing else { return false };
        match closing.advance(now, situation) {
            ClosingStep::Wait => {}
            ClosingStep::CloseRecorder => {
                // Their results so far are recorded, and they no longer count as running.
                self.shared.buffer.end_open();
                // The time is not checked in this iteration, so that a sink that answers at once
                // gets everything even without time.
                closing.recorder_closed(self.shared.buffer.running_requests());
                self.close_recorder();
                // Without running jobs no event would come before the cutoff: an idle monitor would
                // use up the whole timeout.
                if self.nothing_left() {
                    return self.finish();
                }
            }
            ClosingStep::RetryBy(latest) => self.breaker.retry_by(latest),
            ClosingStep::StopSending => self.stop_sending(),
            ClosingStep::Finish => return self.finish(),
        }
        if self.conditions().sending_over && self.nothing_left() { self.finish() } else { false }
    }

    /// Ends without the task's runtime or without a handle: at once, on this thread, without
    /// sending anything.
    pub(super) fn abandon(&mut self, why: &str) {
        self.close_recorder();
        let mut stored = 0;
        let mut lost = 0;
        let spool = self.feeder.spool().cloned();
        for mut pending in
            self.take_everything().into_iter().flat_map(|pending| split(pending, spool.as_deref()))
        {
            let points = pending.points();
            let on_disk = match (pending.batch(), &pending.origin, &spool) {
                (_, Origin::Spool(_), _) => true,
                (Some(batch), Origin::Memory, Some(spool)) => spool.store_blocking(&batch).is_ok(),
                _ => false,
            };
            if on_disk {
                stored += points;
            } else {
                lost += points;
                self.accounting.log_next_drop();
                self.accounting.drop_points(&pending, points, DropReason::Shutdown);
            }
        }
        // Its directory must be free once the end is known.
        drop(spool);
        if stored + lost > 0 {
            tracing::warn!(
                target: "tower_influx", spooled = stored, dropped = lost,
                "{why}: the remaining points are stored in the spool, or dropped without one; call `shutdown` before the process ends"
            );
        }
        self.end(false, true);
    }

    fn close_recorder(&mut self) {
        self.shared.buffer.close();
        self.in_flight.cancel(|job| matches!(job, Job::Load { .. } | Job::Maintain { .. }));
        for pending in std::mem::take(&mut self.scheduler.queue.loaded) {
            self.back_to_spool(pending);
        }
        self.collect(true);
        self.breaker.attempt();
    }

    fn stop_sending(&mut self) {
        let storing = self.in_flight.cancel(|job| !matches!(job, Job::Store { .. } | Job::Acknowledge));
        self.collect_jobs(storing);
        let spool = self.conditions().spool;
        for pending in self.take_queued() {
            match pending.origin {
                Origin::Memory if spool => self.feeder.push(pending),
                Origin::Memory => self.discard(pending, DropReason::Shutdown),
                // The file stays for the next process. A batch that was partly written is then
                // written again, which is harmless.
                Origin::Spool(_) => self.accounting.spooled(&pending),
            }
        }
    }

    /// Takes all points of the task, including those of running jobs.
    fn take_everything(&mut self) -> Vec<PendingBatch> {
        let jobs = self.in_flight.cancel(|_| true);
        self.collect_jobs(jobs);
        let mut all = self.take_queued();
        all.extend(std::iter::from_fn(|| self.feeder.pop()));
        all
    }

    fn collect_jobs(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            match job {
                Job::Write { pending, .. } | Job::Store { pending } | Job::Compress { pending } => {
                    self.scheduler.queue.wait(pending)
                }
                Job::Search { search, .. } => self.scheduler.queue.searches.push_back(*search),
                Job::Probe { .. } | Job::Load { .. } | Job::Acknowledge | Job::Maintain { .. } => {}
            }
        }
    }

    fn take_queued(&mut self) -> Vec<PendingBatch> {
        let mut searches = std::mem::take(&mut self.scheduler.queue.searches);
        for search in &mut searches {
            search.reject_refused();
            self.reject_found(search, "refused by the server before the shutdown");
        }
        let rest = searches.into_iter().filter_map(Search::into_rest);
        rest.chain(self.scheduler.queue.take_batches()).collect()
    }

    fn nothing_left(&self) -> bool {
        self.scheduler.queue.is_empty()
            && self.feeder.batches().next().is_none()
            && self.in_flight.is_empty()
            && self.batcher.points() == 0
    }

    fn finish(&mut self) -> bool {
        // Refused lines are still being written to their files.
        if let (Some(rejected), Some(closing)) = (self.accounting.rejected.take(), &self.closing) {
            self.start_rejected_files(rejected, closing.end());
            return false;
        }
        let in_time = self.closing.as_ref().is_none_or(|closing| closing.is_in_time(Instant::now()));
        self.end(true, in_time);
        true
    }

    fn end(&mut self, orderly: bool, in_time: bool) {
        // Later calls receive an error at once instead of waiting for an answer.
        self.commands = None;
        self.accounting.flushes.answer_all();
        let unfinished = match &self.closing {
            Some(closing) => closing.unfinished(),
            None => self.shared.buffer.running_requests(),
        };
        self.shared.delivery.lock().state = DeliveryState::Closed;
        let report = self.shared.shutdown_report(unfinished, in_time);
        // During unwinding, a second panic would abort the process.
        debug_assert!(
            std::thread::panicking() || self.shared.ledger.lock().in_flight == 0,
            "points are in nobody's hands"
        );
        self.release_destination();
        self.shared.report.send_replace(Some(Ended { report, orderly }));
        tracing::info!(target: "tower_influx", %report, "monitoring has shut down");
    }
}

impl Worker {
    /// Drops everything that holds locks, so that whoever waits for the end can start another
    /// monitor on the same directories.
    fn release_destination(&mut self) {
        drop(self.in_flight.cancel(|_| true));
        self.feeder.release();
        self.accounting.rejected = None;
        let sink = std::mem::replace(&mut self.sink, SinkHandle(Arc::new(NoSink)));
        let released = self.shared.release();
        // If the application's sink panicked here, the end would never be reported.
        let _ = catch_unwind(AssertUnwindSafe(|| drop((sink, released))));
    }
}

/// Splits a batch that is too long for the spool.
fn split(mut pending: PendingBatch, spool: Option<&Spool>) -> Vec<PendingBatch> {
    match (spool, &pending.origin) {
        (Some(spool), Origin::Memory) if is_too_long(&pending, spool) => match pending.batch() {
            Some(batch) => pending.split(&batch, spool.most_bytes()),
            None => vec![pending],
        },
        _ => vec![pending],
    }
}

impl Drop for Worker {
    /// Saves the points when the task is dropped with its runtime. This is the last chance to keep
    /// anything.
    fn drop(&mut self) {
        if self.shared.ended().is_none() {
            self.abandon("the runtime of the monitor was dropped without a shutdown");
        }
    }
}
