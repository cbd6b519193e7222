//! Pending flushes, and the results of the points that they wait for.

use tokio::sync::oneshot;

use super::{batch_ref::BatchRef, report::FlushReport};

/// All pending flushes.
#[derive(Debug, Default)]
pub(super) struct FlushWaiters(Vec<FlushWaiter>);

/// A flush that waits until every batch up to a number was sent.
#[derive(Debug)]
struct FlushWaiter {
    /// `None` while some of its points are still in the buffer, for lack of memory.
    up_to: Option<u64>,
    report: FlushReport,
    reply: oneshot::Sender<FlushReport>,
}

/// What may still happen to the batches of a flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlushProgress {
    /// One is in flight, or on its way to the disk.
    pub(super) busy: bool,
    /// There is a batch, and a running probe may release it.
    pub(super) waits_for_probe: bool,
    /// One was not sent since the flush began, or is not sealed yet.
    pub(super) untried: bool,
    /// Nothing may be sent.
    pub(super) paused: bool,
}

impl FlushProgress {
    /// Returns whether any of them may still be sent without a pause before.
    pub(super) fn may_be_tried(self) -> bool {
        self.busy || self.waits_for_probe || self.untried && !self.paused
    }
}

impl FlushWaiters {
    pub(super) fn push(&mut self, up_to: Option<u64>, reply: oneshot::Sender<FlushReport>) {
        self.0.push(FlushWaiter { up_to, report: FlushReport::default(), reply });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Sets the number of flushes without one: all of their points are in batches now.
    pub(super) fn number(&mut self, sequence: u64) {
        self.0.iter_mut().for_each(|waiter| _ = waiter.up_to.get_or_insert(sequence));
    }

    /// Adds a final result of points of a batch, or one that counts as final.
    pub(super) fn update(&mut self, batch: BatchRef<'_>, note: impl Fn(&mut FlushReport)) {
        if batch.is_live() {
            let covers =
                |waiter: &&mut FlushWaiter| waiter.up_to.is_none_or(|up_to| batch.sequence() <= up_to);
            self.0.iter_mut().filter(covers).for_each(|waiter| note(&mut waiter.report));
        }
    }

    /// Answers flushes whose batches were sent. `is_pending` tells whether any batch up to a number
    /// may still be sent without a pause. `left` counts their points in memory and on disk.
    pub(super) fn answer(
        &mut self,
        is_pending: impl Fn(Option<u64>) -> bool,
        left: impl Fn(Option<u64>) -> (u64, u64),
    ) {
        // Closed requests are removed without counting.
        let answered = self.0.extract_if(.., |waiter| !is_pending(waiter.up_to) || waiter.reply.is_closed());
        for mut waiter in answered {
            let (memory, disk) = left(waiter.up_to);
            waiter.report.spooled += disk;
            waiter.report.waiting = memory;
            let _ = waiter.reply.send(waiter.report);
        }
    }

    /// Answers all flushes at the end, when no point is in memory any more.
    pub(super) fn answer_all(&mut self) {
        for waiter in self.0.drain(..) {
            let _ = waiter.reply.send(waiter.report);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flush_waits_for_batches_that_may_still_be_sent_without_a_pause() {
        let none = FlushProgress { busy: false, waits_for_probe: false, untried: false, paused: false };
        for paused in [false, true] {
            let none = FlushProgress { paused, ..none };
            assert!(!none.may_be_tried(), "{paused}");
            assert!(FlushProgress { busy: true, ..none }.may_be_tried(), "{paused}");
            assert!(FlushProgress { waits_for_probe: true, ..none }.may_be_tried(), "{paused}");
            assert_eq!(FlushProgress { untried: true, ..none }.may_be_tried(), !paused);
        }
    }

    #[test]
    fn a_flush_is_answered_when_its_batches_were_sent_with_what_is_left_of_them() {
        let mut waiters = FlushWaiters::default();
        assert!(waiters.is_empty());
        let (first, mut first_answer) = oneshot::channel();
        let (second, mut second_answer) = oneshot::channel();
        let (gone, _) = oneshot::channel();
        waiters.push(None, first);
        waiters.push(Some(3), second);
        waiters.push(Some(9), gone);
        // The points of the first flush were in the buffer until now.
        waiters.number(5);
        let asked = std::cell::RefCell::new(Vec::new());
        let mut answer = |tried: u64| {
            waiters.answer(
                |up_to| up_to > Some(tried),
                |up_to| {
                    asked.borrow_mut().push(up_to);
                    (up_to.unwrap_or(0), 10)
                },
            );
            waiters.is_empty()
        };
        assert!(!answer(3));
        let report = |waiting| Ok(FlushReport { waiting, spooled: 10, ..FlushReport::default() });
        assert_eq!((second_answer.try_recv(), first_answer.try_recv().is_err()), (report(3), true));
        assert!(!answer(4) && answer(5));
        assert_eq!(first_answer.try_recv(), report(5));
        // A closed request is removed at the first check.
        assert_eq!(*asked.borrow(), [Some(3), Some(9), Some(5)]);
    }
}
