//! The buffer in which points wait for the flusher: encoded lines in sharded chunks, bounded by
//! bytes.
//!
//! A push takes the lock of its thread's shard, copies the lines and adds to four counters. A full
//! chunk is sealed. The flusher takes all chunks by swapping pointers, one shard after the other.
//!
//! Memory: none for a shard that was never pushed to, otherwise one open chunk of 64 KiB. There is
//! one shard for each core, at most 32: at most 2 MiB. A longer record gets a chunk of its own
//! length. The limit bounds the memory of sealed chunks together with what the flusher holds.
//! Recycled chunks take at most 1 MiB. At rest, only these remain, and 160 bytes a shard.
//!
//! The bound is reached only when the flusher does not drain, since it is woken long before. Each
//! shard then drops its own oldest chunk, or refuses new lines, without looking at the others.

use std::{
    sync::{Arc, Weak},
    thread,
};

use crate::{
    settings::Overflow,
    stats::ledger::{Ledger, LedgerCounts},
    sync::{
        atomic::{
            AtomicBool, AtomicUsize,
            Ordering::{Relaxed, SeqCst},
            fence,
        },
        shard::Padded,
    },
};

mod before_close;
mod chunk;
mod counted_elsewhere;
mod counts;
mod open;
mod shard;
mod shards;
mod wake;

pub(crate) use chunk::Chunk;
pub(crate) use counts::{BufferCounts, Pushed};
pub(crate) use open::Open;

use before_close::BeforeClose;
use chunk::{CHUNK_SIZE, Pool};
use counted_elsewhere::CountedElsewhere;
use open::OpenList;
use shard::{PushMode, Shard};
use shards::Shards;
use wake::{WakeWhenAny, WatchedSum};

/// See the module.
#[derive(Debug)]
pub(crate) struct Buffer {
    shards: Shards,
    limit: AtomicUsize,
    /// Bytes that the flusher holds. They count towards the limit: a drain alone frees no room.
    flusher_bytes: AtomicUsize,
    drop_newest: AtomicBool,
    any: WakeWhenAny,
    pool: Pool,
    /// The memory of all sealed chunks. Written only when a chunk is sealed, dropped or drained.
    sealed: Padded<WatchedSum>,
    before_close: BeforeClose<Self>,
    open: OpenList,
    pub(crate) counted_elsewhere: CountedElsewhere,
    /// The buffers of further destinations. They have no copies of their own: locks have one order.
    copies: Vec<Arc<Self>>,
}

impl Buffer {
    pub(crate) fn new(limit_bytes: usize, overflow: Overflow) -> Self {
        let cores = thread::available_parallelism().map_or(1, Into::into);
        Self::with_shards(cores, limit_bytes, overflow)
    }

    /// Creates a buffer with a fixed number of shards, for tests and models.
    pub(crate) fn with_shards(shards: usize, limit_bytes: usize, overflow: Overflow) -> Self {
        let buffer = Self {
            shards: Shards::new(shards),
            limit: AtomicUsize::default(),
            flusher_bytes: AtomicUsize::default(),
            drop_newest: AtomicBool::default(),
            any: WakeWhenAny::default(),
            pool: Pool::default(),
            sealed: Padded(WatchedSum::new()),
            before_close: BeforeClose::default(),
            open: OpenList::default(),
            counted_elsewhere: CountedElsewhere::default(),
            copies: Vec::new(),
        };
        buffer.set_limit(limit_bytes, overflow);
        buffer
    }

    /// Sets a function that pushes the last points. It runs at each [`close`](Self::close).
    pub(crate) fn before_close(mut self, last: impl Fn(&Self) + Send + Sync + 'static) -> Self {
        self.before_close = BeforeClose::new(last);
        self
    }

    /// Copies all lines to these buffers, too, until this one is closed. Each accepts or refuses
    /// them by its own bounds, whether or not this one accepts them.
    pub(crate) fn copy_to(mut self, copies: Vec<Arc<Self>>) -> Self {
        if !copies.is_empty() {
            self.shards.locked().for_each(|mut shard| shard.mode = PushMode::Copied);
            self.copies = copies;
        }
        self
    }

    /// Sets the limit. It applies from the next chunk that is sealed.
    pub(crate) fn set_limit(&self, limit_bytes: usize, overflow: Overflow) {
        self.limit.store(limit_bytes, Relaxed);
        self.drop_newest.store(overflow == Overflow::DropNewest, Relaxed);
    }

