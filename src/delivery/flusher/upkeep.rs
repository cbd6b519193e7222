//! The recurring work of the loop: it places new batches, drops old ones, and answers flushes.

use tokio::{sync::oneshot, time::Instant};

use crate::{delivery::batch::Batch, stats::DropReason};

use super::{
    batch_ref::{BatchRef, count_live},
    conditions::Conditions,
    failures::EARLIER_ANSWER,
    flush_waiters::FlushProgress,
    pending::{History, Origin, PendingBatch},
    queue::Next,
    report::FlushReport,
    spool_feeder::{give_back, is_expired},
    state::FlusherSnapshot,
    worker::Worker,
};

impl Worker {
    /// Admits a new batch.
    pub(super) fn admit(&mut self, batch: Batch) {
        if self.shared.batches.receiver_count() > 0 {
            // Fails only if the last receiver was dropped just now.
            let _ = self.shared.batches.send(batch.clone());
        }
        let pending = PendingBatch::live(batch, History::new(Instant::now(), self.state.blocked_time()));
        let conditions = self.conditions();
        match conditions.stores_first() {
            true => self.feeder.push(pending),
            false => self.keep(pending, &conditions),
        }
    }

    /// Keeps a batch in memory.
    pub(super) fn keep(&mut self, pending: PendingBatch, conditions: &Conditions) {
        let placement = self.scheduler.place(pending, conditions);
        self.put(placement);
    }

    /// Drops a batch that is only in memory. One that is also on disk only leaves the memory.
    pub(super) fn discard(&mut self, pending: PendingBatch, reason: DropReason) {
        match pending.origin {
            Origin::Memory => self.drop_batch(Next::Batch(pending), reason),
            Origin::Spool(_) => self.back_to_spool(pending),
        }
    }

    /// Removes a batch from memory, but not from disk.
    pub(super) fn back_to_spool(&mut self, pending: PendingBatch) {
        self.accounting.spooled(&pending);
        give_back(pending, &mut self.scheduler.queue);
    }

    /// Drops a batch wherever it is. Of a search, refused lines are rejected, and lines without a
    /// result are dropped.
    pub(super) fn drop_batch(&mut self, next: Next, reason: DropReason) {
        match next {
            Next::Batch(pending) => {
                self.accounting.drop_points(&pending, pending.points(), reason);
                self.release(pending.origin);
            }
            Next::Search(mut search) => {
                self.reject_found(&mut search, EARLIER_ANSWER);
                for lines in search.take_remaining() {
                    self.accounting.drop_points(&*search, lines.len(), reason);
                }
                self.release(search.origin);
            }
        }
    }

    /// Drops batches that have waited in memory for too long.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        if self.next_expiry().is_none_or(|expiry| expiry > now) {
            return;
        }
        let (limit, blocked) = (self.settings.max_retry_time, self.state.blocked_time());
        for next in self.scheduler.queue.take_expired(now, limit, blocked) {
            self.drop_batch(next, DropReason::Expired);
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        if self.state.is_blocked() {
            return None;
        }
        self.scheduler.queue.next_expiry(self.settings.max_retry_time, self.state.blocked_time())
    }

    /// Drops batches that have waited in a spool for too long, retries deletions, and searches for
    /// batches of dead processes.
    pub(super) fn maintain_spools(&mut self) {
        if self.feeder.release_retired(&self.in_flight) {
            self.shared.set_retired(self.feeder.retired());
        }
        let next = self.feeder.next_maintenance(&self.conditions(), &self.scheduler.queue);
        // The clock is read afterwards: something that is already due is due at the time of that
        // call.
        let now = Instant::now();
        if next.is_none_or(|next| now < next) {
            return;
        }
        for next in self.scheduler.queue.take(is_expired) {
            self.drop_batch(next, DropReason::SpoolExpired);
        }
        let adopt = self.feeder.adopts(now);
        self.start_maintenance(self.feeder.spool().cloned().into_iter().collect(), adopt, false);
        if !self.in_flight.counts().maintaining_retired {
            self.start_maintenance(self.feeder.retired().to_vec(), false, true);
        }
    }

    /// Sends everything in the buffer and in memory now, even during a pause: the caller of a flush
    /// has a reason to expect success.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<FlushReport>) {
        self.collect(true);
        // Only without pending flushes, whose reports count by batch.
        if self.accounting.flushes.is_empty() {
            self.scheduler.join_small(&self.conditions());
        }
        self.scheduler.queue.ask_for_flush();
        let up_to = (!self.batcher.timing.is_deferred()).then(|| self.batcher.sequence());
        if count_live(self.batches(), up_to) != (0, 0) {
            self.breaker.attempt();
        }
        self.accounting.flushes.push(up_to, reply);
    }

    pub(super) fn answer_flushes(&mut self) {
        if self.accounting.flushes.is_empty() {
            return;
        }
        let mut flushes = std::mem::take(&mut self.accounting.flushes);
        let left = |up_to: Option<u64>| {
            let (memory, disk) = count_live(self.batches(), up_to);
            let buffered = match up_to {
                Some(_) => 0,
                None => self.shared.buffer.snapshot(&self.shared.ledger).1.buffered,
            };
            (memory + buffered, disk)
        };
        flushes.answer(|up_to| self.flush_progress(up_to).may_be_tried(), left);
        self.accounting.flushes = flushes;
    }

    /// Describes the batches of a flush.
    fn flush_progress(&self, up_to: Option<u64>) -> FlushProgress {
        let covered =
            |batch: BatchRef<'_>| batch.is_live() && up_to.is_none_or(|up_to| batch.sequence() <= up_to);
        FlushProgress {
            busy: self.feeder.batches().chain(self.in_flight.batches()).any(covered),
            waits_for_probe: self.in_flight.counts().probing && self.batches().any(covered),
            untried: up_to.is_none() || self.scheduler.queue.not_tried_since_flush().any(covered),
            paused: self.breaker.state().is_open(),
        }
    }

    /// Updates the values for snapshots.
    pub(super) fn publish(&mut self) {
        self.update_buffer_limit();
        let in_flight = self.in_flight.counts();
        let live = self.batches().filter(|batch| batch.is_live());
        let largest = self.scheduler.pace.largest_body(&self.settings);
        let snapshot = FlusherSnapshot {
            breaker: self.breaker.state(),
            closing: self.closing.is_some(),
            draining: !self.scheduler.queue.loaded.is_empty() || in_flight.loading || in_flight.spooled_write,
            oldest: live.map(|batch| batch.history().since).min(),
            decompressed: self.in_flight.decompressed(largest),
            batches: self.batches().count(),
            has_spool: self.feeder.spool().is_some(),
            series: self.batcher.series(),
        };
        self.state.publish(&snapshot);
    }
}
