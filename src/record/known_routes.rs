//! The routes of one monitor, by number.

use std::{
    collections::HashMap,
    ptr,
    sync::{Arc, OnceLock},
};

use parking_lot::Mutex;

use super::finished_request::RouteHead;

/// Routes that requests refer to by number. They are added and never removed: a request that
/// counted a handle at its start and its end would take two more atomic operations.
#[derive(Debug)]
pub(crate) struct KnownRoutes {
    chunks: [OnceLock<Chunk>; CHUNKS],
    numbers: Mutex<HashMap<(&'static str, Box<str>), u16>>,
}

type Chunk = Box<[OnceLock<Arc<KnownRoute>>; CHUNK_SIZE]>;

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
