//! Rollups: exact counts of requests by key and interval, even if their points are lost.
//!
//! A request adds to the counters of its thread's shard. Its start adds to the counter of its
//! route. Its end adds to the counters of its key, under the shard's lock. At the end of an
//! interval, and at each snapshot of the totals, the tables of all shards are exchanged, one after
//! the other. Their counts are added to two sums: the next interval to write, and the totals since
//! the start.
//!
//! An interval stays in its sum until the buffer of the rollups has accepted its line. So if that
//! buffer is full, as in a long outage, no count is lost: intervals become longer.
//!
//! # Ledger
//!
//! `started = running + left out + ended` and `ended = rolled up + in the open interval` hold at
//! every snapshot. Each number is counted independently: `started` by shard and route, `ended` by
//! shard, the open interval by key, and `rolled up` from the accepted lines. `running` is `started`
//! without the ends, which are counted once more by the route at the start. The changes of one end
//! are made together under its shard's lock. The lock of the sums is held while the shards are
//! read. So the equations hold at every moment.
//!
//! # Memory
//!
//! Each key in use takes about 0.8 KiB for each shard that has seen it, twice, since one table is
//! in use while the other is added up. It takes twice 1.4 KiB for the sums. These are the sizes for
//! the built-in histogram. There are at most `limits.rollup_keys` keys and a few overflow keys. In
//! addition, each of `limits.rollup_keys` takes 16 bytes for each shard, and 32 bytes for each
//! route that a shard has seen.

use std::{fmt, mem, sync::Arc, thread};

use crate::sync::{
    Mutex, MutexGuard,
    shard::{Padded, shard},
};

mod boundaries;
mod ended;
mod key;
mod lines;
mod place;
mod snapshot;
mod sums;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use boundaries::Boundaries;
pub(crate) use ended::{EndedRequest, RouteKey};
pub(crate) use key::{KeyParts, RollupKey, RouteName};
pub(crate) use lines::LineTemplate;
pub(crate) use sums::RollupCounts;
pub(crate) use table::Sum;

use key::Keys;
use place::{Place, ShardCounters};
use sums::Sums;
use table::Measured;

/// See the module.
pub(crate) struct Rollup {
    shards: Box<[Padded<Place>]>,
    boundaries: Boundaries,
    keys: Keys,
    sums: Mutex<Sums>,
}

impl Rollup {
    pub(crate) fn new(boundaries: Boundaries, keys: usize) -> Self {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Self::with_shards(cores, boundaries, keys)
    }

    /// Creates rollups with a fixed number of shards, for tests and models.
    pub(crate) fn with_shards(shards: usize, boundaries: Boundaries, keys: usize) -> Self {
        let shards = shards.next_power_of_two().clamp(1, MOST_SHARDS);
        Self {
            shards: (0..shards).map(|_| Padded(Place::new(keys))).collect(),
            boundaries,
            keys: Keys::new(keys),
            sums: Mutex::new(Sums::new(shards)),
        }
    }

    /// Returns the number of a route, for [`RouteKey::Known`].
    pub(crate) fn route(&self, method: &'static str, resource: &str) -> u32 {
        self.keys.route(method, resource).id
    }

    /// Counts the start of a request. Returns the value to pass to its end.
    #[inline]
    pub(crate) fn start(&self, route: RouteKey<'_>) -> u32 {
        let route = match route {
            RouteKey::Known(number) => number,
            RouteKey::Text(method, resource) => self.start_text(method, resource),
        };
        match self.shards.get(shard()) {
            Some(Padded(place)) => place.starts.add_own(route),
            None => self.place(0).starts.add_shared(route),
        }
        route
    }

    /// Separate, since most requests take no lock when they start.
    #[inline(never)]
    fn start_text(&self, method: &'static str, resource: &str) -> u32 {
        self.number_of_text(&mut self.lock_own(), method, resource)
    }

