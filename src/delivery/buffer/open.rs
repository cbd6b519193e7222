//! What has begun, and is recorded before a buffer is closed if it has not ended by then.

use std::{
    fmt, mem,
    sync::{Mutex, PoisonError, Weak},
};

use crate::sync::shard::{Padded, shard};

/// Something under way that can be recorded as unfinished.
pub(crate) trait Open: Send + Sync {
    /// Records it as it is now, unless it has ended. Does not wait for it.
    fn end(&self);
}

/// Everything that is open, such as tracked bodies that have not ended at once.
///
/// What has ended stays in the list until that has doubled, so an end costs nothing here. Each
/// tracked body is added, so threads have lists of their own: cores must not contend for one lock.
pub(super) struct OpenList(Box<[Padded<Mutex<OpenEntries>>]>);

#[derive(Default)]
struct OpenEntries {
    all: Vec<Weak<dyn Open>>,
    /// The length at which those that have ended are taken out.
    sweep_at: usize,
}

impl Default for OpenList {
    fn default() -> Self {
        Self((0..SHARDS).map(|_| Padded::default()).collect())
    }
}

impl OpenList {
    pub(super) fn add(&self, open: Weak<dyn Open>) {
        let Padded(entries) = &self.0[shard() % SHARDS];
        let mut entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.all.len() >= entries.sweep_at.max(LEAST) {
            entries.all.retain(|entry| entry.strong_count() > 0);
            entries.sweep_at = 2 * entries.all.len();
        }
        entries.all.push(open);
    }

    /// Ends all that are open. None of them can be added again.
    pub(super) fn end_all(&self) {
        // Without the lock: whoever ends runs code of the application.
        for Padded(entries) in &self.0 {
            let all = mem::take(&mut entries.lock().unwrap_or_else(PoisonError::into_inner).all);
            for open in all.iter().filter_map(Weak::upgrade) {
                open.end();
            }
        }
    }
}

impl fmt::Debug for OpenList {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenList").finish_non_exhaustive()
    }
}

const LEAST: usize = 64;
const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    };

    use super::*;

    #[derive(Default)]
    struct EndCounter(AtomicUsize);

    impl Open for EndCounter {
        fn end(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    #[test]
    fn what_is_open_ends_once_and_what_has_gone_is_swept() {
        let list = OpenList::default();
        let kept: Vec<_> = (0..10).map(|_| Arc::new(EndCounter::default())).collect();
        for open in &kept {
            list.add(Arc::downgrade(open) as Weak<dyn Open>);
        }
        for _ in 0..10_000 {
            list.add(Arc::downgrade(&Arc::new(EndCounter::default())) as Weak<dyn Open>);
        }
        let lengths = list.0.iter().map(|Padded(entries)| entries.lock().expect("no panic").all.len());
        assert!(lengths.sum::<usize>() <= LEAST + 1);
        list.end_all();
        list.end_all();
        assert!(kept.iter().all(|open| open.0.load(Relaxed) == 1));
    }
}
