//! To the spool and back.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::{
    delivery::spool::{LoadError, Spool, StoreError},
    settings::SpoolMode,
    stats::DropReason,
};

use super::{
    circuit_breaker::BreakerState,
    in_flight::{Job, JobOutcome},
    pending::{Backing, History, Origin, PendingBatch},
    worker::Worker,
};

impl Worker {
    /// Returns the spool, unless there is none or its disk has just failed.
    pub(super) fn usable_spool(&self) -> Option<&Arc<Spool>> {
        let rests = self.spool_rests_until.is_some_and(|until| Instant::now() < until);
        self.spool.as_ref().filter(|_| !rests)
    }

    /// Returns whether a new batch is stored before it is sent, or instead.
    pub(super) fn goes_to_disk_first(&self) -> bool {
        let paused = self.breaker.state().is_open();
        self.usable_spool().is_some() && (paused || self.settings.spool_mode == SpoolMode::Ahead)
    }

    /// Starts to store batches, one at a time, since the disk gets hardly faster by two; at the end
    /// time is what counts.
    pub(super) fn start_store(&mut self) {
        let most = if self.sends_nothing_more() { CLOSING_STORES } else { 1 };
        let busy = self.in_flight.jobs().filter(|job| matches!(job, Job::Store { .. })).count();
        let Some(spool) = self.usable_spool().cloned() else {
            // It has gone meanwhile, by a failure or a reload.
            while let Some(pending) = self.to_store.pop_front() {
                self.store_failed(pending);
            }
            return;
        };
        for _ in busy..most {
            let Some(mut pending) = self.to_store.pop_front() else { return };
            let spool = Arc::clone(&spool);
            let Some(batch) = pending.batch() else {
                self.discard(pending, DropReason::Internal);
                continue;
            };
            let sends_it_now = self.sends_after_storing(&pending);
            let work = async move {
                let stored = match sends_it_now {
                    true => spool.store_taken(&batch).await,
                    false => spool.store(&batch).await,
                };
                JobOutcome::Stored(spool, sends_it_now, stored)
            };
            self.in_flight.start(Job::Store { pending }, Box::pin(work));
        }
    }

    pub(super) fn stored(&mut self, mut pending: PendingBatch, outcome: JobOutcome) {
        match outcome {
            JobOutcome::Stored(spool, true, Ok(entry)) => {
                pending.origin = Origin::Spool(Arc::new(Backing { spool, entry }));
                if self.sends_nothing_more() { self.back_to_spool(pending) } else { self.keep(pending) }
            }
            JobOutcome::Stored(_, false, Ok(_)) => self.report_spooled(&pending),
            outcome => {
                // Once it has failed, trying again for each batch would only cost time; the spool
                // itself rests as long.
                self.spool_rests_until = Some(Instant::now() + SPOOL_REST);
                if let JobOutcome::Stored(_, _, Err(StoreError::Io(error))) = outcome {
                    self.shared.delivery.lock().last_error =
                        Some(format!("the spool could not store a batch: {error}"));
                }
                self.store_failed(pending);
            }
        }
    }

    /// Fetches the next stored batch, while the sink takes any.
    pub(super) fn start_load(&mut self) {
        let paused = matches!(
            self.breaker.state(),
            BreakerState::Open { .. } | BreakerState::HalfOpen { blocked: Some(_) }
        );
        let loading = self.is_loading();
        // Others may pass those that have failed before. Pieces do not count, since they cannot be
        // given back.
        let loaded = &self.queue.loaded;
        let more = loaded.iter().filter(|pending| pending.is_whole()).count() < LOADED
            && loaded.iter().all(|pending| pending.history.failures > 0);
        if paused || loading || !more || self.closing.is_some() || !self.something_stored() {
            return;
        }
        let Some(bytes) = self.sources().find_map(|spool| spool.next_bytes()) else { return };
        // What could not go would only wait in memory, or be given back to the spool and loaded
        // again.
        let goes = self.may_be_in_flight(bytes + self.queue.memory(), false)
            || self.queue.loaded.is_empty() && self.may_be_in_flight(bytes, true);
        if !goes || !self.reserve(bytes) && self.batches_in_hand() > 0 {
            return;
        }
        let next = self.sources().find_map(|spool| Some((Arc::clone(spool), spool.take_oldest()?)));
        let Some((spool, entry)) = next else { return };
        #[cfg(test)]
        self.shared.loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let work = async move {
            let loaded = spool.load(&entry).await;
            JobOutcome::Loaded(Backing { spool, entry }, loaded)
        };
        self.in_flight.start(Job::Load { bytes }, Box::pin(work));
    }

