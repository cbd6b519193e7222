//! A shared value that many threads clone and drop all the time without contention.

use std::{
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use crate::sync::shard::{Padded, shard};

/// An [`Arc`] whose clones are counted separately for each shard of threads.
///
/// All cores write to the single counter of an `Arc`, at about 50 ns a write under contention. So
/// each value here belongs to the shard of the thread that created it. A clone made on that shard
/// is counted there. The first clone made on another shard copies the value; further clones there
/// are clones of that copy. A copy may be copied again: a handle that was cloned on one thread and
/// is used on others, like that of a router, is counted there.
///
/// A copy of a copy is not copied again, and is counted like an `Arc`. Otherwise a service that
/// replaces itself by its clone on changing threads would grow an endless chain. Each handle keeps
/// its own copy alive, and the copies made of it, but not the one that it was copied from. So there
/// is no cycle, and nothing leaks.
pub(crate) struct ShardedArc<T>(Arc<Padded<ShardCopy<T>>>);

struct ShardCopy<T> {
    value: T,
    shard: usize,
    /// How often it was copied, starting from 0.
    depth: u8,
    elsewhere: OnceLock<Box<[OnceLock<ShardedArc<T>>]>>,
}

impl<T: Clone> ShardedArc<T> {
    pub(crate) fn new(value: T) -> Self {
        Self::copied(value, 0)
    }

    fn copied(value: T, depth: u8) -> Self {
        let shard = shard() % SHARDS;
        Self(Arc::new(Padded(ShardCopy { value, shard, depth, elsewhere: OnceLock::new() })))
    }

    #[inline(never)]
    fn clone_elsewhere(&self, shard: usize) -> Self {
        let Padded(ShardCopy { value, depth, elsewhere, .. }) = &*self.0;
        if *depth == DEEPEST {
            return Self(Arc::clone(&self.0));
        }
        let copies = elsewhere.get_or_init(|| (0..SHARDS).map(|_| OnceLock::new()).collect());
        let copy = copies[shard].get_or_init(|| Self::copied(value.clone(), depth + 1));
        Self(Arc::clone(&copy.0))
    }
}

impl<T: Clone> Clone for ShardedArc<T> {
    #[inline]
    fn clone(&self) -> Self {
        let shard = shard() % SHARDS;
        if shard == self.0.0.shard { Self(Arc::clone(&self.0)) } else { self.clone_elsewhere(shard) }
    }
}

impl<T> Deref for ShardedArc<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0.0.value
    }
}

impl<T: fmt::Debug> fmt::Debug for ShardedArc<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, formatter)
    }
}

/// Further threads share shards.
const SHARDS: usize = 32;
/// A router is cloned once where it is built, and again for each request.
const DEEPEST: u8 = 2;

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn count<T>(shared: &ShardedArc<T>) -> usize {
        Arc::strong_count(&shared.0)
    }

    #[test]
    fn clones_are_counted_where_they_are_made() {
        let here = ShardedArc::new(());
        let clone = here.clone();
        assert_eq!((count(&here), count(&clone)), (2, 2));
        thread::scope(|scope| {
            scope.spawn(|| {
                let clones: Vec<_> = (0..100).map(|_| here.clone()).collect();
                assert_eq!(count(&clones[0]), 101, "with the one that is kept for the next clone");
                assert_eq!(count(&clones[0].clone()), 102, "a clone of a clone");
                assert_eq!(count(&here), 2, "nobody has written here");
            });
        });
        thread::scope(|scope| scope.spawn(|| assert_eq!(count(&here.clone()), 2, "none is left")).join())
            .expect("no panic");
        assert_eq!(count(&here), 2);
    }

    #[test]
    fn clones_of_clones_on_changing_threads_make_no_chain() {
        let value = Arc::new("value");
        let first = ShardedArc::new(Arc::clone(&value));
        let mut shared = first.clone();
        for _ in 0..1_000 {
            shared = thread::scope(|scope| scope.spawn(|| shared.clone()).join()).expect("no panic");
        }
        assert_eq!(
            Arc::strong_count(&value),
            2 + usize::from(DEEPEST),
            "ours, the first one's, and its copies'"
        );
        drop((first, shared));
        assert_eq!(Arc::strong_count(&value), 1);
    }

    #[test]
    fn a_clone_outlives_its_original_and_nothing_leaks() {
        let value = Arc::new("value");
        let mut shared = ShardedArc::new(Arc::clone(&value));
        for _ in 0..100 {
            // Each clone is made from the last one, on a thread of its own.
            shared = thread::scope(|scope| scope.spawn(|| shared.clone()).join()).expect("no panic");
            assert_eq!(**shared, "value");
        }
        assert_eq!(Arc::strong_count(&value), 2, "the others went with their handles");
        drop(shared);
        assert_eq!(Arc::strong_count(&value), 1);
    }
}
