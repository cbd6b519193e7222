//! Keeps what the flusher holds within the bound of memory.

use tokio::time::Instant;

use crate::{settings::Overflow, stats::DropReason};

use super::{
    in_flight::Job,
    memory::MemoryBound,
    pending::{Origin, PendingBatch},
    queue::Next,
    spool_feeder::spill_limit,
    worker::Worker,
};

impl Worker {
    /// Keeps batches in memory and buffer together within the bound.
    pub(super) fn bound_memory(&mut self) {
        if let Some(most) = spill_limit(&self.conditions()) {
            while self.scheduler.queue.memory_beside_loaded() > most {
                let Some(pending) = self.scheduler.queue.take_oldest() else { break };
                match pending.origin {
                    Origin::Memory => self.feeder.push(pending),
                    Origin::Spool(_) => self.back_to_spool(pending),
                }
            }
        }
        if self.settings.overflow == Overflow::DropOldest {
            while self.counted() > self.memory_bound().waiting && self.evict() {}
        }
        self.update_buffer_limit();
    }

    /// Drops the oldest batch that is not in flight, and before that lines that are most likely
    /// refused.
    fn evict(&mut self) -> bool {
        let Self { scheduler, feeder, .. } = self;
        let next = scheduler.queue.evict().or_else(|| feeder.pop().map(Next::Batch));
        match next.or_else(|| scheduler.queue.evict_search()) {
            Some(Next::Batch(pending)) => self.discard(pending, DropReason::BufferFull),
            Some(search) => self.drop_batch(search, DropReason::BufferFull),
            None => return false,
        }
        true
    }

    /// Returns whether there is room to drain. Without, new points stay in the buffer, which
    /// refuses them or drops its oldest.
    pub(super) fn may_drain(&self) -> bool {
        self.counted() + self.shared.buffer.sealed_bytes() <= self.memory_bound().bytes
            || self.settings.overflow == Overflow::DropOldest
                && (self.scheduler.queue.may_evict() || self.feeder.batches().next().is_some())
    }

    /// Makes room for what is in the buffer. False where there is none.
    pub(super) fn make_room(&mut self) -> bool {
        // What is closed cannot grow: a drain only moves it.
        if self.shared.buffer.is_closed() {
            return true;
        }
        if self.settings.overflow == Overflow::DropOldest {
            let coming = self.shared.buffer.buffered_bytes();
            while self.counted() + coming > self.memory_bound().waiting && self.evict() {}
        }
        self.counted() + self.shared.buffer.sealed_bytes() <= self.memory_bound().bytes
    }

    /// Reserves so many bytes more, if they fit into memory, and tells the buffer of them.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let counted = self.counted();
        self.shared.buffer.set_flusher_bytes(counted + bytes);
        let fits = counted + bytes + self.shared.buffer.sealed_bytes() <= self.memory_bound().bytes;
        if !fits {
            self.shared.buffer.set_flusher_bytes(counted);
        }
        fits
    }

    /// Tells the buffer how much is held, which changes its share.
    pub(super) fn update_buffer_limit(&self) {
        self.shared.buffer.set_flusher_bytes(self.counted());
        self.shared.buffer.set_limit(self.memory_bound().bytes, self.settings.overflow);
    }

    /// Returns the bytes of lines that are in memory twice, which has room set aside.
    pub(super) fn decompressed(&self) -> usize {
        let decompressed: usize =
            self.in_flight.jobs().filter_map(Job::pending).map(PendingBatch::decompressed).sum();
        decompressed.min(self.scheduler.pace.largest_body(&self.settings))
    }

    /// Returns the bytes of points that the flusher holds, without those.
    fn counted(&self) -> usize {
        let in_flight: usize = self.in_flight.jobs().map(Job::memory).sum();
        self.batcher.memory() + self.scheduler.queue.memory() + self.feeder.memory() + in_flight
            - self.decompressed()
    }

    fn memory_bound(&self) -> MemoryBound {
        let buffer = &self.shared.buffer;
        let largest = self.scheduler.pace.largest_body(&self.settings);
        let spool = self.feeder.is_usable(Instant::now());
        let (open, chunk) = (buffer.most_open_bytes(), buffer.chunk_bytes());
        MemoryBound::new(self.settings.buffer_size, open, chunk, largest, spool)
    }
}
