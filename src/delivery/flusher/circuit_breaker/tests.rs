//! Tests every transition of the circuit breaker: each state with each kind of answer.

use super::*;
use crate::{delivery::sink::Refused, settings::Settings};

const FIRST: Duration = Duration::from_secs(1);
const CAP: Duration = Duration::from_secs(30);
const BLOCKED: WriteErrorKind = WriteErrorKind::Blocked(Blocked::Authorization);

/// Failures of the server or the network: they open the breaker.
fn outages() -> [WriteErrorKind; 5] {
    [
        WriteErrorKind::Transient,
        WriteErrorKind::Broken,
        WriteErrorKind::Timeout,
        WriteErrorKind::Throttled { retry_after: None },
        BLOCKED,
    ]
}

/// Refusals of the points: the sink has answered.
fn refusals() -> [WriteErrorKind; 2] {
    [WriteErrorKind::Refused(Refused::default()), WriteErrorKind::TooLarge]
}

fn breaker(seed: u64) -> CircuitBreaker {
    let mut settings = Settings::new("test");
    (settings.retry_interval, settings.max_retry_interval) = (FIRST, CAP);
    CircuitBreaker::new(&FlushSettings::from(&settings), fastrand::Rng::with_seed(seed))
}

fn fail(breaker: &mut CircuitBreaker, kind: &WriteErrorKind, now: Instant) -> Duration {
    breaker.write_failed(kind, false, breaker.epoch(), now);
    pause(breaker, now)
}

fn pause(breaker: &CircuitBreaker, now: Instant) -> Duration {
    match breaker.state() {
        BreakerState::Open { until, .. } => until - now,
        other => panic!("{other:?}"),
    }
}

fn blocked(kind: &WriteErrorKind) -> Option<Blocked> {
    matches!(kind, WriteErrorKind::Blocked(_)).then_some(Blocked::Authorization)
}

/// Returns one breaker in each state; the open ones with and without a blocked sink.
fn in_every_state(now: Instant) -> Vec<(&'static str, CircuitBreaker)> {
    let closed = breaker(1);
    let mut states = vec![("closed", closed)];
    for (open, half_open, kind) in
        [("open", "half-open", WriteErrorKind::Transient), ("open, blocked", "half-open, blocked", BLOCKED)]
    {
        for (name, attempt) in [(open, false), (half_open, true)] {
            let mut other = breaker(1);
            fail(&mut other, &kind, now);
            if attempt {
                other.attempt();
            }
            states.push((name, other));
        }
    }
    states
}

#[test]
fn every_outage_opens_it_from_every_state() {
    let now = Instant::now();
    for kind in outages() {
        for (name, mut breaker) in in_every_state(now) {
            let epoch = breaker.epoch();
            fail(&mut breaker, &kind, now);
            let BreakerState::Open { until, blocked: by } = breaker.state() else {
                panic!("{name}, {kind:?}: {:?}", breaker.state());
            };
            assert!(until >= now, "{name}, {kind:?}");
            assert_eq!((by, breaker.epoch()), (blocked(&kind), epoch + 1), "{name}, {kind:?}");
            assert_eq!((breaker.state().write_limit(16), breaker.state().is_open()), (0, true));
            // A failed probe has the same effect.
            breaker.attempt();
            breaker.probe_failed(&kind, breaker.epoch(), now);
            assert!(breaker.state().is_open(), "{name}, {kind:?}");
            assert_eq!(breaker.epoch(), epoch + 2, "{name}, {kind:?}");
        }
    }
}

#[test]
fn every_answer_about_the_points_closes_it_from_every_state() {
    let now = Instant::now();
    for (name, mut breaker) in in_every_state(now) {
        breaker.write_succeeded();
        assert_eq!(breaker.state(), BreakerState::Closed, "{name}");
        assert_eq!(breaker.state().write_limit(16), 16, "{name}");
    }
    for kind in refusals() {
        for suspect in [false, true] {
            for (name, mut breaker) in in_every_state(now) {
                let before = breaker.successes();
                breaker.write_failed(&kind, suspect, breaker.epoch(), now);
                assert_eq!(breaker.state(), BreakerState::Closed, "{name}, {kind:?}");
                assert_eq!(breaker.successes(), before, "a refusal is no success");
            }
        }
    }
}

