//! Tests the remedy for each kind of failure: for one line and for several, with and without other
//! successful writes.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;
use crate::delivery::{batch::Batch, flusher::pending::History};

fn pending(lines: usize) -> PendingBatch {
    let batch = Batch::new("x v=1 1\n".repeat(lines).into(), lines, 1, SystemTime::UNIX_EPOCH);
    PendingBatch::live(batch, History::new(Instant::now(), Duration::ZERO))
}

fn error(kind: WriteErrorKind) -> WriteError {
    WriteError::new(kind, "no")
}

fn kinds() -> [WriteErrorKind; 5] {
    [
        WriteErrorKind::Transient,
        WriteErrorKind::Broken,
        WriteErrorKind::Timeout,
        WriteErrorKind::Throttled { retry_after: None },
        WriteErrorKind::Blocked(Blocked::Target),
    ]
}

/// Fails this many times, with a write of others before each failure, and returns the debug output
/// of the remedies.
fn remedies(lines: usize, kind: &WriteErrorKind, times: u64, others: Others) -> Vec<String> {
    let (mut pending, error) = (pending(lines), error(kind.clone()));
    let judged = (0..times).map(|number| {
        let successes = Successes { writes: number, probes: number };
        let others = Others { successes, ..others };
        format!("{:?}", judge(&mut pending, &error, others).remedy)
    });
    judged.collect()
}

#[test]
fn a_line_is_rejected_only_after_many_failures_beside_successes_and_never_for_throttling() {
    for kind in kinds() {
        let remedies = remedies(1, &kind, 30, Others::default());
        let rejected = remedies.iter().position(|remedy| remedy.starts_with("Reject"));
        let may_be_taken_later = matches!(kind, WriteErrorKind::Timeout | WriteErrorKind::Throttled { .. });
        let expected = (!may_be_taken_later).then_some(LINE_FAILURES as usize);
        assert_eq!(rejected, expected, "{kind:?}: {remedies:?}");
    }
}

#[test]
fn a_line_that_fails_as_all_others_do_is_never_rejected() {
    for kind in kinds().into_iter().chain([WriteErrorKind::TooLarge]) {
        let mut pending = pending(1);
        for _ in 0..100 {
            let error = error(kind.clone());
            let judgement = judge(&mut pending, &error, Others { none: true, ..Others::default() });
            assert!(matches!(judgement.remedy, Remedy::PutBack { .. }), "{kind:?}: {judgement:?}");
            assert_eq!(judgement.nothing_is_accepted, kind == WriteErrorKind::TooLarge);
        }
    }
}

#[test]
fn a_batch_that_fails_beside_others_is_searched_or_halved() {
    for kind in kinds() {
        let remedies = remedies(8, &kind, 6, Others::default());
        let first = remedies.iter().position(|remedy| !remedy.starts_with("PutBack"));
        let (at, remedy) = match kind {
            // Half of it may be answered in time.
            WriteErrorKind::Timeout => (1, "Halve"),
            WriteErrorKind::Blocked(_) => (1, "SearchFailing"),
            _ => (2, "SearchFailing"),
        };
        assert_eq!(first, Some(at), "{kind:?}: {remedies:?}");
        assert_eq!(remedies[at], remedy, "{kind:?}");
    }
}

#[test]
fn a_batch_that_is_alone_is_searched_after_more_failures() {
    for (kind, failures) in [
        (WriteErrorKind::Transient, 5),
        (WriteErrorKind::Broken, 5),
        // A request for patience is weaker evidence.
        (WriteErrorKind::Throttled { retry_after: None }, 10),
    ] {
        let (mut pending, error) = (pending(8), error(kind));
        let others = Others { none: true, ..Others::default() };
        for number in 1..=failures {
            let judgement = judge(&mut pending, &error, others);
            let searched = judgement.remedy == Remedy::SearchFailing;
            assert_eq!(searched, number == failures, "{number}: {judgement:?}");
        }
    }
}

#[test]
fn a_line_goes_after_others_when_it_is_suspect_or_nothing_is_accepted() {
    let blocked = WriteErrorKind::Blocked(Blocked::Target);
    for (kind, others_written, expected) in [
        (WriteErrorKind::Transient, false, false),
        (WriteErrorKind::Transient, true, true),
        (blocked.clone(), false, true),
        (blocked, true, true),
    ] {
        let (mut pending, error) = (pending(1), error(kind));
        let last = (0..3).map(|number| {
            let successes = Successes { writes: if others_written { number } else { 0 }, probes: 0 };
            judge(&mut pending, &error, Others { successes, ..Others::default() }).remedy
        });
        assert_eq!(last.last(), Some(Remedy::PutBack { behind: expected }), "{error:?}");
    }
}

#[test]
fn after_a_successful_probe_only_one_batch_is_searched() {
    let kind = WriteErrorKind::Blocked(Blocked::Authorization);
    for (searched, several, expected) in [(false, true, true), (true, true, false), (false, false, false)] {
        let (mut pending, error) = (pending(if several { 8 } else { 1 }), error(kind.clone()));
        judge(&mut pending, &error, Others { searched, ..Others::default() });
        let successes = Successes { writes: 0, probes: 1 };
        let judgement = judge(&mut pending, &error, Others { successes, searched, ..Others::default() });
        assert_eq!((judgement.suspect, judgement.remedy == Remedy::SearchFailing), (expected, expected));
    }
}

#[test]
fn a_body_that_is_too_large_is_halved_and_a_line_rejected_where_smaller_ones_are_accepted() {
    let error = error(WriteErrorKind::TooLarge);
    assert_eq!(judge(&mut pending(8), &error, Others::default()).remedy, Remedy::Halve);
    let others = Others { smaller_accepted: true, ..Others::default() };
    assert_eq!(judge(&mut pending(1), &error, others).remedy, Remedy::Reject(RejectReason::TooLarge));
    let judgement = judge(&mut pending(1), &error, Others::default());
    assert_eq!((judgement.remedy, judgement.suspect), (Remedy::PutBack { behind: true }, false));
}

#[test]
fn a_refused_batch_is_searched_and_a_line_rejected_after_one_more_attempt_if_that_may_help() {
    for resend_first in [false, true] {
        let refused = Refused { resend_first, reason: RejectReason::FieldType, ..Refused::default() };
        let error = error(WriteErrorKind::Refused(refused.clone()));
        for lines in [1, 8] {
            let mut pending = pending(lines);
            if resend_first {
                assert_eq!(judge(&mut pending, &error, Others::default()).remedy, Remedy::Resend);
            }
            let expected = match lines {
                1 => Remedy::Reject(RejectReason::FieldType),
                _ => Remedy::SearchRefused(&refused),
            };
            assert_eq!(judge(&mut pending, &error, Others::default()).remedy, expected);
            assert_eq!(pending.history.failures, 0, "it is no failure of the server");
        }
    }
}

#[test]
fn large_bodies_under_which_connections_break_are_halved() {
    let error = error(WriteErrorKind::Broken);
    for (lines, halved) in [(10_000, true), (100, false)] {
        let mut pending = pending(lines);
        let remedies = [(); 3].map(|()| judge(&mut pending, &error, Others::default()).remedy);
        assert_eq!(remedies[2] == Remedy::Halve, halved, "{lines} lines: {remedies:?}");
    }
}
