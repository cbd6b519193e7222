//! The index of stored batches in memory: by age for the bounds, by turns for sending.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{clock::SpoolTime, format};

/// A stored batch that is not acknowledged yet. Cloning is cheap; all clones are the same entry.
#[derive(Clone, Debug)]
pub(crate) struct SpoolEntry(pub(super) Arc<StoredFile>);

/// What the index knows of a file. The path is built on demand: as text it would take more memory
/// than all other fields.
#[derive(Debug)]
pub(super) struct StoredFile {
    pub(super) directory: Arc<Path>,
    /// When the batch was sealed according to the file, in nanoseconds since the epoch.
    pub(super) created: u64,
    /// When the batch was sealed by the spool's clock, which determines its age.
    pub(super) born: SpoolTime,
    pub(super) run: u32,
    pub(super) number: u64,
    /// Unique within the process.
    pub(super) id: u64,
    pub(super) points: usize,
    pub(super) bytes: u64,
}

impl StoredFile {
    pub(super) fn path(&self) -> PathBuf {
        self.directory.join(format::name(self.created, self.run, self.number, self.born))
    }
}

impl SpoolEntry {
    /// Returns how many points the batch has.
    pub(crate) fn points(&self) -> usize {
        self.0.points
    }

    fn key(&self) -> QueueKey {
        (self.0.born, self.0.id)
    }
}

/// The index of the files. It takes [`MEMORY`] bytes for each, and has at most `max_files` of them.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: BTreeMap<QueueKey, QueuedEntry>,
    /// Entries that are not taken, ordered by turns. A released entry comes after all others.
    /// Otherwise one batch that always fails would keep the others from being sent.
    waiting: BTreeSet<(u32, QueueKey)>,
    bytes: u64,
    points: u64,
}

/// Orders entries by age, the oldest first.
type QueueKey = (SpoolTime, u64);

#[derive(Debug)]
struct QueuedEntry {
    entry: SpoolEntry,
    /// How often the entry was released.
    turns: u32,
    /// How often reading its file failed.
    unreadable: u8,
    taken: bool,
}

impl Queue {
    pub(super) fn insert(&mut self, stored: StoredFile, taken: bool) -> SpoolEntry {
        let entry = SpoolEntry(Arc::new(stored));
        self.bytes += entry.0.bytes;
        self.points += entry.0.points as u64;
        if !taken {
            self.waiting.insert((0, entry.key()));
        }
        self.entries
            .insert(entry.key(), QueuedEntry { entry: entry.clone(), taken, turns: 0, unreadable: 0 });
        entry
    }

    pub(super) fn take(&mut self) -> Option<SpoolEntry> {
        let (_, key) = self.waiting.pop_first()?;
        let state = self.entries.get_mut(&key)?;
        state.taken = true;
        Some(state.entry.clone())
    }

    /// Returns the size of the file that [`take`](Self::take) would return.
    pub(super) fn next_bytes(&self) -> Option<usize> {
        let (_, key) = self.waiting.first()?;
        usize::try_from(self.entries.get(key)?.entry.0.bytes).ok()
    }

    pub(super) fn release(&mut self, entry: &SpoolEntry) {
        if let Some(state) = self.entries.get_mut(&entry.key())
            && state.taken
        {
            state.taken = false;
            state.turns = state.turns.saturating_add(1);
            self.waiting.insert((state.turns, entry.key()));
        }
    }

    /// Returns how often the entry was released.
    pub(super) fn turns(&self, entry: &SpoolEntry) -> u32 {
        self.entries.get(&entry.key()).map_or(0, |state| state.turns)
    }

    /// Removes an entry. Returns false if it was removed before.
    pub(super) fn remove(&mut self, entry: &SpoolEntry) -> bool {
        let Some(state) = self.entries.remove(&entry.key()) else { return false };
        self.waiting.remove(&(state.turns, entry.key()));
        self.bytes -= entry.0.bytes;
        self.points -= entry.0.points as u64;
        true
    }

