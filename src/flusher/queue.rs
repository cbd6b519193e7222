//! What waits to be sent, and what goes next.

use std::collections::VecDeque;

use super::{held::Held, isolate::Search};

/// Live batches go first; what waits for its second chance gets every other turn at most, and none while live batches
/// pile up.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Sealed and not tried yet, or about to be tried again.
    pub(super) fresh: VecDeque<Held>,
    /// Behind the fresh ones.
    pub(super) waiting: VecDeque<Held>,
    /// Batches in which lines are being searched that the server refuses.
    pub(super) searches: VecDeque<Search>,
    /// Back from the spool.
    pub(super) loaded: VecDeque<Held>,
    live_went_last: bool,
    turn: usize,
}

/// What goes next.
#[derive(Debug)]
pub(super) enum Next {
    Batch(Held),
    Search(Search),
}

impl Queue {
    /// The next to send. `None` where nothing waits.
    pub(super) fn pick(&mut self) -> Option<Next> {
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
                1 => self.searches.pop_front().map(Next::Search),
                _ => self.loaded.pop_front().map(Next::Batch),
            };
            if next.is_some() {
                return next;
            }
        }
        None
    }

    /// Behind all that wait already: a batch that fails again and again must not keep the others back.
    pub(super) fn wait(&mut self, held: Held) {
        self.waiting.push_back(held);
    }

    /// Takes the oldest batch that is only in memory.
    pub(super) fn take_oldest(&mut self) -> Option<Held> {
        let oldest = |queue: &VecDeque<Held>| {
            let (index, held) = queue.iter().enumerate().min_by_key(|(_, held)| held.sequence())?;
            Some((held.sequence(), index))
        };
        match (oldest(&self.waiting), oldest(&self.fresh)) {
            (Some(waiting), Some(fresh)) if fresh.0 < waiting.0 => self.fresh.remove(fresh.1),
            (Some(waiting), _) => self.waiting.remove(waiting.1),
            (None, Some(fresh)) => self.fresh.remove(fresh.1),
            (None, None) => None,
        }
    }

    pub(super) fn batches(&self) -> impl Iterator<Item = &Held> {
        self.fresh.iter().chain(&self.waiting).chain(&self.loaded)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.fresh.is_empty() && self.waiting.is_empty() && self.searches.is_empty() && self.loaded.is_empty()
    }

    pub(super) fn memory(&self) -> usize {
        self.batches().map(Held::memory).sum::<usize>()
            + self.searches.iter().map(Search::memory).sum::<usize>()
    }
}

/// So many live batches in memory mean that the sink is slower than they come.
const FALLING_BEHIND: usize = 2;