    /// Counts the end of a usual request: it did not fail, and has a known route and no tags.
    #[inline]
    pub(crate) fn end_plain(&self, started: u32, route: u32, status: u16, nanoseconds: u64, kept: bool) {
        let bucket = self.boundaries.bucket(nanoseconds);
        let Some(mut shard) = self.place(0).shard.try_lock() else {
            return self.end_plain_first(started, route, status, nanoseconds, kept);
        };
        let ShardCounters { ended, ends, table, .. } = &mut *shard;
        if started == route
            && let Some(ends) = ends.get_mut(route as usize)
            && let Some(cell) = table.find_plain(route, status)
        {
            *ended += 1;
            *ends += 1;
            return cell.record(nanoseconds, bucket, kept);
        }
        drop(shard);
        self.end_plain_first(started, route, status, nanoseconds, kept);
    }

    /// Counts the first request of its key in an interval, one that finds the shard locked, or one
    /// whose route has changed.
    #[cold]
    #[inline(never)]
    fn end_plain_first(&self, started: u32, route: u32, status: u16, nanoseconds: u64, kept: bool) {
        let (route, error_code, tags, trace) = (RouteKey::Known(route), "", &b""[..], None);
        self.end(&EndedRequest { started, route, status, error_code, tags, nanoseconds, kept, trace });
    }

    /// Counts the end of a request.
    pub(crate) fn end(&self, request: &EndedRequest<'_>) {
        let bucket = self.boundaries.bucket(request.nanoseconds);
        let mut shard = self.lock_own();
        let EndedRequest { route, status, error_code, tags, .. } = *request;
        let parts = KeyParts { route: self.number(&mut shard, route), status, error_code, tags };
        shard.ended += 1;
        shard.add_end(request.started);
        let EndedRequest { nanoseconds, kept, trace, .. } = *request;
        self.end_other(&mut shard, parts, &Measured { nanoseconds, bucket, kept, trace });
    }

    /// Counts the end of a request that is filtered.
    pub(crate) fn leave_out(&self, started: u32) {
        let mut shard = self.lock_own();
        shard.left_out += 1;
        shard.add_end(started);
    }

    #[inline(never)]
    fn end_other(&self, shard: &mut ShardCounters, parts: KeyParts<'_>, measured: &Measured) {
        if let Some(cell) = shard.table.find(parts, parts.hash()) {
            return cell.record_all(measured);
        }
        // Beyond the limit, the key differs from the requested one.
        let key = self.key(shard, parts);
        let hash = key.parts().hash();
        if shard.table.find(key.parts(), hash).is_none() {
            shard.table.add(Arc::clone(&key), self.boundaries.buckets());
        }
        if let Some(cell) = shard.table.find(key.parts(), hash) {
            cell.record_all(measured);
        }
    }

    /// Finds the key of these parts, or the overflow key that replaces it. Each shard remembers
    /// replacements: there may be any number of them, and they must not contend for one lock.
    fn key(&self, shard: &mut ShardCounters, parts: KeyParts<'_>) -> Arc<RollupKey> {
        let asked = (parts.route, parts.status, parts.error_code.is_empty());
        if self.keys.is_beyond(parts.hash())
            && let Some(key) = shard.beyond.get(&asked)
        {
            return Arc::clone(key);
        }
        let key = self.keys.key(parts);
        if !parts.is_of(&key) {
            shard.beyond.insert(asked, Arc::clone(&key));
        }
        key
    }

    /// Returns the boundaries of the histograms.
    pub(crate) fn boundaries(&self) -> &Boundaries {
        &self.boundaries
    }

    /// Passes each line of the interval that ends now to `push`, and begins the next interval.
    /// Lines that `push` refuses stay in the interval. Returns how many lines were accepted.
    pub(crate) fn write_interval(
        &self,
        template: &LineTemplate,
        push: &mut dyn FnMut(&[u8], usize) -> bool,
    ) -> usize {
        let mut sums = self.sums();
        let running = self.collect(&mut sums);
        sums.write(template, &self.boundaries, &self.keys, &running, push)
    }

    /// Returns the totals since the start, and the running requests by route.
    pub(crate) fn totals(&self) -> Totals {
        let mut sums = self.sums();
        let running = self.collect(&mut sums);
        let totals = sums.totals();
        drop(sums);
        let routes = self.keys.routes().into_iter();
        let running = routes.zip(running.into_iter().chain(std::iter::repeat(0))).collect();
        Totals { keys: self.keys.all().into_iter().zip(totals).collect(), running }
    }

    /// Returns the ledger, without ending the open interval.
    pub(crate) fn snapshot(&self) -> RollupCounts {
        self.counts(&self.sums())
    }

