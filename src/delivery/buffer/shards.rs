//! The shards of a buffer, and the mapping of threads to them.

use crate::sync::{
    Mutex, MutexGuard,
    atomic::AtomicU64,
    shard::{Padded, shard},
};

use super::shard::Shard;

/// The shards. Their number is a power of two.
#[derive(Debug)]
pub(super) struct Shards(Box<[Padded<BufferShard>]>);

/// A shard on cache lines of its own.
#[derive(Debug, Default)]
pub(super) struct BufferShard {
    /// Requests that started on a thread of this shard. The counter is outside the lock, but on the
    /// cache line that a push writes anyway.
    pub(super) started: AtomicU64,
    pub(super) shard: Mutex<Shard>,
}

impl Shards {
    pub(super) fn new(wanted: usize) -> Self {
        let count = wanted.next_power_of_two().clamp(1, MOST_SHARDS);
        Self((0..count).map(|_| Padded::default()).collect())
    }

    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the shard `step` places after this thread's own.
    #[inline]
    pub(super) fn place(&self, step: usize) -> &BufferShard {
        &self.0[(shard() + step) & (self.0.len() - 1)].0
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
        self.0.iter().map(|Padded(place)| place.shard.lock())
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &BufferShard> {
        self.0.iter().map(|Padded(place)| place)
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
