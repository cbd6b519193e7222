//! How a push wakes the flusher: only while the flusher waits, and never without reason.

use crate::sync::{
    Notify,
    atomic::{
        AtomicBool, AtomicUsize,
        Ordering::{Relaxed, SeqCst},
        fence,
    },
};

/// Wakes one waiter when any points exist.
///
/// The condition itself is read and written under the locks of the shards, which also order the
/// flag. Either the waiter reads a shard after the push, or the push sees the flag that was set
/// before.
#[derive(Debug, Default)]
pub(super) struct WakeWhenAny {
    wanted: AtomicBool,
    notify: Notify,
}

impl WakeWhenAny {
    /// Wakes the flusher after a push that made a shard non-empty.
    #[inline]
    pub(super) fn wake(&self) {
        // Not a swap: that would write `false` even if the flag was already cleared, and might
        // clear the next waiter's.
        if self.wanted.load(Relaxed) && self.wanted.compare_exchange(true, false, Relaxed, Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Waits until `any` is true. A dropped wait causes at most one spurious wake-up, which the
    /// next wait ignores.
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

/// A sum of bytes that wakes one waiter when it reaches the waiter's threshold.
#[derive(Debug)]
pub(super) struct WatchedSum {
    sum: AtomicUsize,
    /// `usize::MAX` while no task waits.
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

    /// Adds to the sum, and returns the new one.
    pub(super) fn add(&self, bytes: usize) -> usize {
        self.sum.fetch_add(bytes, Relaxed) + bytes
    }

    /// Subtracts from the sum, and returns the new one.
    pub(super) fn subtract(&self, bytes: usize) -> usize {
        self.sum.fetch_sub(bytes, Relaxed) - bytes
    }

    /// Wakes the flusher after an addition.
    pub(super) fn wake(&self) {
        // No lock orders the sum and the threshold. Each side writes its own and then reads the
        // other's. With a fence between the two on both sides, at least one side sees the other's
        // write.
        fence(SeqCst);
        let wanted = self.wanted.load(Relaxed);
        if wanted <= self.get() && self.wanted.compare_exchange(wanted, NOBODY, Relaxed, Relaxed).is_ok() {
            self.notify.notify_one();
        }
    }

    /// Waits until the sum is at least `bytes`.
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
    fn concurrent_pushes_wake_the_flusher_once() {
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