    /// Returns how many requests have started.
    pub(crate) fn started(&self) -> u64 {
        self.shards.iter().flat_map(|place| place.0.starts.counts()).sum()
    }

    /// Returns how many requests have ended without a point of their own.
    pub(crate) fn ended_without_point(&self) -> u64 {
        let RollupCounts { ended, left_out, kept, .. } = self.snapshot();
        ended + left_out - kept
    }

    fn counts(&self, sums: &Sums) -> RollupCounts {
        let before = sums.counts();
        let counts = self.locked().fold(before, |counts, shard| RollupCounts {
            ended: counts.ended + shard.ended,
            left_out: counts.left_out + shard.left_out,
            kept: counts.kept + shard.table.kept(),
            running: counts.running - shard.ends.iter().sum::<u64>() as i64,
            open: counts.open + shard.table.count(),
            ..counts
        });
        let started = self.started();
        RollupCounts { started, running: counts.running + started as i64, ..counts }
    }

    /// Adds the counts of the shards to the sums. Returns how many requests of each route are
    /// running.
    fn collect(&self, sums: &mut Sums) -> Vec<i64> {
        let mut running = vec![0; self.shards.first().map_or(0, |place| place.0.starts.counts().count())];
        for (number, Padded(place)) in self.shards.iter().enumerate() {
            let mut spare = sums.take_spare(number);
            let mut shard = place.shard.lock();
            mem::swap(&mut shard.table, &mut spare);
            running.iter_mut().zip(&shard.ends).for_each(|(sum, ends)| *sum -= *ends as i64);
            drop(shard);
            spare.take(|cell| sums.add(cell));
            sums.put_spare(number, spare);
        }
        for Padded(place) in &self.shards {
            running.iter_mut().zip(place.starts.counts()).for_each(|(sum, starts)| *sum += starts as i64);
        }
        running
    }

    #[inline]
    fn number(&self, shard: &mut ShardCounters, route: RouteKey<'_>) -> u32 {
        match route {
            RouteKey::Known(number) => number,
            RouteKey::Text(method, resource) => self.number_of_text(shard, method, resource),
        }
    }

    #[inline(never)]
    fn number_of_text(&self, shard: &mut ShardCounters, method: &'static str, resource: &str) -> u32 {
        use std::hash::BuildHasher;
        let hash = shard.routes.hasher().hash_one((method, resource));
        match shard.routes.get(&hash) {
            Some(route) if route.method == method && *route.resource == *resource => return route.id,
            _ => {}
        }
        let route = self.keys.route(method, resource);
        // Names beyond the limit are unbounded, so they are not cached.
        if *route.resource == *resource {
            shard.routes.insert(hash, Arc::clone(&route));
        }
        route.id
    }

    /// Locks the thread's own shard, or the next free one if it is held.
    #[inline(always)]
    fn lock_own(&self) -> MutexGuard<'_, ShardCounters> {
        match self.place(0).shard.try_lock() {
            Some(shard) => shard,
            None => self.lock_next(),
        }
    }

    #[cold]
    fn lock_next(&self) -> MutexGuard<'_, ShardCounters> {
        match self.place(1).shard.try_lock() {
            Some(shard) => shard,
            None => self.place(0).shard.lock(),
        }
    }

    #[inline]
    fn place(&self, step: usize) -> &Place {
        &self.shards[(shard() + step) & (self.shards.len() - 1)].0
    }

    /// Locks each shard in turn, never two at once.
    fn locked(&self) -> impl Iterator<Item = MutexGuard<'_, ShardCounters>> {
        self.shards.iter().map(|Padded(place)| place.shard.lock())
    }

    fn sums(&self) -> MutexGuard<'_, Sums> {
        self.sums.lock()
    }
}

/// All counts since the start.
#[derive(Debug)]
pub(crate) struct Totals {
    pub(crate) keys: Vec<(Arc<RollupKey>, Sum)>,
    /// A request that changes its thread during the read may count twice or not at all.
    pub(crate) running: Vec<(Arc<RouteName>, i64)>,
}

impl fmt::Debug for Rollup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Rollup").field("boundaries", &self.boundaries).finish_non_exhaustive()
    }
}

const MOST_SHARDS: usize = 32;
