//! Unique timestamps in nanoseconds since the epoch. No two are equal within the process.
//!
//! InfluxDB keeps one point for each measurement, tag set and timestamp. Two requests that start in
//! the same tick would silently become one. The upper 56 bits of a stamp are wall time in quanta of
//! 256 ns. The low 8 bits, its residue, identify the sequence that it comes from: 5 bits for the
//! shard of the thread, 3 bits for the era. They are mixed with a random mask of the process, so
//! that replicas mostly differ. Each of these 256 sequences only ever rises, by compare-and-swap,
//! and no two share a residue. So **no duplicate is possible, whatever the clocks, the anchor and
//! the scheduler do**. Everything else here only reduces the error of a stamp, normally to less
//! than 300 ns.
//!
//! Wall time is an anchor (wall minus monotonic time) plus the monotonic time that the caller has
//! read anyway. The first caller that finds the anchor a second old renews it; there is no
//! background task. After a step of the system clock, stamps follow it within a second of traffic.
//! On Linux the monotonic clock advances while the machine is suspended, so the first stamp
//! afterwards is right. Elsewhere it may stand still. Stamps are then behind by the time that the
//! machine was suspended since the last renewal, until it has been awake for a second.
//!
//! After the clock was set back, its sequences must not continue at the later time until the clock
//! has caught up. So each renewal chooses the era with the highest mark below the new time. After a
//! step back, that is one that was never used or was left earlier; otherwise it is nearly always
//! the current one. Choosing the closest mark keeps the low ones for deeper steps. A clock that
//! jumps back and forth needs only two eras. When no mark is low enough, the old anchor is kept.
//!
//! Not covered: a restart after a step back may repeat stamps of the earlier process. That is as
//! likely as two requests of one series in one quantum of 256 ns, times 1/256. The same holds for
//! replicas without a tag `instance`. Points with explicit times are not covered, either.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
    sync::{
        LazyLock,
        atomic::{AtomicBool, AtomicI64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

mod monotonic;
pub(crate) mod timers;

pub(crate) use monotonic::MonotonicInstant;

use crate::sync::shard::{self, Padded};

/// Returns a unique timestamp, in nanoseconds since the epoch, for an instant that the caller has
/// just read.
#[inline]
pub(crate) fn stamp(now: MonotonicInstant) -> i64 {
    STAMPS.next(shard::shard(), now.nanoseconds(), read)
}

/// Generates stamps, without clocks of its own. The caller provides the monotonic time, in
/// nanoseconds since any fixed moment. It also provides a function that reads both clocks when the
/// anchor must be renewed.
#[derive(Debug)]
pub(crate) struct Stamps {
    /// Wall minus monotonic time, in nanoseconds. The lowest 3 bits are the era. It is one atomic,
    /// so that no thread combines the offset of one era with the number of another.
    anchor: AtomicI64,
    /// The monotonic time from which on the anchor is stale.
    renew_at: AtomicI64,
    mask: i64,
    warned: AtomicBool,
    /// The last quantum used, for each shard and era.
    last: [Padded<[AtomicI64; ERAS]>; SHARDS],
}

/// Both clocks, read at the same moment, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    pub(crate) monotonic: i64,
    pub(crate) wall: i64,
}

impl Stamps {
    pub(crate) fn new(mask: u8, reading: ClockReading) -> Self {
        let last = || Padded([const { AtomicI64::new(i64::MIN) }; ERAS]);
        Self {
            anchor: AtomicI64::new(reading.offset() & !ERA),
            renew_at: AtomicI64::new(reading.monotonic.saturating_add(RENEW_AFTER)),
            mask: mask.into(),
            warned: AtomicBool::new(false),
            last: std::array::from_fn(|_| last()),
        }
    }

    /// Returns the next stamp of this shard, as close to `monotonic` as possible. Calls `read` if
    /// the anchor is stale.
    #[inline]
    pub(crate) fn next(&self, shard: usize, monotonic: i64, read: impl FnOnce() -> ClockReading) -> i64 {
        let due = self.renew_at.load(Relaxed);
        if monotonic < due {
            self.take(shard, self.anchor.load(Relaxed), monotonic)
        } else {
            self.renew_and_take(shard, due, monotonic, read)
        }
    }

    /// Takes the next quantum. The rare cases are tail calls, so that the usual case need not save
    /// registers.
    #[inline]
    fn take(&self, shard: usize, anchor: i64, monotonic: i64) -> i64 {
        let (shard, era) = (shard % SHARDS, anchor & ERA);
        let candidate = (anchor & !ERA).wrapping_add(monotonic) & !RESIDUE;
        let last = &self.last[shard].0[era as usize];
        let seen = last.load(Relaxed);
        if seen < candidate && last.compare_exchange(seen, candidate, Relaxed, Relaxed).is_ok() {
            return candidate | self.residue(shard, era);
        }
        self.take_later(shard, era, candidate)
    }

    /// Takes a later quantum: another thread of this shard has used the same one, or is ahead.
    #[cold]
    fn take_later(&self, shard: usize, era: i64, candidate: i64) -> i64 {
        let last = &self.last[shard].0[era as usize];
        let mut seen = last.load(Relaxed);
        loop {
            let next = candidate.max(seen.wrapping_add(QUANTUM));
            if next.wrapping_sub(candidate) > DRAG
                && let Some(stamp) = self.elsewhere(shard, era, candidate)
            {
                return stamp;
            }
            match last.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return next | self.residue(shard, era),
                Err(newer) => seen = newer,
            }
        }
    }

    #[inline]
    fn residue(&self, shard: usize, era: i64) -> i64 {
        ((shard as i64) << ERA_BITS | era) ^ self.mask
    }

    /// Takes a quantum in another shard. If a thread was delayed after reading the clock, another
    /// thread may have advanced the sequence of its shard. Its stamp would be milliseconds off, so
    /// it is taken from a shard that is not ahead.
    fn elsewhere(&self, shard: usize, era: i64, candidate: i64) -> Option<i64> {
        (1..SHARDS).map(|step| (shard + step) % SHARDS).find_map(|other| {
            let last = &self.last[other].0[era as usize];
            let seen = last.load(Relaxed);
            let taken = seen < candidate && last.compare_exchange(seen, candidate, Relaxed, Relaxed).is_ok();
            taken.then(|| candidate | self.residue(other, era))
        })
    }

    #[cold]
    fn renew_and_take(
        &self,
        shard: usize,
        due: i64,
        monotonic: i64,
        read: impl FnOnce() -> ClockReading,
    ) -> i64 {
        let anchor = self.renew(due, monotonic, read);
        self.take(shard, anchor, monotonic)
    }

    /// Reads the clocks, unless another thread is doing so, and returns the anchor to use.
    fn renew(&self, due: i64, monotonic: i64, read: impl FnOnce() -> ClockReading) -> i64 {
        let anchor = self.anchor.load(Relaxed);
        let next = monotonic.saturating_add(RENEW_AFTER);
        if self.renew_at.compare_exchange(due, next, Relaxed, Relaxed).is_err() {
            return anchor;
        }
        // Read before the clocks: otherwise stamps used while this thread is delayed would look
        // like a clock that was set back.
        let marks = self.marks();
        let reading = read();
        let current = anchor & ERA;
        let offset = reading.offset();
        let era = match best_era(&marks, current, reading.wall) {
            Some(era) => era,
            None if offset.saturating_sub(anchor) < -STEP => {
                self.warn();
                return anchor;
            }
            // The clock was not set back; the sequences are ahead of it. Only a load test of stamps
            // can cause that.
            None => current,
        };
        let renewed = offset & !ERA | era;
        // If this fails, this thread was delayed for a second and its reading is old.
        self.anchor
            .compare_exchange(anchor, renewed, Relaxed, Relaxed)
            .map_or_else(|newer| newer, |_| renewed)
    }

    /// Returns the highest quantum that each era has used.
    fn marks(&self) -> [i64; ERAS] {
        let mut marks = [i64::MIN; ERAS];
        for Padded(shard) in &self.last {
            for (mark, last) in marks.iter_mut().zip(shard) {
                *mark = last.load(Relaxed).max(*mark);
            }
        }
        marks
    }

    fn warn(&self) {
        if !self.warned.swap(true, Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                "the system clock was set back too often for unique timestamps: points are recorded with the \
                 time before the last step, until the clock has caught up; correct the clock (NTP) of this host"
            );
        }
    }
}

