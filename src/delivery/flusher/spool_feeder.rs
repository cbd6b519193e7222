//! Which batches go to the spool, which are loaded, and when. It decides without I/O: it only reads
//! the spool's index in memory.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::{Duration, Instant};

use crate::{
    delivery::spool::{Spool, SpoolEntry},
    settings::SpoolMode,
};

use super::{
    batch_ref::BatchRef,
    circuit_breaker::BreakerState,
    conditions::Conditions,
    in_flight::InFlight,
    parked::Parked,
    pending::{Origin, PendingBatch},
    queue::{Next, SendQueue},
};

/// The spools of the destination, and the batches on their way to them.
#[derive(Debug)]
pub(super) struct SpoolFeeder {
    spool: Option<Arc<Spool>>,
    /// Spools from before a reload. Their batches for the current sink are sent; the others stay
    /// there.
    retired: Vec<Arc<Spool>>,
    /// The sink's name for a spool.
    target: String,
    /// Batches to be stored.
    to_store: VecDeque<PendingBatch>,
    /// Nothing is stored before this instant, since the disk has just failed.
    rests_until: Option<Instant>,
    /// When batches of dead processes are searched for next.
    next_adoption: Instant,
    /// The pauses before the searches after that, as long as they are not [`ADOPTION_INTERVAL`].
    early_adoptions: std::slice::Iter<'static, Duration>,
    /// Pieces of batches in a spool for another destination.
    parked: Parked,
}

/// What happens to the next batch that must be stored.
#[derive(Debug)]
pub(super) enum Store {
    /// Stores the batch. With `sends_it_now`, it is sent as soon as it is stored.
    Start { pending: PendingBatch, spool: Arc<Spool>, sends_it_now: bool },
    /// The spool is no longer available, because of a failure or a reload.
    Fail(PendingBatch),
}

/// The batches that wait in memory, as far as loading depends on them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    /// Loaded batches, without pieces, which cannot be released to the spool.
    pub(super) loaded: usize,
    /// Whether one of them, or a piece, has not failed yet.
    pub(super) loaded_untried: bool,
    pub(super) nothing_loaded: bool,
    pub(super) memory: usize,
}

impl SpoolFeeder {
    pub(super) fn new(spool: Option<Arc<Spool>>, target: String) -> Self {
        Self {
            spool,
            target,
            retired: Vec::new(),
            to_store: VecDeque::new(),
            rests_until: None,
            next_adoption: Instant::now(),
            early_adoptions: EARLY_ADOPTIONS.iter(),
            parked: Parked::default(),
        }
    }

