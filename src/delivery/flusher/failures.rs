//! What happens to a batch that was not written, by the kind of failure. It decides without I/O.

use crate::{
    delivery::sink::{Refused, WriteError, WriteErrorKind},
    stats::{Blocked, RejectReason},
};

use super::{bisect::LINE_FAILURES, pending::PendingBatch, successes::Successes};

/// What a failure is judged by, besides the batch and the error.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Others {
    pub(super) successes: Successes,
    /// Whether the destination accepts smaller bodies.
    pub(super) smaller_accepted: bool,
    /// Whether a search in another batch is in progress.
    pub(super) searched: bool,
    /// Whether there is no other batch, in memory or on disk.
    pub(super) none: bool,
}

/// A judged failure, and what happens to the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Judgement<'a> {
    pub(super) remedy: Remedy<'a>,
    /// Whether others are accepted, or may be, while this batch is not.
    pub(super) suspect: bool,
    /// Whether the failure says nothing about the batch, since the destination refuses everything.
    pub(super) nothing_is_accepted: bool,
}

/// What happens to a batch that was not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy<'a> {
    /// It is sent again unchanged, as the next one.
    Resend,
    /// It waits. With `behind`, others are tried first.
    PutBack { behind: bool },
    /// It is halved, and the halves are sent next.
    Halve,
    /// The server refuses some of its lines, which are searched for.
    SearchRefused(&'a Refused),
    /// It fails while others succeed: the cause is searched for in it.
    SearchFailing,
    /// It is one line, which the server will never accept.
    Reject(RejectReason),
}

/// Decides what happens to a failed batch, and records the failure in its history.
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
            // The pieces go behind batches that have not failed, since any size may be refused.
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
        // It is refused like all others. So the line is not too large, but the server or a proxy
        // accepts nothing.
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

/// Returns whether a batch itself seems to be the cause: others are accepted meanwhile, or a
/// successful probe suggests that they would be, or there are no others to compare.
fn is_suspect(pending: &PendingBatch, blocked: bool, others: Others) -> bool {
    let (history, several) = (&pending.history, pending.points() > 1);
    if blocked {
        // A probe can be wrong about a whole server. So by its result one batch is divided, and no
        // more.
        return history.beside_successes > 0 || history.beside_probes > 0 && !others.searched && several;
    }
    let faulty = history.faults >= FAILURES_BEFORE_SEARCH || history.failures >= 2 * FAILURES_BEFORE_SEARCH;
    history.failures >= FAILURES_BEFORE_OTHERS && history.beside_successes > 0
        || faulty && others.none && several
}

/// Returns whether there was no answer in time: from the sink itself, or from the server behind a
/// gateway.
pub(super) fn is_timeout(error: &WriteError) -> bool {
    error.kind == WriteErrorKind::Timeout || error.status == Some(504)
}

/// Returns whether a line that always ends like this, while others are accepted, may be rejected. A
/// server that is only too busy may accept it later.
pub(super) fn may_reject(kind: &WriteErrorKind) -> bool {
    !matches!(kind, WriteErrorKind::Throttled { .. } | WriteErrorKind::Timeout)
}

/// Creates the error for a single line that is refused as too large although nothing smaller was
/// accepted. The cause is the configuration of the server or a proxy.
pub(super) fn nothing_is_accepted(error: &WriteError) -> WriteError {
    WriteError::blocked(Blocked::Configuration, error.report())
}

/// The text reported for lines that are refused because of an earlier answer.
pub(super) const EARLIER_ANSWER: &str =
    "refused, like earlier lines with the same measurement, tags and field types";
pub(super) const FAILURES_BEFORE_OTHERS: u32 = 3;
const FAILURES_BEFORE_SEARCH: u32 = 5;
const TIMEOUTS_BEFORE_HALVING: u32 = 2;

#[cfg(test)]
mod tests;
