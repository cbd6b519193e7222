//! How many different values a tag may have: each one is a series of its own in the database, for
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
    sync::atomic_hash_set::{self, AtomicHashSet, Entry},
};

/// The different values that each tag of one monitor has had.
///
/// The first `limits.tag_values` of a key are admitted for as long as the process runs; every
/// further one is to be replaced by the overflow value [`OVERFLOW`]. The keys are those of extra
/// tags, of the application's own points and `error_code`.
///
/// Bounded: a key and a value together are a hash in a set, which grows no more for a key that has
/// reached the limit. 256 keys are counted apart, all further ones as one. The set takes half a KiB
/// while the values are few, and at most some 130 bytes for each that was admitted. No locks, and a
/// bounded number of steps whatever the values are: the hash is seeded at random, so that nobody
/// outside can aim at one place.
#[derive(Debug)]
pub(crate) struct TagCardinality {
    limit: usize,
    hasher: RandomState,
    seed: u64,
    /// Keys with their values, and whether they were admitted.
    decided: AtomicHashSet,
    keys: Box<[OnceLock<Box<Key>>]>,
    /// Of all keys beyond the bound.
    shared: Key,
}

#[derive(Debug, Default)]
struct Key {
    name: Box<[u8]>,
    admitted: AtomicUsize,
    warned: AtomicBool,
}

impl TagCardinality {
    /// Creates a limit of `limit` values a key; 0 is no bound.
    pub(crate) fn new(limit: usize) -> Self {
        let keys = if limit == 0 { 0 } else { KEYS };
        let hasher = RandomState::default();
        // Enough that the last level is never more than a quarter full, so that no value lacks a
        // place below the limit.
        let most = limit.saturating_mul(KEYS + 1);
        let levels = (1..MOST_LEVELS).find(|level| AtomicHashSet::level_size(*level) / 4 >= most);
        Self {
            limit,
            seed: hasher.hash_one(limit),
            hasher,
            decided: AtomicHashSet::new(levels.unwrap_or(MOST_LEVELS)),
            keys: (0..keys).map(|_| OnceLock::new()).collect(),
            shared: Key::default(),
        }
    }

    /// Returns the value, or [`OVERFLOW`] instead of it, counted: for the standard tags whose
    /// values are the application's choice.
    pub(crate) fn admit<'v>(&self, key: &str, value: &'v str, counters: &RecorderCounters) -> &'v str {
        // Most names and codes are short; a longer one costs an allocation.
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

    /// Returns whether the tag `key=value` may have this value; if not, it is to have [`OVERFLOW`].
    /// Warns of a key's first refusal.
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

    /// Returns whether this tag was noted as one that requests have. It is admitted then.
    #[inline(always)]
    pub(crate) fn is_of_requests(&self, tag: &[u8]) -> bool {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tag);
        self.decided.find(hasher.finish()).is_some_and(|entry| entry.mark() == ADMITTED | OF_REQUESTS)
    }

    /// Notes that requests may have this tag, if it is one of those that were admitted.
    pub(crate) fn note_of_requests(&self, tag: &[u8]) {
        let mut hasher = self.hasher.build_hasher();
        hasher.write(tag);
        if let Some(entry) = self.decided.find(hasher.finish())
            && entry.mark() & DECISION == ADMITTED
        {
            entry.add_to_mark(OF_REQUESTS);
        }
    }

    /// Decides on a value that is new, or beyond the limit.
    #[inline(never)]
    fn decide(&self, tag: &[u8], key: usize, hash: u64, found: Option<Entry<'_>>) -> bool {
        let (name, value) = (&tag[..key], &tag[key + 1..]);
        if value == OVERFLOW.as_bytes() {
            return true;
        }
        let key = self.key(name);
        let admitted = if key.admitted.load(Ordering::Acquire) >= self.limit {
            // Nothing is inserted any more, so that values without end leave no trace. But another
            // thread may have inserted this very value, as the last one, since the caller looked.
            found.or_else(|| self.decided.find(hash)).is_some_and(|entry| decision(&entry))
        } else {
            match self.decided.find_or_insert(hash, UNDECIDED) {
                Some(entry) if entry.inserted => {
                    let one_more = |count| (count < self.limit).then_some(count + 1);
                    let admitted =
                        key.admitted.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
                    entry.set_mark(if admitted { ADMITTED } else { REFUSED });
                    admitted
                }
                Some(entry) => decision(&entry),
                None => false,
            }
        };
        if !admitted && !key.warned.load(Ordering::Relaxed) && !key.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                tag = %String::from_utf8_lossy(name),
                limit = self.limit,
                "a tag has reached `limits.tag_values` distinct values: points with further values are stored \
                 with the value `{OVERFLOW}`; use a field for unbounded values, or raise the limit (said once per tag)"
            );
        }
        admitted
    }

    fn key(&self, name: &[u8]) -> &Key {
        let hash = atomic_hash_set::hash_names(self.seed, name);
        for step in 0..PROBES {
            let place = &self.keys[(hash as usize).wrapping_add(step) % KEYS];
            let key = place.get_or_init(|| Box::new(Key { name: name.into(), ..Key::default() }));
            if *key.name == *name {
                return key;
            }
        }
        &self.shared
    }
}

