//! When the buffer is drained.

use tokio::time::{Duration, Instant};

use super::circuit_breaker::jitter;

/// The timer for draining the buffer.
#[derive(Debug)]
pub(super) struct Timing {
    /// When the buffer is drained, if it has points.
    pub(super) due: Option<Instant>,
    /// The end of the current interval.
    next: Instant,
    /// Whether points stay in the buffer, because nothing can be sent, or there is no room. They
    /// wait until a batch is full, the pause is over, or there is room.
    deferred: bool,
    random: fastrand::Rng,
}

impl Timing {
    /// Creates a timer with a random phase, so that processes that start together do not send
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

    /// Returns whether the buffer has no known points.
    pub(super) fn is_idle(&self) -> bool {
        self.due.is_none() && !self.deferred
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| due <= now)
    }

    pub(super) fn defer(&mut self) {
        (self.due, self.deferred) = (None, true);
    }

    pub(super) fn collected(&mut self, interval: Duration) {
        (self.due, self.deferred) = (None, false);
        self.next = Instant::now() + jitter(interval, &mut self.random);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn timing(seed: u64) -> Timing {
        Timing::new(SECOND, fastrand::Rng::with_seed(seed))
    }

    /// Returns the time until the buffer is drained.
    fn due(timing: &Timing) -> Option<Duration> {
        timing.due.map(|due| due.saturating_duration_since(Instant::now()))
    }

    #[tokio::test(start_paused = true)]
    async fn points_wait_for_the_end_of_the_interval_and_no_longer() {
        for seed in 0..50 {
            let mut timing = timing(seed);
            assert_eq!((due(&timing), timing.is_deferred()), (None, false));
            timing.arm(SECOND);
            let first = due(&timing).expect("armed");
            assert!(first < SECOND);
            timing.arm(SECOND);
            assert_eq!(due(&timing), Some(first), "more points change nothing");
            timing.collected(SECOND);
            assert_eq!(due(&timing), None);
            timing.arm(SECOND);
            let next = due(&timing).expect("armed");
            assert!((0.9..1.1).contains(&next.as_secs_f64()), "{next:?}");
            // Nothing was recorded for long: the next point is not sent alone at once.
            timing.collected(SECOND);
            tokio::time::advance(20 * SECOND).await;
            timing.arm(SECOND);
            let late = due(&timing).expect("armed");
            assert!(late > Duration::ZERO && late < SECOND, "{late:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_buffer_is_due_from_the_end_of_the_interval_on() {
        let mut timing = timing(1);
        let now = Instant::now();
        assert!(timing.is_idle() && !timing.is_due(now + 10 * SECOND));
        timing.arm(SECOND);
        let end = now + due(&timing).expect("armed");
        let before = end - Duration::from_nanos(1);
        assert!(!timing.is_idle() && !timing.is_due(before) && timing.is_due(end));
        timing.defer();
        assert!(!timing.is_idle() && !timing.is_due(end));
        timing.collected(SECOND);
        assert!(timing.is_idle());
    }

    #[tokio::test(start_paused = true)]
    async fn deferred_points_have_no_deadline_until_they_are_collected() {
        let mut timing = timing(1);
        timing.arm(SECOND);
        timing.defer();
        assert_eq!((due(&timing), timing.is_deferred()), (None, true));
        timing.collected(SECOND);
        assert_eq!((due(&timing), timing.is_deferred()), (None, false));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_interval_begins_at_once_for_waiting_points() {
        let mut timing = timing(1);
        timing.set_interval(SECOND / 100);
        assert_eq!(due(&timing), None);
        let mut timing = Timing::new(1_000 * SECOND, fastrand::Rng::with_seed(1));
        timing.arm(1_000 * SECOND);
        timing.set_interval(SECOND / 100);
        assert!(due(&timing).is_some_and(|due| due < SECOND / 100));
    }

    #[test]
    fn intervals_of_two_processes_drift_apart_and_keep_their_length() {
        let mut random = fastrand::Rng::with_seed(1);
        let drawn: Vec<_> = (0..1_000).map(|_| jitter(SECOND, &mut random).as_secs_f64()).collect();
        let (least, most) =
            (drawn.iter().fold(9.0, |a: f64, b| a.min(*b)), drawn.iter().fold(0.0, |a: f64, b| a.max(*b)));
        assert!((0.9..0.91).contains(&least) && (1.09..1.1).contains(&most), "{least} {most}");
    }
}
