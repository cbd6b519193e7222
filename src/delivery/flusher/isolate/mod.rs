//! The search for the lines that a server refuses: the others are written, each bad one is found and given up.
//!
//! Servers differ. Some refuse the whole batch for one bad line, some write the rest; some quote the line, some name a
//! field, some say nothing. The search asks the same question each time, "would you take these?", and uses what the
//! server tells to ask about fewer. It sends nothing itself: the worker asks it for the next piece and tells it the
//! answer, so that fresh batches go in between and a pause, a shutdown or a reload finds every line in its place.

use std::collections::VecDeque;

use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused},
    },
    stats::RejectReason,
};

use item::{Item, Test, lines};
use suspects::select;

use super::held::{Held, History, Origin};

mod item;
mod review;
mod suspects;

/// One batch under search.
#[derive(Debug)]
pub(super) struct Search {
    pub(super) origin: Origin,
    /// Of the whole batch.
    pub(super) history: History,
    pub(super) live: bool,
    sequence: u64,
    lines: usize,
    /// Of the whole batch: its pieces share them, and the last one keeps them all.
    bytes: usize,
    items: VecDeque<Item>,
    testing: Option<Test>,
    /// Not refused but failing again and again while others succeed: a failure says less than a refusal, so it has to
    /// come more than once.
    by_failure: bool,
    requests: usize,
    written: usize,
    rejected: usize,
    reason: RejectReason,
    /// Lines that the server's words pointed at, and that were bad, or were good.
    hits: usize,
    misses: usize,
    review_at: usize,
    /// Single lines taken from all over the batch and not answered yet, and whether one was taken by the server.
    sample: Option<(usize, bool)>,
    hopeless: bool,
}

impl Search {
    /// The server refused something of this batch.
    pub(super) fn refused_batch(batch: &Batch, held: &Held, refused: &Refused) -> Self {
        let mut search = Self::new(batch, held, refused.reason, false);
        search.narrow(batch.clone(), refused);
        search
    }

    /// The batch fails again and again while others do not.
    pub(super) fn failing_batch(batch: &Batch, held: &Held) -> Self {
        let mut search = Self::new(batch, held, RejectReason::Other, true);
        search.items.push_back(Item::Split(batch.clone()));
        search
    }

    fn new(batch: &Batch, held: &Held, reason: RejectReason, by_failure: bool) -> Self {
        Self {
            origin: held.origin.clone(),
            history: held.history,
            live: held.live,
            sequence: batch.sequence(),
            lines: batch.len(),
            bytes: batch.bytes().len(),
            items: VecDeque::new(),
            testing: None,
            by_failure,
            requests: 1,
            written: 0,
            rejected: 0,
            reason,
            hits: 0,
            misses: 0,
            review_at: REVIEW_BUDGETS * budget(batch.len()),
            sample: None,
            hopeless: false,
        }
    }

    /// What to send next; it stays the search's own until its answer comes. `None` when nothing is left to find out.
    pub(super) fn next(&mut self) -> Option<Batch> {
        self.review();
        let test = match self.items.pop_front()? {
            Item::Test(test) => test,
            Item::Split(batch) => match batch.split_at(batch.len() / 2) {
                Some((piece, sibling)) => self.test(piece, Some(sibling)),
                None => self.test(batch, None),
            },
        };
        self.requests += 1;
        Some(self.testing.insert(test).piece.clone())
    }

    /// The piece was written. Says how many points and bytes that are.
    pub(super) fn passed(&mut self) -> (usize, usize) {
        let Some(test) = self.testing.take() else { return (0, 0) };
        self.written += test.piece.len();
        self.misses += usize::from(test.pointed_at);
        self.sampled(test.sampled, true);
        if let Some(sibling) = test.sibling {
            // It needs no asking as a whole, but a line is only given up after it was refused alone.
            if sibling.len() == 1 {
                self.ask(sibling, None)
            } else {
                self.items.push_back(Item::Split(sibling))
            }
        }
        (test.piece.len(), test.piece.bytes().len())
    }

    /// The piece was refused. Returns it if it is a single line, which is thereby found.
    pub(super) fn refused(&mut self, refused: &Refused) -> Option<(Batch, RejectReason)> {
        let test = self.testing.take()?;
        self.reason = refused.reason;
        self.sampled(test.sampled, false);
        if let Some(sibling) = test.sibling {
            self.ask(sibling, None);
        }
        if test.piece.len() == 1 {
            self.hits += usize::from(test.pointed_at);
            self.rejected += 1;
            return Some((test.piece, refused.reason));
        }
        self.narrow(test.piece, refused);
        None
    }

    /// The server is not able to say: the piece is asked about again.
    pub(super) fn interrupted(&mut self) {
        if let Some(test) = self.testing.take() {
            self.items.push_back(Item::Test(test));
        }
    }

    /// No answer in time. A piece to which that happens again is halved, as a batch would be.
    pub(super) fn timed_out(&mut self) {
        let Some(mut test) = self.testing.take() else { return };
        test.history.timeouts += 1;
        if let Some(sibling) = test.sibling.take() {
            self.ask(sibling, None);
        }
        let halve = test.history.timeouts > 1 && test.piece.len() > 1;
        self.items.push_back(if halve { Item::Split(test.piece) } else { Item::Test(test) });
    }

