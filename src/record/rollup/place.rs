//! The counters of one shard.

use std::{collections::HashMap, sync::Arc};

use foldhash::quality::RandomState;

use super::{
    key::{RollupKey, RouteName},
    table::Table,
};
use crate::sync::{
    Mutex,
    atomic::{AtomicU64, Ordering::Relaxed},
    shard::add_alone,
};

/// One shard, used by one thread or a few.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) starts: Starts,
    pub(super) shard: Mutex<ShardCounters>,
}

#[derive(Debug, Default)]
pub(super) struct ShardCounters {
    pub(super) ended: u64,
    pub(super) left_out: u64,
    /// How many requests ended on this shard, by their route at the start. They may have started on
    /// another shard.
    pub(super) ends: Vec<u64>,
    /// Routes that were given as text, by hash.
    pub(super) routes: HashMap<u64, Arc<RouteName>, RandomState>,
    /// Keys that replace others, by route, status, and whether the request did not fail.
    pub(super) beyond: HashMap<(u32, u16, bool), Arc<RollupKey>, RandomState>,
    pub(super) table: Table,
}

/// The numbers of started requests of one shard, by route. Each request counts twice, and the start
/// is counted without a lock.
///
/// The number of running requests is computed by reading the ends first, under their locks. Each
/// start happens before its end, so no end is seen without its start.
#[derive(Debug)]
pub(super) struct Starts {
    /// Written by the thread that has the number of the shard, alone.
    own: Box<[AtomicU64]>,
    /// Written by all other threads of the shard.
    others: Box<[AtomicU64]>,
}

impl Starts {
    /// Creates counters for as many routes as there can be with this many keys.
    pub(super) fn new(keys: usize) -> Self {
        let counts = || (0..keys + METHODS).map(|_| AtomicU64::new(0)).collect();
        Self { own: counts(), others: counts() }
    }

    /// Counts a start on the thread that has the number of the shard.
    #[inline]
    pub(super) fn add_own(&self, route: u32) {
        match self.own.get(route as usize) {
            Some(count) => add_alone(count),
            None => self.add_shared(route),
        }
    }

    /// Counts a start on another thread. A route beyond the table cannot occur. If it did, it would
    /// count as the last one, so that the number of all requests stays right.
    #[inline(never)]
    pub(super) fn add_shared(&self, route: u32) {
        if let Some(count) = self.others.get(route as usize).or(self.others.last()) {
            count.fetch_add(1, Relaxed);
        }
    }

    /// Returns the counts, by route.
    pub(super) fn counts(&self) -> impl Iterator<Item = u64> {
        self.own.iter().zip(&self.others).map(|(own, others)| own.load(Relaxed) + others.load(Relaxed))
    }
}

impl ShardCounters {
    #[inline]
    pub(super) fn add_end(&mut self, route: u32) {
        match self.ends.get_mut(route as usize) {
            Some(ends) => *ends += 1,
            None => self.add_route(route),
        }
    }

    #[cold]
    fn add_route(&mut self, route: u32) {
        self.ends.resize(route as usize + 1, 0);
        self.ends[route as usize] = 1;
    }
}

impl Place {
    pub(super) fn new(keys: usize) -> Self {
        Self { starts: Starts::new(keys), shard: Mutex::default() }
    }
}

/// Beyond the limit there is one more route for each method: the nine standard ones, and all
/// others.
const METHODS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_route_has_a_count_and_an_impossible_one_is_not_lost() {
        for keys in [0, 1, 100, 10_000] {
            let starts = Starts::new(keys);
            // The routes within the limit, and beyond it one for each method: the nine standard
            // ones and all others.
            let routes = keys as u32 + 10;
            (0..routes).for_each(|route| {
                if route % 2 == 0 { starts.add_own(route) } else { starts.add_shared(route) }
            });
            assert!(starts.counts().take(routes as usize).all(|count| count == 1), "{keys}");
            assert!(starts.counts().count() < keys + 50, "{keys}");
            starts.add_own(u32::MAX);
            assert_eq!(starts.counts().sum::<u64>(), u64::from(routes) + 1, "{keys}");
        }
    }
}