#[test]
fn after_the_pause_one_write_is_allowed_and_its_answer_decides() {
    let now = Instant::now();
    for kind in outages() {
        for accepted in [false, true] {
            let mut breaker = breaker(7);
            let until = now + fail(&mut breaker, &kind, now);
            if let Some(before) = until.checked_sub(Duration::from_nanos(1)).filter(|before| *before >= now) {
                breaker.expire(before);
                assert!(breaker.state().is_open(), "{kind:?}: not before its end");
            }
            breaker.expire(until);
            assert_eq!(breaker.state(), BreakerState::HalfOpen { blocked: blocked(&kind) });
            assert_eq!((breaker.state().write_limit(16), breaker.state().is_open()), (1, false));
            if accepted {
                breaker.write_succeeded();
                assert_eq!(breaker.state(), BreakerState::Closed, "{kind:?}");
            } else {
                fail(&mut breaker, &kind, until);
                assert!(breaker.state().is_open(), "{kind:?}");
            }
        }
    }
}

#[test]
fn neither_time_nor_an_attempt_changes_a_breaker_that_is_not_open() {
    let now = Instant::now();
    for (name, mut breaker) in in_every_state(now) {
        if breaker.state().is_open() {
            continue;
        }
        let before = breaker.state();
        breaker.attempt();
        breaker.expire(now + CAP);
        breaker.retry_by(now);
        assert_eq!(breaker.state(), before, "{name}");
    }
}

#[test]
fn a_successful_probe_allows_exactly_one_write() {
    let now = Instant::now();
    let mut breaker = breaker(3);
    fail(&mut breaker, &BLOCKED, now);
    // A probe has no effect before the pause is over.
    breaker.probe_succeeded();
    assert!(matches!(breaker.state(), BreakerState::Open { blocked: Some(_), .. }));
    breaker.attempt();
    breaker.probe_succeeded();
    assert_eq!(breaker.state(), BreakerState::HalfOpen { blocked: None });
    assert_eq!(breaker.state().write_limit(16), 1);
    assert_eq!(breaker.successes(), Successes { writes: 0, probes: 2 });
    assert!(!breaker.is_proven(), "only a write proves it");
    // The write fails although the probe succeeded.
    fail(&mut breaker, &BLOCKED, now);
    assert!(matches!(breaker.state(), BreakerState::Open { blocked: Some(_), .. }));
}

#[test]
fn a_failing_batch_opens_nothing_while_others_are_written() {
    let now = Instant::now();
    for kind in outages() {
        let mut breaker = breaker(5);
        breaker.write_succeeded();
        assert!(breaker.is_proven());
        breaker.write_failed(&kind, true, breaker.epoch(), now);
        assert_eq!(breaker.state(), BreakerState::Closed, "{kind:?}: it is the batch");
        assert!(!breaker.is_proven());
        breaker.write_failed(&kind, true, breaker.epoch(), now);
        assert!(breaker.state().is_open(), "{kind:?}: nothing was written in between");
        breaker.write_succeeded();
        breaker.write_failed(&kind, false, breaker.epoch(), now);
        assert!(breaker.state().is_open(), "{kind:?}: nothing speaks against the batch");
    }
}

#[test]
fn writes_that_were_in_flight_when_it_opened_count_once() {
    let now = Instant::now();
    for kind in outages() {
        let mut breaker = breaker(11);
        let sent = breaker.epoch();
        let until = now + fail(&mut breaker, &kind, now);
        for _ in 0..15 {
            breaker.write_failed(&kind, false, sent, now);
        }
        assert_eq!((pause(&breaker, now), breaker.epoch()), (until - now, sent + 1), "{kind:?}");
        // Only the new information that somebody has to act is used.
        breaker.write_failed(&BLOCKED, false, sent, now);
        let expected = BreakerState::Open { until, blocked: Some(Blocked::Authorization) };
        assert_eq!((breaker.state(), breaker.epoch()), (expected, sent + 1), "{kind:?}");
    }
}

