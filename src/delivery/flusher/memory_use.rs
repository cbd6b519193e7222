//! Keeps the memory of the flusher within its bound.

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
    /// Keeps the batches in memory and the buffer together within the bound.
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

    /// Drops lines that are most likely refused, or else the oldest batch that is not in flight.
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

    /// Makes room for the content of the buffer. Returns false if that is not possible.
    pub(super) fn make_room(&mut self) -> bool {
        // A closed buffer cannot grow: a drain only moves its content.
        if self.shared.buffer.is_closed() {
            return true;
        }
        let coming = self.shared.buffer.buffered_bytes();
        while self.memory_use().must_evict(coming) && self.evict() {}
        self.memory_use().fits(0)
    }

    /// Reserves this many more bytes, if they fit into memory, and reports them to the buffer.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let flusher = self.memory_use().flusher;
        self.shared.buffer.set_flusher_bytes(flusher + bytes);
        // Checked afterwards: from now on the buffer counts these bytes when it seals a chunk.
        let fits = self.memory_use().fits(bytes);
        if !fits {
            self.shared.buffer.set_flusher_bytes(flusher);
        }
        fits
    }

    /// Reports to the buffer how much memory is used, which changes its share.
    pub(super) fn update_buffer_limit(&self) {
        let MemoryUse { flusher, bound, .. } = self.memory_use();
        self.shared.buffer.set_flusher_bytes(flusher);
        self.shared.buffer.set_limit(bound.bytes, self.settings.overflow);
    }

    /// Describes the used memory for decisions about it.
    pub(super) fn memory_use(&self) -> MemoryUse {
        let buffer = &self.shared.buffer;
        let largest = self.scheduler.pace.largest_body(&self.settings);
        let spool = self.feeder.is_usable(Instant::now());
        let (open, chunk) = (buffer.most_open_bytes(), buffer.chunk_bytes());
        let waiting = self.batcher.memory() + self.scheduler.queue.memory() + self.feeder.memory();
        MemoryUse {
            bound: MemoryBound::new(self.settings.buffer_size, open, chunk, largest, spool),
            // Memory is reserved for decompressed lines.
            flusher: waiting + self.in_flight.memory() - self.in_flight.decompressed(largest),
            sealed: buffer.sealed_bytes(),
            drops_oldest: self.settings.overflow == Overflow::DropOldest,
        }
    }
}

#[cfg(test)]
mod tests;
