//! The circuit breaker: whether anything may be sent now, and when to try again after a failure. It
//! decides without I/O.

use std::time::Duration;

use tokio::time::Instant;

use crate::{delivery::sink::WriteErrorKind, stats::Blocked};

use super::{settings::FlushSettings, successes::Successes};

/// Decides whether the sink may be used now. There is one for all batches, since an unavailable
/// server is so for each of them.
#[derive(Debug)]
pub(super) struct CircuitBreaker {
    state: BreakerState,
    /// Failed attempts since the last success.
    failures: u32,
    /// Rises each time the circuit breaker opens, so that other writes in flight at that time do
    /// not count as further attempts.
    epoch: u64,
    successes: Successes,
    /// Writes that had succeeded at the last failure of any batch.
    successes_at_failure: u64,
    first: Duration,
    cap: Duration,
    /// The bound on pauses for a throttling server.
    throttle_cap: Duration,
    random: fastrand::Rng,
}

/// The state of the circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BreakerState {
    /// Writes flow: the last one was answered.
    Closed,
    /// Nothing is sent until then.
    Open { until: Instant, blocked: Option<Blocked> },
    /// The pause is over: one write or probe tests the sink. `blocked` is the reason from before.
    HalfOpen { blocked: Option<Blocked> },
}

impl CircuitBreaker {
    pub(super) fn new(settings: &FlushSettings, random: fastrand::Rng) -> Self {
        let (first, cap) = (settings.retry_interval, settings.max_retry_interval);
        let throttle_cap = throttle_cap(cap);
        Self {
            state: BreakerState::Closed,
            failures: 0,
            epoch: 0,
            successes: Successes::default(),
            successes_at_failure: 0,
            first,
            cap,
            throttle_cap,
            random,
        }
    }

    pub(super) fn configure(&mut self, settings: &FlushSettings) {
        (self.first, self.cap) = (settings.retry_interval, settings.max_retry_interval);
        self.throttle_cap = throttle_cap(self.cap);
    }

    /// Continues with another destination, of which nothing is known. The next attempt is due now.
    pub(super) fn replace_destination(&mut self) {
        (self.failures, self.successes_at_failure) = (0, self.successes.writes);
        self.attempt();
    }

