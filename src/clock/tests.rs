//! Clocks that a test controls, and stamps under normal conditions.

use std::{cell::Cell, sync::Barrier, thread};

use super::*;

mod sleep;
mod steps;

const SECOND: i64 = 1_000 * MILLISECOND;
const HOUR: i64 = 3_600 * SECOND;
const START: i64 = 1_750_000_000 * SECOND;

/// Stamps with clocks that a test sets.
struct Driven {
    stamps: Stamps,
    monotonic: Cell<i64>,
    offset: Cell<i64>,
    reads: Cell<usize>,
    given: Cell<Vec<i64>>,
}

impl Driven {
    fn new(wall: i64) -> Self {
        let stamps = Stamps::new(0b1010_0101, ClockReading { monotonic: 0, wall });
        Self {
            stamps,
            monotonic: Cell::new(0),
            offset: Cell::new(wall),
            reads: Cell::new(0),
            given: Cell::default(),
        }
    }

    fn wall(&self) -> i64 {
        self.offset.get().saturating_add(self.monotonic.get())
    }

    fn advance(&self, nanoseconds: i64) {
        self.monotonic.set(self.monotonic.get() + nanoseconds);
    }

    fn step(&self, nanoseconds: i64) {
        self.offset.set(self.offset.get() + nanoseconds);
    }

    fn read(&self) -> ClockReading {
        self.reads.set(self.reads.get() + 1);
        ClockReading { monotonic: self.monotonic.get(), wall: self.wall() }
    }

    fn stamp_of(&self, shard: usize) -> i64 {
        self.stamp_at(shard, self.monotonic.get())
    }

    fn stamp_at(&self, shard: usize, monotonic: i64) -> i64 {
        let stamp = self.stamps.next(shard, monotonic, || self.read());
        let mut given = self.given.take();
        given.push(stamp);
        self.given.set(given);
        stamp
    }

    /// Returns the difference between a stamp taken now and the wall clock.
    fn error(&self, shard: usize) -> i64 {
        (self.stamp_of(shard) - self.wall()).abs()
    }

    fn era(&self) -> i64 {
        self.stamps.anchor.load(Relaxed) & ERA
    }

    fn assert_unique(&self) {
        assert_unique(self.given.take());
    }
}

fn assert_unique(mut stamps: Vec<i64>) {
    let count = stamps.len();
    stamps.sort_unstable();
    stamps.dedup();
    assert_eq!(stamps.len(), count, "{} stamps were given out twice", count - stamps.len());
}

fn stamps_of_threads(threads: usize, each: usize) {
    let barrier = Barrier::new(threads);
    let work = || {
        barrier.wait();
        (0..each).map(|_| stamp(MonotonicInstant::now())).collect::<Vec<_>>()
    };
    let stamps = thread::scope(|scope| {
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        running
            .into_iter()
            .flat_map(|thread| thread.join().expect("stamping does not panic"))
            .collect::<Vec<_>>()
    });
    assert_eq!(stamps.len(), threads * each);
    assert_unique(stamps);
}

#[test]
fn two_million_stamps_of_2_threads_are_unique() {
    stamps_of_threads(2, 1_000_000);
}

#[test]
fn two_million_stamps_of_8_threads_are_unique() {
    stamps_of_threads(8, 250_000);
}

#[test]
fn two_million_stamps_of_200_threads_are_unique() {
    stamps_of_threads(200, 10_000);
}

#[test]
fn a_stamp_is_the_time_of_the_system() {
    let system = unix_nanoseconds(SystemTime::now());
    let stamp = stamp(MonotonicInstant::now());
    assert!((stamp - system).abs() < 60 * SECOND, "{stamp} is not about {system}");
}

#[test]
fn the_stamps_of_a_thread_rise_and_are_within_a_microsecond() {
    let clock = Driven::new(START);
    let mut last = i64::MIN;
    for round in 0..200_000 {
        clock.advance(QUANTUM + round % 1_000);
        let stamp = clock.stamp_of(3);
        let error = (stamp - clock.wall()).abs();
        assert!(error < MICROSECOND, "{error} ns off in round {round}");
        assert!(stamp > last);
        last = stamp;
    }
    clock.assert_unique();
}

#[test]
fn the_clocks_are_read_once_a_second_at_most() {
    let clock = Driven::new(START);
    for _ in 0..10_000 {
        clock.advance(MILLISECOND);
        clock.stamp_of(0);
    }
    assert_eq!(clock.reads.get(), 10);
    clock.advance(HOUR);
    clock.stamp_of(0);
    clock.stamp_of(1);
    assert_eq!(clock.reads.get(), 11);
}

#[test]
fn a_delayed_thread_gets_a_stamp_of_its_own_moment() {
    let clock = Driven::new(START);
    let before = clock.wall();
    for shard in 0..SHARDS - 1 {
        clock.advance(5 * MILLISECOND);
        clock.stamp_of(shard);
    }
    let late = clock.stamp_at(0, 0);
    assert!((late - before).abs() < MICROSECOND, "{} ns off", late - before);
    // Now every shard is ahead. The stamp is still unique, and no further off than its own shard
    // was.
    clock.stamp_of(SHARDS - 1);
    clock.stamp_at(0, 0);
    clock.stamp_at(0, 0);
    clock.assert_unique();
}

#[test]
fn stamps_of_one_moment_are_unique_and_spread_over_the_shards() {
    let clock = Driven::new(START);
    clock.advance(1);
    for _ in 0..SHARDS + 2 {
        assert!(clock.error(7) < MICROSECOND);
    }
    for _ in 0..10_000 {
        clock.stamp_of(7);
    }
    clock.assert_unique();
}