/// Returns the decision. Another thread decides between its insertion and two steps later. If it
/// was interrupted right there, this one point goes without the value rather than wait for it.
fn decision(entry: &Entry<'_>) -> bool {
    for _ in 0..SPINS {
        match entry.mark() {
            UNDECIDED => hint::spin_loop(),
            mark => return mark & DECISION == ADMITTED,
        }
    }
    false
}

const UNDECIDED: u8 = 1;
const ADMITTED: u8 = 2;
const REFUSED: u8 = 3;
/// The bits of these three.
const DECISION: u8 = 3;
/// The bit beside an admission that says that requests have had the tag.
const OF_REQUESTS: u8 = 4;

/// Keys that are counted apart.
const KEYS: usize = 256;
/// Places where a key may be: most of a table of 256 would have to be taken before one goes to the
/// shared set.
const PROBES: usize = 32;
const SPINS: usize = 200;
const SHORT: usize = 128;
/// More than any memory holds.
const MOST_LEVELS: usize = 12;

#[cfg(test)]
mod tests {
    use std::{
        collections::HashSet,
        io::{Read, Seek},
        sync::Arc,
        thread,
    };

    use super::*;

    fn logged(run: impl FnOnce()) -> String {
        let file = Arc::new(tempfile::tempfile().expect("a temporary file"));
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&file)).finish();
        tracing::subscriber::with_default(subscriber, run);
        let mut log = String::new();
        let mut file = &*file;
        file.rewind().and_then(|()| file.read_to_string(&mut log)).expect("the log");
        log
    }

    fn admits(values: &TagCardinality, key: &[u8], value: &[u8]) -> bool {
        values.admits(&[key, b"=", value].concat(), key.len())
    }

    fn admitted(values: &TagCardinality, range: std::ops::Range<u32>) -> HashSet<u32> {
        // Short ones and longer ones.
        let text = |number: u32| {
            if number.is_multiple_of(2) { format!("{number}") } else { format!("tenant-{number}") }
        };
        range.filter(|number| admits(values, b"tenant", text(*number).as_bytes())).collect()
    }

    #[test]
    fn the_first_values_pass_and_keep_passing() {
        for limit in [1, 2, 7, 16, 17, 100, 1_000, 5_000] {
            let values = TagCardinality::new(limit);
            let first: HashSet<u32> = (0..limit as u32).collect();
            assert_eq!(admitted(&values, 0..20_000), first, "limit {limit}");
            assert_eq!(admitted(&values, 0..20_000), first, "limit {limit}, again");
        }
    }

    #[test]
    fn keys_are_apart_and_the_overflow_value_is_free() {
        let values = TagCardinality::new(1);
        assert!(admits(&values, b"a", b"1") && !admits(&values, b"a", b"2"));
        assert!(admits(&values, b"b", b"2") && !admits(&values, b"b", b"1"));
        assert!(admits(&values, b"a", OVERFLOW.as_bytes()) && admits(&values, b"c", OVERFLOW.as_bytes()));
        assert!(admits(&values, b"c", b"1"));
        let counters = RecorderCounters::default();
        assert_eq!(values.admit("c", "1", &counters), "1");
        assert_eq!((values.admit("c", "2", &counters), counters.overflowed_tags.count()), ("other", 1));
    }

    #[test]
    fn the_overflow_is_said_once_per_tag_without_values() {
        let values = TagCardinality::new(1);
        let log = logged(|| {
            for number in 0..10 {
                admits(&values, b"tenant", format!("secret-{number}").as_bytes());
                admits(&values, b"host", format!("secret-{number}").as_bytes());
            }
        });
        assert_eq!((log.matches("WARN").count(), log.matches("tag=tenant limit=1").count()), (2, 1), "{log}");
        assert!(!log.contains("secret"), "{log}");
    }

    #[test]
    fn nothing_is_said_below_the_limit() {
        let values = TagCardinality::new(3);
        let log = logged(|| (0..3).for_each(|_| assert_eq!(admitted(&values, 0..3).len(), 3)));
        assert_eq!(log, "");
    }

    #[test]
    fn only_what_was_admitted_can_be_noted_as_a_tag_of_requests() {
        let values = TagCardinality::new(1);
        let tag = |value: &str| format!("tenant={value}").into_bytes();
        values.note_of_requests(&tag("unknown"));
        assert!(!values.is_of_requests(&tag("unknown")));
        assert!(admits(&values, b"tenant", b"1") && !values.is_of_requests(&tag("1")));
        values.note_of_requests(&tag("1"));
        assert!(values.is_of_requests(&tag("1")) && admits(&values, b"tenant", b"1"));
        assert!(!admits(&values, b"tenant", b"2"));
        values.note_of_requests(&tag("2"));
        assert!(!values.is_of_requests(&tag("2")) && !admits(&values, b"tenant", b"2"));
    }

    #[test]
    fn every_key_has_places_for_as_many_values_as_the_limit_allows() {
        let values = TagCardinality::new(64);
        for key in 0..100 {
            let all = (0..64).all(|value| admits(&values, format!("key-{key}").as_bytes(), &[value]));
            assert!(all, "key {key}");
        }
    }

    #[test]
    fn no_limit_admits_everything() {
        let values = TagCardinality::new(0);
        assert_eq!(admitted(&values, 0..10_000).len(), 10_000);
        assert!(values.keys.is_empty());
    }

    #[test]
    fn keys_beyond_the_bound_share_one_set() {
        let values = TagCardinality::new(2);
        for number in 0..10_000_u32 {
            admits(&values, &number.to_be_bytes(), b"value");
        }
        let taken = values.keys.iter().filter(|key| key.get().is_some()).count();
        assert!(taken <= KEYS);
        assert_eq!(values.shared.admitted.load(Ordering::Relaxed), 2);
        let passing =
            (0..10_000_u32).filter(|number| admits(&values, &number.to_be_bytes(), b"value")).count();
        assert_eq!(passing, taken + 2);
    }

    #[test]
    fn exactly_the_limit_passes_whoever_comes_at_once() {
        for limit in [1, 50, 1_000] {
            for round in 0..20 {
                let values = TagCardinality::new(limit);
                let seen: HashSet<u32> = thread::scope(|scope| {
                    let threads: Vec<_> = (0..8)
                        // Overlapping ranges: some values come from several threads at once, some
                        // from one only.
                        .map(|thread| (thread * 300)..(thread * 300 + 3_000))
                        .map(|range| scope.spawn(|| admitted(&values, range)))
                        .collect();
                    threads.into_iter().flat_map(|thread| thread.join().expect("no panic")).collect()
                });
                assert_eq!(seen.len(), limit, "limit {limit}, round {round}");
                assert_eq!(admitted(&values, 0..10_000), seen, "limit {limit}, round {round}, afterwards");
            }
        }
    }

    #[test]
    fn values_without_end_leave_no_trace() {
        let values = TagCardinality::new(1_000);
        admitted(&values, 0..1_000);
        let before = format!("{:?}", values.decided);
        thread::scope(|scope| {
            for thread in 0..4_u32 {
                let values = &values;
                scope.spawn(move || {
                    assert!(
                        admitted(values, 1_000 + thread * 250_000..1_000 + (thread + 1) * 250_000).is_empty()
                    );
                });
            }
        });
        assert_eq!(format!("{:?}", values.decided), before);
    }
}
