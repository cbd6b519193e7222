//! A set of hashes that many threads read and extend without waiting for each other. It never
//! shrinks.
//!
//! Each entry is one atomic word: the upper 60 bits of a hash and four bits for its owner. Entries
//! are in groups of 16 slots. Groups are in levels, each eight times as large as the one before and
//! created when first needed. A hash goes into the first free slot of its group. If the group is
//! full, the hash goes into its group one level up. Nothing is ever removed, so a full group stays
//! full. Every thread therefore searches the same slots in the same order. It finds a hash in at
//! most `16 × levels` steps, whatever the values are.

use std::sync::{
    OnceLock,
    atomic::{AtomicU64, Ordering},
};

/// The set.
#[derive(Debug)]
pub(crate) struct AtomicHashSet {
    levels: Box<[OnceLock<Box<[Group]>>]>,
}

/// An entry of the set.
#[derive(Debug)]
pub(crate) struct HashSetEntry<'a> {
    slot: &'a AtomicU64,
    /// Whether this call inserted it.
    pub(crate) inserted: bool,
}

type Group = [AtomicU64; 16];

impl AtomicHashSet {
    /// Creates an empty set that grows to this many levels. Two levels hold about 500 entries, each
    /// further one eight times as many.
    pub(crate) fn new(levels: usize) -> Self {
        Self { levels: (0..levels.max(1)).map(|_| OnceLock::new()).collect() }
    }

    /// Returns how many entries fit into one level, of which the lowest is 1.
    pub(crate) fn level_size(level: usize) -> usize {
        16 * (FIRST_LEVEL << (3 * (level - 1)))
    }

    /// Returns the entry of `hash`, if it is in the set.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64) -> Option<HashSetEntry<'_>> {
        for (level, groups) in self.levels.iter().enumerate() {
            for slot in group(groups.get()?, level, hash) {
                match slot.load(Ordering::Acquire) {
                    0 => return None,
                    word if same(word, hash) => return Some(HashSetEntry { slot, inserted: false }),
                    _ => {}
                }
            }
        }
        None
    }

    /// Returns the entry of `hash`, or inserts one with `mark`, which is 1 to 15. Returns `None` if
    /// there is no room.
    pub(crate) fn find_or_insert(&self, hash: u64, mark: u8) -> Option<HashSetEntry<'_>> {
        let new = hash & HASH | u64::from(mark) & MARK;
        debug_assert_ne!(new & MARK, 0, "a slot that holds 0 is free");
        for (level, groups) in self.levels.iter().enumerate() {
            for slot in group(groups.get_or_init(|| make(level)), level, hash) {
                let mut word = slot.load(Ordering::Acquire);
                if word == 0 {
                    match slot.compare_exchange(0, new, Ordering::AcqRel, Ordering::Acquire) {
                        Ok(_) => return Some(HashSetEntry { slot, inserted: true }),
                        Err(winner) => word = winner,
                    }
                }
                if same(word, hash) {
                    return Some(HashSetEntry { slot, inserted: false });
                }
            }
        }
        None
    }
}

impl HashSetEntry<'_> {
    /// Returns the owner's four bits.
    #[inline]
    pub(crate) fn mark(&self) -> u8 {
        (self.slot.load(Ordering::Acquire) & MARK) as u8
    }

    /// Replaces the owner's four bits if they are `before`. Otherwise returns what they are.
    pub(crate) fn replace_mark(&self, before: u8, mark: u8) -> Result<(), u8> {
        let hash = self.slot.load(Ordering::Relaxed) & HASH;
        let word = |mark: u8| hash | u64::from(mark) & MARK;
        let replaced =
            self.slot.compare_exchange(word(before), word(mark), Ordering::AcqRel, Ordering::Acquire);
        replaced.map(drop).map_err(|other| (other & MARK) as u8)
    }

    /// Sets some of the owner's four bits, and returns their previous value.
    pub(crate) fn add_to_mark(&self, bits: u8) -> u8 {
        (self.slot.fetch_or(u64::from(bits) & MARK, Ordering::AcqRel) & MARK) as u8
    }
}

