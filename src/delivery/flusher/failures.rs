//! What becomes of a batch that was not written, by the kind of failure.

use crate::{
    delivery::sink::{Refused, WriteError, WriteErrorKind},
    stats::{Blocked, DropReason, RejectReason},
};

use super::{
    bisect::{LINE_EVIDENCE, Search},
    held::Held,
    wire::Sent,
    worker::Worker,
};

impl Worker {
    pub(super) fn write_failed(&mut self, mut held: Held, error: WriteError, sent: Sent) {
        let bytes = held.raw_bytes();
        match &error.kind {
            WriteErrorKind::Refused(refused) => {
                self.count_failure(&error, sent, false);
                return self.write_refused(held, refused, &error.report());
            }
            WriteErrorKind::TooLarge => {
                self.learn_limit(bytes);
                if held.points() > 1 || self.body_limit.is_confirmed() {
                    self.count_failure(&error, sent, false);
                    return self.write_too_large(held, &error.report());
                }
                // It is refused as all others are: not the line is too large, the server or a proxy
                // takes nothing.
                held.history.fail(self.evidence);
                let suspect = self.is_suspect(&held, true);
                self.count_failure(&nothing_is_taken(&error), sent, suspect);
                return match held.batch() {
                    Some(line) if held.history.beside_successes >= LINE_EVIDENCE => {
                        let place = held.origin.place();
                        self.reject(&line, RejectReason::TooLarge, place, held.live, &error.report());
                        self.let_go(held.origin);
                    }
                    _ => self.put_back(held, true),
                };
            }
            _ => {}
        }
        held.history.fail(self.evidence);
        held.history.faults +=
            u32::from(matches!(error.kind, WriteErrorKind::Transient | WriteErrorKind::Broken));
        let hung_up_on = match error.kind {
            WriteErrorKind::Broken => held.history.break_off(bytes),
            _ => {
                held.history.breaks = 0;
                false
            }
        };
        let too_slow = is_timeout(&error) && {
            held.history.timeouts += 1;
            held.history.timeouts >= TIMEOUTS_BEFORE_HALVING
        };
        let blocked = matches!(error.kind, WriteErrorKind::Blocked(_));
        let suspect = self.is_suspect(&held, blocked);
        self.count_failure(&error, sent, suspect);
        let whole = if held.points() > 1 { held.batch() } else { None };
        match whole {
            Some(batch) if hung_up_on || too_slow => {
                held.history.acquit();
                self.split(&held, &batch, batch.bytes().len() / 2);
            }
            Some(batch) if suspect => self.queue.searches.push_back(Search::failing_batch(&batch, &held)),
            _ if suspect
                && held.points() == 1
                && may_reject(&error.kind)
                && held.history.beside_successes >= LINE_EVIDENCE =>
            {
                if let Some(line) = held.batch() {
                    self.reject(&line, RejectReason::Other, held.origin.place(), held.live, &error.report());
                    self.let_go(held.origin);
                }
            }
            _ => self.put_back(held, blocked || suspect),
        }
    }

    /// Returns whether a batch fails for a reason of its own: others are taken meanwhile, or a
    /// probe says that they would be, or there are no others to tell.
    fn is_suspect(&self, held: &Held, blocked: bool) -> bool {
        let history = &held.history;
        if blocked {
            // A probe can be wrong about a whole server, so by its word one batch is divided, and
            // no more.
            return history.beside_successes > 0
                || history.beside_probes > 0 && self.queue.searches.is_empty() && held.points() > 1;
        }
        let alone = self.queue.is_empty() && !self.something_stored();
        history.failures >= FAILURES_BEFORE_OTHERS && history.beside_successes > 0
            || (history.faults >= FAILURES_BEFORE_SEARCH || history.failures >= 2 * FAILURES_BEFORE_SEARCH)
                && alone
                && held.points() > 1
    }

    fn write_refused(&mut self, mut held: Held, refused: &Refused, said: &str) {
        if refused.resend_first && !held.history.resent_as_it_was {
            held.history.resent_as_it_was = true;
            return self.next_in_line(held);
        }
        let Some(batch) = held.batch() else { return self.give_up(held, DropReason::Internal) };
        if batch.len() == 1 {
            self.reject(&batch, refused.reason, held.origin.place(), held.live, said);
            return self.let_go(held.origin);
        }
        self.bisect(&batch, &held, refused, said);
    }

    fn write_too_large(&mut self, mut held: Held, said: &str) {
        let Some(batch) = held.batch() else { return self.give_up(held, DropReason::Internal) };
        if batch.len() > 1 {
            // The pieces go behind what has not failed: it may be refused whatever its size.
            held.history.failures = held.history.failures.max(1);
            return self.split(&held, &batch, batch.bytes().len() / 2);
        }
        self.reject(&batch, RejectReason::TooLarge, held.origin.place(), held.live, said);
        self.let_go(held.origin);
    }
}

/// Returns whether nobody has answered in time: the sink itself, or a gateway that says so of the
/// server behind it.
pub(super) fn is_timeout(error: &WriteError) -> bool {
    error.kind == WriteErrorKind::Timeout || error.status == Some(504)
}

/// Returns whether a line that always ends so beside others that are taken is given up. A server
/// that is too busy now may take it later.
pub(super) fn may_reject(kind: &WriteErrorKind) -> bool {
    !matches!(kind, WriteErrorKind::Throttled { .. } | WriteErrorKind::Timeout)
}

/// Creates the error for a single line that is refused as too large, and nothing smaller was taken:
/// that is the configuration of the server or a proxy.
pub(super) fn nothing_is_taken(error: &WriteError) -> WriteError {
    WriteError::blocked(Blocked::Configuration, error.report())
}

pub(super) const FAILURES_BEFORE_OTHERS: u32 = 3;
const FAILURES_BEFORE_SEARCH: u32 = 5;
const TIMEOUTS_BEFORE_HALVING: u32 = 2;
