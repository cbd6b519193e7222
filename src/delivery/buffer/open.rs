//! Requests and bodies under way, which are recorded as unfinished when the buffer closes.

use std::{fmt, mem, sync::Weak};

use parking_lot::{Mutex, ReentrantMutex};

use crate::sync::shard::{Padded, shard};

/// Something under way that can be recorded as unfinished.
pub(crate) trait Open: Send + Sync {
    /// Records it in its current state, unless it has ended. Does not wait for it.
    fn end(&self);
}

/// Everything that is under way, such as tracked bodies.
///
/// Entries that have ended stay in the list until its length has doubled, so an end has no cost
/// here. Every tracked body is added, so each thread has its own list: cores must not contend for
/// one lock.
pub(super) struct OpenList {
    shards: Box<[Padded<Mutex<OpenEntries>>]>,
    /// Held while entries are ended. Reentrant, since ending one runs code of the application.
    ending: ReentrantMutex<()>,
}

#[derive(Default)]
struct OpenEntries {
    all: Vec<Weak<dyn Open>>,
    /// The length at which ended entries are removed.
    sweep_at: usize,
}

impl Default for OpenList {
    fn default() -> Self {
        Self { shards: (0..SHARDS).map(|_| Padded::default()).collect(), ending: ReentrantMutex::default() }
    }
}

impl OpenList {
    pub(super) fn add(&self, open: Weak<dyn Open>) {
        let Padded(entries) = &self.shards[shard() % SHARDS];
        let mut entries = entries.lock();
        if entries.all.len() >= entries.sweep_at.max(LEAST) {
            entries.all.retain(|entry| entry.strong_count() > 0);
            entries.sweep_at = 2 * entries.all.len();
        }
        entries.all.push(open);
    }

    /// Ends everything that is open. Nothing can be added again by that. Returns only when
    /// concurrent calls have ended their entries, too: the caller closes what these push to.
    pub(super) fn end_all(&self) {
        let _one_thread_at_a_time = self.ending.lock();
        // Called without a list's lock, since ending something runs code of the application.
        for Padded(entries) in &self.shards {
            let all = mem::take(&mut entries.lock().all);
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
    use std::{
        collections::HashSet,
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering::Relaxed},
        },
        thread,
    };

    use super::*;

    #[derive(Default)]
    struct EndCounter(AtomicUsize);

    impl Open for EndCounter {
        fn end(&self) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    fn lengths(list: &OpenList) -> Vec<usize> {
        list.shards.iter().map(|Padded(entries)| entries.lock().all.len()).collect()
    }

    /// A sweep visits every entry. One at each addition would make additions linear in the length
    /// of the list.
    #[test]
    fn ended_entries_stay_until_the_list_has_doubled() {
        let list = OpenList::default();
        let length = || lengths(&list).iter().sum::<usize>();
        let kept: Vec<_> = (0..200).map(|_| Arc::new(EndCounter::default())).collect();
        let add_gone = |count| {
            (0..count)
                .for_each(|_| list.add(Arc::downgrade(&Arc::new(EndCounter::default())) as Weak<dyn Open>));
        };
        for open in &kept {
            list.add(Arc::downgrade(open) as Weak<dyn Open>);
        }
        let before = length();
        add_gone(30);
        assert_eq!(length(), before + 30);
        for added in 0..1_000 {
            add_gone(1);
            assert!(length() <= 2 * kept.len(), "after {added} more");
        }
        drop(kept);
        add_gone(1_000);
        assert!(length() <= 2 * LEAST);
    }

    #[test]
    fn threads_have_lists_of_their_own() {
        let list = OpenList::default();
        let open = Arc::new(EndCounter::default());
        let add = || {
            let before = lengths(&list);
            list.add(Arc::downgrade(&open) as Weak<dyn Open>);
            lengths(&list).iter().zip(before).position(|(after, before)| *after > before)
        };
        let used: HashSet<_> = (0..4 * SHARDS)
            .map(|_| thread::scope(|scope| scope.spawn(add).join().expect("no panic")))
            .collect();
        assert!(used.len() > SHARDS / 2, "{used:?}");
    }

    #[test]
    fn open_entries_are_ended_once_and_ended_ones_are_removed() {
        let list = OpenList::default();
        let kept: Vec<_> = (0..10).map(|_| Arc::new(EndCounter::default())).collect();
        for open in &kept {
            list.add(Arc::downgrade(open) as Weak<dyn Open>);
        }
        for _ in 0..10_000 {
            list.add(Arc::downgrade(&Arc::new(EndCounter::default())) as Weak<dyn Open>);
        }
        assert!(lengths(&list).iter().sum::<usize>() <= LEAST + 1);
        list.end_all();
        list.end_all();
        assert!(kept.iter().all(|open| open.0.load(Relaxed) == 1));
    }
}