    /// Replaces the destination. Returns whether its spool is another one.
    pub(super) fn replace(&mut self, spool: Option<Arc<Spool>>, target: String, now: Instant) -> bool {
        let same = match (&self.spool, &spool) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new),
            (None, None) => true,
            _ => false,
        };
        if !same {
            self.retired.extend(self.spool.take());
            // A spool that is configured again is taken out of the retired ones.
            self.retired.retain(|old| spool.as_ref().is_none_or(|new| !Arc::ptr_eq(old, new)));
            (self.rests_until, self.next_adoption) = (None, now);
            self.early_adoptions = EARLY_ADOPTIONS.iter();
        }
        (self.spool, self.target) = (spool, target);
        !same
    }

    pub(super) fn target(&self) -> &str {
        &self.target
    }

    pub(super) fn spool(&self) -> Option<&Arc<Spool>> {
        self.spool.as_ref()
    }

    pub(super) fn retired(&self) -> &[Arc<Spool>] {
        &self.retired
    }

    pub(super) fn is_at(&self, spool: &Arc<Spool>) -> bool {
        self.spool.as_ref().is_some_and(|current| Arc::ptr_eq(current, spool))
    }

    /// Returns the spool, unless there is none or its disk has just failed.
    fn usable(&self, now: Instant) -> Option<&Arc<Spool>> {
        let rests = self.rests_until.is_some_and(|until| now < until);
        self.spool.as_ref().filter(|_| !rests)
    }

    pub(super) fn is_usable(&self, now: Instant) -> bool {
        self.usable(now).is_some()
    }

    /// Stores nothing for a while. After a failure, trying again for each batch would only cost
    /// time. The spool itself is switched off as long.
    pub(super) fn rest(&mut self, now: Instant) {
        self.rests_until = Some(now + REST);
    }

    /// Queues a batch to be stored.
    pub(super) fn push(&mut self, pending: PendingBatch) {
        self.to_store.push_back(pending);
    }

    /// Queues the pieces of the batch that was to be stored now.
    pub(super) fn push_pieces(&mut self, pieces: Vec<PendingBatch>) {
        pieces.into_iter().rev().for_each(|piece| self.to_store.push_front(piece));
    }

    /// Takes back the next batch to be stored.
    pub(super) fn pop(&mut self) -> Option<PendingBatch> {
        self.to_store.pop_front()
    }

    /// Returns the batches to be stored.
    pub(super) fn batches(&self) -> impl Iterator<Item = BatchRef<'_>> {
        self.to_store.iter().map(BatchRef::Pending)
    }

    /// Decides what is stored next. There is one at a time, since two are hardly faster on a disk.
    /// At the end, time matters most.
    pub(super) fn next_store(&mut self, conditions: &Conditions) -> Option<Store> {
        let Some(spool) = self.usable(conditions.now).cloned() else { return self.pop().map(Store::Fail) };
        let most = if conditions.sending_over { CLOSING_STORES } else { 1 };
        if conditions.in_flight.stores >= most {
            return None;
        }
        let pending = self.pop()?;
        let sends_it_now = sends_after_storing(conditions, pending.history.tried);
        Some(Store::Start { pending, spool, sends_it_now })
    }

    /// Decides whether the next stored batch is loaded. Returns about how many bytes it takes.
    pub(super) fn next_load(&self, conditions: &Conditions, queue: &SendQueue) -> Option<usize> {
        if conditions.closing || !may_load(conditions) {
            return None;
        }
        let bytes = self.sources().find_map(|spool| spool.next_bytes())?;
        goes_when_loaded(conditions, &Waiting::of(queue), bytes).then_some(bytes)
    }

    /// Takes the next stored batch, which then belongs to the caller.
    pub(super) fn take_stored(&self) -> Option<(Arc<Spool>, SpoolEntry)> {
        self.sources().find_map(|spool| Some((Arc::clone(spool), spool.take_oldest()?)))
    }

    /// Returns whether there are batches on disk for this sink.
    pub(super) fn has_stored(&self) -> bool {
        self.sources().any(|spool| !spool.is_empty())
    }

    /// Returns the spools whose batches are for this sink.
    fn sources(&self) -> impl Iterator<Item = &Arc<Spool>> {
        self.spool.iter().chain(self.retired.iter().filter(|spool| spool.is_for(&self.target)))
    }

    /// Sets aside what is for another destination. A whole batch is released to its spool; pieces
    /// stay in memory.
    pub(super) fn park(&mut self, next: Next, queue: &mut SendQueue) {
        match next {
            Next::Batch(pending) if pending.is_whole() => give_back(pending, queue),
            Next::Batch(pending) => self.parked.batches.push(pending),
            Next::Search(mut search) => {
                search.live = false;
                self.parked.searches.push(*search);
            }
        }
    }

    /// Returns what is for the current destination to the queue.
    pub(super) fn unpark(&mut self, queue: &mut SendQueue) {
        let Self { parked, target, .. } = self;
        queue.loaded.extend(parked.batches.extract_if(.., |pending| pending.origin.is_for(target)));
        queue.searches.extend(parked.searches.extract_if(.., |search| search.origin.is_for(target)));
    }

    /// Returns the memory of what waits here.
    pub(super) fn memory(&self) -> usize {
        self.parked.memory() + self.to_store.iter().map(PendingBatch::memory).sum::<usize>()
    }

    /// Drops all spools, at the end.
    pub(super) fn release(&mut self) {
        (self.spool, self.retired, self.parked) = (None, Vec::new(), Parked::default());
    }

    /// Drops the spools of earlier destinations that are empty and stay so. Returns whether there
    /// was one.
    pub(super) fn release_retired(&mut self, in_flight: &InFlight) -> bool {
        let before = self.retired.len();
        self.retired.retain(|spool| !spool.is_done() || in_flight.uses(spool));
        self.retired.len() < before
    }

    /// Returns when maintenance is due. Returns `None` while it is running, and without a spool.
    pub(super) fn next_maintenance(&self, conditions: &Conditions, queue: &SendQueue) -> Option<Instant> {
        if conditions.closing || conditions.in_flight.maintaining {
            return None;
        }
        let adoption = self.spool.as_ref().map(|_| self.next_adoption);
        let retired = if conditions.in_flight.maintaining_retired { &[][..] } else { &self.retired };
        let spools = self.spool.iter().chain(retired).filter_map(|spool| spool.next_maintenance());
        let in_memory = queue.all().filter_map(|batch| match batch.origin() {
            Origin::Spool(backing) => backing.spool.expiry(&backing.entry),
            Origin::Memory => None,
        });
        adoption.into_iter().chain(spools).chain(in_memory).min()
    }

    /// Returns whether the maintenance that begins now also searches for batches of dead processes.
    pub(super) fn adopts(&mut self, now: Instant) -> bool {
        let adopts = self.next_adoption <= now;
        if adopts {
            self.next_adoption = now + *self.early_adoptions.next().unwrap_or(&ADOPTION_INTERVAL);
        }
        adopts
    }
}

