//! Tests when batches go to the spool and return, with plain values.

use super::*;
use crate::{delivery::flusher::in_flight::InFlightCounts, stats::Blocked};

mod spools;

const KIB: usize = 1024;

fn conditions() -> Conditions {
    let mut conditions = Conditions { spool: true, ..Conditions::calm() };
    conditions.settings.buffer_size = 800 * KIB;
    conditions
}

fn nothing() -> Waiting {
    Waiting { nothing_loaded: true, ..Waiting::default() }
}

fn open(now: Instant) -> BreakerState {
    BreakerState::Open { until: now + Duration::from_secs(1), blocked: None }
}

#[test]
fn batches_are_loaded_one_at_a_time_while_writes_flow() {
    let calm = conditions();
    let blocked = Some(Blocked::Target);
    for (breaker, loads) in [
        (BreakerState::Closed, true),
        (BreakerState::HalfOpen { blocked: None }, true),
        (BreakerState::HalfOpen { blocked }, false),
        (open(calm.now), false),
    ] {
        assert_eq!(may_load(&Conditions { breaker, ..calm }), loads, "{breaker:?}");
        let in_flight = InFlightCounts { loading: true, ..InFlightCounts::default() };
        assert!(!may_load(&Conditions { breaker, in_flight, ..calm }), "{breaker:?}");
    }
}

#[test]
fn no_more_is_loaded_than_can_be_sent() {
    let mut conditions = conditions();
    conditions.in_flight = InFlightCounts { sends: 1, bytes: 100 * KIB, ..InFlightCounts::default() };
    let room = conditions.room_in_flight();
    assert_eq!(room, 100 * KIB, "a quarter, without what is in flight");
    for (case, waiting, bytes, goes) in [
        ("there is room", nothing(), room, true),
        ("what waits takes it", Waiting { memory: 1, nothing_loaded: false, ..nothing() }, room, false),
        ("one of what is stored always goes", nothing(), room + 1, true),
        ("another is next", Waiting { loaded: 1, loaded_untried: true, ..Waiting::default() }, 1, false),
        ("it has failed", Waiting { loaded: 1, ..Waiting::default() }, 1, true),
        ("too many have failed", Waiting { loaded: LOADED, ..Waiting::default() }, 1, false),
    ] {
        assert_eq!(goes_when_loaded(&conditions, &waiting, bytes), goes, "{case}");
    }
    conditions.in_flight.spooled_write = true;
    assert!(!goes_when_loaded(&conditions, &nothing(), room + 1), "one is on its way");
}

#[test]
fn a_batch_is_sent_after_storing_only_ahead_of_its_first_try() {
    let mut ahead = conditions();
    ahead.settings.spool_mode = SpoolMode::Ahead;
    let outage = Conditions { breaker: open(ahead.now), ..ahead };
    let over = Conditions { sending_over: true, ..ahead };
    for (case, conditions, tried, sends) in [
        ("ahead", ahead, false, true),
        ("tried before", ahead, true, false),
        ("in an outage", outage, false, false),
        ("at the end", over, false, false),
        ("on failure", conditions(), false, false),
    ] {
        assert_eq!(sends_after_storing(&conditions, tried), sends, "{case}");
    }
}

#[test]
fn new_batches_are_stored_first_in_an_outage_or_when_that_is_asked_for() {
    let calm = conditions();
    assert!(!calm.stores_first());
    assert!(Conditions { breaker: open(calm.now), ..calm }.stores_first());
    assert!(!Conditions { breaker: open(calm.now), spool: false, ..calm }.stores_first());
    let mut ahead = calm;
    ahead.settings.spool_mode = SpoolMode::Ahead;
    assert!(ahead.stores_first());
}

#[test]
fn waiting_batches_are_stored_beyond_their_share_of_memory() {
    let mut conditions = conditions();
    assert_eq!(spill_limit(&conditions), Some(200 * KIB), "a quarter");
    conditions.in_flight.bytes = 150 * KIB;
    assert_eq!(spill_limit(&conditions), Some(50 * KIB), "less what is in flight");
    conditions.in_flight.bytes = 1_000 * KIB;
    assert_eq!(spill_limit(&conditions), Some(0));
    conditions.spool = false;
    assert_eq!(spill_limit(&conditions), None);
}

#[test]
fn after_a_failure_the_disk_is_not_used_for_a_minute() {
    let mut feeder = SpoolFeeder::new(None, "here".to_owned());
    let now = Instant::now();
    feeder.rest(now);
    assert!(!feeder.is_usable(now));
    assert_eq!(feeder.rests_until, Some(now + Duration::from_secs(60)));
    assert!(!feeder.replace(None, "there".to_owned(), now));
    assert_eq!(feeder.target(), "there");
}
