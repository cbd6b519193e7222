//! The keys by which requests are counted, with a bound on their number.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

use crate::{
    line_protocol::stored_resource,
    point::schema::OVERFLOW,
    sync::{
        Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
        atomic_hash_set::AtomicHashSet,
    },
};

/// A method and a resource, as in the tag `route`.
#[derive(Debug)]
pub(crate) struct RouteName {
    /// Less than the number of routes.
    pub(crate) id: u32,
    pub(crate) method: &'static str,
    pub(crate) resource: Box<str>,
}

/// The key of one line of an interval.
#[derive(Debug)]
pub(crate) struct RollupKey {
    /// Less than the number of keys.
    pub(crate) id: u32,
    pub(crate) route: Arc<RouteName>,
    pub(crate) status: u16,
    /// Empty for requests that did not fail.
    pub(crate) error_code: Box<str>,
    /// The tags, encoded as line protocol: `,key=value` each.
    pub(crate) tags: Box<[u8]>,
}

/// A key as a request states it, borrowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeyParts<'a> {
    pub(crate) route: u32,
    pub(crate) status: u16,
    pub(crate) error_code: &'a str,
    pub(crate) tags: &'a [u8],
}

/// All routes and keys of one monitor. They are never removed, and their number is bounded.
#[derive(Debug)]
pub(crate) struct Keys {
    limit: usize,
    known: Mutex<Known>,
    /// Hashes of all keys. They tell a request without a lock that its key is beyond the limit.
    hashes: AtomicHashSet,
    /// Set when only overflow keys can be added, and `hashes` contains all other keys.
    full: AtomicBool,
    warned: AtomicBool,
}

#[derive(Debug, Default)]
pub(super) struct Known {
    routes: Vec<Arc<RouteName>>,
    route_ids: HashMap<(&'static str, Box<str>), u32, RandomState>,
    keys: Vec<Arc<RollupKey>>,
    key_ids: HashMap<OwnedParts, u32, RandomState>,
    /// How many keys count towards the limit. Overflow keys do not.
    limited: usize,
    /// Some key is missing in `hashes`.
    misses_hashes: bool,
}

/// The owned form of [`KeyParts`].
type OwnedParts = (u32, u16, Box<str>, Box<[u8]>);

impl RollupKey {
    pub(crate) fn parts(&self) -> KeyParts<'_> {
        let Self { route, status, error_code, tags, .. } = self;
        KeyParts { route: route.id, status: *status, error_code, tags }
    }
}

impl KeyParts<'_> {
    /// Hashes the key. The upper bits depend on all parts.
    #[inline]
    pub(crate) fn hash(&self) -> u64 {
        let plain = u64::from(self.route) << 16 | u64::from(self.status);
        let hash = plain.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if self.error_code.is_empty() && self.tags.is_empty() { hash } else { self.hash_all(hash) }
    }

    fn hash_all(&self, hash: u64) -> u64 {
        use crate::sync::atomic_hash_set::{finish, hash_names};
        finish(hash_names(hash_names(hash, self.error_code.as_bytes()) ^ 0xff, self.tags))
    }

    #[inline]
    pub(crate) fn is_of(&self, key: &RollupKey) -> bool {
        key.route.id == self.route
            && key.status == self.status
            && *key.error_code == *self.error_code
            && *key.tags == *self.tags
    }
}

impl Keys {
    /// Creates a table of at most `limit` keys, and as many routes. Others count under
    /// [`OVERFLOW`].
    pub(crate) fn new(limit: usize) -> Self {
        let levels = (1..MOST_LEVELS).find(|level| AtomicHashSet::level_size(*level) / 4 >= limit);
        Self {
            limit,
            known: Mutex::default(),
            hashes: AtomicHashSet::new(levels.unwrap_or(MOST_LEVELS)),
            full: AtomicBool::new(false),
            warned: AtomicBool::new(false),
        }
    }

