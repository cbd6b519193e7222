//! What becomes of a batch that was not written, by the kind of failure.

use crate::{
    delivery::sink::{Refused, WriteError, WriteErrorKind},
    stats::{Blocked, DropReason, RejectReason},
};

use super::{
    bisect::{LINE_EVIDENCE, Search},
    in_flight::Sent,
    pending::PendingBatch,
    worker::Worker,
};

impl Worker {
    pub(super) fn write_failed(&mut self, mut pending: PendingBatch, error: WriteError, sent: Sent) {
        let bytes = pending.raw_bytes();
        match &error.kind {
            WriteErrorKind::Refused(refused) => {
                self.count_failure(&error, sent, false);
                return self.write_refused(pending, refused, &error.report());
            }
            WriteErrorKind::TooLarge => {
                self.learn_limit(bytes);
                if pending.points() > 1 || self.body_limit.is_confirmed() {
                    self.count_failure(&error, sent, false);
                    return self.write_too_large(pending, &error.report());
                }
                // It is refused as all others are: not the line is too large, the server or a proxy
                // takes nothing.
                pending.history.fail(self.breaker.successes());
                let suspect = self.is_suspect(&pending, true);
                self.count_failure(&nothing_is_taken(&error), sent, suspect);
                return match pending.batch() {
                    Some(line) if pending.history.beside_successes >= LINE_EVIDENCE => {
                        let place = pending.origin.place();
                        self.reject(&line, RejectReason::TooLarge, place, pending.live, &error.report());
                        self.release(pending.origin);
                    }
                    _ => self.put_back(pending, true),
                };
            }
            _ => {}
        }
        pending.history.fail(self.breaker.successes());
        pending.history.faults +=
            u32::from(matches!(error.kind, WriteErrorKind::Transient | WriteErrorKind::Broken));
        let hung_up_on = match error.kind {
            WriteErrorKind::Broken => pending.history.break_off(bytes),
            _ => {
                pending.history.breaks = 0;
                false
            }
        };
        let too_slow = is_timeout(&error) && {
            pending.history.timeouts += 1;
            pending.history.timeouts >= TIMEOUTS_BEFORE_HALVING
        };
        let blocked = matches!(error.kind, WriteErrorKind::Blocked(_));
        let suspect = self.is_suspect(&pending, blocked);
        self.count_failure(&error, sent, suspect);
        let whole = if pending.points() > 1 { pending.batch() } else { None };
        match whole {
            Some(batch) if hung_up_on || too_slow => {
                pending.history.acquit();
                self.split(&pending, &batch, batch.bytes().len() / 2);
            }
            Some(batch) if suspect => self.queue.searches.push_back(Search::failing_batch(&batch, &pending)),
            _ if suspect
                && pending.points() == 1
                && may_reject(&error.kind)
                && pending.history.beside_successes >= LINE_EVIDENCE =>
            {
                if let Some(line) = pending.batch() {
                    self.reject(
                        &line,
                        RejectReason::Other,
                        pending.origin.place(),
                        pending.live,
                        &error.report(),
                    );
                    self.release(pending.origin);
                }
            }
            _ => self.put_back(pending, blocked || suspect),
        }
    }

    /// Returns whether a batch fails for a reason of its own: others are taken meanwhile, or a
    /// probe says that they would be, or there are no others to tell.
    fn is_suspect(&self, pending: &PendingBatch, blocked: bool) -> bool {
        let history = &pending.history;
        if blocked {
            // A probe can be wrong about a whole server, so by its word one batch is divided, and
            // no more.
            return history.beside_successes > 0
                || history.beside_probes > 0 && self.queue.searches.is_empty() && pending.points() > 1;
        }
        let alone = self.queue.is_empty() && !self.something_stored();
        history.failures >= FAILURES_BEFORE_OTHERS && history.beside_successes > 0
            || (history.faults >= FAILURES_BEFORE_SEARCH || history.failures >= 2 * FAILURES_BEFORE_SEARCH)
                && alone
                && pending.points() > 1
    }

    fn write_refused(&mut self, mut pending: PendingBatch, refused: &Refused, said: &str) {
        if refused.resend_first && !pending.history.resent_as_it_was {
            pending.history.resent_as_it_was = true;
            return self.next_in_line(pending);
        }
        let Some(batch) = pending.batch() else { return self.discard(pending, DropReason::Internal) };
        if batch.len() == 1 {
            self.reject(&batch, refused.reason, pending.origin.place(), pending.live, said);
            return self.release(pending.origin);
        }
        self.bisect(&batch, &pending, refused, said);
    }

    fn write_too_large(&mut self, mut pending: PendingBatch, said: &str) {
        let Some(batch) = pending.batch() else { return self.discard(pending, DropReason::Internal) };
        if batch.len() > 1 {
            // The pieces go behind what has not failed: it may be refused whatever its size.
            pending.history.failures = pending.history.failures.max(1);
            return self.split(&pending, &batch, batch.bytes().len() / 2);
        }
        self.reject(&batch, RejectReason::TooLarge, pending.origin.place(), pending.live, said);
        self.release(pending.origin);
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
