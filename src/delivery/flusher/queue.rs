//! The queue of batches to send, and its order.

use std::collections::VecDeque;

use tokio::time::{Duration, Instant};

use super::{
    batch_ref::BatchRef,
    bisect::Search,
    pending::{History, Origin, PendingBatch},
};

/// Live batches are sent first. Other batches get at most every other turn, and none while live
/// batches pile up.
#[derive(Debug, Default)]
pub(super) struct SendQueue {
    /// Sealed and not sent yet, or about to be sent again.
    pub(super) fresh: VecDeque<PendingBatch>,
    /// Sent after the fresh ones.
    pub(super) waiting: VecDeque<PendingBatch>,
    /// Batches in which refused lines are searched for.
    pub(super) searches: VecDeque<Search>,
    /// Loaded from the spool.
    pub(super) loaded: VecDeque<PendingBatch>,
    live_went_last: bool,
    turn: usize,
}

/// What is sent next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and it is taken apart at once")]
pub(super) enum Next {
    Batch(PendingBatch),
    Search(Box<Search>),
}

impl Next {
    pub(super) fn batch(&self) -> BatchRef<'_> {
        match self {
            Self::Batch(pending) => BatchRef::Pending(pending),
            Self::Search(search) => BatchRef::Search(search),
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        match self {
            Self::Batch(pending) => pending.history.is_suspect(),
            Self::Search(search) => search.is_by_failure(),
        }
    }
}

