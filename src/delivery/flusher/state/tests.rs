//! Tests how the state appears in the statistics and the log, with plain values.

use super::*;
use crate::{
    delivery::{
        buffer::Buffer,
        flusher::destination::{Destination, SinkHandle},
        sink::none::NoSink,
    },
    settings::Overflow,
    stats::RecorderCounters,
    test_log::{logged, logged_by},
};

const SECOND: Duration = Duration::from_secs(1);

fn reporter() -> StateReporter {
    let destination = Destination { sink: SinkHandle(Arc::new(NoSink)), spool: None, rejected: None };
    let buffer = Arc::new(Buffer::new(1 << 20, Overflow::DropNewest));
    let recorder = Arc::new(RecorderCounters::default());
    StateReporter::new(Arc::new(Shared::new(buffer, Arc::default(), recorder, &destination, SECOND)))
}

fn snapshot(breaker: BreakerState) -> FlusherSnapshot {
    FlusherSnapshot {
        breaker,
        closing: false,
        draining: false,
        oldest: None,
        decompressed: 0,
        batches: 0,
        has_spool: false,
        series: 0,
    }
}

fn open(blocked: Option<Blocked>) -> BreakerState {
    BreakerState::Open { until: Instant::now() + 5 * SECOND, blocked }
}

#[tokio::test(start_paused = true)]
async fn the_breaker_decides_the_state_and_an_attempt_does_not_change_it() {
    use DeliveryState::{Backoff, Blocked as BlockedBy, Closing, Draining, Healthy};
    let target = Some(Blocked::Target);
    for before in [Healthy, Draining, Backoff, BlockedBy(Blocked::Authorization)] {
        for (breaker, draining, expected) in [
            (BreakerState::Closed, false, Healthy),
            (BreakerState::Closed, true, Draining),
            (open(None), true, Backoff),
            (open(target), true, BlockedBy(Blocked::Target)),
            (BreakerState::HalfOpen { blocked: None }, true, before),
            (BreakerState::HalfOpen { blocked: target }, false, before),
        ] {
            let snapshot = FlusherSnapshot { draining, ..snapshot(breaker) };
            assert_eq!(snapshot.state(before), expected, "{before:?} {breaker:?}");
            assert_eq!(FlusherSnapshot { closing: true, ..snapshot }.state(before), Closing);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_statistics_contain_the_last_published_values() {
    let mut reporter = reporter();
    let oldest = Some(Instant::now());
    let full = FlusherSnapshot { oldest, decompressed: 7, batches: 3, series: 9, ..snapshot(open(None)) };
    reporter.publish(&full);
    let found = |reporter: &StateReporter| {
        let progress = reporter.shared.delivery.lock();
        let counts = (progress.decompressed, progress.waiting_batches, progress.series);
        (progress.state, progress.oldest, counts, progress.backoff_until.is_some())
    };
    assert_eq!(found(&reporter), (DeliveryState::Backoff, oldest, (7, 3, 9), true));
    reporter.publish(&snapshot(BreakerState::Closed));
    assert_eq!(found(&reporter), (DeliveryState::Healthy, None, (0, 0, 0), false));
}

#[tokio::test(start_paused = true)]
async fn blocked_time_is_counted_exactly_once() {
    let mut reporter = reporter();
    let mut expected = Duration::ZERO;
    let states = [
        (BreakerState::Closed, false),
        (open(Some(Blocked::Target)), true),
        (open(Some(Blocked::Target)), true),
        (open(Some(Blocked::Authorization)), true),
        // The probe is in flight.
        (BreakerState::HalfOpen { blocked: Some(Blocked::Authorization) }, true),
        (open(None), false),
        (BreakerState::Closed, false),
        (open(Some(Blocked::Configuration)), true),
        (BreakerState::Closed, false),
    ];
    for (number, (breaker, blocked)) in states.into_iter().enumerate() {
        reporter.publish(&snapshot(breaker));
        assert_eq!((reporter.is_blocked(), reporter.blocked_time()), (blocked, expected), "{number}");
        tokio::time::advance(SECOND).await;
        expected += if blocked { SECOND } else { Duration::ZERO };
        assert_eq!(reporter.blocked_time(), expected, "{number}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_change_is_logged_with_its_meaning() {
    let draining = || FlusherSnapshot { draining: true, ..snapshot(BreakerState::Closed) };
    let healthy = || snapshot(BreakerState::Closed);
    let backoff = || snapshot(open(None));
    let spooled = || FlusherSnapshot { has_spool: true, ..snapshot(open(None)) };
    for (states, line) in [
        (vec![backoff()], "kept in memory"),
        (vec![spooled()], "points are kept in the spool"),
        (vec![backoff(), healthy()], "points are written again"),
        (vec![backoff(), draining()], "points are written again, and stored points are sent"),
        (vec![draining()], "tower_influx: stored points are sent from the spool"),
        (vec![draining(), healthy()], "the spool has been drained"),
        (vec![snapshot(open(Some(Blocked::Authorization)))], "check the token"),
        (vec![snapshot(open(Some(Blocked::Target)))], "check the bucket"),
        (vec![snapshot(open(Some(Blocked::Configuration)))], "check the address"),
    ] {
        let mut reporter = reporter();
        let (last, before) = states.split_last().expect("a state");
        before.iter().for_each(|state| reporter.publish(state));
        let text = logged(|| reporter.publish(last));
        assert!(text.contains(line), "{line}: {text}");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert_eq!(logged(|| reporter.publish(last)), "", "nothing has changed");
    }
    let mut reporter = reporter();
    reporter.publish(&backoff());
    let text = logged(|| reporter.publish(&healthy()));
    assert!(!text.contains("stored points") && !text.contains("drained"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_suppressed_change_is_logged_when_its_minute_is_over() {
    let mut reporter = reporter();
    for _ in 0..3 {
        reporter.publish(&snapshot(open(None)));
        reporter.publish(&snapshot(BreakerState::Closed));
    }
    assert_eq!(reporter.next_line(), None, "the log says that all is well");
    reporter.publish(&snapshot(open(None)));
    let next = reporter.next_line().expect("the failure is still to be told");
    assert!(next > Instant::now() && next <= Instant::now() + 60 * SECOND);
    tokio::time::sleep_until(next).await;
    let text = logged_by(async { reporter.publish(&snapshot(open(None))) }).await;
    assert!(text.contains("points cannot be written") && text.contains("others=5"), "{text}");
    assert_eq!(reporter.next_line(), None);
}
