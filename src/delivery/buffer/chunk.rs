//! Chunks, the memory in which points wait, and the pool that recycles them.

use crate::sync::Mutex;

/// Whole lines, in the order in which they were pushed.
#[derive(Debug)]
pub(crate) struct Chunk {
    pub(crate) bytes: Vec<u8>,
    pub(crate) points: usize,
}

impl Chunk {
    /// Returns its share of the memory bound: the allocated memory, not only the part in use.
    pub(crate) fn size(&self) -> usize {
        self.bytes.capacity()
    }

    /// Counts the line breaks, for assertions in debug builds.
    pub(super) fn newlines(&self) -> usize {
        self.bytes.iter().filter(|byte| **byte == b'\n').count()
    }
}

/// A pool of used chunks. Fresh memory would cost a page fault for every 4 KiB.
#[derive(Debug, Default)]
pub(super) struct Pool(Mutex<Vec<Vec<u8>>>);

impl Pool {
    /// Takes memory for `needed` bytes: a chunk of the usual size, or one just large enough for a
    /// longer record.
    pub(super) fn take(&self, needed: usize) -> Vec<u8> {
        if needed > CHUNK_SIZE {
            return Vec::with_capacity(needed);
        }
        let pooled = self.0.lock().pop();
        pooled.unwrap_or_else(|| Vec::with_capacity(CHUNK_SIZE))
    }

    /// Returns a chunk to the pool. Frees chunks of another size, and those beyond the bound.
    pub(super) fn give(&self, mut bytes: Vec<u8>) {
        if bytes.capacity() != CHUNK_SIZE {
            return;
        }
        bytes.clear();
        let mut pooled = self.0.lock();
        if pooled.len() < POOL_CHUNKS {
            pooled.push(bytes);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.lock().len()
    }
}

/// About 380 points of the usual length. An open chunk for each core then takes little memory, and
/// sealing one is rare enough to cost nothing.
pub(super) const CHUNK_SIZE: usize = 64 * 1024;
/// 1 MiB: slightly more than a batch.
pub(super) const POOL_CHUNKS: usize = 16;
