//! Those who wait for a flush, and when they are answered.

use tokio::sync::oneshot;

use crate::stats::ledger::PointLocation;

use super::{
    bisect::Search, flush_waiter::FlushWaiter, in_flight::Job, pending::PendingBatch, report::FlushReport,
    worker::Worker,
};

impl Worker {
    /// Tries everything in the buffer and in memory now, even during a pause: who asks for a flush
    /// has reason to think that it helps.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<FlushReport>) {
        self.collect(true);
        self.join_waiting();
        for pending in self.queue.fresh.iter_mut().chain(&mut self.queue.waiting) {
            pending.history.tried_since_flush = false;
        }
        let up_to = (!self.timing.is_deferred()).then(|| self.batcher.sequence());
        if self.in_hand(up_to) != (0, 0) {
            self.breaker.attempt();
        }
        self.flushes.push(FlushWaiter { up_to, report: FlushReport::default(), reply });
    }

    pub(super) fn answer_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        // Who no longer waits is not counted for.
        for mut waiter in std::mem::take(&mut self.flushes) {
            if self.is_pending(waiter.up_to) && !waiter.reply.is_closed() {
                self.flushes.push(waiter);
                continue;
            }
            let (memory, disk) = self.in_hand(waiter.up_to);
            waiter.report.spooled += disk;
            waiter.report.waiting = memory;
            if waiter.up_to.is_none() {
                waiter.report.waiting += self.buffer.snapshot(&self.ledger).1.buffered;
            }
            let _ = waiter.reply.send(waiter.report);
        }
    }

    /// Numbers the pending flushes: all that they wait for is in batches now.
    pub(super) fn number_flushes(&mut self) {
        let sequence = self.batcher.sequence();
        self.flushes.iter_mut().for_each(|waiter| _ = waiter.up_to.get_or_insert(sequence));
    }

    /// Answers all flushes at the end, when no point is in memory any more.
    pub(super) fn flush_replies(&mut self) {
        for waiter in self.flushes.drain(..) {
            let _ = waiter.reply.send(waiter.report);
        }
    }

    /// Reports the final result of a batch, or one as good as final, to the flushes that wait for
    /// it.
    pub(super) fn update_flush_reports(
        &mut self,
        live: bool,
        sequence: u64,
        tell: impl Fn(&mut FlushReport),
    ) {
        if live {
            let concerned = self.flushes.iter_mut().filter(|waiter| waiter.covers(sequence));
            concerned.for_each(|waiter| tell(&mut waiter.report));
        }
    }

    /// Returns whether any of these batches may still be tried without a pause before it.
    fn is_pending(&self, up_to: Option<u64>) -> bool {
        let within = |sequence| up_to.is_none_or(|up_to| sequence <= up_to);
        let pending = |pending: &PendingBatch| pending.live && within(pending.sequence());
        let search = |search: &Search| search.live && within(search.sequence());
        let busy = self.to_store.iter().any(pending)
            || self.in_flight.jobs().any(|job| match job {
                Job::Search { search: searched, .. } => search(searched),
                job => job.pending().is_some_and(pending),
            })
            || self.in_flight.jobs().any(|job| matches!(job, Job::Probe { .. }))
                && self.in_hand(up_to) != (0, 0);
        let untried = |other: &PendingBatch| pending(other) && !other.history.tried_since_flush;
        let ready = || {
            self.queue.fresh.iter().chain(&self.queue.waiting).any(untried)
                || self.queue.searches.iter().any(search)
                || up_to.is_none()
        };
        busy || !self.breaker.state().is_open() && ready()
    }

    /// Counts the points of these batches that are in memory: those that are nowhere else, and
    /// those that are also on disk.
    fn in_hand(&self, up_to: Option<u64>) -> (u64, u64) {
        let batches =
            self.queue.batches().chain(&self.to_store).chain(self.in_flight.jobs().filter_map(Job::pending));
        let batches = batches.map(|pending| {
            (pending.live, pending.sequence(), pending.origin.place(), pending.points() as u64)
        });
        let searches = self.queue.searches.iter().chain(self.in_flight.jobs().filter_map(Job::search));
        let searches = searches.map(|search| {
            (search.live, search.sequence(), search.origin.place(), search.remaining_points() as u64)
        });
        let concerned = batches
            .chain(searches)
            .filter(|(live, sequence, ..)| *live && up_to.is_none_or(|up_to| *sequence <= up_to));
        concerned.fold((0, 0), |(memory, disk), (_, _, place, points)| match place {
            PointLocation::Memory => (memory + points, disk),
            PointLocation::Spool => (memory, disk + points),
        })
    }
}
