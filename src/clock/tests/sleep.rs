//! Stamps of a machine that is suspended.

use super::*;

const AWAKE: i64 = 50 * MILLISECOND;
const ASLEEP: i64 = 300 * SECOND;

/// Many suspends, with less than a second of being awake between them.
#[test]
fn a_clock_that_advances_during_suspend_gives_right_stamps_at_once() {
    let clock = Driven::new(START);
    for round in 0..20 {
        // Like CLOCK_BOOTTIME: wall and monotonic time advance alike.
        clock.advance(ASLEEP);
        assert!(clock.error(round) < MICROSECOND, "round {round}");
        clock.advance(AWAKE);
        assert!(clock.error(round) < MICROSECOND, "round {round}, awake");
    }
    assert_eq!(clock.reads.get(), 20, "one renewal a sleep");
    clock.assert_unique();
}

#[test]
fn a_clock_that_stops_during_suspend_is_behind_by_at_most_the_sleep_of_one_awake_second() {
    let clock = Driven::new(START);
    let mut asleep_since_renewal = 0;
    for round in 0..100 {
        // Like CLOCK_MONOTONIC: only wall time advances.
        clock.step(ASLEEP);
        asleep_since_renewal += ASLEEP;
        clock.advance(AWAKE);
        let reads = clock.reads.get();
        let error = clock.error(round);
        if clock.reads.get() > reads {
            asleep_since_renewal = 0;
        }
        assert!((error - asleep_since_renewal).abs() < MICROSECOND, "round {round}: {error}");
        assert!(error <= ASLEEP * (SECOND / AWAKE));
    }
    clock.advance(SECOND);
    assert!(clock.error(0) < MICROSECOND);
    clock.assert_unique();
}

#[test]
fn suspend_during_steps_of_the_clock_leaves_no_error() {
    let clock = Driven::new(START);
    for step in [-HOUR, SECOND, -SECOND, HOUR, -2 * MILLISECOND] {
        clock.stamp_of(0);
        clock.advance(ASLEEP);
        clock.step(step);
        assert!(clock.error(0) < MICROSECOND, "a step of {step} while asleep");
    }
    clock.assert_unique();
}

#[cfg(all(target_os = "linux", target_pointer_width = "64"))]
#[test]
fn the_clock_of_linux_counts_the_sleep_of_the_machine() {
    use rustix::time::{ClockId, clock_gettime};

    let boot = || {
        let time = clock_gettime(ClockId::Boottime);
        time.tv_sec * SECOND + time.tv_nsec
    };
    let before = boot();
    let now = MonotonicInstant::now().nanoseconds();
    assert!((before..=boot()).contains(&now));
}
