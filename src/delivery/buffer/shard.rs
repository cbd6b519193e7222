//! One shard of the buffer: the data under its lock.

use std::{collections::VecDeque, mem};

use super::chunk::Chunk;

/// The chunks and counters of a shard. `offered = accepted + invalid + refused`, and `accepted =
/// buffered + dropped + drained`, where the ledger counts the drained points.
#[derive(Debug, Default)]
pub(super) struct Shard {
    /// Has no memory until the first push, and again after each drain.
    open: Vec<u8>,
    open_points: usize,
    sealed: VecDeque<Chunk>,
    pub(super) offered: u64,
    pub(super) accepted: u64,
    pub(super) buffered: u64,
    /// Requests that ended on a thread of this shard, wherever they started.
    pub(super) finished: u64,
    pub(super) mode: PushMode,
    /// Boxed, so that the counters of every push stay within the cache lines of the lock.
    pub(super) lost: Box<Lost>,
}

/// What a shard does with lines that are pushed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum PushMode {
    #[default]
    Open,
    /// Other buffers receive a copy of the lines.
    Copied,
    Closed,
}

/// Points that will not be written, by reason.
#[derive(Debug, Default)]
pub(super) struct Lost {
    pub(super) invalid: u64,
    pub(super) refused_full: u64,
    pub(super) refused_closed: u64,
    /// These were accepted before.
    pub(super) dropped: u64,
}

impl Shard {
    #[inline]
    pub(super) fn has_room(&self, needed: usize) -> bool {
        self.open.capacity() - self.open.len() >= needed
    }

    /// Appends lines for which the caller has made room. Returns whether these are the shard's
    /// first points since it was drained.
    #[inline]
    pub(super) fn append(&mut self, lines: &[u8], points: usize) -> bool {
        let first = self.buffered == 0;
        self.open.extend_from_slice(lines);
        self.open_points += points;
        self.accepted += points as u64;
        self.buffered += points as u64;
        first
    }

    /// Returns the memory of the open chunk if it is not empty.
    pub(super) fn open_size(&self) -> Option<usize> {
        (!self.open.is_empty()).then(|| self.open.capacity())
    }

    pub(super) fn open_bytes(&self) -> usize {
        self.open.len()
    }

    pub(super) fn seal(&mut self) {
        let chunk = self.take_open();
        self.sealed.push_back(chunk);
    }

    /// Installs memory for the next points. The open chunk must be empty; its memory is returned.
    pub(super) fn open(&mut self, bytes: Vec<u8>) -> Vec<u8> {
        debug_assert!(self.open.is_empty(), "an open chunk with points must be sealed first");
        mem::replace(&mut self.open, bytes)
    }

    /// Drops the oldest sealed chunk, and counts its points as dropped.
    pub(super) fn drop_oldest(&mut self) -> Option<Chunk> {
        let chunk = self.sealed.pop_front()?;
        self.buffered -= chunk.points as u64;
        self.lost.dropped += chunk.points as u64;
        Some(chunk)
    }

    /// Takes all sealed chunks, oldest first, and the open one if it is not empty. Only moves two
    /// pointers.
    pub(super) fn take(&mut self) -> (VecDeque<Chunk>, Option<Chunk>) {
        self.buffered = 0;
        let open = (!self.open.is_empty()).then(|| self.take_open());
        (mem::take(&mut self.sealed), open)
    }

    fn take_open(&mut self) -> Chunk {
        Chunk { bytes: mem::take(&mut self.open), points: mem::take(&mut self.open_points) }
    }
}
