//! The search in one batch: what is sent next, and what an answer means for its lines.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::{
    delivery::{batch::Batch, sink::Refused},
    stats::RejectReason,
};

use super::{
    super::pending::{History, Origin, PendingBatch},
    chosen_by::{ChosenBy, is_by_columns},
    item::{Piece, Purpose, RefusedLines, SearchItem, Test},
    refusal_cache::RefusalCache,
};

/// The search in one batch.
#[derive(Debug)]
pub(in super::super) struct Search {
    pub(in super::super) origin: Origin,
    /// The history of the whole batch.
    pub(in super::super) history: History,
    pub(in super::super) live: bool,
    pub(super) sequence: u64,
    /// The bytes of the whole batch. Its pieces share their memory, so the last piece keeps all of
    /// it.
    pub(super) bytes: usize,
    pub(super) items: VecDeque<SearchItem>,
    pub(super) testing: Option<Test>,
    /// Refused lines that were not yet tried without the columns of handlers.
    pub(super) refused: Vec<RefusedLines>,
    /// Lines found to be refused since the worker's last call.
    pub(super) rejected: Vec<(Batch, RejectReason)>,
    /// Whether the batch keeps failing while others succeed, instead of being refused. A failure
    /// proves less than a refusal, so it has to occur more than once.
    pub(super) by_failure: bool,
    pub(super) reason: RejectReason,
    /// How many lines that the server's message pointed at were refused alone, and how many were
    /// accepted.
    pub(super) hits: usize,
    pub(super) misses: usize,
    pub(super) requests: usize,
}

/// The result of an accepted piece.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in super::super) struct Accepted {
    pub(in super::super) points: usize,
    pub(in super::super) bytes: usize,
    /// Why columns were left out of each of these points.
    pub(in super::super) stripped: Option<RejectReason>,
}

impl Search {
    /// Begins a search in a batch of which the server refused something.
    pub(in super::super) fn refused_batch(
        batch: &Batch,
        pending: &PendingBatch,
        refused: &Refused,
        cache: &mut RefusalCache,
    ) -> Self {
        let mut search = Self::new(batch, pending, false);
        (search.requests, search.reason) = (1, refused.reason);
        cache.begin(Instant::now());
        search.piece_refused(Piece::new(batch.clone()), ChosenBy::Any, refused, cache);
        search
    }

    /// Begins a search in a batch that keeps failing while others do not.
    pub(in super::super) fn failing_batch(batch: &Batch, pending: &PendingBatch) -> Self {
        let mut search = Self::new(batch, pending, true);
        search.requests = 1;
        search.items.push_back(SearchItem::Split(Piece::new(batch.clone())));
        search
    }

    pub(super) fn new(batch: &Batch, pending: &PendingBatch, by_failure: bool) -> Self {
        Self {
            origin: pending.origin.clone(),
            history: pending.history,
            live: pending.live,
            sequence: batch.sequence(),
            bytes: batch.bytes().len(),
            items: VecDeque::new(),
            testing: None,
            refused: Vec::new(),
            rejected: Vec::new(),
            by_failure,
            reason: RejectReason::Other,
            hits: 0,
            misses: 0,
            requests: 0,
        }
    }

    /// Returns the lines to send next. The search keeps them until their answer arrives. Returns
    /// `None` if the search is complete.
    pub(in super::super) fn next(&mut self, cache: &mut RefusalCache) -> Option<Batch> {
        let test = loop {
            match self.items.pop_front() {
                Some(SearchItem::Test(test)) => break self.group(test, cache),
                Some(SearchItem::Split(piece)) => self.divide(piece, cache),
                Some(SearchItem::Suspects { piece, shape, holds_refused }) => {
                    self.examine(piece, shape, holds_refused, cache);
                }
                None if self.refused.is_empty() => return None,
                None => self.try_without_extras(cache),
            }
        };
        self.requests += 1;
        Some(self.testing.insert(test).piece.lines.clone())
    }

    /// Returns whether its lines are suspected because they fail, not because they are refused.
    pub(in super::super) fn is_by_failure(&self) -> bool {
        self.by_failure
    }

    /// Returns whether the lines of the last [`next`](Self::next) had been sent before.
    pub(in super::super) fn is_resent(&self) -> bool {
        self.testing.as_ref().is_some_and(|test| test.history.tried)
    }

    /// Records that the piece was accepted, and returns its result.
    pub(in super::super) fn accepted(&mut self, cache: &mut RefusalCache) -> Accepted {
        let Some(test) = self.testing.take() else { return Accepted::default() };
        let sent = test.piece.lines;
        cache.accepted(&sent, Instant::now());
        let mut stripped = test.piece.stripped;
        match test.purpose {
            Purpose::Store { sibling: Some(sibling) } if sibling.len() > 1 => self.split(sibling, cache),
            // The others need no test as a whole, but a single line is only rejected after it was
            // refused alone.
            Purpose::Store { sibling: other } | Purpose::Example { others: other } => {
                other.into_iter().for_each(|other| self.ask(other));
            }
            Purpose::Named => self.misses += 1,
            Purpose::Trial { original, trial } => {
                stripped = stripped.or(Some(self.reason));
                self.trial_accepted(&original, trial, cache);
            }
        }
        Accepted { points: sent.len(), bytes: sent.bytes().len(), stripped }
    }

