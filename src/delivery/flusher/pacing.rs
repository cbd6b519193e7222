//! How much is sent at once: learned from the destination's answers, within the bounds of the
//! settings.

use tokio::time::Instant;

use crate::delivery::sink::{WriteError, WriteErrorKind};

use super::{
    body_size::BodySize,
    circuit_breaker::BreakerState,
    failures::is_timeout,
    in_flight::{Job, Sent},
    pace::Pace,
    worker::Worker,
};

impl Worker {
    /// Writes that may be in flight now.
    pub(super) fn write_slots(&self) -> usize {
        let unproven = self.pace.failed && !self.breaker.is_proven();
        let probing = self.in_flight.jobs().any(|job| matches!(job, Job::Probe { .. }));
        if (unproven || probing) && self.closing.is_none() {
            // One finds out whether it was the server; another would only fail with it.
            return self.breaker.state().slots(1);
        }
        let adapted = self.pace.in_flight.get(self.settings.max_in_flight);
        // At shutdown time is what counts.
        self.breaker.state().slots(if self.closing.is_some() { adapted.max(CLOSING_SLOTS) } else { adapted })
    }

    /// Returns whether a batch that is sealed now would have to wait for others that are written.
    /// After a failure each batch is one that may go before those that failed, so none waits to
    /// grow.
    pub(super) fn is_busy(&self) -> bool {
        self.breaker.is_proven()
            && self.breaker.state() == BreakerState::Closed
            && self.in_flight.sends() + self.queue.fresh.len() >= self.write_slots().max(1)
    }

    /// Returns the lines and bytes of a full batch now.
    pub(super) fn body_bounds(&self) -> (usize, usize) {
        let (lines, most) = (self.settings.batch_size, self.settings.batch_bytes);
        let most = most.min(self.body_limit.get().unwrap_or(usize::MAX));
        if self.is_busy() { self.pace.body.grown(lines, most) } else { BodySize::start(lines, most) }
    }

    /// Returns the bytes of the largest batch that is made at present.
    pub(super) fn largest_body(&self) -> usize {
        self.pace.body.grown(usize::MAX, self.settings.batch_bytes).1
    }

    /// Returns whether what is in the buffer at the end of an interval stays there until a write
    /// can begin, and goes with it.
    pub(super) fn grows_next_body(&self) -> bool {
        self.is_busy() && self.in_flight.sends() > 0 && self.closing.is_none() && !self.goes_to_disk_first()
    }

    /// Returns whether so many bytes more may be in flight. One write always may, and one of what
    /// was `spooled`, which would never go where live points alone take all that may be in flight.
    pub(super) fn may_be_in_flight(&self, bytes: usize, spooled: bool) -> bool {
        self.in_flight.sends() == 0
            || bytes <= self.room_beside_in_flight()
            || spooled && !self.in_flight.jobs().any(Job::is_spooled_write)
    }

    /// Returns the memory that batches in flight, and those that are next, leave to each other.
    pub(super) fn room_beside_in_flight(&self) -> usize {
        let in_flight: usize = self.in_flight.jobs().filter(|job| job.is_send()).map(Job::memory).sum();
        // With a spool what comes meanwhile goes to disk, for which it has to be sealed here first.
        let share = if self.usable_spool().is_some() { 2 } else { 3 };
        (self.settings.buffer_size / 8 * share).saturating_sub(in_flight)
    }

    pub(super) fn pace_success(&mut self, bytes: usize, lines: usize, sent: Sent) {
        // The write itself is not in flight any more.
        let full = self.in_flight.sends() + 1 >= self.write_slots();
        let busy = full && self.has_waiting();
        let Pace { in_flight, body, .. } = &mut self.pace;
        in_flight.succeed(bytes, sent.at, Instant::now(), busy, self.settings.max_in_flight);
        if busy {
            body.succeed(bytes, lines, self.settings.batch_bytes);
        }
    }

    pub(super) fn pace_failure(&mut self, error: &WriteError, sent: Sent) {
        self.pace.failed = true;
        if matches!(error.kind, WriteErrorKind::Throttled { .. }) || is_timeout(error) {
            self.pace.in_flight.congested(sent.at, Instant::now());
            self.pace.body.shrink();
        }
    }

    /// Returns whether anything could be sent that is not.
    fn has_waiting(&self) -> bool {
        !self.queue.is_empty()
            || self.timing.is_deferred()
            || self.batcher.bytes() + self.buffer.sealed_bytes() >= self.body_bounds().1
            || self.something_stored()
    }
}

const CLOSING_SLOTS: usize = 4;
