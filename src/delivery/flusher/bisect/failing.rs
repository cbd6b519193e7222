//! Answers that say nothing about the lines: the server is down, the connection broke, or a timeout
//! expired.

use tokio::time::Instant;

use crate::{delivery::sink::Refused, stats::RejectReason};

use super::{
    super::{pending::History, successes::Successes},
    item::{Purpose, SearchItem, Test},
    refusal_cache::RefusalCache,
    search::Search,
};

impl Search {
    /// Records that no answer arrived in time. A piece that times out again is halved, like a
    /// batch.
    pub(in super::super) fn timed_out(&mut self) {
        let Some(mut test) = self.testing.take() else { return };
        test.history.timeouts += 1;
        self.release_sibling(&mut test);
        if test.history.timeouts > 1 {
            self.cut_in_two(test)
        } else {
            self.items.push_back(SearchItem::Test(test))
        }
    }

    /// Records that the connection broke during the request. A large piece for which this happens
    /// repeatedly is halved, like a batch. Otherwise it counts as failed.
    pub(in super::super) fn broke(
        &mut self,
        successes: Successes,
        may_reject: bool,
        cache: &mut RefusalCache,
    ) {
        let Some(test) = &mut self.testing else { return };
        if test.piece.len() == 1 || !test.history.break_off(test.piece.lines.bytes().len()) {
            return self.failed(successes, may_reject, cache);
        }
        let Some(mut test) = self.testing.take() else { return };
        self.release_sibling(&mut test);
        self.cut_in_two(test);
    }

    /// Records that the piece failed, possibly because of its own lines. `may_reject`: a line may
    /// be rejected for this failure. A single line that keeps failing between successes of others
    /// is rejected.
    pub(in super::super) fn failed(
        &mut self,
        successes: Successes,
        may_reject: bool,
        cache: &mut RefusalCache,
    ) {
        let Some(mut test) = self.testing.take() else { return };
        test.history.fail(successes);
        self.release_sibling(&mut test);
        // A successful probe suffices to divide a piece, which costs only requests. A line is
        // rejected only if other writes succeed.
        let enough = match test.piece.len() {
            1 => may_reject && test.history.beside_successes >= LINE_FAILURES,
            _ => test.history.beside_successes + test.history.beside_probes >= PIECE_FAILURES,
        };
        if !enough {
            // The others are tested first: if they succeed, it is this piece; if not, it is the
            // server.
            return self.items.push_back(SearchItem::Test(test));
        }
        if test.piece.len() > 1 {
            return match test.purpose {
                Purpose::Trial { .. } => self.cut_in_two(test),
                _ => self.items.push_back(SearchItem::Split(test.piece)),
            };
        }
        match test.purpose {
            Purpose::Trial { .. } => {
                self.testing = Some(test);
                self.refused(&Refused { reason: RejectReason::Other, ..Refused::default() }, cache);
            }
            _ => {
                cache.begin(Instant::now());
                self.reject(test.piece, RejectReason::Other);
                if let Purpose::Example { others: Some(others) } = test.purpose {
                    self.ask(others);
                }
            }
        }
    }

    /// Releases the sibling, since a failure says nothing about it.
    fn release_sibling(&mut self, test: &mut Test) {
        if let Purpose::Store { sibling } = &mut test.purpose
            && let Some(sibling) = sibling.take()
        {
            self.ask(sibling);
        }
    }

    /// Tests each half, in the same form.
    fn cut_in_two(&mut self, test: Test) {
        let Test { piece, purpose, history } = test;
        let Some((first, rest)) = piece.split_at(piece.len() / 2) else {
            return self.items.push_back(SearchItem::Test(Test { piece, purpose, history }));
        };
        let originals = match purpose {
            Purpose::Trial { original, trial } => match original.split_at(original.len() / 2) {
                Some((first, rest)) => [Some((first, trial)), Some((rest, trial))],
                None => [const { None }; 2],
            },
            _ => [const { None }; 2],
        };
        for (piece, original) in [first, rest].into_iter().zip(originals) {
            let purpose = match original {
                Some((original, trial)) => Purpose::Trial { original, trial },
                None => Purpose::Store { sibling: None },
            };
            let history = History { tried: true, ..History::new(history.since, history.blocked_before) };
            self.items.push_back(SearchItem::Test(Test { piece, purpose, history }));
        }
    }
}

/// How many failures, with successes of others between them, before a piece is divided. That costs
/// only requests.
const PIECE_FAILURES: u32 = 1;
/// The same before a line is rejected. A server that fails every other time would fail a good line
/// this often once in a thousand times.
pub(in super::super) const LINE_FAILURES: u32 = 10;
