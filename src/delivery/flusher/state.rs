//! The state of delivery: its value, its log lines, and how long the sink was blocked.

use std::{sync::Arc, time::SystemTime};

use tokio::time::{Duration, Instant};

use crate::stats::{Blocked, DeliveryState};

use super::{circuit_breaker::BreakerState, shared::Shared, state_log::StateLog};

/// Reports the state to the statistics and to the log.
#[derive(Debug)]
pub(super) struct StateReporter {
    shared: Arc<Shared>,
    log: StateLog,
    /// How long the sink was blocked, without the time since `blocked_since`.
    blocked_total: Duration,
    blocked_since: Option<Instant>,
}

/// The values of the flusher in the statistics.
#[derive(Clone, Copy, Debug)]
pub(super) struct FlusherSnapshot {
    pub(super) breaker: BreakerState,
    pub(super) closing: bool,
    /// Whether spooled points are being sent, or are about to be.
    pub(super) draining: bool,
    /// Since when the oldest live batch has been waiting.
    pub(super) oldest: Option<Instant>,
    pub(super) decompressed: usize,
    pub(super) batches: usize,
    pub(super) has_spool: bool,
    /// The number of series of all points so far.
    pub(super) series: u64,
}

impl StateReporter {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared, log: StateLog::default(), blocked_total: Duration::ZERO, blocked_since: None }
    }

    /// Updates the statistics, and logs a change of the state.
    pub(super) fn publish(&mut self, snapshot: &FlusherSnapshot) {
        let now = Instant::now();
        let mut progress = self.shared.delivery.lock();
        let before = progress.state;
        let state = snapshot.state(before);
        progress.state = state;
        progress.oldest = snapshot.oldest;
        progress.series = snapshot.series;
        (progress.decompressed, progress.waiting_batches) = (snapshot.decompressed, snapshot.batches);
        progress.backoff_until = match snapshot.breaker {
            BreakerState::Open { until, .. } => {
                Some(SystemTime::now() + until.saturating_duration_since(now))
            }
            _ => None,
        };
        let speaks = self.log.speak(state, before != state);
        let said = speaks.map(|(logged, others)| {
            let error = progress.last_error.clone().unwrap_or_default();
            (logged, others, progress.sink.clone(), error)
        });
        drop(progress);
        if before != state {
            self.count_blocked(state, now);
        }
        if let Some((logged, others, sink, error)) = said {
            log_change(logged, state, snapshot.has_spool, others, &sink, &error);
        }
    }

    /// Returns when a suppressed change of the state will be logged.
    pub(super) fn next_line(&self) -> Option<Instant> {
        self.log.next(self.shared.delivery.lock().state)
    }

    pub(super) fn is_blocked(&self) -> bool {
        self.blocked_since.is_some()
    }

    /// Returns how long the sink was blocked in total. This time does not count as waiting, since
    /// only an action could have ended it.
    pub(super) fn blocked_time(&self) -> Duration {
        self.blocked_total + self.blocked_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    fn count_blocked(&mut self, state: DeliveryState, now: Instant) {
        match (self.blocked_since, state) {
            (None, DeliveryState::Blocked(_)) => self.blocked_since = Some(now),
            (Some(since), state) if !matches!(state, DeliveryState::Blocked(_)) => {
                self.blocked_total += now - since;
                self.blocked_since = None;
            }
            _ => {}
        }
    }
}

impl FlusherSnapshot {
    fn state(&self, before: DeliveryState) -> DeliveryState {
        if self.closing {
            return DeliveryState::Closing;
        }
        match self.breaker {
            BreakerState::Open { blocked: Some(by), .. } => DeliveryState::Blocked(by),
            BreakerState::Open { blocked: None, .. } => DeliveryState::Backoff,
            // Nothing has changed until the answer arrives.
            BreakerState::HalfOpen { .. } => before,
            BreakerState::Closed if self.draining => DeliveryState::Draining,
            BreakerState::Closed => DeliveryState::Healthy,
        }
    }
}

fn log_change(
    before: DeliveryState,
    state: DeliveryState,
    has_spool: bool,
    others: u64,
    sink: &str,
    error: &str,
) {
    let waiting = match has_spool {
        true => "points are kept in the spool",
        false => "points are kept in memory, as far as `buffer_size` and `max_retry_time` allow",
    };
    match state {
        DeliveryState::Backoff => tracing::warn!(
            target: "tower_influx", sink, error, others,
            "points cannot be written: {waiting}, retrying with exponential backoff; check the server if it lasts"
        ),
        DeliveryState::Blocked(by) => tracing::error!(
            target: "tower_influx", sink, error, others,
            "delivery blocked, action required: {}; {waiting}, and the server is probed every 30 seconds to 5 minutes",
            what_to_change(by)
        ),
        DeliveryState::Healthy if before == DeliveryState::Draining => {
            tracing::info!(target: "tower_influx", sink, others, "the spool has been drained: all stored points are written");
        }
        DeliveryState::Healthy => {
            tracing::info!(target: "tower_influx", sink, others, "points are written again")
        }
        DeliveryState::Draining if before == DeliveryState::Healthy => {
            tracing::info!(target: "tower_influx", sink, others, "stored points are sent from the spool");
        }
        DeliveryState::Draining => {
            tracing::info!(target: "tower_influx", sink, others, "points are written again, and stored points are sent from the spool");
        }
        DeliveryState::Closing => {
            tracing::debug!(target: "tower_influx", sink, others, "shutting down: the remaining points are sent")
        }
        DeliveryState::Closed => {}
    }
}

fn what_to_change(by: Blocked) -> &'static str {
    match by {
        Blocked::Authorization => "check the token, or user and password, and what they may write to",
        Blocked::Target => "check the bucket, organization and retention policy, or create them",
        Blocked::Configuration => "check the address and what answers there: it does not take points",
    }
}

#[cfg(test)]
mod tests;
