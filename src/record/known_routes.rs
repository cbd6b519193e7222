//! The routes of one monitor, by number.

use std::{
    collections::HashMap,
    ptr,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::finished_request::RouteHead;

/// Routes that requests refer to by number. They are added and never removed. Cloning and dropping
/// a handle would take a request two more atomic operations.
#[derive(Debug)]
pub(crate) struct KnownRoutes {
    chunks: [OnceLock<RouteChunk>; CHUNKS],
    numbers: Mutex<HashMap<(&'static str, Box<str>), u16>>,
}

type RouteChunk = Box<[OnceLock<Arc<KnownRoute>>; CHUNK_SIZE]>;

/// The number of a route, which a request keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KnownNumber {
    pub(crate) route: u16,
    /// Its number in the rollups, if these are on.
    pub(crate) rollup: u32,
}

/// A method and a route as one monitor writes them.
#[derive(Debug)]
pub(crate) struct KnownRoute {
    pub(super) monitor: u64,
    pub(super) method: &'static str,
    pub(crate) name: Box<str>,
    pub(crate) head: RouteHead,
}

impl KnownRoutes {
    /// Returns a route by its number. Takes no lock.
    #[inline(always)]
    pub(crate) fn get(&self, number: u16) -> Option<&Arc<KnownRoute>> {
        let number = usize::from(number);
        self.chunks.get(number / CHUNK_SIZE)?.get()?[number % CHUNK_SIZE].get()
    }

    /// Returns the number of a route.
    pub(super) fn find(&self, method: &'static str, name: &str) -> Option<u16> {
        self.numbers.lock().get(&(method, Box::from(name))).copied()
    }

    /// Adds a route, unless it is known. Returns its number, or `None` if there are too many.
    pub(super) fn add(&self, route: KnownRoute) -> Option<u16> {
        let mut numbers = self.numbers.lock();
        let key = (route.method, route.name.clone());
        if let Some(known) = numbers.get(&key) {
            return Some(*known);
        }
        let number = numbers.len();
        let chunk = self.chunks.get(number / CHUNK_SIZE)?;
        let chunk = chunk.get_or_init(|| Box::new([const { OnceLock::new() }; CHUNK_SIZE]));
        // Only this lock's owner sets a place, so it is free.
        chunk[number % CHUNK_SIZE].set(Arc::new(route)).ok()?;
        numbers.insert(key, number as u16);
        Some(number as u16)
    }
}

impl Default for KnownRoutes {
    fn default() -> Self {
        Self { chunks: [const { OnceLock::new() }; CHUNKS], numbers: Mutex::default() }
    }
}

impl KnownRoute {
    /// Returns the head if it belongs to this monitor and this method. The route may come from
    /// another monitor's layer, or a middleware may have changed the method. No method's name
    /// begins with another one, so their addresses distinguish them.
    #[inline]
    pub(crate) fn head_for(&self, monitor: u64, method: &'static str) -> Option<&RouteHead> {
        let is_own = self.monitor == monitor && ptr::addr_eq(self.method.as_ptr(), method.as_ptr());
        is_own.then_some(&self.head)
    }
}

/// Together 4,096 routes. Others are encoded for each of their requests.
const CHUNKS: usize = 64;
const CHUNK_SIZE: usize = 64;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, thread};

    use super::*;
    use crate::line_protocol::{RequestTemplate, StaticTags};

    fn route(method: &'static str, name: &str) -> KnownRoute {
        let template = RequestTemplate::new(&StaticTags::new("shop", None, &BTreeMap::new()), true);
        let line = template.head(method, name).expect("a plain name");
        KnownRoute { monitor: 1, method, name: name.into(), head: RouteHead { line, number: 0 } }
    }

    #[test]
    fn a_route_has_one_number_and_keeps_it() {
        let routes = KnownRoutes::default();
        let names: Vec<String> = (0..300).map(|number| format!("/{number}")).collect();
        let add = || names.iter().map(|name| routes.add(route("GET", name))).collect::<Vec<_>>();
        let numbers = thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(add)).collect();
            threads.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Vec<_>>()
        });
        assert!(numbers.iter().all(|others| *others == numbers[0]), "the same for each thread");
        for (name, number) in names.iter().zip(&numbers[0]) {
            assert_eq!(routes.find("GET", name), *number);
            assert_eq!(routes.find("POST", name), None);
            assert_eq!(*routes.get(number.expect("a number")).expect("was added").name, **name);
        }
        assert!(routes.get(300).is_none() && routes.get(u16::MAX).is_none());
    }

    #[test]
    fn beyond_the_limit_a_route_has_no_number() {
        let routes = KnownRoutes::default();
        let most = CHUNKS * CHUNK_SIZE;
        for number in 0..most + 3 {
            let expected = (number < most).then_some(number as u16);
            assert_eq!(routes.add(route("GET", &format!("/{number}"))), expected);
        }
        assert_eq!(routes.find("GET", "/0"), Some(0));
    }
}
