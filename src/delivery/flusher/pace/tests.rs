//! Tests how much is sent at once, with plain values.

use std::time::Duration;

use super::*;
use crate::delivery::flusher::in_flight::InFlightCounts;

const KIB: usize = 1024;
/// The initial values of a pace.
const WRITES: usize = 4;
const LINES: usize = 5_000;
const BYTES: usize = 768 * KIB;

fn in_flight(sends: usize) -> Conditions {
    Conditions { in_flight: InFlightCounts { sends, ..InFlightCounts::default() }, ..Conditions::calm() }
}

fn sent(conditions: &Conditions) -> Sent {
    Sent { at: conditions.now - Duration::from_millis(10), epoch: 0 }
}

fn unreachable() -> WriteError {
    WriteError::transient("connection refused")
}

/// Returns a pace that has written one full body at its limit of writes in flight.
fn grown() -> Pace {
    let (mut pace, conditions) = (Pace::default(), in_flight(WRITES - 1));
    pace.succeed(BYTES, LINES, sent(&conditions), true, &conditions);
    pace
}

#[test]
fn after_a_failure_only_one_write_is_sent_except_at_the_shutdown() {
    let open = BreakerState::Open { until: tokio::time::Instant::now(), blocked: None };
    let half_open = BreakerState::HalfOpen { blocked: None };
    for (failed, proven, probing, closing, expected) in [
        (false, true, false, false, WRITES),
        (false, false, false, false, WRITES),
        (true, true, false, false, WRITES),
        (true, false, false, false, 1),
        (false, true, true, false, 1),
        (true, true, true, false, 1),
        (true, false, true, false, 1),
        (true, false, true, true, WRITES),
        (false, true, false, true, WRITES),
    ] {
        let mut pace = Pace::default();
        let calm = Conditions::calm();
        if failed {
            pace.fail(&unreachable(), sent(&calm), calm.now);
        }
        let in_flight = InFlightCounts { probing, ..InFlightCounts::default() };
        let conditions = Conditions { proven, closing, in_flight, ..calm };
        let case = (failed, proven, probing, closing);
        assert_eq!(pace.write_limit(&conditions), expected, "{case:?}");
        let with = |breaker| pace.write_limit(&Conditions { breaker, ..conditions });
        assert_eq!((with(open), with(half_open)), (0, 1), "{case:?}");
    }
}

#[test]
fn a_batch_waits_to_grow_only_behind_writes_that_succeed() {
    let pace = Pace::default();
    for (sends, queued, busy) in [(0, 0, false), (3, 0, false), (4, 0, true), (2, 2, true), (0, 4, true)] {
        let conditions = in_flight(sends);
        assert_eq!(pace.is_busy(&conditions, queued), busy, "{sends} and {queued}");
        let unproven = Conditions { proven: false, ..conditions };
        let half_open = Conditions { breaker: BreakerState::HalfOpen { blocked: None }, ..conditions };
        assert!(!pace.is_busy(&unproven, queued) && !pace.is_busy(&half_open, queued));
    }
}

#[test]
fn bodies_grow_while_batches_wait_for_the_limit_of_writes() {
    for (sends, waiting, grows) in [
        (WRITES - 1, true, true),
        (WRITES, true, true),
        (WRITES - 2, true, false),
        (WRITES - 1, false, false),
    ] {
        let (mut pace, conditions) = (Pace::default(), in_flight(sends));
        pace.succeed(BYTES, LINES, sent(&conditions), waiting, &conditions);
        let factor = if grows { 2 } else { 1 };
        let found = pace.body_bounds(&in_flight(16 * WRITES), 0);
        assert_eq!(found, (factor * LINES, factor * BYTES), "{sends} in flight, waiting: {waiting}");
        assert_eq!(pace.largest_body(&conditions.settings), factor * BYTES);
        assert_eq!(pace.body_bounds(&in_flight(0), 0), (LINES, BYTES), "a write could begin at once");
    }
}

#[test]
fn a_body_never_exceeds_the_limits_of_the_settings_and_the_server() {
    let mut conditions = in_flight(16 * WRITES);
    conditions.settings.batch_bytes = 100 * KIB;
    assert_eq!(grown().body_bounds(&conditions, 0).1, 100 * KIB);
    assert_eq!(grown().largest_body(&conditions.settings), 100 * KIB);
    conditions.settings.batch_bytes = 4096 * KIB;
    conditions.settings.batch_size = 10;
    assert_eq!(grown().body_bounds(&conditions, 0), (10, 2 * BYTES));
}

#[test]
fn throttling_and_timeouts_make_bodies_smaller_and_other_failures_do_not() {
    let status = |status| unreachable().with_status(status);
    for (error, shrinks) in [
        (WriteError::throttled(None, "too many requests"), true),
        (WriteError::timeout("no answer"), true),
        (status(504), true),
        (unreachable(), false),
        (status(503), false),
    ] {
        let (mut pace, conditions) = (grown(), in_flight(WRITES));
        pace.fail(&error, sent(&conditions), conditions.now);
        let factor = if shrinks { 1 } else { 2 };
        assert_eq!(pace.largest_body(&conditions.settings), factor * BYTES, "{error}");
    }
}