impl SendQueue {
    /// Returns what to send next, or `None` if the queue is empty. With `untried`, after a failure,
    /// batches that have not failed go first. Otherwise one batch could keep the others from being
    /// sent.
    pub(super) fn pick(&mut self, untried: bool) -> Option<Next> {
        if untried {
            for queue in [&mut self.fresh, &mut self.loaded, &mut self.waiting] {
                if let Some(index) = queue.iter().position(|pending| pending.history.failures == 0) {
                    return queue.remove(index).map(Next::Batch);
                }
            }
        }
        let others = !(self.waiting.is_empty() && self.searches.is_empty() && self.loaded.is_empty());
        let behind = self.fresh.len() > FALLING_BEHIND;
        if !self.fresh.is_empty() && (!others || behind || !self.live_went_last) {
            self.live_went_last = true;
            return self.fresh.pop_front().map(Next::Batch);
        }
        self.live_went_last = false;
        for _ in 0..3 {
            self.turn = (self.turn + 1) % 3;
            let next = match self.turn {
                0 => self.waiting.pop_front().map(Next::Batch),
                1 => self.pick_search().map(|search| Next::Search(Box::new(search))),
                _ => self.loaded.pop_front().map(Next::Batch),
            };
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Picks the next search. One whose next piece may be written goes before those that only find
    /// refused lines.
    fn pick_search(&mut self) -> Option<Search> {
        let promising = self.searches.iter().position(Search::is_promising).unwrap_or(0);
        self.searches.remove(promising)
    }

    /// Returns whether there is a batch that has not failed yet.
    pub(super) fn has_untried(&self) -> bool {
        self.batches().any(|pending| pending.history.failures == 0)
    }

    /// Queues a batch behind all others: a batch that keeps failing must not keep the others from
    /// being sent.
    pub(super) fn wait(&mut self, pending: PendingBatch) {
        self.waiting.push_back(pending);
    }

    /// Returns a batch to the front of its queue.
    pub(super) fn put_back_front(&mut self, next: Next) {
        match next {
            Next::Search(search) => self.searches.push_front(*search),
            Next::Batch(pending) if matches!(pending.origin, Origin::Spool(_)) => {
                self.loaded.push_front(pending)
            }
            Next::Batch(pending) => self.waiting.push_front(pending),
        }
    }

    /// Puts a batch first.
    pub(super) fn push_front(&mut self, mut pending: PendingBatch) {
        pending.shrink();
        match pending.origin {
            Origin::Memory => self.fresh.push_front(pending),
            Origin::Spool(_) => self.loaded.push_front(pending),
        }
    }

    /// Puts the pieces of a batch first.
    pub(super) fn push_pieces(&mut self, pieces: Vec<PendingBatch>) {
        for mut piece in pieces.into_iter().rev() {
            piece.history.tried_since_flush = false;
            self.push_front(piece);
        }
    }

    /// Returns whether [`evict`](Self::evict) or [`evict_search`](Self::evict_search) would find
    /// one.
    pub(super) fn may_evict(&self) -> bool {
        !(self.waiting.is_empty() && self.fresh.is_empty()) || self.searches.iter().any(in_memory)
    }

    /// Takes what is dropped first when memory is full: lines that are most likely refused, then
    /// the oldest batch.
    pub(super) fn evict(&mut self) -> Option<Next> {
        let doubtful = |search: &Search| in_memory(search) && search.is_doubtful();
        self.take_search(doubtful).or_else(|| self.take_oldest().map(Next::Batch))
    }

    /// Takes what is dropped last.
    pub(super) fn evict_search(&mut self) -> Option<Next> {
        self.take_search(in_memory)
    }

    fn take_search(&mut self, select: impl FnMut(&Search) -> bool) -> Option<Next> {
        let index = self.searches.iter().position(select)?;
        self.searches.remove(index).map(|search| Next::Search(Box::new(search)))
    }

    /// Clears the failures of all batches, which were those of another destination.
    pub(super) fn acquit(&mut self) {
        let batches = self.fresh.iter_mut().chain(&mut self.waiting).chain(&mut self.loaded);
        batches.for_each(|pending| pending.history.acquit());
    }

    /// Notes a flush command: each batch is sent once more for it.
    pub(super) fn ask_for_flush(&mut self) {
        for pending in self.fresh.iter_mut().chain(&mut self.waiting) {
            pending.history.tried_since_flush = false;
        }
    }

    /// Returns batches in memory that were not sent since the last flush command.
    pub(super) fn not_tried_since_flush(&self) -> impl Iterator<Item = BatchRef<'_>> {
        let untried = |pending: &&PendingBatch| !pending.history.tried_since_flush;
        let batches = self.fresh.iter().chain(&self.waiting).filter(untried);
        batches.map(BatchRef::Pending).chain(self.searches.iter().map(BatchRef::Search))
    }

    /// Returns when the first batch has waited in memory for `limit`. `blocked` is the total time
    /// for which the sink was blocked, which does not count.
    pub(super) fn next_expiry(&self, limit: Duration, blocked: Duration) -> Option<Instant> {
        self.all().filter_map(|batch| expiry(batch, limit, blocked)).min()
    }

    /// Takes the batches that have waited in memory for `limit`.
    pub(super) fn take_expired(&mut self, now: Instant, limit: Duration, blocked: Duration) -> Vec<Next> {
        self.take(|batch| expiry(batch, limit, blocked).is_some_and(|expiry| expiry <= now))
    }

    /// Takes what `select` returns true for.
    pub(super) fn take(&mut self, select: impl Fn(BatchRef<'_>) -> bool) -> Vec<Next> {
        let mut taken = Vec::new();
        for queue in [&mut self.fresh, &mut self.waiting, &mut self.loaded] {
            let (gone, kept): (VecDeque<PendingBatch>, _) =
                queue.drain(..).partition(|pending| select(pending.into()));
            *queue = kept;
            taken.extend(gone.into_iter().map(Next::Batch));
        }
        let (gone, kept): (VecDeque<Search>, _) =
            self.searches.drain(..).partition(|search| select(search.into()));
        self.searches = kept;
        taken.extend(gone.into_iter().map(|search| Next::Search(Box::new(search))));
        taken
    }

    /// Takes the oldest batch that is only in memory.
    pub(super) fn take_oldest(&mut self) -> Option<PendingBatch> {
        let oldest = |queue: &VecDeque<PendingBatch>| {
            let (index, pending) = queue.iter().enumerate().min_by_key(|(_, pending)| pending.sequence())?;
            Some((pending.sequence(), index))
        };
        match (oldest(&self.waiting), oldest(&self.fresh)) {
            (Some(waiting), Some(fresh)) if fresh.0 < waiting.0 => self.fresh.remove(fresh.1),
            (Some(waiting), _) => self.waiting.remove(waiting.1),
            (None, Some(fresh)) => self.fresh.remove(fresh.1),
            (None, None) => None,
        }
    }

    /// Takes all batches except those under search.
    pub(super) fn take_batches(&mut self) -> impl Iterator<Item = PendingBatch> {
        let Self { waiting, fresh, loaded, .. } = self;
        waiting.drain(..).chain(fresh.drain(..)).chain(loaded.drain(..))
    }

    fn batches(&self) -> impl Iterator<Item = &PendingBatch> {
        self.fresh.iter().chain(&self.waiting).chain(&self.loaded)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = BatchRef<'_>> {
        self.batches().map(BatchRef::Pending).chain(self.searches.iter().map(BatchRef::Search))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty() && self.searches.is_empty() && self.loaded.is_empty()
    }

    /// Returns the memory without that of loaded batches.
    pub(super) fn memory_beside_loaded(&self) -> usize {
        self.memory() - self.loaded.iter().map(PendingBatch::memory).sum::<usize>()
    }

    pub(super) fn memory(&self) -> usize {
        self.all().map(BatchRef::memory).sum()
    }
}

fn in_memory(search: &Search) -> bool {
    matches!(search.origin, Origin::Memory)
}

/// Returns when a batch that is only in memory will have waited long enough, if the sink is not
/// blocked again before. Returns `None` if the instant is out of range.
fn expiry(batch: BatchRef<'_>, limit: Duration, blocked: Duration) -> Option<Instant> {
    if !matches!(batch.origin(), Origin::Memory) {
        return None;
    }
    let History { since, blocked_before, .. } = batch.history();
    since.checked_add(limit)?.checked_add(blocked.saturating_sub(*blocked_before))
}

/// More live batches in memory than this mean that the sink is slower than new points.
const FALLING_BEHIND: usize = 2;

#[cfg(test)]
mod tests;
