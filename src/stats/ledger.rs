//! The books of delivery: where every accepted point is, by counters none of which is derived from the others.
//!
//! `accepted + recovered = written + rejected + dropped + buffered + in flight + spooled`, at every snapshot.
//!
//! `accepted`, `buffered` and the buffer's part of `dropped` live in the shards of the buffer, under each shard's own lock.
//! Everything else is here, under one lock that only the flusher, the spool and snapshots take. A drain holds this lock
//! while it swaps the shards one by one, and so does a snapshot: no point is seen in both places or in none.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{DropReason, RejectReason};

/// The flusher's side of the books.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Books>);

/// Counted in points.
#[derive(Clone, Debug, Default)]
pub(crate) struct Books {
    /// Found in the spool, left there by an earlier process.
    pub(crate) recovered: u64,
    pub(crate) written: u64,
    pub(crate) rejected: BTreeMap<RejectReason, u64>,
    /// Dropped after they had left the buffer.
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    /// Sealed into batches and in memory: on the wire, waiting for another try, or about to be spooled.
    pub(crate) in_flight: u64,
    pub(crate) spooled: u64,
}

impl Ledger {
    /// Every change that belongs together is made under one guard.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Books> {
        // A panic under this lock can only have come from an overflow check of a counter: the books are as right as before.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    pub(crate) fn write(&mut self, points: usize) {
        self.in_flight -= points as u64;
        self.written += points as u64;
    }

    pub(crate) fn reject(&mut self, reason: RejectReason, points: usize) {
        self.in_flight -= points as u64;
        *self.rejected.entry(reason).or_default() += points as u64;
    }

    pub(crate) fn drop_in_flight(&mut self, reason: DropReason, points: usize) {
        self.in_flight -= points as u64;
        *self.dropped.entry(reason).or_default() += points as u64;
    }

    pub(crate) fn drop_spooled(&mut self, reason: DropReason, points: usize) {
        self.spooled -= points as u64;
        *self.dropped.entry(reason).or_default() += points as u64;
    }

    /// Memory to disk.
    pub(crate) fn spool(&mut self, points: usize) {
        self.in_flight -= points as u64;
        self.spooled += points as u64;
    }

    /// Disk to memory, to be sent.
    pub(crate) fn unspool(&mut self, points: usize) {
        self.spooled -= points as u64;
        self.in_flight += points as u64;
    }

    /// Found on disk at start, or adopted from a dead process.
    pub(crate) fn recover(&mut self, points: usize) {
        self.recovered += points as u64;
        self.spooled += points as u64;
    }
}
