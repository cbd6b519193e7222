//! The bound on memory: what the flusher may use, and what is left of `buffer_size` for the buffer.
//! It consists of plain numbers, without I/O.
//!
//! The buffer knows the memory of the flusher and counts it whenever it seals a chunk. So the two
//! together stay within one bound at every moment, and a drain only moves bytes from one side to
//! the other. Memory that this does not cover is reserved: the open chunks, once for those that a
//! drain takes and once for the next ones, and one decompressed batch.

/// What the buffer and the flusher may use, without the reserved memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryBound {
    /// The bound on both together.
    pub(super) bytes: usize,
    /// How much may wait in the flusher before the oldest batch is dropped. The rest is for the
    /// buffer, which has to seal a full batch before it is drained in a pause.
    pub(super) waiting: usize,
}

impl MemoryBound {
    /// Creates the bound. `open`: maximum bytes of open chunks. `chunk`: bytes of one chunk.
    /// `largest_body`: bytes of the largest batch.
    pub(super) fn new(
        buffer_size: usize,
        open: usize,
        chunk: usize,
        largest_body: usize,
        spool: bool,
    ) -> Self {
        let aside = 2 * open.min(buffer_size / 8) + largest_body;
        // With less than two chunks, a buffer would drop what it has just sealed.
        let bytes = buffer_size.saturating_sub(aside).max(2 * chunk);
        // With a spool the disk soon makes room, so nothing is dropped before it must be.
        let waiting = match spool {
            true => bytes,
            false => bytes - (largest_body + chunk).clamp(bytes / 4, bytes / 2),
        };
        Self { bytes, waiting }
    }
}

/// The memory in use at one moment, with the bound.
#[derive(Clone, Copy, Debug)]
pub(super) struct MemoryUse {
    pub(super) bound: MemoryBound,
    /// Bytes of points in the flusher.
    pub(super) flusher: usize,
    /// Bytes of the buffer's sealed chunks.
    pub(super) sealed: usize,
    /// Whether the oldest points are dropped for new ones. Otherwise new ones are refused.
    pub(super) drops_oldest: bool,
}

impl MemoryUse {
    /// Returns whether this many more bytes fit into the bound.
    pub(super) fn fits(&self, more: usize) -> bool {
        self.flusher + more + self.sealed <= self.bound.bytes
    }

    /// Returns whether the oldest batch must be dropped before this many more bytes wait in the
    /// flusher.
    pub(super) fn must_evict(&self, coming: usize) -> bool {
        self.drops_oldest && self.flusher + coming > self.bound.waiting
    }

    /// Returns whether there is room to drain, or room can be made because something is
    /// `evictable`. Otherwise new points stay in the buffer, which refuses them or drops its
    /// oldest.
    pub(super) fn may_drain(&self, evictable: bool) -> bool {
        self.fits(0) || self.drops_oldest && evictable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: usize = 1024;

    #[test]
    fn room_is_set_aside_for_open_chunks_and_the_largest_body() {
        let bound = MemoryBound::new(64 * KIB * KIB, KIB * KIB, 64 * KIB, 4 * KIB * KIB, true);
        assert_eq!(bound.bytes, (64 - 2 - 4) * KIB * KIB);
        assert_eq!(bound.waiting, bound.bytes, "the disk makes room");
        let bound = MemoryBound::new(64 * KIB * KIB, KIB * KIB, 64 * KIB, 4 * KIB * KIB, false);
        assert_eq!(bound.waiting, bound.bytes - bound.bytes / 4, "a quarter is the buffer's at least");
    }

    #[test]
    fn open_chunks_of_many_cores_take_a_quarter_of_a_small_buffer_at_most() {
        let bound = MemoryBound::new(8 * KIB * KIB, 4 * KIB * KIB, 64 * KIB, KIB * KIB, true);
        assert_eq!(bound.bytes, (8 - 2 - 1) * KIB * KIB);
    }

    fn held(flusher: usize, sealed: usize, drops_oldest: bool) -> MemoryUse {
        MemoryUse { bound: MemoryBound { bytes: 100, waiting: 60 }, flusher, sealed, drops_oldest }
    }

    #[test]
    fn what_fits_is_counted_with_the_sealed_chunks() {
        for (flusher, sealed, more, fits) in [
            (0, 0, 100, true),
            (0, 0, 101, false),
            (40, 30, 30, true),
            (40, 30, 31, false),
            (40, 61, 0, false),
        ] {
            for drops_oldest in [false, true] {
                assert_eq!(held(flusher, sealed, drops_oldest).fits(more), fits, "{flusher} {sealed} {more}");
            }
        }
    }

    #[test]
    fn the_oldest_is_dropped_only_if_configured_and_beyond_the_share_of_the_flusher() {
        for (flusher, sealed, coming, evicts) in
            [(60, 0, 0, false), (61, 0, 0, true), (50, 100, 10, false), (50, 0, 11, true)]
        {
            assert_eq!(held(flusher, sealed, true).must_evict(coming), evicts, "{flusher} {coming}");
            assert!(!held(flusher, sealed, false).must_evict(coming), "{flusher} {coming}");
        }
    }

    #[test]
    fn a_drain_needs_room_or_something_that_may_be_dropped() {
        for (sealed, drops_oldest, evictable, drains) in [
            (40, false, false, true),
            (40, true, false, true),
            (41, false, false, false),
            (41, false, true, false),
            (41, true, false, false),
            (41, true, true, true),
        ] {
            let held = held(60, sealed, drops_oldest);
            assert_eq!(held.may_drain(evictable), drains, "{sealed} {drops_oldest} {evictable}");
        }
    }

    #[test]
    fn a_small_buffer_takes_two_chunks_and_leaves_half_to_the_buffer() {
        for size in [0, 1, 100 * KIB] {
            let bound = MemoryBound::new(size, KIB * KIB, 64 * KIB, 100 * KIB, false);
            assert_eq!(bound, MemoryBound { bytes: 128 * KIB, waiting: 64 * KIB }, "{size}");
        }
    }
}