    /// Finds the route of this name, or adds a new one. Takes a lock, so the usual request does not
    /// call it.
    pub(crate) fn route(&self, method: &'static str, resource: &str) -> Arc<RouteName> {
        // Of two lines with the same tags and time, the database keeps one. So names that a line
        // cannot distinguish are one route.
        let resource = &*stored_resource(method, resource);
        let mut known = self.lock();
        if let Some(route) = known.find_route(method, resource) {
            return route;
        }
        // There are few methods, so one overflow route for each may be beyond the limit.
        let resource = if known.routes.len() < self.limit { resource } else { self.overflow() };
        known.find_route(method, resource).unwrap_or_else(|| known.add_route(method, resource))
    }

    /// Finds the key of these parts, or adds a new one. Takes a lock, so the usual request does not
    /// call it.
    pub(crate) fn key(&self, parts: KeyParts<'_>) -> Arc<RollupKey> {
        let mut known = self.lock();
        if let Some(key) = known.find_key(parts) {
            return key;
        }
        let Some(route) = known.routes.get(parts.route as usize).cloned() else {
            debug_assert!(false, "a route that nobody has entered");
            return known
                .add_key(parts, Arc::new(RouteName { id: 0, method: "OTHER", resource: OVERFLOW.into() }));
        };
        if known.limited < self.limit {
            known.limited += 1;
            let has_place = self.hashes.find_or_insert(parts.hash(), ENTERED).is_some();
            known.misses_hashes |= !has_place;
            return known.add_key(parts, route);
        }
        let resource = self.overflow();
        self.full.store(!known.misses_hashes, Ordering::Release);
        let route = known
            .find_route(route.method, resource)
            .unwrap_or_else(|| known.add_route(route.method, resource));
        // The status is kept, so errors remain errors.
        let error_code = if parts.error_code.is_empty() { "" } else { OVERFLOW };
        let parts = KeyParts { route: route.id, status: parts.status, error_code, tags: &[] };
        known.find_key(parts).unwrap_or_else(|| known.add_key(parts, route))
    }

    /// Returns whether a key is certainly beyond the limit, without a lock.
    #[inline]
    pub(crate) fn is_beyond(&self, hash: u64) -> bool {
        self.full.load(Ordering::Acquire) && self.hashes.find(hash).is_none()
    }

    pub(crate) fn all(&self) -> Vec<Arc<RollupKey>> {
        self.lock().keys.clone()
    }

    pub(crate) fn routes(&self) -> Vec<Arc<RouteName>> {
        self.lock().routes.clone()
    }

    fn overflow(&self) -> &'static str {
        if !self.warned.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                limit = self.limit,
                "rollup keys have reached `limits.rollup_keys`: further requests are counted with the route \
                 `{OVERFLOW}`; raise the limit, or list fewer tags in `rollup.tags` (logged once)"
            );
        }
        OVERFLOW
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock()
    }
}

impl Known {
    fn find_route(&self, method: &'static str, resource: &str) -> Option<Arc<RouteName>> {
        let id = self.route_ids.get(&(method, Box::from(resource)))?;
        self.routes.get(*id as usize).cloned()
    }

    fn add_route(&mut self, method: &'static str, resource: &str) -> Arc<RouteName> {
        let id = self.routes.len() as u32;
        let route = Arc::new(RouteName { id, method, resource: resource.into() });
        self.route_ids.insert((method, resource.into()), id);
        self.routes.push(Arc::clone(&route));
        route
    }

    fn find_key(&self, parts: KeyParts<'_>) -> Option<Arc<RollupKey>> {
        let KeyParts { route, status, error_code, tags } = parts;
        let id = self.key_ids.get(&(route, status, error_code.into(), tags.into()))?;
        self.keys.get(*id as usize).cloned()
    }

    fn add_key(&mut self, parts: KeyParts<'_>, route: Arc<RouteName>) -> Arc<RollupKey> {
        let KeyParts { status, error_code, tags, .. } = parts;
        let id = self.keys.len() as u32;
        let key = Arc::new(RollupKey { id, route, status, error_code: error_code.into(), tags: tags.into() });
        self.key_ids.insert((parts.route, status, error_code.into(), tags.into()), id);
        self.keys.push(Arc::clone(&key));
        key
    }
}

