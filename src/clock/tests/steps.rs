//! Stamps while the system clock is stepped.

use std::{
    collections::BTreeSet,
    ops::Range,
    sync::atomic::{AtomicI64, AtomicUsize, Ordering},
    thread,
};

use proptest::prelude::*;

use super::*;

#[test]
fn after_each_step_the_stamps_follow_the_clock() {
    for step in [-2 * MILLISECOND, -SECOND, -HOUR, 2 * MILLISECOND, SECOND, HOUR] {
        let clock = Driven::new(START);
        for round in 0..7 {
            for shard in 0..4 {
                clock.advance(10 * MICROSECOND);
                assert!(clock.error(shard) < MICROSECOND, "step {step}, round {round}");
            }
            // For up to a second, stamps still follow the time before the step.
            clock.step(step);
            assert!((clock.error(0) - step.abs()).abs() < MICROSECOND);
            clock.advance(SECOND);
        }
        clock.assert_unique();
    }
}

#[test]
fn a_repeated_moment_has_other_stamps() {
    let clock = Driven::new(START);
    for _ in 0..ERAS {
        let before = clock.wall();
        for shard in 0..SHARDS {
            clock.advance(SECOND);
            clock.stamp_of(shard);
        }
        clock.step(before - clock.wall());
    }
    clock.assert_unique();
}

#[test]
fn a_clock_that_jumps_back_and_forth_needs_two_eras() {
    let clock = Driven::new(START);
    let mut eras = BTreeSet::new();
    for round in 0..100 {
        for shard in 0..SHARDS {
            clock.advance(SECOND / 16);
            assert!(clock.error(shard) < MICROSECOND, "round {round}");
        }
        eras.insert(clock.era());
        clock.step(if round % 2 == 0 { -HOUR } else { HOUR });
        clock.advance(SECOND);
    }
    assert_eq!(eras.len(), 2);
    clock.assert_unique();
}

#[test]
fn when_all_eras_are_used_the_old_time_is_kept_until_the_clock_has_caught_up() {
    let clock = Driven::new(START);
    clock.stamp_of(0);
    for _ in 0..ERAS - 1 {
        clock.step(-HOUR);
        clock.advance(SECOND);
        assert!(clock.error(0) < MICROSECOND);
    }
    for round in 1..=4 {
        clock.step(-HOUR);
        clock.advance(SECOND);
        assert!((clock.error(0) - round * HOUR).abs() < MICROSECOND, "round {round}");
        assert!(clock.stamps.warned.load(Relaxed));
    }
    clock.advance(5 * HOUR);
    assert!(clock.error(0) < MICROSECOND);
    clock.assert_unique();
}

#[test]
fn small_steps_back_use_no_era() {
    let clock = Driven::new(START);
    let era = clock.era();
    for _ in 0..100 {
        clock.stamp_of(0);
        clock.step(-MILLISECOND + 10 * MICROSECOND);
        clock.advance(SECOND);
        // This time was stamped before, so a stamp in it may be off by the step.
        assert!(clock.error(0) < MILLISECOND);
        clock.advance(2 * MILLISECOND);
        assert!(clock.error(0) < MICROSECOND);
    }
    assert_eq!(clock.era(), era);
    clock.assert_unique();
}

#[test]
fn a_thread_with_an_old_anchor_affects_an_era_only_briefly() {
    let clock = Driven::new(START);
    clock.step(-HOUR);
    clock.advance(SECOND);
    clock.stamp_of(0);
    // As if the thread had loaded the anchor before a step of an hour, was delayed, and now writes
    // into the current era.
    let era = clock.era() as usize;
    clock.stamps.last[5].0[era].store((clock.wall() + HOUR) & !RESIDUE, Relaxed);
    clock.advance(SECOND);
    assert!(clock.error(5) < MICROSECOND);
    assert_ne!(clock.era() as usize, era);
    clock.assert_unique();
}

#[test]
fn an_absurd_wall_clock_causes_no_overflow() {
    for wall in [i64::MIN, i64::MIN + 1, -START, -1, 0, i64::MAX - SECOND, i64::MAX] {
        let clock = Driven::new(wall);
        for other in [i64::MAX, START, i64::MIN, 0] {
            for shard in 0..3 {
                clock.advance(SECOND / 2);
                clock.stamp_of(shard);
            }
            clock.offset.set(other);
        }
        clock.assert_unique();
    }
    assert_eq!(unix_nanoseconds(UNIX_EPOCH - Duration::from_nanos(7)), -7);
    assert_eq!(unix_nanoseconds(UNIX_EPOCH + Duration::from_secs(1 << 40)), i64::MAX);
    assert_eq!(unix_nanoseconds(UNIX_EPOCH - Duration::from_secs(1 << 40)), -i64::MAX);
}