    pub(super) fn loaded(&mut self, outcome: JobOutcome) {
        let JobOutcome::Loaded(backing, loaded) = outcome else { return };
        match loaded {
            Ok(batch) => {
                let mut history = History::new(Instant::now(), self.blocked_so_far());
                // It has failed before, so others come first.
                history.failures = backing.spool.times_released(&backing.entry).min(1);
                self.queue.loaded.push_back(PendingBatch::from_spool(batch, backing, history));
            }
            // It has been counted and logged.
            Err(LoadError::Lost) => {}
            Err(LoadError::Io(error)) => {
                tracing::debug!(target: "tower_influx", "a stored batch cannot be read now and stays in the spool: {error}");
                backing.spool.release(backing.entry);
            }
        }
    }

    pub(super) fn is_loading(&self) -> bool {
        self.in_flight.jobs().any(|job| matches!(job, Job::Load { .. }))
    }

    /// Returns whether anything lies on disk for this sink.
    pub(super) fn something_stored(&self) -> bool {
        self.sources().any(|spool| !spool.is_empty())
    }

    /// Spools whose batches are for this sink.
    fn sources(&self) -> impl Iterator<Item = &Arc<Spool>> {
        self.spool.iter().chain(self.retired.iter().filter(|spool| spool.is_for(&self.target)))
    }

    /// Puts back a failed batch that is also on disk.
    pub(super) fn put_back_spooled(&mut self, mut pending: PendingBatch) {
        let Origin::Spool(backing) = &pending.origin else { return self.keep(pending) };
        let whole = self.queue.loaded.iter().filter(|pending| pending.is_whole()).count();
        if backing.is_whole(pending.points()) && whole + 1 >= LOADED {
            self.back_to_spool(pending);
        } else {
            self.report_spooled(&pending);
            pending.live = false;
            self.queue.loaded.push_back(pending);
        }
    }

    /// Leaves the memory, not the disk. A piece of a batch whose other pieces are settled cannot be
    /// given back, as the file holds them all: it stays in memory.
    pub(super) fn back_to_spool(&mut self, mut pending: PendingBatch) {
        self.report_spooled(&pending);
        let whole = matches!(&pending.origin, Origin::Spool(backing) if backing.is_whole(pending.points()));
        if !whole {
            pending.live = false;
            self.queue.loaded.push_back(pending);
        } else if let Origin::Spool(backing) = pending.origin
            && let Some(backing) = Arc::into_inner(backing)
        {
            backing.spool.release(backing.entry);
        }
    }

    pub(super) fn acknowledge(&mut self, backing: Backing) {
        let work = async move {
            backing.spool.acknowledge(backing.entry).await;
            JobOutcome::Done
        };
        self.in_flight.start(Job::Acknowledge, Box::pin(work));
    }

    fn sends_after_storing(&self, pending: &PendingBatch) -> bool {
        let paused = self.breaker.state().is_open();
        self.settings.spool_mode == SpoolMode::Ahead
            && !paused
            && !self.sends_nothing_more()
            && !pending.history.tried
    }

    fn store_failed(&mut self, pending: PendingBatch) {
        if self.sends_nothing_more() {
            self.discard(pending, DropReason::Shutdown);
        } else {
            self.keep(pending);
        }
    }

    pub(super) fn report_spooled(&mut self, pending: &PendingBatch) {
        self.update_flush_reports(pending.live, pending.sequence(), |report| {
            report.spooled += pending.points() as u64
        });
    }
}

/// Stored batches held in memory at once: one that can go, and others that could not.
const LOADED: usize = 4;
const CLOSING_STORES: usize = 4;
const SPOOL_REST: Duration = Duration::from_secs(60);
