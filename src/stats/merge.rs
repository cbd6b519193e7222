//! Merges several deliveries of one monitor: those of points, of rollups, and of further
//! destinations.

use std::{cmp::max, collections::BTreeMap};

use super::{DeliveryState, DeliveryStats, LedgerStats, RecorderStats, SpoolStats, Stats, WriteStats};

impl Stats {
    /// Adds the numbers of the other delivery. Where there is no sum, the worse value is kept.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.ledger.add(&other.ledger);
        self.recorder.add(&other.recorder);
        self.delivery.add(other.delivery);
        self.spool = match (self.spool, other.spool) {
            (Some(own), Some(other)) => Some(own.add(&other)),
            (own, other) => own.or(other),
        };
        self
    }
}

impl LedgerStats {
    fn add(&mut self, other: &Self) {
        self.offered += other.offered;
        self.accepted += other.accepted;
        self.recovered += other.recovered;
        self.written += other.written;
        add_each(&mut self.rejected, &other.rejected);
        add_each(&mut self.dropped, &other.dropped);
        self.buffered += other.buffered;
        self.in_flight += other.in_flight;
        self.spooled += other.spooled;
    }
}

impl RecorderStats {
    /// Adds only what the ledger needs: the other counters are shared by both.
    fn add(&mut self, other: &Self) {
        self.invalid += other.invalid;
        self.refused_full += other.refused_full;
        self.refused_closed += other.refused_closed;
    }
}

impl DeliveryStats {
    fn add(&mut self, other: Self) {
        if rank(other.state) > rank(self.state) {
            self.state = other.state;
            self.last_error = other.last_error.or(self.last_error.take());
            self.sink = other.sink;
        } else {
            self.last_error = self.last_error.take().or(other.last_error);
        }
        self.backoff_until = max(self.backoff_until, other.backoff_until);
        self.writes.add(&other.writes);
        self.resent += other.resent;
        add_each(&mut self.stripped, &other.stripped);
        self.raw_bytes += other.raw_bytes;
        self.wire_bytes += other.wire_bytes;
        self.write_time.merge(&other.write_time);
        self.queue_time.merge(&other.queue_time);
        self.oldest_age = max(self.oldest_age, other.oldest_age);
        self.waiting_batches += other.waiting_batches;
        self.memory += other.memory;
        self.restarts += other.restarts;
        self.server_reported_dropped += other.server_reported_dropped;
        self.series += other.series;
    }
}

impl WriteStats {
    fn add(&mut self, other: &Self) {
        self.written += other.written;
        self.refused += other.refused;
        self.too_large += other.too_large;
        self.throttled += other.throttled;
        self.transient += other.transient;
        self.timeout += other.timeout;
        self.blocked_authorization += other.blocked_authorization;
        self.blocked_target += other.blocked_target;
        self.blocked_configuration += other.blocked_configuration;
        add_each(&mut self.by_status, &other.by_status);
    }
}

impl SpoolStats {
    pub(crate) fn add(self, other: &Self) -> Self {
        Self {
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
            corrupt: self.corrupt + other.corrupt,
            foreign: self.foreign + other.foreign,
            errors: self.errors + other.errors,
            oldest_age: max(self.oldest_age, other.oldest_age),
            memory: self.memory + other.memory,
        }
    }
}

/// Ranks states by how much attention they need. A delivery that has ended says nothing about the
/// other one.
fn rank(state: DeliveryState) -> u8 {
    match state {
        DeliveryState::Closed => 0,
        DeliveryState::Healthy => 1,
        DeliveryState::Draining => 2,
        DeliveryState::Closing => 3,
        DeliveryState::Backoff => 4,
        DeliveryState::Blocked(_) => 5,
    }
}

fn add_each<K: Ord + Copy>(sum: &mut BTreeMap<K, u64>, other: &BTreeMap<K, u64>) {
    for (reason, count) in other {
        *sum.entry(*reason).or_default() += count;
    }
}
