//! Keeps what the flusher holds within the bound of memory.

use tokio::time::Instant;

use crate::{settings::Overflow, stats::DropReason};

use super::{
    memory::{MemoryBound, MemoryUse},
    pending::Origin,
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
        while self.memory_use().must_evict(0) && self.evict() {}
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

    /// Returns whether the buffer may be drained: there is room, or room can be made.
    pub(super) fn may_drain(&self) -> bool {
        let evictable = self.scheduler.queue.may_evict() || self.feeder.batches().next().is_some();
        self.memory_use().may_drain(evictable)
    }

    /// Makes room for what is in the buffer. False where there is none.
    pub(super) fn make_room(&mut self) -> bool {
        // What is closed cannot grow: a drain only moves it.
        if self.shared.buffer.is_closed() {
            return true;
        }
        let coming = self.shared.buffer.buffered_bytes();
        while self.memory_use().must_evict(coming) && self.evict() {}
        self.memory_use().fits(0)
    }

    /// Reserves so many bytes more, if they fit into memory, and tells the buffer of them.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let flusher = self.memory_use().flusher;
        self.shared.buffer.set_flusher_bytes(flusher + bytes);
        // Looked at afterwards: what the buffer seals from now on counts these bytes.
        let fits = self.memory_use().fits(bytes);
        if !fits {
            self.shared.buffer.set_flusher_bytes(flusher);
        }
        fits
    }

    /// Tells the buffer how much is held, which changes its share.
    pub(super) fn update_buffer_limit(&self) {
        let MemoryUse { flusher, bound, .. } = self.memory_use();
        self.shared.buffer.set_flusher_bytes(flusher);
        self.shared.buffer.set_limit(bound.bytes, self.settings.overflow);
    }

    /// Describes what is held to the decisions about memory.
    pub(super) fn memory_use(&self) -> MemoryUse {
        let buffer = &self.shared.buffer;
        let largest = self.scheduler.pace.largest_body(&self.settings);
        let spool = self.feeder.is_usable(Instant::now());
        let (open, chunk) = (buffer.most_open_bytes(), buffer.chunk_bytes());
        let waiting = self.batcher.memory() + self.scheduler.queue.memory() + self.feeder.memory();
        MemoryUse {
            bound: MemoryBound::new(self.settings.buffer_size, open, chunk, largest, spool),
            // Room is set aside for what is decompressed.
            flusher: waiting + self.in_flight.memory() - self.in_flight.decompressed(largest),
            sealed: buffer.sealed_bytes(),
            drops_oldest: self.settings.overflow == Overflow::DropOldest,
        }
    }
}

#[cfg(test)]
mod tests;