#[test]
fn pauses_double_up_to_their_limit_and_restart_after_a_success_or_another_kind_of_failure() {
    let now = Instant::now();
    let seconds = Duration::from_secs;
    let throttled = WriteErrorKind::Throttled { retry_after: None };
    let rising = |kind: &WriteErrorKind, bounds: [(Duration, Duration); 7]| {
        let mut longest = [Duration::ZERO; 7];
        for seed in 0..200 {
            let mut breaker = breaker(seed);
            for (step, (least, most)) in bounds.into_iter().enumerate() {
                let pause = fail(&mut breaker, kind, now);
                assert!((least..=most).contains(&pause), "{kind:?}, try {step}: {pause:?}");
                longest[step] = longest[step].max(pause);
                breaker.attempt();
            }
            breaker.write_succeeded();
            let pause = fail(&mut breaker, kind, now);
            assert!(pause <= bounds[0].1, "{kind:?}: {pause:?} after a success");
            let other = if blocked(kind).is_some() { WriteErrorKind::Transient } else { BLOCKED };
            (0..5).for_each(|_| _ = fail(&mut breaker, &other, now));
            let pause = fail(&mut breaker, kind, now);
            assert!(pause <= bounds[0].1, "{kind:?}: {pause:?} after another trouble");
        }
        for (longest, (_, most)) in longest.into_iter().zip(bounds) {
            assert!(longest > most.mul_f64(0.9), "{kind:?}: {longest:?} of {most:?} is reached");
        }
    };
    let jitter = |most: u64| (Duration::ZERO, seconds(most));
    for kind in [WriteErrorKind::Transient, WriteErrorKind::Broken, WriteErrorKind::Timeout] {
        rising(&kind, [1, 2, 4, 8, 16, 30, 30].map(jitter));
    }
    rising(&throttled, [1, 2, 4, 8, 16, 32, 60].map(|most| (seconds(1), seconds(most))));
    let probes = [30, 60, 120, 240, 300, 300, 300].map(seconds);
    rising(&BLOCKED, probes.map(|pause| (pause, pause.mul_f64(1.1))));
}

#[test]
fn retry_after_is_kept_within_its_limits() {
    let now = Instant::now();
    let seconds = Duration::from_secs;
    for (asked, least) in [(0, 1), (1, 1), (17, 17), (300, 300), (86_400, 300)] {
        for seed in 0..50 {
            let kind = WriteErrorKind::Throttled { retry_after: Some(seconds(asked)) };
            let pause = fail(&mut breaker(seed), &kind, now);
            let bounds = seconds(least)..=seconds(least).mul_f64(1.1);
            assert!(bounds.contains(&pause), "asked for {asked} s: {pause:?}");
        }
    }
}

#[test]
fn a_shutdown_shortens_a_pause_and_never_lengthens_it() {
    let now = Instant::now();
    let mut breaker = breaker(13);
    let pause_before = fail(&mut breaker, &BLOCKED, now);
    breaker.retry_by(now + pause_before * 2);
    assert_eq!(pause(&breaker, now), pause_before);
    breaker.retry_by(now + FIRST);
    assert_eq!(pause(&breaker, now), FIRST);
    assert!(matches!(breaker.state(), BreakerState::Open { blocked: Some(_), .. }));
}

#[test]
fn a_reload_changes_the_bounds() {
    let now = Instant::now();
    let mut settings = Settings::new("test");
    let most = Duration::from_millis(10);
    (settings.retry_interval, settings.max_retry_interval) = (most, most);
    for seed in 0..50 {
        let mut breaker = breaker(seed);
        (0..9).for_each(|_| _ = fail(&mut breaker, &WriteErrorKind::Transient, now));
        breaker.configure(&FlushSettings::from(&settings));
        let pause = fail(&mut breaker, &WriteErrorKind::Transient, now);
        assert!(pause <= most, "{pause:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_known_of_another_destination() {
    let now = Instant::now();
    for (name, mut breaker) in in_every_state(now) {
        breaker.write_succeeded();
        for _ in 0..5 {
            fail(&mut breaker, &BLOCKED, now);
        }
        breaker.write_succeeded();
        fail(&mut breaker, &BLOCKED, now);
        breaker.probe_succeeded();
        for _ in 0..5 {
            fail(&mut breaker, &BLOCKED, now);
        }
        breaker.replace_destination();
        assert_eq!(breaker.state().write_limit(4), 1, "{name}: an attempt is due");
        assert!(!breaker.is_proven(), "{name}");
        let first = fail(&mut breaker, &BLOCKED, now);
        assert!(first >= PROBE_FIRST && first <= PROBE_FIRST.mul_f64(1.1), "{name}: {first:?}");
    }
    let mut breaker = breaker(1);
    breaker.write_succeeded();
    breaker.replace_destination();
    assert_eq!((breaker.state(), breaker.is_proven()), (BreakerState::Closed, false));
}

#[test]
fn only_an_open_breaker_has_a_deadline_and_only_if_something_waits() {
    let now = Instant::now();
    for (name, breaker) in in_every_state(now) {
        let state = breaker.state();
        let until = state.is_open().then(|| now + pause(&breaker, now));
        assert_eq!(state.next_attempt(true), until, "{name}");
        assert_eq!(state.next_attempt(false), None, "{name}");
    }
}
