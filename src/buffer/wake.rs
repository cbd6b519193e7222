//! How a push wakes the flusher: only when the flusher waits for it, and never in vain.

use std::sync::atomic::{
    AtomicBool, AtomicUsize,
    Ordering::{Relaxed, SeqCst},
};

use tokio::sync::Notify;

/// Wakes one waiter when there is something at all.
///
/// The condition itself is read and written under the locks of the shards, and these order the flag too: either the
/// waiter's look at a shard comes after the push, or the push sees the flag that was raised before the look.
#[derive(Debug, Default)]
pub(super) struct WakeWhenAny {
    wanted: AtomicBool,
    notify: Notify,
}

impl WakeWhenAny {
    /// Called after a push that made a shard non-empty.
    #[inline]
    pub(super) fn wake(&self) {
        if self.wanted.load(Relaxed) && self.wanted.swap(false, Relaxed) {
            self.notify.notify_one();
        }
    }

    /// Returns when `any` holds. A dropped wait leaves at most one wake-up too many, which the next wait looks through.
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
        self.sum.load(SeqCst)
    }

    /// Returns the new sum.
    pub(super) fn add(&self, bytes: usize) -> usize {
        self.sum.fetch_add(bytes, SeqCst) + bytes
    }

    /// Returns the new sum.
    pub(super) fn subtract(&self, bytes: usize) -> usize {
        self.sum.fetch_sub(bytes, SeqCst) - bytes
    }

    /// Called after an addition. Sum and wish are two places without a lock: in one total order (`SeqCst`) either this
    /// sees the wish or the waiter sees the sum.
    pub(super) fn wake(&self) {
        if self.sum.load(SeqCst) >= self.wanted.load(SeqCst) && self.wanted.swap(NOBODY, SeqCst) != NOBODY {
            self.notify.notify_one();
        }
    }

    /// Returns when the sum is at least `bytes`.
    pub(super) async fn wait(&self, bytes: usize) {
        loop {
            self.wanted.store(bytes, SeqCst);
            if self.get() >= bytes {
                self.wanted.store(NOBODY, SeqCst);
                return;
            }
            self.notify.notified().await;
        }
    }
}

const NOBODY: usize = usize::MAX;