    /// Records that the piece, or a part of it, was refused.
    pub(in super::super) fn refused(&mut self, refused: &Refused, cache: &mut RefusalCache) {
        let Some(test) = self.testing.take() else { return };
        self.reason = refused.reason;
        let now = Instant::now();
        cache.begin(now);
        let choice = if self.by_failure { ChosenBy::Failing } else { ChosenBy::Any };
        match test.purpose {
            Purpose::Store { sibling } => {
                sibling.into_iter().for_each(|sibling| self.ask(sibling));
                self.piece_refused(test.piece, choice, refused, cache);
            }
            Purpose::Named => {
                self.hits += usize::from(test.piece.len() == 1);
                self.piece_refused(test.piece, ChosenBy::Named, refused, cache);
            }
            Purpose::Example { others } => {
                if let Some(SearchItem::Suspects { holds_refused, .. }) = self.items.front_mut() {
                    *holds_refused = false;
                }
                match others {
                    Some(others) if is_by_columns(refused.reason) => {
                        self.reject(test.piece, refused.reason);
                        self.reject(others, refused.reason);
                    }
                    others => {
                        others.into_iter().for_each(|others| self.ask(others));
                        self.piece_refused(test.piece, choice, refused, cache);
                    }
                }
            }
            Purpose::Trial { original, trial } => {
                self.trial_refused(test.piece, original, trial, refused, cache);
            }
        }
    }

    /// Takes the lines found since the last call. The server will never accept them.
    pub(in super::super) fn take_rejected(&mut self) -> Vec<(Batch, RejectReason)> {
        std::mem::take(&mut self.rejected)
    }

    /// Rejects the refused lines that would have been tried in another form, since there is no time
    /// left for that.
    pub(in super::super) fn reject_refused(&mut self) {
        for RefusedLines { lines, reason } in std::mem::take(&mut self.refused) {
            self.reject(lines, reason);
        }
    }

    /// Returns the number of points in the current test.
    pub(in super::super) fn testing_points(&self) -> usize {
        self.testing.as_ref().map_or(0, |test| test.piece.len())
    }

    pub(in super::super) fn is_done(&self) -> bool {
        self.items.is_empty() && self.testing.is_none() && self.refused.is_empty()
    }

    /// Returns whether the next piece is likely to be accepted. Such pieces are sent before those
    /// that only find refused lines.
    pub(in super::super) fn is_promising(&self) -> bool {
        matches!(self.items.front(), Some(SearchItem::Test(Test { purpose: Purpose::Store { .. }, .. })))
    }

    /// Returns whether all remaining lines have shapes that were refused so far.
    pub(in super::super) fn is_doubtful(&self) -> bool {
        self.items.iter().all(|item| matches!(item, SearchItem::Suspects { .. }))
    }

    /// Returns the lines without a final result, including those of the current test.
    pub(in super::super) fn remaining(&self) -> impl Iterator<Item = &Batch> {
        self.items
            .iter()
            .map(SearchItem::batches)
            .chain(self.testing.as_ref().map(Test::batches))
            .flatten()
            .flatten()
            .chain(self.refused.iter().map(|refused| &refused.lines.lines))
    }

    /// Takes the remaining lines, to handle them in another way. The search is then over.
    pub(in super::super) fn take_remaining(&mut self) -> Vec<Batch> {
        let rest = self.remaining().cloned().collect();
        self.items.clear();
        self.refused.clear();
        self.testing = None;
        rest
    }

    /// Converts to the lines without a result, as one batch: writing a file for each piece would
    /// take too long at the end.
    pub(in super::super) fn into_rest(mut self) -> Option<PendingBatch> {
        let rest = Batch::join(&self.take_remaining())?;
        Some(PendingBatch::part(rest, self.origin, self.history, self.live))
    }

    pub(in super::super) fn remaining_points(&self) -> usize {
        self.remaining().map(Batch::len).sum()
    }

    pub(in super::super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(in super::super) fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes + self.items.len() * size_of::<SearchItem>()
    }

    #[cfg(test)]
    pub(in super::super) fn requests(&self) -> usize {
        self.requests
    }

    pub(super) fn reject(&mut self, piece: Piece, reason: RejectReason) {
        self.rejected.push((piece.lines, reason));
    }

    /// Tests the piece next.
    pub(super) fn ask(&mut self, piece: Piece) {
        self.test(piece, Purpose::Store { sibling: None });
    }

    pub(super) fn test(&mut self, piece: Piece, purpose: Purpose) {
        let mut history = History::new(self.history.since, self.history.blocked_before);
        history.tried = true;
        self.items.push_front(SearchItem::Test(Test { piece, purpose, history }));
    }
}
