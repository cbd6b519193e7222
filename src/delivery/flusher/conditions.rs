//! What decisions depend on beside their own part, as plain values of one moment.

use tokio::time::Instant;

use crate::settings::SpoolMode;

use super::{circuit_breaker::BreakerState, in_flight::InFlightCounts, settings::FlushSettings};

/// The situation in which a part decides. The worker takes it anew before each decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) settings: FlushSettings,
    pub(super) now: Instant,
    pub(super) breaker: BreakerState,
    /// A write has succeeded since the last failure.
    pub(super) proven: bool,
    /// A shutdown is under way.
    pub(super) closing: bool,
    /// Its time for sending is over.
    pub(super) sending_over: bool,
    /// There is a spool, and its disk works.
    pub(super) spool: bool,
    pub(super) in_flight: InFlightCounts,
}

impl Conditions {
    /// Returns whether a new batch is stored before it is sent, or instead.
    pub(super) fn stores_first(&self) -> bool {
        self.spool && (self.breaker.is_open() || self.settings.spool_mode == SpoolMode::Ahead)
    }

    /// Returns the memory that batches in flight, and those that are next, leave to each other.
    pub(super) fn room_in_flight(&self) -> usize {
        // With a spool what comes meanwhile goes to disk, for which it has to be sealed here first.
        let share = if self.spool { 2 } else { 3 };
        (self.settings.buffer_size / 8 * share).saturating_sub(self.in_flight.bytes)
    }

    /// Returns whether so many bytes more may be in flight. One write always may, and one of what
    /// was `spooled`, which would never go where live points alone take all that may be in flight.
    pub(super) fn may_be_in_flight(&self, bytes: usize, spooled: bool) -> bool {
        self.in_flight.sends == 0
            || bytes <= self.room_in_flight()
            || spooled && !self.in_flight.spooled_write
    }
}

#[cfg(test)]
impl Conditions {
    /// Nothing is in flight, and all is well.
    pub(super) fn calm() -> Self {
        Self {
            settings: (&crate::settings::Settings::new("test")).into(),
            now: Instant::now(),
            breaker: BreakerState::Closed,
            proven: true,
            closing: false,
            sending_over: false,
            spool: false,
            in_flight: InFlightCounts::default(),
        }
    }
}
