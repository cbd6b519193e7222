//! Where the worker and the search for refused lines meet: pieces go out, answers come in.

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused, WriteError, WriteErrorKind, Written},
    },
    stats::{DropReason, RejectReason},
};

use super::{
    bisect::{Accepted, Search},
    failures::{is_timeout, may_reject, nothing_is_taken},
    in_flight::{Job, Sent},
    pending::PendingBatch,
    worker::Worker,
};

impl Worker {
    /// Cuts a batch by what the destination has refused before. `None` where it can go as it is,
    /// which is nearly always.
    pub(super) fn cut(&mut self, batch: &Batch, pending: &PendingBatch) -> Option<Search> {
        self.learned.forget(Instant::now());
        if self.learned.is_empty() { None } else { Search::cut(batch, pending, &self.learned) }
    }

    /// Learns from a batch that was accepted as a whole.
    pub(super) fn learn_accepted(&mut self, pending: &mut PendingBatch) {
        if !self.learned.is_empty()
            && let Some(batch) = pending.batch()
        {
            self.learned.accepted(&batch, Instant::now());
        }
    }

    /// Bisects a batch of which the server refuses something.
    pub(super) fn bisect(&mut self, batch: &Batch, pending: &PendingBatch, refused: &Refused, said: &str) {
        let search = Search::refused_batch(batch, pending, refused, &mut self.learned);
        self.after_answer(search, true, said);
    }

    pub(super) fn start_search(&mut self, mut search: Search) {
        let Some(piece) = search.next(&mut self.learned) else {
            return self.after_answer(search, true, NO_ANSWER);
        };
        if search.is_resent() {
            self.shared.delivery.lock().resent += piece.len() as u64;
        }
        let (sent, work) = self.send(piece);
        self.in_flight.start(Job::Search { search: Box::new(search), sent }, work);
    }

    pub(super) fn search_answered(
        &mut self,
        mut search: Search,
        answer: Result<Written, WriteError>,
        sent: Sent,
    ) {
        let said = answer.as_ref().err().map(WriteError::report).unwrap_or_default();
        let mut goes_on = true;
        match answer {
            Ok(written) => {
                let Accepted { points, bytes, stripped } = search.accepted(&mut self.learned);
                self.count_success(points, bytes, written, sent, &search.history);
                self.record_written(&search.origin, search.live, search.sequence(), points);
                if let Some(reason) = stripped {
                    *self.shared.delivery.lock().stripped.entry(reason).or_default() += points as u64;
                }
            }
            Err(error) => {
                let single = search.testing_points() == 1;
                let nothing =
                    error.kind == WriteErrorKind::TooLarge && single && !self.body_limit.is_confirmed();
                let error = if nothing { nothing_is_taken(&error) } else { error };
                self.count_failure(&error, sent, true);
                match &error.kind {
                    WriteErrorKind::Refused(refused) => search.refused(refused, &mut self.learned),
                    WriteErrorKind::TooLarge => {
                        let refused = Refused {
                            reason: RejectReason::TooLarge,
                            hint: Hint::Unknown,
                            ..Refused::default()
                        };
                        search.refused(&refused, &mut self.learned);
                    }
                    other => {
                        goes_on = false;
                        let may_reject = may_reject(other);
                        match other {
                            WriteErrorKind::Broken => {
                                search.broke(self.breaker.successes(), may_reject, &mut self.learned)
                            }
                            _ if is_timeout(&error) && !single => search.timed_out(),
                            _ => search.failed(self.breaker.successes(), may_reject, &mut self.learned),
                        }
                    }
                }
            }
        }
        self.after_answer(search, goes_on, &said);
    }

    /// Ends a search that has waited for too long: what was refused is rejected, what is not known
    /// is dropped.
    pub(super) fn end_search(&mut self, mut search: Search, reason: DropReason) {
        self.reject_found(&mut search, NO_ANSWER);
        let place = search.origin.place();
        for lines in search.take_remaining() {
            self.drop_points(lines.len(), lines.sequence(), search.live, place, reason);
        }
        self.release(search.origin);
    }

    /// Rejects what a search has found. With its last line the search is over.
    pub(super) fn reject_found(&mut self, search: &mut Search, said: &str) {
        let place = search.origin.place();
        for (lines, reason) in search.take_rejected() {
            self.reject(&lines, reason, place, search.live, said);
        }
    }

    fn after_answer(&mut self, mut search: Search, goes_on: bool, said: &str) {
        self.reject_found(&mut search, said);
        for column in self.learned.newly_refused() {
            tracing::warn!(
                target: "tower_influx", column,
                "the server refuses this column that handlers or settings added; points are written without it and \
                 counted as `stripped`, and it is tried again later: give it the type that it has in the database, or \
                 another name"
            );
        }
        if search.is_done() {
            self.release(search.origin);
        } else if goes_on {
            // One after the other: each is then done sooner than if all took turns.
            self.queue.searches.push_front(search);
        } else {
            self.queue.searches.push_back(search);
        }
    }
}

/// What stands beside lines that were refused by an earlier answer.
const NO_ANSWER: &str = "refused by an earlier answer for the same shape";