const ENTERED: u8 = 1;
const MOST_LEVELS: usize = 8;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::test_log::logged;

    fn parts(route: u32, status: u16) -> KeyParts<'static> {
        KeyParts { route, status, error_code: "", tags: b"" }
    }

    #[test]
    fn hashes_differ_by_each_part_and_fill_the_upper_bits() {
        let names: Vec<_> = (0..300).map(|number| format!("e{number}")).collect();
        let plain = (0..500).flat_map(|route| [200, 204, 304, 404, 500].map(|status| parts(route, status)));
        let failed = names.iter().map(|error_code| KeyParts { error_code, ..parts(0, 500) });
        let tagged = names.iter().map(|tags| KeyParts { tags: tags.as_bytes(), ..parts(0, 500) });
        let both =
            names.iter().map(|tags| KeyParts { error_code: "e", tags: tags.as_bytes(), ..parts(0, 500) });
        let all: Vec<_> = plain.chain(failed).chain(tagged).chain(both).collect();
        let hashes: HashSet<_> = all.iter().map(KeyParts::hash).collect();
        assert_eq!(hashes.len(), all.len());
        let upper: HashSet<_> = hashes.iter().map(|hash| hash >> 56).collect();
        assert_eq!(upper.len(), 256);
    }

    #[test]
    fn whether_a_key_is_beyond_the_limit_is_known_without_the_lock() {
        for limit in [1, 16, 17, 100, 1_000, 5_000] {
            let keys = Keys::new(limit);
            let route = keys.route("GET", "/a").id;
            let all: Vec<_> = (0..limit).map(|number| format!(",n={number}")).collect();
            let with_tags = |tags| KeyParts { tags, ..parts(route, 200) };
            let all = || all.iter().map(|tags| with_tags(tags.as_bytes()));
            for parts in all() {
                assert!(!keys.is_beyond(parts.hash()), "limit {limit}");
                keys.key(parts);
            }
            keys.key(with_tags(b",beyond=1"));
            assert!(keys.is_beyond(with_tags(b",beyond=2").hash()), "limit {limit}");
            assert!(all().all(|parts| !keys.is_beyond(parts.hash())), "limit {limit}");
        }
    }

    /// Otherwise its requests would count under another name.
    #[test]
    fn a_key_that_is_missing_in_the_hashes_is_not_beyond_the_limit() {
        for limit in [200, 201] {
            let keys = Keys { hashes: AtomicHashSet::new(1), ..Keys::new(limit) };
            (0..=limit as u32).for_each(|_| _ = keys.route("GET", "/a"));
            let tags: Vec<_> = (0..=limit).map(|number| format!(",n={number}")).collect();
            let all = tags.iter().map(|tags| KeyParts { tags: tags.as_bytes(), ..parts(0, 200) });
            let known: Vec<_> = all.map(|parts| (parts, keys.key(parts))).collect();
            let (beyond, known) = known.split_last().expect("some");
            assert!(!beyond.0.is_of(&beyond.1));
            for (parts, key) in known {
                assert!(parts.is_of(key) && !keys.is_beyond(parts.hash()));
            }
        }
    }

    #[test]
    fn routes_that_a_line_cannot_distinguish_are_one() {
        let keys = Keys::new(10);
        let long = ["1", "2"].map(|end| "x".repeat(1_024) + end);
        let id = |resource: &str| keys.route("GET", resource).id;
        assert_eq!(id("/a_b"), id("/a\nb"));
        assert_eq!(id("/\u{7f} ,"), id("/_ ,"));
        assert_eq!(id("/\\,"), id("//,"));
        assert_eq!(id(&long[0]), id(&long[1]));
        assert_ne!(id("/a b"), id("/a_b"));
        assert_eq!(keys.routes().len(), 5);
    }

    #[test]
    fn routes_up_to_the_limit_have_their_names_and_the_overflow_is_logged_once() {
        let keys = Keys::new(3);
        let mut names = Vec::new();
        let log = logged(|| {
            names =
                (0..6).map(|number| keys.route("GET", &format!("/{number}")).resource.to_string()).collect();
        });
        assert_eq!(names, ["/0", "/1", "/2", "other", "other", "other"]);
        assert!(
            log.lines().count() == 1 && log.contains("`limits.rollup_keys`") && log.contains("limit=3\n"),
            "{log}"
        );
        assert_eq!(*keys.route("POST", "/0").resource, *OVERFLOW, "of another method");
        assert_eq!(keys.routes().len(), 5);
    }
}
