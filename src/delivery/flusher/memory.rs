//! The bound of memory: what the flusher holds, and what is left of `buffer_size` for the buffer.
//!
//! The buffer knows what the flusher holds and counts it whenever it seals a chunk, so the two
//! together stay within one bound at every moment, and a drain only moves bytes from one side to
//! the other. What that does not see has room set aside: the open chunks, once for those that a
//! drain takes and once for those that follow them, and the one batch that is unpacked to be sent.

use crate::{settings::Overflow, stats::DropReason};

use super::{
    bisect::Search,
    in_flight::Job,
    pending::{Origin, PendingBatch},
    worker::Worker,
};

impl Worker {
    /// Returns the bytes of points that the flusher holds.
    pub(super) fn memory(&self) -> usize {
        self.batcher.memory()
            + self.queue.memory()
            + self.parked.memory()
            + self.in_flight.jobs().map(Job::memory).sum::<usize>()
            + self.to_store.iter().map(PendingBatch::memory).sum::<usize>()
    }

    /// Returns the part of it that has room reserved.
    pub(super) fn decompressed(&self) -> usize {
        let unpacked: usize =
            self.in_flight.jobs().filter_map(Job::pending).map(PendingBatch::decompressed).sum();
        unpacked.min(self.largest_body())
    }

    /// Returns what buffer and flusher may hold, apart from what has room set aside.
    fn bound(&self) -> usize {
        let size = self.settings.buffer_size;
        let aside = 2 * self.buffer.most_open_bytes().min(size / 8) + self.largest_body();
        // With less than two chunks a buffer would drop what it has just sealed.
        size.saturating_sub(aside).max(2 * self.buffer.chunk_bytes())
    }

    /// Returns how much may wait here before the oldest is dropped. The rest is the buffer's, which
    /// has to seal a batch's worth before it is drained in a pause. With a spool the disk soon
    /// makes room, so nothing goes before it must.
    fn waiting_limit(&self) -> usize {
        let bound = self.bound();
        if self.usable_spool().is_some() {
            return bound;
        }
        let batch = self.largest_body() + self.buffer.chunk_bytes();
        bound - batch.clamp(bound / 4, bound / 2)
    }

    /// Returns whether there is room to drain. Without, new points stay in the buffer, which
    /// refuses them or drops its oldest.
    pub(super) fn may_drain(&self) -> bool {
        self.counted() + self.buffer.sealed_bytes() <= self.bound()
            || self.settings.overflow == Overflow::DropOldest && self.may_evict()
    }

    /// Makes room for what is in the buffer. False where there is none.
    pub(super) fn make_room(&mut self) -> bool {
        // What is closed cannot grow: a drain only moves it.
        if self.buffer.is_closed() {
            return true;
        }
        if self.settings.overflow == Overflow::DropOldest {
            let coming = self.buffer.buffered_bytes();
            while self.counted() + coming > self.waiting_limit() && self.evict() {}
        }
        self.counted() + self.buffer.sealed_bytes() <= self.bound()
    }

    /// Reserves so many bytes more, if they fit into memory, and tells the buffer of them.
    pub(super) fn reserve(&self, bytes: usize) -> bool {
        let counted = self.counted();
        self.buffer.set_held(counted + bytes);
        let fits = counted + bytes + self.buffer.sealed_bytes() <= self.bound();
        if !fits {
            self.buffer.set_held(counted);
        }
        fits
    }

    /// Keeps batches in memory and buffer together within the bound.
    pub(super) fn bound_memory(&mut self) {
        if self.usable_spool().is_some() {
            // Long before anything would have to be dropped, since the disk may be slow, too.
            let most = self.room_beside_in_flight().min(self.settings.buffer_size / 4);
            while self.queue.memory_beside_loaded() > most {
                let Some(pending) = self.queue.take_oldest() else { break };
                match pending.origin {
                    Origin::Memory => self.to_store.push_back(pending),
                    Origin::Spool(_) => self.back_to_spool(pending),
                }
            }
        }
        if self.settings.overflow == Overflow::DropOldest {
            while self.counted() > self.waiting_limit() && self.evict() {}
        }
        self.update_buffer_limit();
    }

    /// Tells the buffer how much is held, which changes its share.
    pub(super) fn update_buffer_limit(&self) {
        self.buffer.set_held(self.counted());
        self.buffer.set_limit(self.bound(), self.settings.overflow);
    }

    fn counted(&self) -> usize {
        self.memory() - self.decompressed()
    }

    fn may_evict(&self) -> bool {
        self.queue.has_any_in_memory()
            || !self.to_store.is_empty()
            || self.queue.searches.iter().any(in_memory)
    }

    /// Gives up the oldest batch that is not in flight, and before that lines that are most
    /// likely refused.
    fn evict(&mut self) -> bool {
        let doubtful = |search: &Search| in_memory(search) && search.is_doubtful();
        if let Some(index) = self.queue.searches.iter().position(doubtful)
            && let Some(search) = self.queue.searches.remove(index)
        {
            self.end_search(search, DropReason::BufferFull);
            return true;
        }
        if let Some(pending) = self.queue.take_oldest().or_else(|| self.to_store.pop_front()) {
            self.discard(pending, DropReason::BufferFull);
            return true;
        }
        let Some(index) = self.queue.searches.iter().position(in_memory) else { return false };
        let Some(search) = self.queue.searches.remove(index) else { return false };
        self.end_search(search, DropReason::BufferFull);
        true
    }
}

fn in_memory(search: &Search) -> bool {
    matches!(search.origin, Origin::Memory)
}
