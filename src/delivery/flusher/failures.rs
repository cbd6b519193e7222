//! What becomes of a batch that was not written, by the kind of failure. Decides without I/O.

use crate::{
    delivery::sink::{Refused, WriteError, WriteErrorKind},
    stats::{Blocked, RejectReason},
};

use super::{bisect::LINE_FAILURES, pending::PendingBatch, successes::Successes};

/// What a failure is judged by beside the batch and the error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    pub(super) successes: Successes,
    /// The destination takes smaller bodies.
    pub(super) smaller_accepted: bool,
    /// A search is under way in another batch.
    pub(super) searched: bool,
    /// There is no other batch, in memory or on disk.
    pub(super) none: bool,
}

/// A failure, and what becomes of the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement<'a> {
    pub(super) remedy: Remedy<'a>,
    /// Others are accepted, or may be, while this batch is not.
    pub(super) suspect: bool,
    /// The batch says nothing: the destination refuses whatever comes.
    pub(super) nothing_is_accepted: bool,
}

/// What becomes of a batch that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy<'a> {
    /// It is sent again as it is, as the next.
    Resend,
    /// It waits. `behind`: others are tried first.
    PutBack { behind: bool },
    /// It is cut in two, which are sent next.
    Halve,
    /// The server refuses some of its lines: they are searched for.
    SearchRefused(&'a Refused),
    /// It fails beside others: the cause is searched for in it.
    SearchFailing,
    /// It is one line, which the server will never accept.
    Reject(RejectReason),
}

/// Decides what becomes of a batch that failed, and notes the failure in its history.
pub(super) fn judge<'a>(pending: &mut PendingBatch, error: &'a WriteError, others: Others) -> Judgement<'a> {
    let (points, bytes) = (pending.points(), pending.raw_bytes());
    let history = &mut pending.history;
    let clear = |remedy| Judgement { remedy, suspect: false, nothing_is_accepted: false };
    match &error.kind {
        WriteErrorKind::Refused(refused) if refused.resend_first && !history.resent_as_it_was => {
            history.resent_as_it_was = true;
            return clear(Remedy::Resend);
        }
        WriteErrorKind::Refused(refused) if points == 1 => return clear(Remedy::Reject(refused.reason)),
        WriteErrorKind::Refused(refused) => return clear(Remedy::SearchRefused(refused)),
        WriteErrorKind::TooLarge if points > 1 => {
            // The pieces go behind what has not failed: it may be refused whatever its size.
            history.failures = history.failures.max(1);
            return clear(Remedy::Halve);
        }
        WriteErrorKind::TooLarge if others.smaller_accepted => {
            return clear(Remedy::Reject(RejectReason::TooLarge));
        }
        _ => {}
    }
    history.fail(others.successes);
    if error.kind == WriteErrorKind::TooLarge {
        // It is refused as all others are: not the line is too large, the server or a proxy takes
        // nothing.
        let remedy = match history.beside_successes >= LINE_FAILURES {
            true => Remedy::Reject(RejectReason::TooLarge),
            false => Remedy::PutBack { behind: true },
        };
        return Judgement { remedy, suspect: is_suspect(pending, true, others), nothing_is_accepted: true };
    }
    history.faults += u32::from(matches!(error.kind, WriteErrorKind::Transient | WriteErrorKind::Broken));
    let hung_up_on = match error.kind {
        WriteErrorKind::Broken => history.break_off(bytes),
        _ => {
            history.breaks = 0;
            false
        }
    };
    let too_slow = is_timeout(error) && {
        history.timeouts += 1;
        history.timeouts >= TIMEOUTS_BEFORE_HALVING
    };
    let given_up = may_reject(&error.kind) && history.beside_successes >= LINE_FAILURES;
    let blocked = matches!(error.kind, WriteErrorKind::Blocked(_));
    let suspect = is_suspect(pending, blocked, others);
    let remedy = match points {
        1 if suspect && given_up => Remedy::Reject(RejectReason::Other),
        1 => Remedy::PutBack { behind: blocked || suspect },
        _ if hung_up_on || too_slow => {
            pending.history.acquit();
            Remedy::Halve
        }
        _ if suspect => Remedy::SearchFailing,
        _ => Remedy::PutBack { behind: blocked },
    };
    Judgement { remedy, suspect, nothing_is_accepted: false }
}

/// Returns whether a batch fails for a reason of its own: others are taken meanwhile, or a probe
/// says that they would be, or there are no others to tell.
fn is_suspect(pending: &PendingBatch, blocked: bool, others: Others) -> bool {
    let (history, several) = (&pending.history, pending.points() > 1);
    if blocked {
        // A probe can be wrong about a whole server, so by its word one batch is divided, and no
        // more.
        return history.beside_successes > 0 || history.beside_probes > 0 && !others.searched && several;
    }
    let faulty = history.faults >= FAILURES_BEFORE_SEARCH || history.failures >= 2 * FAILURES_BEFORE_SEARCH;
    history.failures >= FAILURES_BEFORE_OTHERS && history.beside_successes > 0
        || faulty && others.none && several
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
pub(super) fn nothing_is_accepted(error: &WriteError) -> WriteError {
    WriteError::blocked(Blocked::Configuration, error.report())
}

/// What stands beside lines that were refused by an earlier answer.
pub(super) const EARLIER_ANSWER: &str = "refused by an earlier answer for the same shape";
pub(super) const FAILURES_BEFORE_OTHERS: u32 = 3;
const FAILURES_BEFORE_SEARCH: u32 = 5;
const TIMEOUTS_BEFORE_HALVING: u32 = 2;

#[cfg(test)]
mod tests;
