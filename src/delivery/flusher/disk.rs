//! To the spool and back.

use std::sync::Arc;

use tokio::time::{Duration, Instant};

use crate::{
    delivery::spool::{LoadError, Spool, StoreError},
    settings::SpoolMode,
    stats::DropReason,
};

use super::{
    held::{Backing, Held, History, Origin},
    retry::Position,
    wire::{Job, Outcome},
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
        let paused = matches!(self.gate.position(), Position::Paused { .. });
        self.usable_spool().is_some() && (paused || self.settings.spool_mode == SpoolMode::Ahead)
    }

    /// Starts to store batches, one at a time, since the disk gets hardly faster by two; at the end
    /// time is what counts.
    pub(super) fn start_store(&mut self) {
        let most = if self.sends_nothing_more() { CLOSING_STORES } else { 1 };
        let busy = self.wire.jobs().filter(|job| matches!(job, Job::Store { .. })).count();
        let Some(spool) = self.usable_spool().cloned() else {
            // It has gone meanwhile, by a failure or a reload.
            while let Some(held) = self.to_store.pop_front() {
                self.store_failed(held);
            }
            return;
        };
        for _ in busy..most {
            let Some(mut held) = self.to_store.pop_front() else { return };
            let spool = Arc::clone(&spool);
            let Some(batch) = held.batch() else {
                self.give_up(held, DropReason::Internal);
                continue;
            };
            let sends_it_now = self.sends_after_storing(&held);
            let work = async move {
                let stored = match sends_it_now {
                    true => spool.store_taken(&batch).await,
                    false => spool.store(&batch).await,
                };
                Outcome::Stored(spool, sends_it_now, stored)
            };
            self.wire.start(Job::Store { held }, Box::pin(work));
        }
    }

    pub(super) fn stored(&mut self, mut held: Held, outcome: Outcome) {
        match outcome {
            Outcome::Stored(spool, true, Ok(entry)) => {
                held.origin = Origin::Spool(Arc::new(Backing { spool, entry }));
                if self.sends_nothing_more() { self.back_to_spool(held) } else { self.keep(held) }
            }
            Outcome::Stored(_, false, Ok(_)) => self.tell_spooled(&held),
            outcome => {
                // Once it has failed, trying again for each batch would only cost time; the spool
                // itself rests as long.
                self.spool_rests_until = Some(Instant::now() + SPOOL_REST);
                if let Outcome::Stored(_, _, Err(StoreError::Io(error))) = outcome {
                    self.shared.delivery.lock().last_error =
                        Some(format!("the spool could not store a batch: {error}"));
                }
                self.store_failed(held);
            }
        }
    }

    /// Fetches the next stored batch, while the sink takes any.
    pub(super) fn start_load(&mut self) {
        let paused =
            matches!(self.gate.position(), Position::Paused { .. } | Position::Trial { blocked: Some(_) });
        let loading = self.is_loading();
        // Others may pass those that have failed before. Pieces do not count, since they cannot be
        // given back.
        let loaded = &self.queue.loaded;
        let more = loaded.iter().filter(|held| held.is_whole()).count() < LOADED
            && loaded.iter().all(|held| held.history.failures > 0);
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
            Outcome::Loaded(Backing { spool, entry }, loaded)
        };
        self.wire.start(Job::Load { bytes }, Box::pin(work));
    }

    pub(super) fn loaded(&mut self, outcome: Outcome) {
        let Outcome::Loaded(backing, loaded) = outcome else { return };
        match loaded {
            Ok(batch) => {
                let mut history = History::new(Instant::now(), self.blocked_so_far());
                // It has failed before, so others come first.
                history.failures = backing.spool.times_released(&backing.entry).min(1);
                self.queue.loaded.push_back(Held::from_spool(batch, backing, history));
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
        self.wire.jobs().any(|job| matches!(job, Job::Load { .. }))
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
    pub(super) fn put_back_spooled(&mut self, mut held: Held) {
        let Origin::Spool(backing) = &held.origin else { return self.keep(held) };
        let whole = self.queue.loaded.iter().filter(|held| held.is_whole()).count();
        if backing.is_whole(held.points()) && whole + 1 >= LOADED {
            self.back_to_spool(held);
        } else {
            self.tell_spooled(&held);
            held.live = false;
            self.queue.loaded.push_back(held);
        }
    }

    /// Leaves the memory, not the disk. A piece of a batch whose other pieces are settled cannot be
    /// given back, as the file holds them all: it stays in memory.
    pub(super) fn back_to_spool(&mut self, mut held: Held) {
        self.tell_spooled(&held);
        let whole = matches!(&held.origin, Origin::Spool(backing) if backing.is_whole(held.points()));
        if !whole {
            held.live = false;
            self.queue.loaded.push_back(held);
        } else if let Origin::Spool(backing) = held.origin
            && let Some(backing) = Arc::into_inner(backing)
        {
            backing.spool.release(backing.entry);
        }
    }

    pub(super) fn acknowledge(&mut self, backing: Backing) {
        let work = async move {
            backing.spool.acknowledge(backing.entry).await;
            Outcome::Done
        };
        self.wire.start(Job::Acknowledge, Box::pin(work));
    }

    fn sends_after_storing(&self, held: &Held) -> bool {
        let paused = matches!(self.gate.position(), Position::Paused { .. });
        self.settings.spool_mode == SpoolMode::Ahead
            && !paused
            && !self.sends_nothing_more()
            && !held.history.tried
    }

    fn store_failed(&mut self, held: Held) {
        if self.sends_nothing_more() {
            self.give_up(held, DropReason::Shutdown);
        } else {
            self.keep(held);
        }
    }

    pub(super) fn tell_spooled(&mut self, held: &Held) {
        self.tell_flushes(held.live, held.sequence(), |report| report.spooled += held.points() as u64);
    }
}

/// Stored batches held in memory at once: one that can go, and others that could not.
const LOADED: usize = 4;
const CLOSING_STORES: usize = 4;
const SPOOL_REST: Duration = Duration::from_secs(60);
