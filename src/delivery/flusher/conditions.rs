//! The inputs that all decisions share, as plain values of one moment.

use tokio::time::Instant;

use crate::settings::SpoolMode;

use super::{circuit_breaker::BreakerState, in_flight::InFlightCounts, settings::FlushSettings};

/// The situation in which a part decides. The worker creates it anew before each decision.
#[derive(Clone, Copy, Debug)]
pub(super) struct Conditions {
    pub(super) settings: FlushSettings,
    pub(super) now: Instant,
    pub(super) breaker: BreakerState,
    /// Whether a write has succeeded since the last failure.
    pub(super) proven: bool,
    /// Whether a shutdown is in progress.
    pub(super) closing: bool,
    /// Whether its time for sending has expired.
    pub(super) sending_over: bool,
    /// Whether there is a spool whose disk works.
    pub(super) spool: bool,
    pub(super) in_flight: InFlightCounts,
}

impl Conditions {
    /// Returns whether a new batch is stored before it is sent, or instead of that.
    pub(super) fn stores_first(&self) -> bool {
        self.spool && (self.breaker.is_open() || self.settings.spool_mode == SpoolMode::Ahead)
    }

    /// Returns how much memory is left for batches in flight.
    pub(super) fn room_in_flight(&self) -> usize {
        // With a spool, new points go to disk meanwhile, for which they must be sealed in memory
        // first.
        let share = if self.spool { 2 } else { 3 };
        (self.settings.buffer_size / 8 * share).saturating_sub(self.in_flight.bytes)
    }

    /// Returns whether a batch of this size may be in flight, too. One write is always allowed. So
    /// is one of a spooled batch, which would never be sent if live points took all of the memory.
    pub(super) fn may_be_in_flight(&self, bytes: usize, spooled: bool) -> bool {
        self.in_flight.sends == 0
            || bytes <= self.room_in_flight()
            || spooled && !self.in_flight.spooled_write
    }
}

#[cfg(test)]
impl Conditions {
    /// Nothing is in flight, and there is no failure.
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