    pub(super) fn state(&self) -> BreakerState {
        self.state
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Returns the successes so far, by which the failures of a batch are judged.
    pub(super) fn successes(&self) -> Successes {
        self.successes
    }

    /// Returns whether a write has succeeded since the last failure. A failure of one batch is then
    /// not the server's.
    pub(super) fn is_proven(&self) -> bool {
        self.successes.writes > self.successes_at_failure
    }

    /// Lets one write or probe through now, because a caller demands an attempt.
    pub(super) fn attempt(&mut self) {
        if let BreakerState::Open { blocked, .. } = self.state {
            self.state = BreakerState::HalfOpen { blocked };
        }
    }

    /// Lets one write or probe through if the pause is over.
    pub(super) fn expire(&mut self, now: Instant) {
        if let BreakerState::Open { until, .. } = self.state
            && until <= now
        {
            self.attempt();
        }
    }

    /// Records that the sink accepted points.
    pub(super) fn write_succeeded(&mut self) {
        self.successes.writes += 1;
        self.close();
    }

    /// Records that a write failed. `suspect`: the batch may be the cause, since others are
    /// accepted, or would be. `epoch` is the value of [`epoch`](Self::epoch) when the write began.
    pub(super) fn write_failed(&mut self, kind: &WriteErrorKind, suspect: bool, epoch: u64, now: Instant) {
        match kind {
            // The sink answers, so only these points are the problem.
            WriteErrorKind::Refused(_) | WriteErrorKind::TooLarge => self.close(),
            // Others were accepted since the last failure, so the sink works. There is no pause for
            // a fault of this batch.
            _ if suspect && self.is_proven() => {}
            _ => self.open(kind, epoch, now),
        }
        self.successes_at_failure = self.successes.writes;
    }

    /// Records that a probe succeeded: the next write tests whether points are accepted.
    pub(super) fn probe_succeeded(&mut self) {
        self.successes.probes += 1;
        if let BreakerState::HalfOpen { blocked } = &mut self.state {
            *blocked = None;
        }
    }

    /// Records that a probe failed. `epoch` as for [`write_failed`](Self::write_failed).
    pub(super) fn probe_failed(&mut self, kind: &WriteErrorKind, epoch: u64, now: Instant) {
        self.open(kind, epoch, now);
    }

    fn close(&mut self) {
        self.failures = 0;
        self.state = BreakerState::Closed;
    }

    fn open(&mut self, kind: &WriteErrorKind, epoch: u64, now: Instant) {
        let blocked = match kind {
            WriteErrorKind::Blocked(by) => Some(*by),
            _ => None,
        };
        if epoch < self.epoch {
            // It was sent before the circuit breaker opened. It adds no information, except that an
            // action is required.
            if let (Some(_), BreakerState::Open { until, blocked: None }) = (blocked, self.state) {
                self.state = BreakerState::Open { until, blocked };
            }
            return;
        }
        let before = match self.state {
            BreakerState::Closed => None,
            BreakerState::Open { blocked, .. } | BreakerState::HalfOpen { blocked } => blocked,
        };
        if before.is_some() != blocked.is_some() {
            // The problem differs from the previous one, so its pauses start again.
            self.failures = 0;
        }
        let pause = match kind {
            // Later rather than earlier, since somebody has to act first.
            WriteErrorKind::Blocked(_) => probe_pause(self.failures).mul_f64(1.0 + 0.1 * self.random.f64()),
            WriteErrorKind::Throttled { retry_after } => self.throttled(*retry_after),
            _ => self.random_up_to(self.first, self.cap),
        };
        self.failures = self.failures.saturating_add(1);
        self.epoch += 1;
        self.state = BreakerState::Open { until: now + pause, blocked };
    }

    /// Shortens the pause at shutdown, when nothing may wait longer than this.
    pub(super) fn retry_by(&mut self, latest: Instant) {
        if let BreakerState::Open { until, .. } = &mut self.state {
            *until = (*until).min(latest);
        }
    }

    fn throttled(&mut self, retry_after: Option<Duration>) -> Duration {
        match retry_after {
            // Later rather than earlier, and not all clients at the same moment.
            Some(asked) => {
                let asked = asked.clamp(THROTTLE_FLOOR, RETRY_AFTER_CAP);
                asked + asked.mul_f64(self.random.f64() * 0.1)
            }
            None => self.random_up_to(self.first, self.throttle_cap).max(THROTTLE_FLOOR),
        }
    }

    /// Returns a pause with full jitter, between zero and the doubled pause, so that clients do not
    /// return together.
    fn random_up_to(&mut self, first: Duration, cap: Duration) -> Duration {
        let limit = first.saturating_mul(1 << self.failures.min(20)).min(cap);
        limit.mul_f64(self.random.f64())
    }
}

impl BreakerState {
    /// Returns whether nothing may be sent.
    pub(super) fn is_open(self) -> bool {
        matches!(self, Self::Open { .. })
    }

    /// Returns when the pause ends. Returns `None` without a pause, and if nothing waits for its
    /// end, so that an idle service costs nothing.
    pub(super) fn next_attempt(self, has_work: bool) -> Option<Instant> {
        match self {
            Self::Open { until, .. } if has_work => Some(until),
            _ => None,
        }
    }

    /// Returns how many writes may be in flight; `most` if the breaker is closed.
    pub(super) fn write_limit(self, most: usize) -> usize {
        match self {
            Self::Closed => most,
            Self::Open { .. } => 0,
            Self::HalfOpen { .. } => 1,
        }
    }
}

/// Returns the longest pause for a throttling server. It is twice that for a failing one: the
/// server is available, and each attempt is work for it.
fn throttle_cap(cap: Duration) -> Duration {
    cap.saturating_mul(2).max(THROTTLE_FLOOR)
}

/// Returns the pause before the next probe: 30 s, 60 s, 120 s, 240 s, then 5 minutes.
fn probe_pause(failures: u32) -> Duration {
    PROBE_FIRST.saturating_mul(1 << failures.min(10)).min(PROBE_CAP)
}

/// Adds or removes up to a tenth at random.
pub(super) fn jitter(duration: Duration, random: &mut fastrand::Rng) -> Duration {
    duration.mul_f64(0.9 + 0.2 * random.f64())
}

const PROBE_FIRST: Duration = Duration::from_secs(30);
const PROBE_CAP: Duration = Duration::from_secs(5 * 60);
const THROTTLE_FLOOR: Duration = Duration::from_secs(1);
/// A proxy that demands a day is misconfigured.
const RETRY_AFTER_CAP: Duration = Duration::from_secs(5 * 60);

#[cfg(test)]
mod tests;
