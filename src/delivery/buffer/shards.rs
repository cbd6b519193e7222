//! The shards of a buffer, and the mapping of threads to them.

use crate::sync::{
    Mutex, MutexGuard,
    atomic::{AtomicU64, Ordering::Relaxed},
    shard::{Padded, add_alone, shard},
};

use super::shard::Shard;

/// The shards. Their number is a power of two.
#[derive(Debug)]
pub(super) struct Shards {
    places: Box<[Padded<BufferShard>]>,
    /// Requests that started on threads without a shard of their number. There are more threads
    /// than shards only where threads block or come and go.
    started_by_others: Box<[Padded<AtomicU64>]>,
}

/// A shard on cache lines of its own.
#[derive(Debug, Default)]
pub(super) struct BufferShard {
    /// Requests that started on the thread that has the number of this shard. The counter is
    /// outside the lock, but on the cache line that a push writes anyway.
    started: AtomicU64,
    pub(super) shard: Mutex<Shard>,
}

impl Shards {
    pub(super) fn new(wanted: usize) -> Self {
        let count = wanted.next_power_of_two().clamp(1, MOST_SHARDS);
        Self {
            places: (0..count).map(|_| Padded::default()).collect(),
            started_by_others: (0..count).map(|_| Padded::default()).collect(),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.places.len()
    }

    /// Counts a request that starts on this thread.
    #[inline]
    pub(super) fn count_start(&self) {
        let number = shard();
        match self.places.get(number) {
            Some(Padded(place)) => add_alone(&place.started),
            None => _ = self.started_by_others[number & (self.count() - 1)].0.fetch_add(1, Relaxed),
        }
    }

    /// Returns how many requests have started.
    pub(super) fn started(&self) -> u64 {
        let others = self.started_by_others.iter().map(|Padded(count)| count.load(Relaxed));
        self.iter().map(|place| place.started.load(Relaxed)).chain(others).sum()
    }

    /// Returns the shard `step` places after this thread's own.
    #[inline]
    pub(super) fn place(&self, step: usize) -> &BufferShard {
        &self.places[(shard() + step) & (self.places.len() - 1)].0
    }

    /// Locks the thread's own shard, or the next free one if it is held. Its holder may have been
    /// suspended, and there are as many shards as threads can run at once.
    #[inline(always)]
    pub(super) fn lock_own(&self) -> MutexGuard<'_, Shard> {
        match self.place(0).shard.try_lock() {
            Some(shard) => shard,
            None => self.lock_next(),
        }
    }

    #[cold]
    fn lock_next(&self) -> MutexGuard<'_, Shard> {
        match self.place(1).shard.try_lock() {
            Some(shard) => shard,
            None => self.place(0).shard.lock(),
        }
    }

    /// Locks each shard, one after the other, never two at once.
    pub(super) fn locked(&self) -> impl Iterator<Item = MutexGuard<'_, Shard>> {
        self.places.iter().map(|Padded(place)| place.shard.lock())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BufferShard> {
        self.places.iter().map(|Padded(place)| place)
    }
}

/// The number of shards that thread numbers can distinguish.
const MOST_SHARDS: usize = 32;

#[cfg(test)]
mod tests {
    use std::{ptr, thread};

    use super::*;

    #[test]
    fn stepping_visits_the_shards_in_order_from_any_own_shard() {
        let shards = Shards::new(4);
        let place = |step| shards.iter().position(|place| ptr::eq(place, shards.place(step)));
        let places = || [0, 1, 2, 3, 4].map(|step| place(step).expect("one of the four"));
        for _ in 0..8 {
            let places = thread::scope(|scope| scope.spawn(places).join().expect("no panic"));
            let round = [0, 1, 2, 3, 0, 1, 2, 3];
            assert_eq!(places[..4], round[places[0]..places[0] + 4]);
            assert_eq!(places[4], places[0]);
        }
    }
}
