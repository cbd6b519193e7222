//! A number for each thread, so that threads use separate shards, and the padding that keeps these
//! on separate cache lines.

use std::{
    cell::Cell,
    sync::atomic::{AtomicU64, Ordering},
};

use crate::sync;

/// Returns the number of the calling thread. It is assigned in rising order at the first use, and
/// never changes, and no two threads have the same one of the low numbers. Callers mask it to their
/// number of shards.
#[cfg(not(tower_influx_loom))]
#[inline]
pub(crate) fn shard() -> usize {
    // The cell is const-initialized and has no destructor, so this is a single load, and also works
    // during the destruction of the thread.
    let number = SHARD.with(Cell::get);
    if number == UNSET { hand_out() } else { number as usize }
}

/// Adds 1 to a count that no other thread writes. An atomic addition takes some 20 cycles, even
/// without contention.
///
/// A thread may do so for the shard that has its own number, which no other thread has.
#[inline]
pub(crate) fn add_alone(count: &sync::atomic::AtomicU64) {
    use sync::atomic::Ordering::Relaxed;
    count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
}

/// A value on cache lines of its own: values that different threads write must not share one. It
/// has 128 bytes, because processors fetch lines of 64 bytes in pairs, and some have lines of 128.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Padded<T>(pub(crate) T);

#[cold]
fn hand_out() -> usize {
    // No two threads may have one of the low numbers, whose counts only one thread writes. So the
    // number does not wrap: after four thousand million threads, all have the last one.
    let number = NEXT.fetch_add(1, Ordering::Relaxed).min(u64::from(UNSET) - 1) as u32;
    SHARD.with(|shard| shard.set(number));
    number as usize
}

const UNSET: u32 = u32::MAX;

static NEXT: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static SHARD: Cell<u32> = const { Cell::new(UNSET) };
}

#[cfg(tower_influx_loom)]
loom::thread_local! {
    static MODEL_SHARD: Cell<usize> = Cell::new(0);
}

/// Returns the number that [`take_shard`] set, or 0: numbers in the order of first use would differ
/// from run to run.
#[cfg(tower_influx_loom)]
pub(crate) fn shard() -> usize {
    MODEL_SHARD.with(Cell::get)
}

/// Sets the number of the calling thread of a model.
#[cfg(tower_influx_loom)]
pub(crate) fn take_shard(number: usize) {
    MODEL_SHARD.with(|shard| shard.set(number));
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    #[test]
    fn a_thread_keeps_its_number_and_shares_it_with_nobody() {
        let threads: Vec<_> = (0..20).map(|_| thread::spawn(|| [shard(), shard(), shard()])).collect();
        let mut seen = HashSet::new();
        for thread in threads {
            let [first, second, third] = thread.join().expect("the thread only asks for its number");
            assert!(first == second && second == third);
            assert!(seen.insert(first), "two threads have the number {first}");
        }
    }

    #[test]
    fn padded_values_share_no_line() {
        let pair = [Padded(0u8), Padded(1u8)];
        assert_eq!(size_of_val(&pair), 256);
    }
}
