//! How much is sent at once. It is learned from the destination's answers, within the bounds of the
//! settings, without I/O.

use tokio::time::Instant;

use crate::delivery::sink::{WriteError, WriteErrorKind};

use super::{
    body_limit::BodyLimit, body_size::BodySize, circuit_breaker::BreakerState, conditions::Conditions,
    failures::is_timeout, in_flight::Sent, in_flight_limit::InFlightLimit, settings::FlushSettings,
};

/// The learned pace of one destination. A reload resets it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    in_flight: InFlightLimit,
    body: BodySize,
    pub(super) limit: BodyLimit,
    failed: bool,
}

impl Pace {
    /// Returns how many writes may be in flight now.
    pub(super) fn write_limit(&self, conditions: &Conditions) -> usize {
        let Conditions { settings, breaker, proven, closing, in_flight, .. } = conditions;
        if (self.failed && !proven || in_flight.probing) && !closing {
            // One write tests whether the server is the cause. Others would only fail with it.
            return breaker.write_limit(1);
        }
        let adapted = self.in_flight.get(settings.max_in_flight);
        // At shutdown, time matters most.
        breaker.write_limit(if *closing { adapted.max(CLOSING_WRITES) } else { adapted })
    }

    /// Returns whether a batch that is sealed now, behind `queued` others, would have to wait for
    /// writes. After a failure each batch may be sent before those that failed, so none waits to
    /// grow.
    pub(super) fn is_busy(&self, conditions: &Conditions, queued: usize) -> bool {
        conditions.proven
            && conditions.breaker == BreakerState::Closed
            && conditions.in_flight.sends + queued >= self.write_limit(conditions).max(1)
    }

    /// Returns the lines and bytes of a full batch now.
    pub(super) fn body_bounds(&self, conditions: &Conditions, queued: usize) -> (usize, usize) {
        let FlushSettings { batch_size, batch_bytes, .. } = conditions.settings;
        let most = batch_bytes.min(self.limit.get().unwrap_or(usize::MAX));
        match self.is_busy(conditions, queued) {
            true => self.body.grown(batch_size, most),
            false => BodySize::start(batch_size, most),
        }
    }

    /// Returns the bytes of the largest batch at present.
    pub(super) fn largest_body(&self, settings: &FlushSettings) -> usize {
        self.body.grown(usize::MAX, settings.batch_bytes).1
    }

    /// Records that a write succeeded. `waiting`: other batches could be sent, but are not.
    pub(super) fn succeed(
        &mut self,
        bytes: usize,
        lines: usize,
        sent: Sent,
        waiting: bool,
        conditions: &Conditions,
    ) {
        let Conditions { settings, now, in_flight, .. } = conditions;
        // The write itself is no longer in flight.
        let busy = waiting && in_flight.sends + 1 >= self.write_limit(conditions);
        self.limit.accept(bytes);
        self.in_flight.succeed(bytes, sent.at, *now, busy, settings.max_in_flight);
        if busy {
            self.body.succeed(bytes, lines, settings.batch_bytes);
        }
    }

    /// Records that a write failed.
    pub(super) fn fail(&mut self, error: &WriteError, sent: Sent, now: Instant) {
        self.failed = true;
        if matches!(error.kind, WriteErrorKind::Throttled { .. }) || is_timeout(error) {
            self.in_flight.congested(sent.at, now);
            self.body.shrink();
        }
    }
}

const CLOSING_WRITES: usize = 4;

#[cfg(test)]
mod tests;
