//! The bound of memory: what the flusher may hold, and what is left of `buffer_size` for the
//! buffer. Plain numbers, without I/O.
//!
//! The buffer knows what the flusher holds and counts it whenever it seals a chunk, so the two
//! together stay within one bound at every moment, and a drain only moves bytes from one side to
//! the other. What that does not see has room set aside: the open chunks, once for those that a
//! drain takes and once for those that follow them, and the one batch that is decompressed to be
//! sent.

/// What buffer and flusher may hold, apart from what has room set aside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemoryBound {
    /// Of both.
    pub(super) bytes: usize,
    /// How much may wait in the flusher before the oldest is dropped. The rest is the buffer's,
    /// which has to seal a batch's worth before it is drained in a pause.
    pub(super) waiting: usize,
}

impl MemoryBound {
    /// `open`: bytes that open chunks may take. `chunk`: bytes of one chunk. `largest_body`: bytes
    /// of the largest batch.
    pub(super) fn new(
        buffer_size: usize,
        open: usize,
        chunk: usize,
        largest_body: usize,
        spool: bool,
    ) -> Self {
        let aside = 2 * open.min(buffer_size / 8) + largest_body;
        // With less than two chunks a buffer would drop what it has just sealed.
        let bytes = buffer_size.saturating_sub(aside).max(2 * chunk);
        // With a spool the disk soon makes room, so nothing goes before it must.
        let waiting = match spool {
            true => bytes,
            false => bytes - (largest_body + chunk).clamp(bytes / 4, bytes / 2),
        };
        Self { bytes, waiting }
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

    #[test]
    fn a_small_buffer_takes_two_chunks_and_leaves_half_to_the_buffer() {
        for size in [0, 1, 100 * KIB] {
            let bound = MemoryBound::new(size, KIB * KIB, 64 * KIB, 100 * KIB, false);
            assert_eq!(bound, MemoryBound { bytes: 128 * KIB, waiting: 64 * KIB }, "{size}");
        }
    }
}
