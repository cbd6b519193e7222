//! The decisions after one window of answers, from plain values.

use super::*;

const CALM: Duration = Duration::from_millis(10);
const MOST: usize = 100;

/// Returns a limit that was just confirmed.
fn limit(limit: usize, slow_start: bool, before: (f64, usize), hold: u32) -> InFlightLimit {
    let (measured, calm) = (Some(before), Some(CALM));
    InFlightLimit { limit, slow_start, measured, hold, calm, ..InFlightLimit::default() }
}

/// Returns the limit, whether it is still in the slow start, and the windows until the next
/// attempt.
fn decided(mut limit: InFlightLimit, rate: f64, latency: Duration) -> (usize, bool, u32) {
    limit.judge(rate, latency, Instant::now(), MOST);
    (limit.limit, limit.slow_start, limit.hold)
}

#[test]
fn a_try_is_kept_if_it_pays_and_undone_if_not() {
    for (now, tried, gain, expected) in [
        // Half of the additional writes must show in the rate.
        (5, 4, 1.125, (6, false, 0)),
        (5, 4, 1.124, (4, false, FIRST_HOLD)),
        (8, 4, 1.5, (10, false, 0)),
        (8, 4, 1.499, (4, false, FIRST_HOLD)),
        // Fewer writes must not lower the rate.
        (3, 4, 0.95, (4, false, 0)),
        (3, 4, 0.949, (4, false, FIRST_HOLD)),
        (6, 8, 0.95, (7, false, 0)),
        (6, 8, 0.949, (8, false, FIRST_HOLD)),
        // The same limit again.
        (4, 4, 0.9, (5, false, 0)),
        // As if it were another destination.
        (4, 4, 0.5, (5, false, 0)),
        (4, 4, 0.499, (4, true, 0)),
        (6, 4, 0.499, (6, true, 0)),
        (3, 4, 0.499, (4, false, FIRST_HOLD)),
    ] {
        let found = decided(limit(now, false, (1_000.0, tried), 0), 1_000.0 * gain, CALM);
        assert_eq!(found, expected, "{now} after {tried}, {gain}");
    }
}

#[test]
fn the_slow_start_ends_with_the_first_step_that_does_not_pay() {
    for (now, tried, gain, expected) in [
        (8, 4, 1.15, (8, true, 3)),
        (8, 4, 1.149, (4, false, 0)),
        (4, 4, 1.0, (4, false, 0)),
        (4, 8, 1.0, (4, false, 0)),
        // A single write in flight may be delayed by anything.
        (1, 1, 1.0, (1, true, 3)),
    ] {
        let found = decided(limit(now, true, (1_000.0, tried), 3), 1_000.0 * gain, CALM);
        assert_eq!(found, expected, "{now} after {tried}, {gain}");
    }
}

#[test]
fn steps_are_a_quarter_up_and_a_quarter_down_within_the_bounds() {
    for (now, latency, expected) in [
        (1, 1.0, 2),
        (4, 1.0, 5),
        (8, 1.0, 10),
        (12, 1.0, 15),
        (99, 1.0, MOST),
        // Twice the calm latency, which has grown by a hundredth by now, is not a queue yet.
        (8, 2.02, 10),
        (8, 2.03, 6),
        (3, 2.03, 2),
        (2, 9.0, 3),
    ] {
        let found = decided(limit(now, false, (1_000.0, now), 0), 1_000.0, CALM.mul_f64(latency));
        assert_eq!(found.0, expected, "{now} at {latency}");
    }
}

#[test]
fn a_try_that_does_not_pay_is_repeated_ever_later() {
    let mut limit = limit(4, false, (1_000.0, 4), 2);
    let mut holds = Vec::new();
    for _ in 0..6 {
        let mut windows = 0;
        while limit.limit == 4 {
            limit.judge(1_000.0, CALM, Instant::now(), MOST);
            windows += 1;
            assert!(windows < 1_000, "it is never tried again: {holds:?}");
        }
        holds.push(windows);
        limit.judge(1_000.0, CALM, Instant::now(), MOST);
        assert_eq!(limit.limit, 4, "undone");
    }
    // The first window after an undone attempt measures anew.
    assert_eq!(holds, [3, 8 + 2, 16 + 2, 32 + 2, 64 + 2, 128 + 2]);
}

#[test]
fn writes_that_were_in_flight_together_count_once_as_congestion() {
    let (mut limit, start) = (limit(8, true, (1_000.0, 8), 0), Instant::now());
    let later = start + CALM;
    limit.congested(start, later);
    assert_eq!((limit.limit, limit.slow_start, limit.hold), (4, false, FIRST_HOLD));
    limit.congested(start, later);
    assert_eq!(limit.limit, 4, "sent before the limit fell");
    for expected in [2, 1, 1] {
        limit.congested(later, later);
        assert_eq!(limit.limit, expected);
    }
}

/// These writes met another load than that of the current limit.
#[test]
fn answers_to_writes_sent_before_the_limit_changed_are_ignored() {
    let start = Instant::now();
    for (sent, counts) in [(9, false), (10, true), (11, true)] {
        let changed = Some(start + CALM * 10);
        let mut limit = InFlightLimit { changed, slow_start: false, ..limit(4, false, (1_000.0, 4), 0) };
        for number in 1..=5 {
            limit.succeed(1_000, start + CALM * sent, start + CALM * (20 + number), true, MOST);
        }
        let judged = limit.measured != Some((1_000.0, 4));
        assert_eq!(judged, counts, "{sent}");
    }
}

#[test]
fn a_slow_start_that_ends_where_it_was_changes_no_limit() {
    for (now, changes) in [(4, false), (8, true)] {
        let mut limit = limit(now, true, (1_000.0, 4), 0);
        limit.judge(1_000.0, CALM, Instant::now(), MOST);
        assert_eq!((limit.limit, limit.changed.is_some()), (4, changes), "{now}");
    }
}

#[test]
fn a_window_ends_with_as_many_answers_as_writes_were_in_flight() {
    let start = Instant::now();
    for (writes, answers) in [(1, 2), (2, 2), (4, 4), (7, 7)] {
        let mut limit = InFlightLimit { limit: writes, slow_start: false, ..InFlightLimit::default() };
        // The first answer begins the window.
        for number in 0..=answers {
            assert_eq!(limit.measured, None, "{writes}: {number}");
            limit.succeed(1_000, start, start + CALM * (number + 1), true, MOST);
        }
        let (rate, tried) = limit.measured.expect("the window is complete");
        assert_eq!((rate.round(), tried), (1_000.0 / CALM.as_secs_f64(), writes));
    }
}
