//! Those who wait for a flush, and when they are answered.

use tokio::sync::oneshot;

use crate::FlushReport;

use super::{held::Held, isolate::Search, retry::Position, wire::Job, worker::Worker};

/// Waits until every batch up to this one was tried.
#[derive(Debug)]
pub(super) struct FlushWaiter {
    up_to: u64,
    report: FlushReport,
    reply: oneshot::Sender<FlushReport>,
}

impl Worker {
    /// Everything that is in the buffer or waits in memory is tried now, even if a pause is on: who asks for a flush has
    /// reason to think that it helps.
    pub(super) fn flush(&mut self, reply: oneshot::Sender<FlushReport>) {
        self.collect(true);
        for held in self.queue.fresh.iter_mut().chain(&mut self.queue.waiting) {
            held.history.tried_since_flush = false;
        }
        let up_to = self.sealer.sequence();
        if self.in_hand(up_to) > 0 {
            self.gate.attempt();
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
            waiter.report.waiting = self.in_hand(waiter.up_to);
            let _ = waiter.reply.send(waiter.report);
        }
    }

    /// At the end, when nothing is in anybody's hands any more.
    pub(super) fn flush_replies(&mut self) {
        for waiter in self.flushes.drain(..) {
            let _ = waiter.reply.send(waiter.report);
        }
    }

    /// Something final, or as good as final, became of a batch.
    pub(super) fn tell_flushes(&mut self, live: bool, sequence: u64, tell: impl Fn(&mut FlushReport)) {
        if live {
            let concerned = self.flushes.iter_mut().filter(|waiter| waiter.up_to >= sequence);
            concerned.for_each(|waiter| tell(&mut waiter.report));
        }
    }

    /// Whether any of these batches may still be tried without a pause before it.
    fn is_pending(&self, up_to: u64) -> bool {
        let held = |held: &Held| held.live && held.sequence() <= up_to;
        let search = |search: &Search| search.live && search.sequence() <= up_to;
        let busy = self.to_store.iter().any(held)
            || self.wire.jobs().any(|job| match job {
                Job::Search { search: searched, .. } => search(searched),
                job => job.held().is_some_and(held),
            })
            || self.wire.jobs().any(|job| matches!(job, Job::Probe { .. })) && self.in_hand(up_to) > 0;
        let untried = |other: &Held| held(other) && !other.history.tried_since_flush;
        let ready = || {
            self.queue.fresh.iter().chain(&self.queue.waiting).any(untried)
                || self.queue.searches.iter().any(search)
        };
        busy || !matches!(self.gate.position(), Position::Paused { .. }) && ready()
    }

    /// Points of these batches that are in memory.
    fn in_hand(&self, up_to: u64) -> u64 {
        let batches =
            self.queue.batches().chain(&self.to_store).chain(self.wire.jobs().filter_map(Job::held));
        let batches = batches.filter(|held| held.live && held.sequence() <= up_to).map(Held::points);
        let searches = self.queue.searches.iter().chain(self.wire.jobs().filter_map(Job::search));
        let searches =
            searches.filter(|search| search.live && search.sequence() <= up_to).map(Search::remaining_points);
        batches.chain(searches).sum::<usize>() as u64
    }
}
