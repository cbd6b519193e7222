//! The state of delivery, told once each time it changes.

use std::time::SystemTime;

use tokio::time::Instant;

use crate::stats::{Blocked, DeliveryState};

use super::{circuit_breaker::BreakerState, in_flight::Job, worker::Worker};

impl Worker {
    /// Brings what snapshots show up to date, and logs a change of the state.
    pub(super) fn publish(&mut self) {
        let now = Instant::now();
        let state = self.state();
        let oldest = self.oldest();
        let unpacked = self.decompressed();
        self.update_buffer_limit();
        let waiting = self.batches_in_hand();
        let mut progress = self.shared.delivery.lock();
        let before = std::mem::replace(&mut progress.state, state);
        progress.oldest = oldest;
        (progress.unpacked, progress.waiting_batches) = (unpacked, waiting);
        progress.backoff_until = match self.breaker.state() {
            BreakerState::Open { until, .. } => {
                Some(SystemTime::now() + until.saturating_duration_since(now))
            }
            _ => None,
        };
        let speaks = self.state_log.speak(state, before != state);
        let said = speaks.map(|(logged, others)| {
            let error = progress.last_error.clone().unwrap_or_default();
            (logged, others, progress.sink.clone(), error)
        });
        drop(progress);
        if before != state {
            self.count_blocked(state, now);
        }
        if let Some((logged, others, sink, error)) = said {
            self.log_change(logged, state, others, &sink, &error);
        }
    }

    /// Returns when a change of the state is logged that was kept back.
    pub(super) fn next_state_line(&self) -> Option<Instant> {
        self.state_log.next(self.shared.delivery.lock().state)
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

    /// Returns since when the oldest live batch has been here, wherever it is by now.
    fn oldest(&self) -> Option<Instant> {
        let batches =
            self.queue.batches().chain(&self.to_store).chain(self.in_flight.jobs().filter_map(Job::pending));
        let batches = batches.map(|pending| (pending.live, pending.history.since));
        let searches = self.queue.searches.iter().chain(self.in_flight.jobs().filter_map(Job::search));
        let searches = searches.map(|search| (search.live, search.history.since));
        batches.chain(searches).filter_map(|(live, since)| live.then_some(since)).min()
    }

    fn state(&self) -> DeliveryState {
        if self.closing.is_some() {
            return DeliveryState::Closing;
        }
        match self.breaker.state() {
            BreakerState::Open { blocked: Some(by), .. } => DeliveryState::Blocked(by),
            BreakerState::Open { blocked: None, .. } => DeliveryState::Backoff,
            // Until the answer is there nothing has changed.
            BreakerState::HalfOpen { .. } => self.shared.delivery.lock().state,
            BreakerState::Closed => {
                let from_disk = !self.queue.loaded.is_empty()
                    || self.in_flight.jobs().any(|job| match job {
                        Job::Load { .. } => true,
                        Job::Write { pending, .. } => !pending.live,
                        _ => false,
                    });
                if from_disk { DeliveryState::Draining } else { DeliveryState::Healthy }
            }
        }
    }

    fn log_change(&self, before: DeliveryState, state: DeliveryState, others: u64, sink: &str, error: &str) {
        let waiting = match self.spool {
            Some(_) => "points are kept in the spool",
            None => "points are kept in memory, as far as `buffer_size` and `max_retry_time` allow",
        };
        match state {
            DeliveryState::Backoff => tracing::warn!(
                target: "tower_influx", sink, error, others,
                "points cannot be written: {waiting}, and it is tried again with growing pauses; check the server if it lasts"
            ),
            DeliveryState::Blocked(by) => tracing::error!(
                target: "tower_influx", sink, error, others,
                "points are not taken until somebody changes something: {}; {waiting}, and the server is asked every 30 \
                 seconds to 5 minutes",
                what_to_change(by)
            ),
            DeliveryState::Healthy if before == DeliveryState::Draining => {
                tracing::info!(target: "tower_influx", sink, others, "what was in the spool has been sent");
            }
            DeliveryState::Healthy => {
                tracing::info!(target: "tower_influx", sink, others, "points are written again")
            }
            DeliveryState::Draining if before == DeliveryState::Healthy => {
                tracing::info!(target: "tower_influx", sink, others, "what is in the spool is being sent");
            }
            DeliveryState::Draining => {
                tracing::info!(target: "tower_influx", sink, others, "points are written again, and what is in the spool is being sent");
            }
            DeliveryState::Closing => {
                tracing::debug!(target: "tower_influx", sink, others, "the monitoring is being shut down")
            }
            DeliveryState::Closed => {}
        }
    }
}

fn what_to_change(by: Blocked) -> &'static str {
    match by {
        Blocked::Authorization => "check the token, or user and password, and what they may write to",
        Blocked::Target => "check the bucket, organization and retention policy, or create them",
        Blocked::Configuration => "check the address and what answers there: it does not take points",
    }
}
