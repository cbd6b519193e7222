//! When the buffer is drained.

use tokio::time::{Duration, Instant};

use super::circuit_breaker::jitter;

/// When the buffer is drained next.
#[derive(Debug)]
pub(super) struct Timing {
    /// There are points, and this is when they are drained.
    pub(super) due: Option<Instant>,
    /// The end of the current interval.
    next: Instant,
    /// There are points, but as nothing can be sent, or there is no room, they stay where they are
    /// until a batch is full, the pause is over, or there is room.
    deferred: bool,
    random: fastrand::Rng,
}

impl Timing {
    /// Creates a timer with a random phase, so that processes started together do not send
    /// together.
    pub(super) fn new(interval: Duration, mut random: fastrand::Rng) -> Self {
        let next = Instant::now() + interval.mul_f64(random.f64());
        Self { due: None, next, deferred: false, random }
    }

    pub(super) fn arm(&mut self, interval: Duration) {
        let now = Instant::now();
        if self.next <= now {
            self.next = now + interval.mul_f64(self.random.f64());
        }
        self.due = Some(self.next);
    }

    /// Begins a new interval now.
    pub(super) fn set_interval(&mut self, interval: Duration) {
        self.next = Instant::now();
        if self.due.is_some() {
            self.arm(interval);
        }
    }

    pub(super) fn is_deferred(&self) -> bool {
        self.deferred
    }

    pub(super) fn defer(&mut self) {
        (self.due, self.deferred) = (None, true);
    }

    pub(super) fn collected(&mut self, interval: Duration) {
        (self.due, self.deferred) = (None, false);
        self.next = Instant::now() + jitter(interval, &mut self.random);
    }
}