/// Hashes names with FNV-1a, starting with the hash of the preceding part. Names are few, short and
/// chosen by the application, so nobody constructs collisions.
#[inline]
pub(crate) fn hash_names(before: u64, name: &[u8]) -> u64 {
    name.iter().fold(before, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads the hash of names over all bits.
#[inline]
pub(crate) fn finish(hash: u64) -> u64 {
    let hash = (hash ^ hash >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ hash >> 29
}

fn make(level: usize) -> Box<[Group]> {
    (0..FIRST_LEVEL << (3 * level)).map(|_| Group::default()).collect()
}

fn group(groups: &[Group], level: usize, hash: u64) -> &Group {
    &groups[group_bits(level, hash) & (groups.len() - 1)]
}

/// Returns the bits that choose the group. They differ for each level: otherwise the hashes of one
/// full group would all go into the same group above.
fn group_bits(level: usize, hash: u64) -> usize {
    hash.rotate_right(60 - (11 * level as u32) % 60) as usize
}

fn same(word: u64, hash: u64) -> bool {
    (word ^ hash) & HASH == 0
}

const MARK: u64 = 0b1111;
const HASH: u64 = !MARK;

/// Groups of the lowest level: 64 slots, 512 bytes.
const FIRST_LEVEL: usize = 4;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, thread};

    use super::*;

    fn hash(number: u64) -> u64 {
        // SplitMix64, which spreads consecutive numbers over all bits.
        let mut bits = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        bits = (bits ^ bits >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ bits >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^ bits >> 31
    }

    #[test]
    fn what_was_inserted_is_found_and_nothing_else() {
        let set = AtomicHashSet::new(3);
        for number in 0..1_000 {
            assert!(set.find(hash(number)).is_none());
            assert!(set.find_or_insert(hash(number), 1 + number as u8 % 15).expect("room").inserted);
        }
        for number in 0..1_000 {
            assert_eq!(set.find(hash(number)).expect("inserted").mark(), 1 + number as u8 % 15);
            assert!(!set.find_or_insert(hash(number), 7).expect("inserted").inserted);
        }
    }

    #[test]
    fn a_full_set_accepts_no_more_and_loses_nothing() {
        let set = AtomicHashSet::new(1);
        let taken: Vec<u64> =
            (0..1_000).map(hash).filter(|hash| set.find_or_insert(*hash, 1).is_some()).collect();
        assert_eq!(taken.len(), 64);
        assert!(taken.iter().all(|hash| set.find(*hash).is_some()));
        assert!(set.find(hash(5_000)).is_none());
    }

    #[test]
    fn one_group_is_spread_over_many_above_it() {
        let set = AtomicHashSet::new(3);
        let one_group = (0..).map(hash).filter(|hash| group_bits(0, *hash).is_multiple_of(FIRST_LEVEL));
        for hash in one_group.take(500) {
            assert!(set.find_or_insert(hash, 1).is_some());
        }
    }

    #[test]
    fn each_hash_is_inserted_by_exactly_one_of_many_threads() {
        let set = AtomicHashSet::new(4);
        let inserted: Vec<u64> = thread::scope(|scope| {
            let threads: Vec<_> = (0..8)
                .map(|_| {
                    scope.spawn(|| {
                        let new = |hash: &u64| set.find_or_insert(*hash, 1).expect("room").inserted;
                        (0..2_000).map(hash).filter(new).collect::<Vec<_>>()
                    })
                })
                .collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
        });
        assert_eq!(inserted.len(), 2_000);
        assert_eq!(inserted.iter().collect::<HashSet<_>>().len(), 2_000);
    }

    #[test]
    fn marks_change_beside_the_hash() {
        let set = AtomicHashSet::new(1);
        let entry = set.find_or_insert(hash(1), 1).expect("room");
        assert_eq!(entry.replace_mark(3, 2), Err(1));
        assert_eq!(entry.replace_mark(1, 2), Ok(()));
        assert_eq!((entry.add_to_mark(8), entry.mark()), (2, 10));
        assert_eq!(set.find(hash(1)).expect("inserted").mark(), 10);
    }
}
