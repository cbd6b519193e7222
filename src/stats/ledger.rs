//! The ledger of delivery: where every accepted point is. None of its counters is derived from
//! another one.
//!
//! `accepted + recovered = written + rejected + dropped + buffered + in flight + spooled` holds at
//! every snapshot.
//!
//! `accepted`, `buffered` and the buffer's part of `dropped` are in the shards of the buffer, under
//! each shard's own lock. All other counters are here, under one lock that only the flusher, the
//! spool and snapshots take. A drain holds this lock while it swaps the shards one by one, and so
//! does a snapshot. So no point is seen in both places or in none.

use std::collections::BTreeMap;

use crate::{
    stats::{DropReason, RejectReason},
    sync::{Mutex, MutexGuard},
};

/// The flusher's side of the ledger.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<LedgerCounts>);

/// All counts are in points.
#[derive(Clone, Debug, Default)]
pub(crate) struct LedgerCounts {
    /// Found in the spool, left there by an earlier process.
    pub(crate) recovered: u64,
    pub(crate) written: u64,
    pub(crate) rejected: BTreeMap<RejectReason, u64>,
    /// Dropped after they had left the buffer.
    pub(crate) dropped: BTreeMap<DropReason, u64>,
    /// In batches in memory: being sent, waiting for a retry, or about to be spooled.
    pub(crate) in_flight: u64,
    pub(crate) spooled: u64,
}

impl Ledger {
    /// Locks the ledger. Changes that belong together are made under one guard.
    pub(crate) fn lock(&self) -> MutexGuard<'_, LedgerCounts> {
        self.0.lock()
    }
}

/// Where a point is before its final result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PointLocation {
    /// Counted as `in_flight`.
    Memory,
    /// Counted as `spooled`. It is on disk, and counted there even while a copy is being sent.
    Spool,
}

impl LedgerCounts {
    /// Counts points that leave the buffer.
    pub(crate) fn take_off(&mut self, points: usize) {
        self.in_flight += points as u64;
    }

    pub(crate) fn write(&mut self, from: PointLocation, points: usize) {
        self.leave(from, points);
        self.written += points as u64;
    }

    pub(crate) fn reject(&mut self, from: PointLocation, reason: RejectReason, points: usize) {
        self.leave(from, points);
        *self.rejected.entry(reason).or_default() += points as u64;
    }

    pub(crate) fn drop_from(&mut self, place: PointLocation, reason: DropReason, points: usize) {
        self.leave(place, points);
        *self.dropped.entry(reason).or_default() += points as u64;
    }

    pub(crate) fn drop_in_flight(&mut self, reason: DropReason, points: usize) {
        self.drop_from(PointLocation::Memory, reason, points);
    }

    pub(crate) fn drop_spooled(&mut self, reason: DropReason, points: usize) {
        self.drop_from(PointLocation::Spool, reason, points);
    }

    /// Moves points from memory to disk.
    pub(crate) fn spool(&mut self, points: usize) {
        self.leave(PointLocation::Memory, points);
        self.spooled += points as u64;
    }

    /// Adds points found on disk at start, or adopted from a dead process.
    pub(crate) fn recover(&mut self, points: usize) {
        self.recovered += points as u64;
        self.spooled += points as u64;
    }

    /// Subtracts points, saturating at zero. A gauge that wrapped would show quintillions of points
    /// and hide the bug. At zero the ledger stops balancing, which shows the bug.
    fn leave(&mut self, from: PointLocation, points: usize) {
        let gauge = match from {
            PointLocation::Memory => &mut self.in_flight,
            PointLocation::Spool => &mut self.spooled,
        };
        debug_assert!(*gauge >= points as u64, "{points} points leave {from:?}, which holds {gauge}");
        *gauge = gauge.saturating_sub(points as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_move_keeps_every_point_accounted_for() {
        let mut counts = LedgerCounts::default();
        counts.take_off(10);
        counts.recover(5);
        counts.spool(4);
        counts.write(PointLocation::Memory, 2);
        counts.write(PointLocation::Spool, 3);
        counts.reject(PointLocation::Spool, RejectReason::Malformed, 1);
        counts.drop_in_flight(DropReason::BufferFull, 1);
        counts.drop_spooled(DropReason::SpoolFull, 1);
        let rejected: u64 = counts.rejected.values().sum();
        let dropped: u64 = counts.dropped.values().sum();
        assert_eq!(
            10 + counts.recovered,
            counts.written + rejected + dropped + counts.in_flight + counts.spooled
        );
        assert_eq!((counts.in_flight, counts.spooled, counts.written, rejected, dropped), (3, 4, 5, 1, 2));
    }

    #[test]
    #[should_panic(expected = "which holds")]
    #[cfg(debug_assertions)]
    fn a_move_of_more_points_than_exist_is_detected() {
        LedgerCounts::default().write(PointLocation::Memory, 1);
    }
}