#[test]
fn threads_that_race_with_steps_never_share_a_stamp() {
    const THREADS: usize = 8;
    const EACH: usize = 30_000;
    let stamps = Stamps::new(0, ClockReading { monotonic: 0, wall: START });
    let (monotonic, offset, running) = (AtomicI64::new(0), AtomicI64::new(START), AtomicUsize::new(THREADS));
    let work = |shard: usize| {
        let given = (0..EACH).map(|_| {
            let now = monotonic.fetch_add(40, Ordering::Relaxed);
            stamps.next(shard, now, || {
                let monotonic = monotonic.load(Ordering::Relaxed);
                ClockReading { monotonic, wall: monotonic + offset.load(Ordering::Relaxed) }
            })
        });
        let given = given.collect::<Vec<_>>();
        running.fetch_sub(1, Ordering::Relaxed);
        given
    };
    let all = thread::scope(|scope| {
        // Two threads use each shard.
        let threads: Vec<_> = (0..THREADS).map(|number| scope.spawn(move || work(number / 2))).collect();
        let mut random = fastrand::Rng::with_seed(7);
        while running.load(Ordering::Relaxed) > 0 {
            offset.fetch_add(random.i64(-5 * SECOND..5 * SECOND), Ordering::Relaxed);
            monotonic.fetch_add(SECOND / 3, Ordering::Relaxed);
            thread::yield_now();
        }
        threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("stamping does not panic"))
            .collect::<Vec<_>>()
    });
    assert_eq!(all.len(), THREADS * EACH);
    assert_unique(all);
}

#[derive(Clone, Debug)]
enum Act {
    Stamp { shard: usize, count: usize },
    StampOfThePast { shard: usize, ago: i64 },
    Advance { nanoseconds: i64 },
    Step { nanoseconds: i64 },
}

/// Half of all times are whole seconds, so that the same moments occur repeatedly.
fn act() -> impl Strategy<Value = Act> {
    let shard = prop_oneof![0..3usize, 0..SHARDS * 2];
    let seconds = |range: Range<i64>| range.prop_map(|seconds| seconds * SECOND);
    let past = prop_oneof![seconds(0..3), 0..20 * MILLISECOND];
    let pause = prop_oneof![seconds(0..3), 0..2 * MICROSECOND, 0..2 * MILLISECOND, 0..3 * SECOND];
    let step = prop_oneof![
        4 => seconds(-4..4),
        1 => -2 * MILLISECOND..2 * MILLISECOND,
        1 => -3 * SECOND..3 * SECOND,
        1 => -HOUR..HOUR,
        1 => -99 * HOUR..99 * HOUR,
    ];
    prop_oneof![
        3 => (shard.clone(), prop_oneof![5 => 1..3usize, 1 => 40..50usize])
            .prop_map(|(shard, count)| Act::Stamp { shard, count }),
        1 => (shard, past).prop_map(|(shard, ago)| Act::StampOfThePast { shard, ago }),
        2 => pause.prop_map(|nanoseconds| Act::Advance { nanoseconds }),
        2 => step.prop_map(|nanoseconds| Act::Step { nanoseconds }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn no_sequence_of_steps_makes_a_duplicate(acts in prop::collection::vec(act(), 1..200)) {
        let clock = Driven::new(START);
        for act in acts {
            match act {
                Act::Stamp { shard, count } => {
                    for _ in 0..count {
                        clock.stamp_of(shard);
                    }
                }
                Act::StampOfThePast { shard, ago } => {
                    clock.stamp_at(shard, clock.monotonic.get() - ago);
                }
                Act::Advance { nanoseconds } => clock.advance(nanoseconds),
                Act::Step { nanoseconds } => clock.step(nanoseconds),
            }
        }
        clock.assert_unique();
    }

    #[test]
    fn up_to_seven_steps_of_any_size_leave_no_error(steps in prop::collection::vec((-99 * HOUR..99 * HOUR, 0..3 * SECOND), 1..8)) {
        let clock = Driven::new(START);
        for (step, pause) in steps {
            clock.step(step);
            clock.advance(SECOND + pause);
            for shard in 0..SHARDS {
                // The first millisecond may be stamped already, if the step was shorter than that.
                clock.advance(MILLISECOND);
                let error = clock.error(shard);
                prop_assert!(shard == 0 && error <= STEP || error < MICROSECOND, "{error} ns off after a step of {step}");
            }
        }
        clock.assert_unique();
    }
}