    /// The connection broke under the piece. A large one to which that happens again and again is halved, as a batch
    /// would be; else it has failed.
    pub(super) fn broke(&mut self, successes: u64) -> Option<(Batch, RejectReason)> {
        let test = self.testing.as_mut()?;
        if test.piece.len() == 1 || !test.history.break_off(test.piece.bytes().len()) {
            return self.failed(successes);
        }
        let test = self.testing.take()?;
        if let Some(sibling) = test.sibling {
            self.ask(sibling, None);
        }
        self.items.push_back(Item::Split(test.piece));
        None
    }

    /// The piece failed for a reason that may be its own. `successes` is how many writes have succeeded so far. Returns
    /// it if it is a single line that kept failing between successes of others.
    pub(super) fn failed(&mut self, successes: u64) -> Option<(Batch, RejectReason)> {
        let mut test = self.testing.take()?;
        test.history.fail(successes);
        if let Some(sibling) = test.sibling.take() {
            self.ask(sibling, None);
        }
        let evidence = if test.piece.len() > 1 { PIECE_EVIDENCE } else { LINE_EVIDENCE };
        if test.history.beside_successes < evidence {
            // The others first: if they pass, it is the piece; if they do not, it is the server.
            self.items.push_back(Item::Test(test));
            return None;
        }
        self.testing = Some(test);
        self.refused(&Refused { reason: RejectReason::Other, hint: Hint::Unknown, ..Refused::default() })
    }

    /// Nothing is left to find out.
    pub(super) fn is_done(&self) -> bool {
        self.items.is_empty() && self.testing.is_none()
    }

    /// Nearly all of the batch is bad, and to find the few good lines would cost a request for each bad one.
    pub(super) fn is_hopeless(&self) -> bool {
        self.hopeless
    }

    /// Whether the points are only suspected because of failures.
    pub(super) fn is_by_failure(&self) -> bool {
        self.by_failure
    }

    /// The lines of which nothing is known yet, with what is being asked about.
    pub(super) fn remaining(&self) -> impl Iterator<Item = &Batch> {
        self.items
            .iter()
            .map(Item::batches)
            .chain(self.testing.as_ref().map(Test::batches))
            .flatten()
            .flatten()
    }

    /// The same, to be disposed of otherwise: the search is over.
    pub(super) fn take_remaining(&mut self) -> Vec<Batch> {
        let rest = self.remaining().cloned().collect();
        self.items.clear();
        self.testing = None;
        rest
    }

    /// The lines of which nothing is known yet, as one batch: a file for each piece would take the disk too long at the end.
    pub(super) fn into_rest(mut self) -> Option<Held> {
        let rest = Batch::join(&self.take_remaining())?;
        Some(Held::part(rest, self.origin, self.history, self.live))
    }

    pub(super) fn remaining_points(&self) -> usize {
        self.remaining().map(Batch::len).sum()
    }

    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    pub(super) fn memory(&self) -> usize {
        size_of::<Self>() + self.bytes + self.items.len() * size_of::<Item>()
    }

    #[cfg(test)]
    pub(super) fn requests(&self) -> usize {
        self.requests
    }

    /// Divides a refused piece into what the server's words point at and the rest.
    fn narrow(&mut self, batch: Batch, refused: &Refused) {
        // Words that do not fit our lines would cost requests without end, two lines at a time.
        let trusted = self.misses < self.hits + TRUST;
        let (suspects, rest) = if trusted { select(&batch, &refused.hint) } else { (None, None) };
        match (suspects, rest) {
            (Some(suspects), rest) => {
                if let Some(rest) = rest {
                    self.ask(rest, None);
                }
                // Before the rest: if they are good, the server's words are not believed when it refuses the rest, too.
                for piece in singles(&suspects) {
                    let test = Test { pointed_at: true, ..self.test(piece, None) };
                    self.items.push_front(Item::Test(test));
                }
                if suspects.len() > SINGLES {
                    self.items.push_back(Item::Split(suspects));
                }
            }
            (None, _) => self.items.push_back(Item::Split(batch)),
        }
    }

    fn ask(&mut self, piece: Batch, sibling: Option<Batch>) {
        let test = self.test(piece, sibling);
        self.items.push_front(Item::Test(test));
    }

    fn test(&self, piece: Batch, sibling: Option<Batch>) -> Test {
        Test {
            piece,
            sibling,
            sampled: false,
            pointed_at: false,
            history: History::new(self.history.since, self.history.blocked_before),
        }
    }
}

/// Each line alone, if they are few.
fn singles(suspects: &Batch) -> Vec<Batch> {
    if suspects.len() > SINGLES { Vec::new() } else { lines(suspects) }
}

/// Requests that finding one bad line among so many may take.
pub(super) fn budget(lines: usize) -> usize {
    2 * lines.next_power_of_two().trailing_zeros() as usize + 4
}

/// Suspects that are asked about one by one.
const SINGLES: usize = 8;
/// Requests before the first review, in budgets of one bad line.
const REVIEW_BUDGETS: usize = 4;
/// Good lines that a server may point at before it is no longer believed.
const TRUST: usize = 3;
/// Failures with successes of others between them, before a piece is divided: that costs nothing but requests.
const PIECE_EVIDENCE: u32 = 1;
/// The same before a line is given up. A server that fails every other time would fail a good line so often once in a
/// thousand times.
const LINE_EVIDENCE: u32 = 10;

#[cfg(test)]
mod tests;
