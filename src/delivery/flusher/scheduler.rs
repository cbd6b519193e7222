//! What is sent next. It decides without I/O, from the conditions of the moment.

use tokio::time::Instant;

use crate::delivery::batch::Batch;

use super::{
    bisect::{RefusalCache, Search},
    circuit_breaker::BreakerState,
    conditions::Conditions,
    failures::FAILURES_BEFORE_OTHERS,
    join::Joiner,
    pace::Pace,
    pending::{Origin, PendingBatch},
    queue::{Next, SendQueue},
};

/// Decides what is sent, and keeps what is known of the destination for that.
#[derive(Debug)]
pub(super) struct Scheduler {
    pub(super) queue: SendQueue,
    pub(super) pace: Pace,
    /// What the sink has refused before.
    pub(super) cache: RefusalCache,
    joiner: Joiner,
}

/// What to do next.
#[derive(Debug)]
pub(super) enum Action {
    /// Nothing may be sent until something changes.
    Wait,
    Probe,
    Write(PendingBatch),
    Search(Box<Search>),
    /// It belongs to another destination than the current one.
    Park(Next),
}

/// How much of the buffer is drained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Drain {
    Nothing,
    FullBatches,
    Everything,
}

/// Where a batch goes that has failed, or waits behind others.
#[derive(Debug)]
pub(super) enum Placement {
    /// It waits in the queue.
    Queued,
    /// It is compressed, and then waits behind all others.
    Compress(PendingBatch),
    Store(PendingBatch),
    /// It is on disk already, and may leave the memory.
    Spooled(PendingBatch),
}

impl Scheduler {
    pub(super) fn new(cache: RefusalCache) -> Self {
        Self { queue: SendQueue::default(), pace: Pace::default(), cache, joiner: Joiner::default() }
    }

    /// Forgets what was known of the destination.
    pub(super) fn replace_destination(&mut self, cache: RefusalCache) {
        (self.pace, self.cache) = (Pace::default(), cache);
        self.queue.acquit();
    }

    /// Decides what is sent next to `target`.
    pub(super) fn next(&mut self, conditions: &Conditions, target: &str) -> Action {
        let in_flight = conditions.in_flight;
        if conditions.sending_over || in_flight.sends >= self.pace.write_limit(conditions) {
            return Action::Wait;
        }
        if let BreakerState::HalfOpen { blocked: Some(_) } = conditions.breaker {
            return Action::Probe;
        }
        if !conditions.proven && in_flight.loading && !self.queue.has_untried() {
            // A failed batch is not sent again before another one, which is being loaded from the
            // disk.
            return Action::Wait;
        }
        let Some(next) = self.queue.pick(!conditions.proven) else { return Action::Wait };
        // Checked here, on every path: a spooled batch belongs to the destination of its spool.
        if !next.batch().origin().is_for(target) {
            return Action::Park(next);
        }
        // A suspect batch is sent alone, so that successes of others occur between its failures.
        let waits = next.is_suspect() && in_flight.suspect
            || match &next {
                Next::Batch(pending) => !conditions.may_be_in_flight(pending.raw_bytes(), !pending.live),
                Next::Search(_) => false,
            };
        match next {
            next if waits => {
                self.queue.put_back_front(next);
                Action::Wait
            }
            Next::Batch(pending) => Action::Write(pending),
            Next::Search(search) => Action::Search(search),
        }
    }

    /// Decides how much of the buffer becomes batches before anything is sent. `deferred`: its
    /// points have waited for an interval. `drained`: bytes that are not in a batch yet.
    pub(super) fn drain(&self, conditions: &Conditions, deferred: bool, drained: usize) -> Drain {
        let may_send = !conditions.breaker.is_open() && !self.is_busy(conditions);
        if deferred && (may_send || conditions.stores_first()) {
            Drain::Everything
        } else if may_send && drained >= self.body_bounds(conditions).1 {
            Drain::FullBatches
        } else {
            Drain::Nothing
        }
    }

    /// Returns whether batches wait in memory, or enough points for one. `deferred` and `drained`
    /// as for [`drain`](Self::drain), including the bytes that the buffer has sealed.
    pub(super) fn has_waiting(&self, conditions: &Conditions, deferred: bool, drained: usize) -> bool {
        !self.queue.is_empty() || deferred || drained >= self.body_bounds(conditions).1
    }

    /// Returns whether the content of the buffer stays there at the end of an interval.
    pub(super) fn defers_drain(&self, conditions: &Conditions) -> bool {
        // Sealing now would create a small batch each second for the whole outage.
        let outage = conditions.breaker.is_open() && !conditions.spool;
        // The points go with the next write that can begin.
        let grows = self.is_busy(conditions)
            && conditions.in_flight.sends > 0
            && !conditions.closing
            && !conditions.stores_first();
        outage || grows
    }

    /// Returns the lines and bytes of a full batch now.
    pub(super) fn body_bounds(&self, conditions: &Conditions) -> (usize, usize) {
        self.pace.body_bounds(conditions, self.queue.fresh.len())
    }

    /// Places a batch in memory: among the next ones to send, or compressed behind them.
    pub(super) fn place(&mut self, pending: PendingBatch, conditions: &Conditions) -> Placement {
        if self.queue.fresh.len() < self.pace.write_limit(conditions) + PLAIN {
            self.queue.fresh.push_back(pending);
            return Placement::Queued;
        }
        Placement::Compress(pending)
    }

    /// Places a batch after a failure that is not its own fault, as far as is known. With `behind`,
    /// others are tried first.
    pub(super) fn put_back(
        &mut self,
        pending: PendingBatch,
        behind: bool,
        conditions: &Conditions,
    ) -> Placement {
        if !matches!(pending.origin, Origin::Memory) {
            Placement::Spooled(pending)
        } else if conditions.breaker.is_open() && conditions.spool && pending.history.failures < KEPT_FAILURES
        {
            Placement::Store(pending)
        } else if !behind && pending.history.failures < FAILURES_BEFORE_OTHERS {
            self.queue.push_front(pending);
            Placement::Queued
        } else {
            Placement::Compress(pending)
        }
    }

    /// Cuts a batch by what the destination has refused before. Returns `None` if it can be sent as
    /// it is, as usual.
    pub(super) fn cut(&mut self, batch: &Batch, pending: &PendingBatch, now: Instant) -> Option<Search> {
        self.cache.forget(now);
        if self.cache.is_empty() { None } else { Search::cut(batch, pending, &self.cache) }
    }

    /// Learns from a batch that was accepted as a whole.
    pub(super) fn learn_accepted(&mut self, pending: &mut PendingBatch, now: Instant) {
        if !self.cache.is_empty()
            && let Some(batch) = pending.batch()
        {
            self.cache.accepted(&batch, now);
        }
    }

    /// Joins small batches in memory that failed for no reason of their own.
    pub(super) fn join_small(&mut self, conditions: &Conditions) {
        let bounds = self.body_bounds(conditions);
        let SendQueue { fresh, waiting, .. } = &mut self.queue;
        self.joiner.join([fresh, waiting], bounds, conditions);
    }

    fn is_busy(&self, conditions: &Conditions) -> bool {
        self.pace.is_busy(conditions, self.queue.fresh.len())
    }
}

/// How many batches wait uncompressed besides those that can be sent at once.
const PLAIN: usize = 2;
/// A batch that has failed this often stays in memory until the cause is clear: loaded from disk,
/// it would have lost its history.
const KEPT_FAILURES: u32 = 2;

#[cfg(test)]
mod tests;
