//! The number of distinct values of a tag. Each value is a separate series in the database, for
//! ever.

use std::{
    hash::{BuildHasher, Hasher},
    hint,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use foldhash::quality::RandomState;

use crate::{
    point::schema::OVERFLOW,
    stats::RecorderCounters,
    sync::atomic_hash_set::{self, AtomicHashSet, HashSetEntry},
};

/// The distinct values that each tag of one monitor has had.
///
/// The first `limits.tag_values` values of a key are admitted for as long as the process runs.
/// Every further one is replaced by the overflow value [`OVERFLOW`]. The keys are those of extra
/// tags, of the application's own points, and `error_code`.
///
/// Memory is bounded: a key and a value together are a hash in a set, which no longer grows for a
/// key at its limit. 256 keys are counted separately, all further ones together. The set takes half
/// a KiB while there are few values, and at most about 130 bytes for each admitted one.
///
/// There are no locks, and the number of steps is bounded for all values: the hash has a random
/// seed, so that an attacker cannot cause collisions.
#[derive(Debug)]
pub(crate) struct TagCardinality {
    limit: usize,
    hasher: RandomState,
    seed: u64,
    /// Hashes of keys with their values, and whether they were admitted.
    decided: AtomicHashSet,
    keys: Box<[OnceLock<Box<KeyCardinality>>]>,
    /// The values of all keys beyond the bound.
    shared: KeyCardinality,
}

#[derive(Debug, Default)]
struct KeyCardinality {
    name: Box<[u8]>,
    admitted: AtomicUsize,
    warned: AtomicBool,
}

impl TagCardinality {
    /// Creates a limit of `limit` values a key; 0 means no limit.
    pub(crate) fn new(limit: usize) -> Self {
        let keys = if limit == 0 { 0 } else { KEYS };
        let hasher = RandomState::default();
        // The last level is never more than a quarter full, so every value below the limit has a
        // place.
        let most = limit.saturating_mul(KEYS + 1);
        let levels = (1..MOST_LEVELS).find(|level| AtomicHashSet::level_size(*level) / 4 >= most);
        Self {
            limit,
            seed: hasher.hash_one(limit),
            hasher,
            decided: AtomicHashSet::new(levels.unwrap_or(MOST_LEVELS)),
            keys: (0..keys).map(|_| OnceLock::new()).collect(),
            shared: KeyCardinality::default(),
        }
    }

    /// Returns the value, or [`OVERFLOW`] instead, which is counted. For the standard tags whose
    /// values the application chooses.
    pub(crate) fn admit<'v>(&self, key: &str, value: &'v str, counters: &RecorderCounters) -> &'v str {
        // Most names and codes are short. A longer one costs an allocation.
        let (size, mut short) = (key.len() + 1 + value.len(), [0; SHORT]);
        let admitted = match short.get_mut(..size) {
            Some(tag) => {
                tag[..key.len()].copy_from_slice(key.as_bytes());
                tag[key.len()] = b'=';
                tag[key.len() + 1..].copy_from_slice(value.as_bytes());
                self.admits(tag, key.len())
            }
            None => self.admits([key, "=", value].concat().as_bytes(), key.len()),
        };
        if admitted {
            return value;
        }
        counters.overflowed_tags.add(1);
        OVERFLOW
    }

    /// Returns whether the tag `key=value` may have this value. If not, it must have [`OVERFLOW`].
    /// Warns about a key's first refusal.
    #[inline(always)]
    pub(crate) fn admits(&self, tag: &[u8], key: usize) -> bool {
        if self.limit == 0 {
            return true;
        }
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tag);
        let hash = hasher.finish();
        match self.decided.find(hash) {
            Some(entry) if entry.mark() & DECISION == ADMITTED => true,
            found => self.decide(tag, key, hash, found),
        }
    }

    /// Returns whether this tag was marked as one of requests. It is admitted then.
    #[inline(always)]
    pub(crate) fn is_of_requests(&self, tag: &[u8]) -> bool {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tag);
        self.decided.find(hasher.finish()).is_some_and(|entry| entry.mark() == ADMITTED | OF_REQUESTS)
    }

    /// Marks an admitted tag as one that requests have.
    pub(crate) fn note_of_requests(&self, tag: &[u8]) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tag);
        if let Some(entry) = self.decided.find(hasher.finish())
            && entry.mark() & DECISION == ADMITTED
        {
            entry.add_to_mark(OF_REQUESTS);
        }
    }

    /// Decides on a value that is new or beyond the limit.
    #[inline(never)]
    fn decide(&self, tag: &[u8], key: usize, hash: u64, found: Option<HashSetEntry<'_>>) -> bool {
        let (name, value) = (&tag[..key], &tag[key + 1..]);
        if value == OVERFLOW.as_bytes() {
            return true;
        }
        let key = self.key(name);
        let admitted = if key.admitted.load(Ordering::Acquire) >= self.limit {
            // Nothing is inserted any more, so that values beyond the limit take no memory. But
            // another thread may have inserted this value, as the last one, since the caller's
            // lookup.
            found.or_else(|| self.decided.find(hash)).is_some_and(|entry| self.decision(key, &entry))
        } else {
            match self.decided.find_or_insert(hash, UNDECIDED) {
                Some(entry) if entry.inserted => self.settle(key, &entry),
                Some(entry) => self.decision(key, &entry),
                None => false,
            }
        };
        if !admitted && !key.warned.load(Ordering::Relaxed) && !key.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                tag = %String::from_utf8_lossy(name),
                limit = self.limit,
                "tag has reached `limits.tag_values` distinct values: points with further values are stored with \
                 the value `{OVERFLOW}`; use a field for unbounded values, or raise the limit (logged once per \
                 tag)"
            );
        }
        admitted
    }

    /// Returns the decision. Another thread decides two steps after its insertion. If it was
    /// interrupted right there, this thread decides instead: a point must not lose a value that is
    /// admitted.
    fn decision(&self, key: &KeyCardinality, entry: &HashSetEntry<'_>) -> bool {
        for _ in 0..SPINS {
            match entry.mark() {
                UNDECIDED => hint::spin_loop(),
                mark => return mark & DECISION == ADMITTED,
            }
        }
        self.settle(key, entry)
    }

    /// Decides on a value, unless another thread does at the same time. All threads return the same
    /// decision.
    fn settle(&self, key: &KeyCardinality, entry: &HashSetEntry<'_>) -> bool {
        if entry.mark() != UNDECIDED {
            return entry.mark() & DECISION == ADMITTED;
        }
        let one_more = |count| (count < self.limit).then_some(count + 1);
        let has_room = key.admitted.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        match entry.replace_mark(UNDECIDED, if has_room { ADMITTED } else { REFUSED }) {
            Ok(()) => has_room,
            Err(mark) => {
                if has_room {
                    key.admitted.fetch_sub(1, Ordering::AcqRel);
                }
                mark & DECISION == ADMITTED
            }
        }
    }

    fn key(&self, name: &[u8]) -> &KeyCardinality {
        let hash = atomic_hash_set::hash_names(self.seed, name);
        for step in 0..PROBES {
            let place = &self.keys[(hash as usize).wrapping_add(step) % KEYS];
            let key = place
                .get_or_init(|| Box::new(KeyCardinality { name: name.into(), ..KeyCardinality::default() }));
            if *key.name == *name {
                return key;
            }
        }
        &self.shared
    }
}

const UNDECIDED: u8 = 1;
const ADMITTED: u8 = 2;
const REFUSED: u8 = 3;
/// The bits of these three values.
const DECISION: u8 = 3;
/// The additional bit of an admitted tag that requests have.
const OF_REQUESTS: u8 = 4;

/// The number of keys that are counted separately.
const KEYS: usize = 256;
/// How many places are tried for a key. Most of a table of 256 must be taken before a key uses the
/// shared set.
const PROBES: usize = 32;
const SPINS: usize = 200;
const SHORT: usize = 128;
/// More levels than any memory can hold.
const MOST_LEVELS: usize = 12;

#[cfg(test)]
mod tests;