    /// Counts a failed read, and returns the number of failed reads.
    pub(super) fn count_unreadable(&mut self, entry: &SpoolEntry) -> u8 {
        self.entries.get_mut(&entry.key()).map_or(0, |state| {
            state.unreadable = state.unreadable.saturating_add(1);
            state.unreadable
        })
    }

    /// Removes the oldest entry that is not taken if `remove` returns true. An entry that is being
    /// sent is left alone: the ledger may count some of its points as written already.
    pub(super) fn remove_oldest(
        &mut self,
        remove: impl FnOnce(&Self, &SpoolEntry) -> bool,
    ) -> Option<SpoolEntry> {
        let entry = self.oldest_waiting()?.clone();
        (remove(self, &entry) && self.remove(&entry)).then_some(entry)
    }

    /// Returns the oldest entry that is not taken.
    pub(super) fn oldest_waiting(&self) -> Option<&SpoolEntry> {
        self.entries.values().find(|state| !state.taken).map(|state| &state.entry)
    }

    pub(super) fn files(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn points(&self) -> u64 {
        self.points
    }

    pub(super) fn oldest(&self) -> Option<SpoolTime> {
        self.entries.first_key_value().map(|((born, _), _)| *born)
    }

    /// Returns the bytes of memory that the index takes.
    pub(super) fn memory(&self) -> usize {
        self.entries.len() * MEMORY
    }
}

/// Bytes of memory for each file, including unused space of the allocator and the trees.
pub(super) const MEMORY: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(born: SpoolTime, id: u64) -> StoredFile {
        let directory = Path::new("somewhere").into();
        StoredFile { directory, created: 0, born, run: 0, number: id, id, points: 2, bytes: 10 }
    }

    fn numbers(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.take()).map(|entry| entry.0.number).collect()
    }

    #[test]
    fn entries_are_taken_once_oldest_first_and_released_ones_wait_for_their_turn() {
        let mut queue = Queue::default();
        for (born, number) in [(3, 0), (1, 1), (2, 2), (1, 3)] {
            queue.insert(stored(born, number), false);
        }
        queue.insert(stored(0, 4), true);
        let first = queue.take().expect("four wait");
        assert_eq!(first.0.number, 1);
        queue.release(&first);
        queue.release(&first);
        assert_eq!(numbers(&mut queue), [3, 2, 0, 1]);
        assert_eq!((queue.files(), queue.bytes(), queue.points()), (5, 50, 10));
        assert!(queue.remove(&first) && !queue.remove(&first));
        queue.release(&first);
        assert_eq!((queue.files(), queue.take().is_none(), queue.oldest()), (4, true, Some(0)));
    }

    #[test]
    fn a_taken_entry_is_not_evicted() {
        let mut queue = Queue::default();
        queue.insert(stored(1, 1), false);
        queue.insert(stored(2, 2), false);
        let taken = queue.take().expect("two wait");
        assert_eq!(queue.remove_oldest(|_, _| true).map(|entry| entry.0.number), Some(2));
        assert!(queue.remove_oldest(|_, _| true).is_none());
        queue.release(&taken);
        assert!(queue.remove_oldest(|_, _| false).is_none());
        assert!(queue.remove_oldest(|queue, _| queue.files() == 1).is_some());
        assert_eq!((queue.files(), queue.bytes(), queue.points(), queue.take().is_none()), (0, 0, 0, true));
    }

    /// Inserts in the order of a long outage, and in the order of a directory listing.
    #[test]
    fn the_index_takes_as_much_memory_as_it_reports() {
        for scattered in [false, true] {
            let directory: Arc<Path> = Path::new("somewhere").into();
            let measured = allocation_counter::measure(|| {
                let mut queue = Queue::default();
                for number in 0..10_000_u64 {
                    let born = if scattered { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) } else { number };
                    queue.insert(
                        StoredFile { directory: Arc::clone(&directory), ..stored(born, number) },
                        false,
                    );
                }
                std::mem::forget(queue);
            });
            let each = measured.bytes_current / 10_000;
            assert!((MEMORY as i64 / 2..=MEMORY as i64).contains(&each), "{each} bytes, {scattered}");
        }
    }
}