    /// Sets how many bytes the flusher holds; a drain adds its own. For the draining task only.
    pub(crate) fn set_flusher_bytes(&self, bytes: usize) {
        self.flusher_bytes.store(bytes, Relaxed);
        // No lock orders the flusher's bytes and the sealed bytes. Whoever raises one reads the
        // other afterwards.
        fence(SeqCst);
    }

    #[inline]
    pub(crate) fn request_started(&self) {
        self.shards.count_start();
    }

    /// Counts the end of a request that is not recorded. A recorded one ends with its push.
    #[inline]
    pub(crate) fn request_ended(&self) {
        self.shards.lock_own().finished += 1;
    }

    /// Returns how many requests have started and not ended. The number is never too low, so zero
    /// means that at one moment none was running. It may be too high by requests that start or end
    /// during the call.
    pub(crate) fn running_requests(&self) -> u64 {
        // All ends are read before all starts: the start of every counted end is then counted, too.
        let told: u64 = self.shards.locked().map(|shard| shard.finished).sum();
        let ended = told + self.counted_elsewhere.ended();
        (self.shards.started() + self.counted_elsewhere.started()).saturating_sub(ended)
    }

    /// Accepts all `points` lines of one request or one custom point, or none of them.
    /// `ends_request` also counts the end of the request, whether or not the lines are accepted.
    #[inline]
    pub(crate) fn push(&self, lines: &[u8], points: usize, ends_request: bool) -> Pushed {
        let mut shard = self.shards.lock_own();
        shard.finished += u64::from(ends_request);
        shard.offered += points as u64;
        if shard.mode != PushMode::Open && self.copy_or_refuse(&mut shard, lines, points) {
            return Pushed::Closed;
        }
        let mut sealed = false;
        if !shard.has_room(lines.len()) {
            match self.make_room(&mut shard, lines.len()) {
                Some(did_seal) => sealed = did_seal,
                None => {
                    shard.lost.refused_full += points as u64;
                    return Pushed::Full;
                }
            }
        }
        let first = shard.append(lines, points);
        drop(shard);
        // Called without the lock, since waking a task costs more than all of the above.
        if first {
            self.any.wake();
        }
        if sealed {
            self.sealed.0.wake();
        }
        Pushed::Accepted
    }

    /// Counts a point that cannot be encoded as offered and as invalid, under one lock.
    pub(crate) fn refuse_invalid(&self) {
        let mut shard = self.shards.lock_own();
        shard.offered += 1;
        shard.lost.invalid += 1;
    }

    /// Closes the buffer: nothing is accepted afterwards. Accepted points can still be drained.
    pub(crate) fn close(&self) {
        self.end_open();
        self.before_close.call(self);
        self.shards.locked().for_each(|mut shard| shard.mode = PushMode::Closed);
    }

    /// Returns whether neither this buffer nor any copy through it will receive another line.
    pub(crate) fn is_closed_everywhere(&self) -> bool {
        self.shards.locked().all(|shard| shard.mode == PushMode::Closed)
    }

    /// Adds something that is recorded as unfinished when the buffer is closed.
    pub(crate) fn add_open(&self, open: Weak<dyn Open>) {
        self.open.add(open);
    }

    /// Records everything that is under way as unfinished.
    pub(crate) fn end_open(&self) {
        self.open.end_all();
    }

    /// Returns whether [`close`](Self::close) was called.
    pub(crate) fn is_closed(&self) -> bool {
        self.shards.lock_own().mode == PushMode::Closed
    }

    /// Moves all chunks into `into`, oldest first within each shard, and counts their points as in
    /// flight. Returns the number of points.
    pub(crate) fn drain(&self, ledger: &Ledger, into: &mut Vec<Chunk>) -> usize {
        let before = into.len();
        // Held over all shards, so that a snapshot sees a point either here or there, never in both
        // or in none.
        let mut counts = ledger.lock();
        for mut shard in self.shards.locked() {
            let (sealed, open) = shard.take();
            drop(shard);
            let taken: usize = sealed.iter().chain(&open).map(Chunk::size).sum();
            self.flusher_bytes.fetch_add(taken, Relaxed);
            self.sealed.0.subtract(sealed.iter().map(Chunk::size).sum());
            into.extend(sealed.into_iter().chain(open));
        }
        let points = into[before..].iter().map(|chunk| chunk.points).sum();
        counts.take_off(points);
        drop(counts);
        for chunk in &into[before..] {
            debug_assert_eq!(chunk.newlines(), chunk.points, "the ledger does not agree with the lines");
        }
        points
    }

