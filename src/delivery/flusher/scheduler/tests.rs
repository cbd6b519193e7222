//! Tests what is sent next, with plain values.

use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    delivery::{
        flusher::{in_flight::InFlightCounts, pending::History, successes::Successes},
        sink::Refused,
    },
    stats::Blocked,
};

const TARGET: &str = "here";

fn scheduler(batches: impl IntoIterator<Item = PendingBatch>) -> Scheduler {
    let mut scheduler = Scheduler::new(RefusalCache::new(true));
    scheduler.queue.fresh.extend(batches);
    scheduler
}

fn pending(sequence: u64, lines: usize) -> PendingBatch {
    let batch = Batch::new("x v=1 1\n".repeat(lines).into(), lines, sequence, SystemTime::UNIX_EPOCH);
    PendingBatch::live(batch, History::new(Instant::now(), Duration::ZERO))
}

fn failed(sequence: u64) -> PendingBatch {
    let mut pending = pending(sequence, 1);
    pending.history.fail(Successes::default());
    pending
}

/// Returns a batch that failed while others were written.
fn suspect(sequence: u64) -> PendingBatch {
    let mut pending = failed(sequence);
    pending.history.fail(Successes { writes: 1, probes: 0 });
    pending
}

/// Returns the next action as a word, with the number of the batch.
fn next(scheduler: &mut Scheduler, conditions: &Conditions) -> (&'static str, u64) {
    match scheduler.next(conditions, TARGET) {
        Action::Wait => ("wait", 0),
        Action::Probe => ("probe", 0),
        Action::Write(pending) => ("write", pending.sequence()),
        Action::Search(search) => ("search", search.sequence()),
        Action::Park(next) => ("park", next.batch().sequence()),
    }
}

fn open(now: Instant) -> BreakerState {
    BreakerState::Open { until: now + Duration::from_secs(1), blocked: None }
}

fn in_flight(sends: usize) -> InFlightCounts {
    InFlightCounts { sends, ..InFlightCounts::default() }
}

#[test]
fn the_state_of_the_breaker_decides_first() {
    let calm = Conditions::calm();
    let blocked = Some(Blocked::Target);
    for (breaker, sends, action) in [
        (BreakerState::Closed, 0, ("write", 1)),
        (BreakerState::Closed, 3, ("write", 1)),
        (open(calm.now), 0, ("wait", 0)),
        (BreakerState::HalfOpen { blocked: None }, 0, ("write", 1)),
        (BreakerState::HalfOpen { blocked: None }, 1, ("wait", 0)),
        (BreakerState::HalfOpen { blocked }, 0, ("probe", 0)),
        (BreakerState::HalfOpen { blocked }, 1, ("wait", 0)),
    ] {
        let conditions = Conditions { breaker, in_flight: in_flight(sends), ..calm };
        assert_eq!(next(&mut scheduler([pending(1, 1)]), &conditions), action, "{breaker:?}, {sends}");
        // Without a batch only a probe is sent.
        let without = if action.0 == "probe" { action } else { ("wait", 0) };
        assert_eq!(next(&mut scheduler([]), &conditions), without, "{breaker:?}, {sends}");
    }
}

#[test]
fn no_more_is_in_flight_than_the_limit_allows() {
    let mut calm = Conditions::calm();
    for most in [1, 2] {
        calm.settings.max_in_flight = most;
        for sends in 0..4 {
            let conditions = Conditions { in_flight: in_flight(sends), ..calm };
            let action = if sends < most { ("write", 1) } else { ("wait", 0) };
            assert_eq!(next(&mut scheduler([pending(1, 1)]), &conditions), action, "{sends} of {most}");
        }
    }
}

#[test]
fn nothing_is_sent_after_the_end_of_a_shutdowns_timeout() {
    let conditions = Conditions { closing: true, sending_over: true, ..Conditions::calm() };
    assert_eq!(next(&mut scheduler([pending(1, 1)]), &conditions), ("wait", 0));
}

