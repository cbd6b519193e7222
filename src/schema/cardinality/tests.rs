//! Which values are admitted, how many, and what is logged about others.

use std::{collections::HashSet, thread};

use super::*;
use crate::test_log::logged;

fn admits(values: &TagCardinality, key: &[u8], value: &[u8]) -> bool {
    values.admits(&[key, b"=", value].concat(), key.len())
}

fn admitted(values: &TagCardinality, range: std::ops::Range<u32>) -> HashSet<u32> {
    // Uses short and longer values.
    let text = |number: u32| {
        if number.is_multiple_of(2) { format!("{number}") } else { format!("tenant-{number}") }
    };
    range.filter(|number| admits(values, b"tenant", text(*number).as_bytes())).collect()
}

#[test]
fn the_first_values_pass_and_keep_passing() {
    for limit in [1, 2, 7, 16, 17, 100, 1_000, 5_000] {
        let values = TagCardinality::new(limit);
        let first: HashSet<u32> = (0..limit as u32).collect();
        assert_eq!(admitted(&values, 0..20_000), first, "limit {limit}");
        assert_eq!(admitted(&values, 0..20_000), first, "limit {limit}, again");
    }
}

#[test]
fn keys_have_limits_of_their_own_and_the_overflow_value_is_free() {
    let values = TagCardinality::new(1);
    assert!(admits(&values, b"a", b"1") && !admits(&values, b"a", b"2"));
    assert!(admits(&values, b"b", b"2") && !admits(&values, b"b", b"1"));
    assert!(admits(&values, b"a", OVERFLOW.as_bytes()) && admits(&values, b"c", OVERFLOW.as_bytes()));
    assert!(admits(&values, b"c", b"1"));
    let counters = RecorderCounters::default();
    assert_eq!(values.admit("c", "1", &counters), "1");
    assert_eq!((values.admit("c", "2", &counters), counters.overflowed_tags.count()), ("other", 1));
}

#[test]
fn the_overflow_is_logged_once_per_tag_without_values() {
    let values = TagCardinality::new(1);
    let log = logged(|| {
        for number in 0..10 {
            admits(&values, b"tenant", format!("secret-{number}").as_bytes());
            admits(&values, b"host", format!("secret-{number}").as_bytes());
        }
    });
    assert_eq!((log.matches("WARN").count(), log.matches("tag=tenant limit=1").count()), (2, 1), "{log}");
    assert!(!log.contains("secret"), "{log}");
}

#[test]
fn nothing_is_logged_below_the_limit() {
    let values = TagCardinality::new(3);
    let log = logged(|| (0..3).for_each(|_| assert_eq!(admitted(&values, 0..3).len(), 3)));
    assert_eq!(log, "");
}

#[test]
fn only_what_was_admitted_can_be_noted_as_a_tag_of_requests() {
    let values = TagCardinality::new(1);
    let tag = |value: &str| format!("tenant={value}").into_bytes();
    values.note_of_requests(&tag("unknown"));
    assert!(!values.is_of_requests(&tag("unknown")));
    assert!(admits(&values, b"tenant", b"1") && !values.is_of_requests(&tag("1")));
    values.note_of_requests(&tag("1"));
    assert!(values.is_of_requests(&tag("1")) && admits(&values, b"tenant", b"1"));
    assert!(!admits(&values, b"tenant", b"2"));
    values.note_of_requests(&tag("2"));
    assert!(!values.is_of_requests(&tag("2")) && !admits(&values, b"tenant", b"2"));
}

#[test]
fn every_key_has_places_for_as_many_values_as_the_limit_allows() {
    for limit in [7, 64] {
        let values = TagCardinality::new(limit.into());
        for key in 0..100 {
            let all = (0..limit).all(|value| admits(&values, format!("key-{key}").as_bytes(), &[value]));
            assert!(all, "limit {limit}, key {key}");
        }
    }
}

#[test]
fn no_limit_admits_everything() {
    let values = TagCardinality::new(0);
    assert_eq!(admitted(&values, 0..10_000).len(), 10_000);
    assert!(values.keys.is_empty());
}

#[test]
fn keys_beyond_the_bound_share_one_set() {
    let values = TagCardinality::new(2);
    for number in 0..10_000_u32 {
        admits(&values, &number.to_be_bytes(), b"value");
    }
    let taken = values.keys.iter().filter(|key| key.get().is_some()).count();
    assert!(taken <= KEYS);
    assert_eq!(values.shared.admitted.load(Ordering::Relaxed), 2);
    let passing = (0..10_000_u32).filter(|number| admits(&values, &number.to_be_bytes(), b"value")).count();
    assert_eq!(passing, taken + 2);
}

#[test]
fn exactly_the_limit_is_admitted_between_threads() {
    for limit in [1, 50, 1_000] {
        for round in 0..20 {
            let values = TagCardinality::new(limit);
            let seen: HashSet<u32> = thread::scope(|scope| {
                let threads: Vec<_> = (0..8)
                    // The ranges overlap: some values come from several threads at once, others
                    // from one only.
                    .map(|thread| (thread * 300)..(thread * 300 + 3_000))
                    .map(|range| scope.spawn(|| admitted(&values, range)))
                    .collect();
                threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
            });
            assert_eq!(seen.len(), limit, "limit {limit}, round {round}");
            assert_eq!(admitted(&values, 0..10_000), seen, "limit {limit}, round {round}, afterwards");
        }
    }
}

#[test]
fn values_beyond_the_limit_take_no_memory() {
    let values = TagCardinality::new(1_000);
    admitted(&values, 0..1_000);
    let before = format!("{:?}", values.decided);
    thread::scope(|scope| {
        for thread in 0..4_u32 {
            let values = &values;
            scope.spawn(move || {
                assert!(
                    admitted(values, 1_000 + thread * 250_000..1_000 + (thread + 1) * 250_000).is_empty()
                );
            });
        }
    });
    assert_eq!(format!("{:?}", values.decided), before);
}

fn hash(values: &TagCardinality, tag: &[u8]) -> u64 {
    let mut hasher = values.hasher.build_hasher();
    hasher.write(tag);
    hasher.finish()
}

/// The other thread was interrupted between its insertion and its decision.
#[test]
fn an_interrupted_decision_is_made_by_the_next_thread_and_counted_once() {
    for (taken, expected) in [(0, true), (1, true), (2, false)] {
        let values = TagCardinality::new(2);
        values.key(b"tenant").admitted.store(taken, Ordering::Relaxed);
        let open = values.decided.find_or_insert(hash(&values, b"tenant=1"), UNDECIDED).expect("room");
        for _ in 0..3 {
            assert_eq!(admits(&values, b"tenant", b"1"), expected);
        }
        // It goes on.
        assert_eq!(values.settle(values.key(b"tenant"), &open), expected);
        let count = values.key(b"tenant").admitted.load(Ordering::Relaxed);
        assert_eq!(count, taken + usize::from(expected));
    }
}

/// The other thread decides while this one waits.
#[test]
fn a_decision_is_that_of_the_thread_that_was_first() {
    let values = TagCardinality::new(2);
    let marks = [(ADMITTED, true), (ADMITTED | OF_REQUESTS, true), (REFUSED, false)];
    for (mark, expected) in marks {
        let entry = values.decided.find_or_insert(hash(&values, &[mark]), mark).expect("room");
        assert_eq!(values.decision(&values.shared, &entry), expected, "mark {mark}");
    }
}