    /// Returns the memory of a drained chunk to the pool.
    pub(crate) fn recycle(&self, chunk: Chunk) {
        self.pool.give(chunk.bytes);
    }

    /// Returns both sides of the ledger, at one moment for each shard, with every point accounted
    /// for.
    pub(crate) fn snapshot(&self, ledger: &Ledger) -> (LedgerCounts, BufferCounts) {
        let counts = ledger.lock();
        // Before the open chunks, or one that is sealed meanwhile would count twice.
        let sealed = BufferCounts { bytes: self.sealed_bytes(), ..BufferCounts::default() };
        let mut sum = self.shards.locked().fold(sealed, |sum, shard| BufferCounts {
            offered: sum.offered + shard.offered,
            invalid: sum.invalid + shard.lost.invalid,
            refused_full: sum.refused_full + shard.lost.refused_full,
            refused_closed: sum.refused_closed + shard.lost.refused_closed,
            bytes: sum.bytes + shard.open_bytes(),
            accepted: sum.accepted + shard.accepted,
            buffered: sum.buffered + shard.buffered,
            dropped: sum.dropped + shard.lost.dropped,
        });
        sum.bytes += self.flusher_bytes.load(Relaxed);
        (counts.clone(), sum)
    }

    /// Waits until points can be drained. For one waiter at a time.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any moment.
    pub(crate) async fn wait_for_points(&self) {
        self.any.wait(|| self.shards.locked().any(|shard| shard.buffered > 0)).await;
    }

    /// Waits until sealed chunks hold at least `bytes`. For one waiter at a time.
    ///
    /// # Cancel safety
    ///
    /// The future may be dropped at any moment.
    pub(crate) async fn wait_until_full(&self, bytes: usize) {
        self.sealed.0.wait(bytes).await;
    }

    /// Returns the memory of all sealed chunks. The limit bounds it together with what the flusher
    /// holds.
    pub(crate) fn sealed_bytes(&self) -> usize {
        self.sealed.0.get()
    }

    /// Returns the memory of all sealed chunks plus the bytes of lines in the open ones.
    pub(crate) fn buffered_bytes(&self) -> usize {
        self.sealed_bytes() + self.shards.locked().map(|shard| shard.open_bytes()).sum::<usize>()
    }

    /// Returns the most memory that open chunks take: one of the usual size for each shard.
    pub(crate) fn most_open_bytes(&self) -> usize {
        self.shards.count() * CHUNK_SIZE
    }

    /// Returns the usual size of a chunk.
    pub(crate) fn chunk_bytes(&self) -> usize {
        CHUNK_SIZE
    }

    /// Copies or refuses the lines of a push if the shard's mode demands it. Returns whether the
    /// shard is closed. Runs under the shard's lock, so that no copy is made after
    /// [`close`](Self::close) has returned.
    #[cold]
    fn copy_or_refuse(&self, shard: &mut Shard, lines: &[u8], points: usize) -> bool {
        if shard.mode == PushMode::Closed {
            shard.lost.refused_closed += points as u64;
            return true;
        }
        for copy in &self.copies {
            // The result is not needed: the other buffer counts it.
            let _ = copy.push(lines, points, false);
        }
        false
    }

    /// Seals the open chunk, if it is not empty, and opens one with room for `needed` bytes.
    /// Returns whether a chunk was sealed, or `None` if memory is full and the newest points are
    /// refused.
    #[cold]
    fn make_room(&self, shard: &mut Shard, needed: usize) -> Option<bool> {
        let sealed = shard.open_size();
        if let Some(size) = sealed {
            let limit = self.limit.load(Relaxed);
            let mut total = self.sealed.0.add(size);
            fence(SeqCst);
            let flusher_bytes = self.flusher_bytes.load(Relaxed);
            if total + flusher_bytes > limit && self.drop_newest.load(Relaxed) {
                self.sealed.0.subtract(size);
                return None;
            }
            shard.seal();
            while total + flusher_bytes > limit
                && let Some(chunk) = shard.drop_oldest()
            {
                total = self.sealed.0.subtract(chunk.size());
                self.recycle(chunk);
            }
        }
        let unused = shard.open(self.pool.take(needed));
        self.pool.give(unused);
        Some(sealed.is_some())
    }
}

#[cfg(test)]
mod tests;