impl ClockReading {
    /// Returns the offset, limited so that an absurd wall clock cannot overflow a stamp within 36
    /// years of uptime.
    fn offset(self) -> i64 {
        self.wall.saturating_sub(self.monotonic).clamp(-FARTHEST, FARTHEST)
    }
}

/// Returns the era with the highest mark below `wall`. The current era may be slightly ahead:
/// clocks are slewed and read with some noise, and an era for each such deviation would soon use
/// all of them.
fn best_era(marks: &[i64; ERAS], current: i64, wall: i64) -> Option<i64> {
    (0..ERAS as i64)
        .map(|era| (marks[era as usize], era == current, era))
        .filter(|&(mark, is_current, _)| mark < if is_current { wall.saturating_add(STEP) } else { wall })
        .max()
        .map(|(_, _, era)| era)
}

/// Reads both clocks. If the thread is delayed between the two reads, every stamp of the next
/// second would be off, so the closest of several tries is used.
fn read() -> ClockReading {
    let mut best = None;
    for _ in 0..READ_TRIES {
        let before = MonotonicInstant::now();
        let wall = SystemTime::now();
        let gap = before.elapsed();
        if best.is_none_or(|(least, _)| gap < least) {
            let monotonic = before.nanoseconds() + (gap / 2).as_nanos() as i64;
            best = Some((gap, ClockReading { monotonic, wall: unix_nanoseconds(wall) }));
        }
        if gap < READ_GAP {
            break;
        }
    }
    best.map_or(ClockReading { monotonic: 0, wall: 0 }, |(_, reading)| reading)
}

fn unix_nanoseconds(time: SystemTime) -> i64 {
    let saturating = |duration: Duration| i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX);
    time.duration_since(UNIX_EPOCH).map_or_else(|before| -saturating(before.duration()), saturating)
}

/// The generator of the process, with the system's clocks.
static STAMPS: LazyLock<Stamps> =
    LazyLock::new(|| Stamps::new(RandomState::new().build_hasher().finish() as u8, read()));

const SHARDS: usize = 32;
const ERA_BITS: u32 = 3;
const ERAS: usize = 1 << ERA_BITS;
const ERA: i64 = ERAS as i64 - 1;
const QUANTUM: i64 = 256;
const RESIDUE: i64 = QUANTUM - 1;

const MICROSECOND: i64 = 1_000;
const MILLISECOND: i64 = 1_000 * MICROSECOND;
const RENEW_AFTER: i64 = 1_000 * MILLISECOND;
/// If the sequences are this far ahead of the wall clock, the clock counts as set back.
const STEP: i64 = MILLISECOND;
/// If a stamp would be later than its moment by more than this, another shard is tried first.
const DRAG: i64 = 2 * QUANTUM;
const FARTHEST: i64 = i64::MAX - (1 << 60);
const READ_TRIES: usize = 5;
const READ_GAP: Duration = Duration::from_micros(1);

#[cfg(test)]
mod tests;