/// Releases a batch to its spool: it leaves the memory, but stays on disk. A piece whose other
/// pieces are settled cannot be released, since the file contains all of them. It stays in memory.
pub(super) fn give_back(mut pending: PendingBatch, queue: &mut SendQueue) {
    if !pending.is_whole() {
        pending.live = false;
        queue.loaded.push_back(pending);
    } else if let Origin::Spool(backing) = pending.origin
        && let Some(backing) = Arc::into_inner(backing)
    {
        backing.spool.release(backing.entry);
    }
}

/// Returns a failed batch that is also on disk to the queue. If too many are in memory, it stays
/// only on disk.
pub(super) fn put_back(mut pending: PendingBatch, queue: &mut SendQueue) {
    if pending.is_whole() && Waiting::of(queue).loaded + 1 >= LOADED {
        give_back(pending, queue);
    } else {
        pending.live = false;
        queue.loaded.push_back(pending);
    }
}

/// Returns whether a batch is old enough to be dropped from its spool.
pub(super) fn is_expired(batch: BatchRef<'_>) -> bool {
    matches!(batch.origin(), Origin::Spool(backing) if backing.spool.is_expired(&backing.entry))
}

/// Returns how much may wait in the queue before the oldest batches go to disk. That is long before
/// anything would be dropped, since the disk may be slow, too.
pub(super) fn spill_limit(conditions: &Conditions) -> Option<usize> {
    conditions.spool.then(|| conditions.room_in_flight())
}

fn sends_after_storing(conditions: &Conditions, tried: bool) -> bool {
    conditions.settings.spool_mode == SpoolMode::Ahead
        && !conditions.breaker.is_open()
        && !conditions.sending_over
        && !tried
}

/// Returns whether batches are loaded: one at a time, while the sink accepts any.
fn may_load(conditions: &Conditions) -> bool {
    let paused =
        matches!(conditions.breaker, BreakerState::Open { .. } | BreakerState::HalfOpen { blocked: Some(_) });
    !paused && !conditions.in_flight.loading
}

/// Returns whether a stored batch of this size could be sent once it is loaded. Otherwise it would
/// only wait in memory, or be released to the spool and loaded again.
fn goes_when_loaded(conditions: &Conditions, waiting: &Waiting, bytes: usize) -> bool {
    // Others may pass batches that have failed before.
    waiting.loaded < LOADED
        && !waiting.loaded_untried
        && (conditions.may_be_in_flight(bytes + waiting.memory, false)
            || waiting.nothing_loaded && conditions.may_be_in_flight(bytes, true))
}

impl Waiting {
    pub(super) fn of(queue: &SendQueue) -> Self {
        Self {
            loaded: queue.loaded.iter().filter(|pending| pending.is_whole()).count(),
            loaded_untried: queue.loaded.iter().any(|pending| pending.history.failures == 0),
            nothing_loaded: queue.loaded.is_empty(),
            memory: queue.memory(),
        }
    }
}

/// How many loaded batches are in memory at once: one that can be sent, and others that could not.
const LOADED: usize = 4;
const CLOSING_STORES: usize = 4;
const REST: Duration = Duration::from_secs(60);
/// Until 1, 10 and 60 seconds after the start. In a deployment the process before often ends just
/// after the next one has started, and what it leaves should not wait for ten minutes.
const EARLY_ADOPTIONS: [Duration; 3] =
    [Duration::from_secs(1), Duration::from_secs(9), Duration::from_secs(50)];
const ADOPTION_INTERVAL: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests;
