//! How a push wakes the flusher: only when the flusher waits for it, and never in vain.

use crate::sync::{
    Notify,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

/// Wakes one waiter when there is something at all.
///
/// The condition itself is read and written under the locks of the shards, and these order the flag
/// too: either the waiter's look at a shard comes after the push, or the push sees the flag that
/// was raised before the look.
#[derive(Debug, Default)]
pub(super) struct WakeWhenAny {
    wanted: AtomicBool,
    notify: Notify,
}

impl WakeWhenAny {
    /// Wakes the flusher after a push that made a shard non-empty.
    #[inline]
    pub(super) fn wake(&self) {
        // Not a swap, which would write `false` even where the wish is gone and the next one may be
        // on its way.
        if self.wanted.load(Relaxed) && self.wanted.compare_exchange(true, false, Relaxed, Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Returns when `any` holds. A dropped wait leaves at most one wake-up too many, which the next
    /// wait looks through.
    pub(super) async fn wait(&self, any: impl Fn() -> bool) {
        loop {
            self.wanted.store(true, Relaxed);
            if any() {
                self.wanted.store(false, Relaxed);
                return;
            }
            self.notify.notified().await;
        }
    }
}

/// A sum of bytes that wakes one waiter when it reaches what the waiter waits for.
#[derive(Debug)]
pub(super) struct WatchedSum {
    sum: AtomicUsize,
    /// `usize::MAX` while nobody waits.
    wanted: AtomicUsize,
    notify: Notify,
}

impl WatchedSum {
    pub(super) fn new() -> Self {
        Self { sum: AtomicUsize::new(0), wanted: AtomicUsize::new(NOBODY), notify: Notify::new() }
    }

    pub(super) fn get(&self) -> usize {
        self.sum.load(Relaxed)
    }

    /// Returns the new sum.
    pub(super) fn add(&self, bytes: usize) -> usize {
        self.sum.fetch_add(bytes, Relaxed) + bytes
    }

    /// Returns the new sum.
    pub(super) fn subtract(&self, bytes: usize) -> usize {
        self.sum.fetch_sub(bytes, Relaxed) - bytes
    }

    /// Wakes the flusher after an addition.
    pub(super) fn wake(&self) {
        // Sum and wish are two places without a lock. Each side writes its own and then reads the
        // other's; with a fence between the two on both sides, at least one of them sees what the
        // other wrote.
        fence(SeqCst);
        let wanted = self.wanted.load(Relaxed);
        if wanted <= self.get() && self.wanted.compare_exchange(wanted, NOBODY, Relaxed, Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Returns when the sum is at least `bytes`.
    pub(super) async fn wait(&self, bytes: usize) {
        loop {
            self.wanted.store(bytes, Relaxed);
            fence(SeqCst);
            if self.get() >= bytes {
                self.wanted.store(NOBODY, Relaxed);
                return;
            }
            self.notify.notified().await;
        }
    }
}

const NOBODY: usize = usize::MAX;

#[cfg(test)]
mod tests {
    use std::{
        cell::Cell,
        pin::pin,
        task::{Context, Waker},
    };

    use super::*;

    #[test]
    fn pushes_beside_one_that_wakes_do_not_wake_again() {
        let (wake, looks) = (WakeWhenAny::default(), Cell::new(0));
        let mut wait = pin!(wake.wait(|| {
            looks.set(looks.get() + 1);
            false
        }));
        let mut poll = || wait.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending();
        assert!(poll() && looks.get() == 1);
        for _ in 0..3 {
            wake.wake();
        }
        assert!(poll());
        assert_eq!(looks.get(), 2, "one wake-up, one look");
    }
}
