//! What waits to be sent, and what goes next.

use std::collections::VecDeque;

use super::{
    bisect::Search,
    pending::{Origin, PendingBatch},
};

/// Live batches go first; what waits for its second chance gets every other turn at most, and none
/// while live batches pile up.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Sealed and not tried yet, or about to be tried again.
    pub(super) fresh: VecDeque<PendingBatch>,
    /// Behind the fresh ones.
    pub(super) waiting: VecDeque<PendingBatch>,
    /// Batches in which lines are being searched that the server refuses.
    pub(super) searches: VecDeque<Search>,
    /// Back from the spool.
    pub(super) loaded: VecDeque<PendingBatch>,
    live_went_last: bool,
    turn: usize,
}

/// What goes next.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and it is taken apart at once")]
pub(super) enum Next {
    Batch(PendingBatch),
    Search(Box<Search>),
}

impl Next {
    pub(super) fn origin(&self) -> &Origin {
        match self {
            Self::Batch(pending) => &pending.origin,
            Self::Search(search) => &search.origin,
        }
    }

    pub(super) fn is_suspect(&self) -> bool {
        match self {
            Self::Batch(pending) => pending.history.is_suspect(),
            Self::Search(search) => search.is_by_failure(),
        }
    }
}

impl Queue {
    /// Returns the next to send. `None` where nothing waits. `untried`: after a failure, what has
    /// not failed itself goes first, so that one batch cannot keep the others back.
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

    /// Picks the next search. One that may write something goes before those that only find out
    /// what is refused.
    fn pick_search(&mut self) -> Option<Search> {
        let promising = self.searches.iter().position(Search::is_promising).unwrap_or(0);
        self.searches.remove(promising)
    }

    /// Returns whether there is a batch that has not failed yet.
    pub(super) fn has_untried(&self) -> bool {
        self.batches().any(|pending| pending.history.failures == 0)
    }

    /// Queues a batch behind all others: a batch that fails again and again must not keep the
    /// others back.
    pub(super) fn wait(&mut self, pending: PendingBatch) {
        self.waiting.push_back(pending);
    }

    /// Puts a batch back where it came from, as the next.
    pub(super) fn put_back_front(&mut self, next: Next) {
        match next {
            Next::Search(search) => self.searches.push_front(*search),
            Next::Batch(pending) if matches!(pending.origin, Origin::Spool(_)) => {
                self.loaded.push_front(pending)
            }
            Next::Batch(pending) => self.waiting.push_front(pending),
        }
    }

    /// Returns whether [`take_oldest`](Self::take_oldest) would find one.
    pub(super) fn has_any_in_memory(&self) -> bool {
        !(self.waiting.is_empty() && self.fresh.is_empty())
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

    pub(super) fn batches(&self) -> impl Iterator<Item = &PendingBatch> {
        self.fresh.iter().chain(&self.waiting).chain(&self.loaded)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty() && self.searches.is_empty() && self.loaded.is_empty()
    }

    /// Returns the same without what was fetched from the spool.
    pub(super) fn memory_beside_loaded(&self) -> usize {
        self.memory() - self.loaded.iter().map(PendingBatch::memory).sum::<usize>()
    }

    pub(super) fn memory(&self) -> usize {
        self.batches().map(PendingBatch::memory).sum::<usize>()
            + self.searches.iter().map(Search::memory).sum::<usize>()
    }
}

/// So many live batches in memory mean that the sink is slower than they come.
const FALLING_BEHIND: usize = 2;

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    use super::*;
    use crate::delivery::{batch::Batch, flusher::pending::History};

    fn pending(sequence: u64) -> PendingBatch {
        let batch = Batch::new("x v=1 1\n".into(), 1, sequence, SystemTime::UNIX_EPOCH);
        PendingBatch::live(batch, History::new(Instant::now(), Duration::ZERO))
    }

    fn order(queue: &mut Queue, mut refill: impl FnMut(&mut Queue)) -> Vec<u64> {
        std::iter::from_fn(|| {
            let Some(Next::Batch(pending)) = queue.pick(false) else { return None };
            refill(queue);
            Some(pending.sequence())
        })
        .take(20)
        .collect()
    }

    #[test]
    fn others_get_every_other_turn_at_most() {
        let mut queue = Queue::default();
        queue.fresh.extend([pending(1), pending(2)]);
        queue.waiting.extend([pending(11), pending(12)]);
        queue.loaded.extend([pending(21)]);
        let order = order(&mut queue, |_| {});
        assert_eq!((order.len(), order[0], order[2]), (5, 1, 2), "{order:?}");
        assert_eq!(order.iter().filter(|number| **number > 10).count(), 3);
    }

    #[test]
    fn while_live_batches_pile_up_others_wait() {
        let mut queue = Queue::default();
        queue.fresh.extend([pending(1), pending(2), pending(3)]);
        queue.waiting.push_back(pending(11));
        let order = order(&mut queue, |queue| queue.fresh.push_back(pending(4)));
        assert!(!order.contains(&11), "{order:?}");
    }

    #[test]
    fn the_oldest_is_the_one_sealed_first() {
        let mut queue = Queue::default();
        queue.fresh.extend([pending(3), pending(9)]);
        queue.waiting.extend([pending(7), pending(2)]);
        let oldest: Vec<u64> =
            std::iter::from_fn(|| queue.take_oldest()).map(|pending| pending.sequence()).collect();
        assert_eq!(oldest, [2, 3, 7, 9]);
    }
}