#[test]
fn one_write_of_any_size_is_sent_and_others_as_far_as_memory_allows() {
    let mut calm = Conditions::calm();
    calm.settings.buffer_size = 800;
    let bytes = pending(1, 30).raw_bytes();
    assert_eq!(bytes, 240);
    for (sends, in_flight_bytes, action) in
        [(0, 0, "write"), (0, 800, "write"), (1, 60, "write"), (1, 61, "wait"), (1, 800, "wait")]
    {
        let counts = InFlightCounts { sends, bytes: in_flight_bytes, ..InFlightCounts::default() };
        let conditions = Conditions { in_flight: counts, ..calm };
        let mut scheduler = scheduler([pending(1, 30)]);
        assert_eq!(next(&mut scheduler, &conditions).0, action, "{sends}, {in_flight_bytes}");
        // A batch that may not go is not lost.
        assert_eq!(scheduler.queue.all().count(), usize::from(action == "wait"));
    }
}

#[test]
fn a_suspect_batch_goes_alone() {
    let mut conditions = Conditions::calm();
    conditions.in_flight = InFlightCounts { sends: 1, suspect: true, ..InFlightCounts::default() };
    let mut scheduler = scheduler([]);
    scheduler.queue.waiting.push_back(suspect(1));
    assert_eq!(next(&mut scheduler, &conditions), ("wait", 0));
    assert_eq!(scheduler.queue.all().count(), 1);
    conditions.in_flight.suspect = false;
    assert_eq!(next(&mut scheduler, &conditions), ("write", 1));
}

#[test]
fn after_a_failure_batches_that_have_not_failed_go_first_even_from_disk() {
    let mut conditions = Conditions { proven: false, ..Conditions::calm() };
    let mut scheduler = scheduler([failed(1), pending(2, 1)]);
    assert_eq!(next(&mut scheduler, &conditions), ("write", 2));
    conditions.in_flight.loading = true;
    assert_eq!(next(&mut scheduler, &conditions), ("wait", 0), "another is on its way from the disk");
    conditions.in_flight.loading = false;
    assert_eq!(next(&mut scheduler, &conditions), ("write", 1));
}

#[test]
fn a_failed_batch_goes_to_disk_or_to_the_front_or_to_the_back() {
    let calm = Conditions::calm();
    let outage = Conditions { breaker: open(calm.now), ..calm };
    let stores = Conditions { spool: true, ..outage };
    let often = || {
        let mut pending = failed(1);
        pending.history.failures = FAILURES_BEFORE_OTHERS;
        pending
    };
    let place = |pending: PendingBatch, behind, conditions: &Conditions| {
        let mut scheduler = scheduler([]);
        match scheduler.put_back(pending, behind, conditions) {
            Placement::Queued => "queued",
            Placement::Compress(_) => "compress",
            Placement::Store(_) => "store",
            Placement::Spooled(_) => "spooled",
        }
    };
    for (case, pending, behind, conditions, expected) in [
        ("the first failure", failed(1), false, &calm, "queued"),
        ("others first", failed(1), true, &calm, "compress"),
        ("failed often", often(), false, &calm, "compress"),
        ("an outage without a spool", failed(1), false, &outage, "queued"),
        ("an outage with a spool", failed(1), true, &stores, "store"),
        ("it is not clear whose fault it is", often(), true, &stores, "compress"),
    ] {
        assert_eq!(place(pending, behind, conditions), expected, "{case}");
    }
}

#[test]
fn the_buffer_is_drained_when_its_points_can_be_sent_or_stored() {
    let calm = Conditions::calm();
    let outage = Conditions { breaker: open(calm.now), ..calm };
    let spooling = Conditions { spool: true, ..outage };
    let busy = Conditions { in_flight: in_flight(16), ..calm };
    let scheduler = scheduler([]);
    let full = scheduler.body_bounds(&calm).1;
    for (case, conditions, deferred, drained, expected) in [
        ("nothing waits", &calm, false, 0, Drain::Nothing),
        ("a full batch", &calm, false, full, Drain::FullBatches),
        ("an interval is over", &calm, true, full, Drain::Everything),
        ("in an outage they stay", &outage, true, full, Drain::Nothing),
        ("unless there is a spool", &spooling, true, 0, Drain::Everything),
        ("they grow into the next body", &busy, true, full, Drain::Nothing),
    ] {
        assert_eq!(scheduler.drain(conditions, deferred, drained), expected, "{case}");
    }
    for (case, conditions, defers) in [
        ("they can go", &calm, false),
        ("a batch each second of an outage", &outage, true),
        ("the disk takes them", &spooling, false),
        ("writes are in flight", &busy, true),
        ("a shutdown waits for nothing", &Conditions { closing: true, ..busy }, false),
    ] {
        assert_eq!(scheduler.defers_drain(conditions), defers, "{case}");
    }
}

#[test]
fn a_batch_or_points_for_a_full_one_count_as_waiting() {
    let calm = Conditions::calm();
    let full = scheduler([]).body_bounds(&calm).1;
    for (batches, deferred, drained, waits) in [
        (0, false, 0, false),
        (0, false, full - 1, false),
        (0, false, full, true),
        (0, true, 0, true),
        (1, false, 0, true),
    ] {
        let scheduler = scheduler((0..batches).map(|number| pending(number, 1)));
        assert_eq!(scheduler.has_waiting(&calm, deferred, drained), waits, "{batches} {deferred} {drained}");
    }
}

#[test]
fn a_few_batches_wait_uncompressed_and_the_others_compressed() {
    for (max_in_flight, plain) in [(1, 1 + PLAIN), (3, 3 + PLAIN)] {
        let mut conditions = Conditions::calm();
        conditions.settings.max_in_flight = max_in_flight;
        let mut scheduler = scheduler([]);
        let placed = (0..9).map(|number| scheduler.place(pending(number, 1), &conditions));
        let queued = placed.filter(|placement| matches!(placement, Placement::Queued)).count();
        assert_eq!(queued, plain, "{max_in_flight} in flight");
    }
}

#[test]
fn nothing_is_remembered_for_another_destination() {
    let mut scheduler = scheduler([]);
    scheduler.pace.limit.refuse(1_000);
    scheduler.replace_destination(RefusalCache::new(true));
    assert_eq!(scheduler.pace.limit.get(), None);
}

/// When loaded again it would have no failures.
#[test]
fn a_batch_that_failed_twice_is_not_stored_until_the_cause_is_known() {
    let calm = Conditions::calm();
    let conditions = Conditions { spool: true, breaker: open(calm.now), ..calm };
    for (failures, is_stored) in [(1, true), (2, false)] {
        let mut pending = failed(1);
        pending.history.failures = failures;
        let placement = scheduler([]).put_back(pending, false, &conditions);
        assert_eq!(matches!(placement, Placement::Store(_)), is_stored, "{failures} failures");
    }
}

#[test]
fn points_wait_for_a_write_in_flight_but_not_for_one_that_has_not_begun() {
    let calm = Conditions::calm();
    for (sends, waits) in [(0, false), (1, true)] {
        let conditions = Conditions { in_flight: in_flight(sends), ..calm };
        let scheduler = scheduler((0..16).map(|number| pending(number, 1)));
        assert_eq!(scheduler.defers_drain(&conditions), waits, "{sends} in flight");
    }
}

#[test]
fn batches_are_cut_by_known_refusals_until_these_are_accepted_or_expire() {
    let now = Instant::now();
    for (accepted, later, is_cut) in [(false, 0, true), (true, 0, false), (false, 600, false)] {
        let mut scheduler = scheduler([]);
        let mut pending = pending(1, 1);
        let batch = pending.batch().expect("lines");
        assert!(scheduler.cut(&batch, &pending, now).is_none(), "nothing was refused");
        for _ in 0..32 {
            Search::refused_batch(&batch, &pending, &Refused::default(), &mut scheduler.cache);
        }
        if accepted {
            scheduler.learn_accepted(&mut pending, now);
        }
        let cut = scheduler.cut(&batch, &pending, Instant::now() + Duration::from_secs(later));
        assert_eq!(cut.is_some(), is_cut, "{accepted} {later}");
    }
}
