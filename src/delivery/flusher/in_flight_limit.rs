//! The limit on writes in flight. It decides from answers alone, without I/O.
//!
//! A destination that answers slowly but accepts much (InfluxDB 3 waits for its log) needs many
//! writes in flight. One at its capacity needs few, since more would only queue there. So the limit
//! grows while the rate of written bytes grows with it. It falls when the destination throttles,
//! does not answer, or only becomes slower.
//! throttles, does not answer, or only gets slower.

use tokio::time::{Duration, Instant};

/// The adaptive limit. It first doubles with each round trip, then grows in steps of a quarter
/// while that raises the rate.
#[derive(Debug)]
pub(super) struct InFlightLimit {
    limit: usize,
    slow_start: bool,
    /// Answers to writes that began before this instant say nothing about the current limit.
    changed: Option<Instant>,
    window: Option<Window>,
    /// Bytes a second of the last window, and the limit that it was measured with.
    measured: Option<(f64, usize)>,
    /// Windows until the next attempt with a higher limit, and how many there are after an attempt
    /// that did not raise the rate.
    hold: u32,
    next_hold: u32,
    /// The shortest recent time to an answer, which is one without a queue at the destination.
    calm: Option<Duration>,
}

/// Measures one round trip: as many answers as there are writes in flight.
#[derive(Debug)]
struct Window {
    started: Instant,
    /// The number of answers that completes the window.
    complete: usize,
    answers: usize,
    bytes: usize,
    latency: Duration,
}

impl Default for InFlightLimit {
    fn default() -> Self {
        Self {
            limit: START_LIMIT,
            slow_start: true,
            changed: None,
            window: None,
            measured: None,
            hold: 0,
            next_hold: FIRST_HOLD,
            calm: None,
        }
    }
}

impl InFlightLimit {
    /// Returns the limit, bounded by that of the settings.
    pub(super) fn get(&self, most: usize) -> usize {
        self.limit.clamp(1, most.max(1))
    }

    /// Records an answered write. `busy`: the limit kept other batches waiting. Otherwise the rate
    /// is that of new points, and says nothing about the destination.
    pub(super) fn succeed(&mut self, bytes: usize, sent: Instant, now: Instant, busy: bool, most: usize) {
        self.limit = self.get(most);
        if !busy {
            self.window = None;
            return;
        }
        let limit = self.limit;
        if self.slow_start {
            self.limit = (limit + 1).min(most.max(1));
        }
        let latency = now - sent;
        self.calm = Some(self.calm.map_or(latency, |calm| calm.min(latency)));
        if self.changed.is_some_and(|changed| sent < changed) {
            return;
        }
        let Some(window) = &mut self.window else {
            let complete = limit.max(LEAST_ANSWERS);
            self.window =
                Some(Window { started: now, complete, answers: 0, bytes: 0, latency: Duration::ZERO });
            return;
        };
        window.answers += 1;
        window.bytes += bytes;
        window.latency += latency;
        if window.answers < window.complete {
            return;
        }
        // Two answers at the same time of a coarse clock do not give a rate.
        let elapsed = (now - window.started).max(Duration::from_micros(100));
        let rate = window.bytes as f64 / elapsed.as_secs_f64();
        let latency = window.latency / window.answers as u32;
        self.window = None;
        self.judge(rate, latency, now, most.max(1));
    }

    /// Records that the destination throttles or did not answer in time. All writes that were in
    /// flight together count once.
    pub(super) fn congested(&mut self, sent: Instant, now: Instant) {
        if self.changed.is_some_and(|changed| sent < changed) {
            return;
        }
        self.slow_start = false;
        self.change(self.limit / 2, now);
        (self.measured, self.hold) = (None, FIRST_HOLD);
    }

    /// Decides after a window in which the limit kept batches waiting.
    fn judge(&mut self, rate: f64, latency: Duration, now: Instant, most: usize) {
        let calm = self.calm.map_or(latency, |calm| latency.min(calm.mul_f64(CALM_DECAY)));
        self.calm = Some(calm);
        let Some((before, tried)) = self.measured.replace((rate, self.limit)) else { return };
        let gain = rate / before.max(1.0);
        let share = (self.limit.abs_diff(tried)) as f64 / tried as f64;
        if gain < 0.5 && !self.slow_start && self.limit >= tried {
            // The destination behaves like a different one, so its capacity is measured anew.
            (self.slow_start, self.calm, self.measured) = (true, None, None);
            return self.change(self.limit, now);
        }
        if self.slow_start {
            if gain < SLOW_START_GAIN && self.limit > 1 {
                (self.slow_start, self.hold) = (false, 0);
                if self.limit > tried {
                    self.change(tried, now);
                }
            }
            return;
        }
        if self.limit < tried && gain < SAME_RATE {
            // The destination is not slow because of a queue: fewer writes in flight lower the
            // rate.
            return self.undo(tried, now);
        }
        if self.limit > tried && gain < 1.0 + 0.5 * share {
            return self.undo(tried, now);
        }
        if self.limit != tried {
            self.next_hold = FIRST_HOLD;
        } else if self.hold > 0 {
            self.hold -= 1;
            return;
        }
        if latency > calm * QUEUEING && self.limit > LEAST_FOR_LATENCY {
            return self.change(self.limit * 3 / 4, now);
        }
        self.change((self.limit + (self.limit / 4).max(1)).min(most), now);
    }

    /// Restores the limit of before an attempt that did not raise the rate, for longer each time.
    fn undo(&mut self, limit: usize, now: Instant) {
        (self.measured, self.hold) = (None, self.next_hold);
        self.next_hold = (self.next_hold * 2).min(LAST_HOLD);
        self.change(limit, now);
    }

    fn change(&mut self, limit: usize, now: Instant) {
        self.limit = limit.max(1);
        self.changed = Some(now);
        self.window = None;
    }
}

/// The initial limit.
const START_LIMIT: usize = 4;
/// A window with a single answer would decide by chance.
const LEAST_ANSWERS: usize = 2;
/// The gain in rate below which doubling the writes in flight is not worth it.
const SLOW_START_GAIN: f64 = 1.15;
/// The part of the rate that must be left with fewer writes in flight.
const SAME_RATE: f64 = 0.95;
const FIRST_HOLD: u32 = 8;
const LAST_HOLD: u32 = 128;
/// A latency of this many times the calm one, without a higher rate, means that writes queue at the
/// destination.
const QUEUEING: u32 = 2;
/// The least limit at which latency is considered. With one write in flight the destination is idle
/// between two, and the calm latency may be that of a small body.
const LEAST_FOR_LATENCY: usize = 2;
/// How fast the calm latency follows a destination that has become slower: it doubles after seventy
/// windows.
const CALM_DECAY: f64 = 1.01;

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes of 1,000 bytes to a destination, always as many in flight as the limit allows.
    struct Simulation {
        limit: InFlightLimit,
        now: Instant,
        /// When each was sent, and when its answer arrives.
        in_flight: Vec<(Instant, Instant)>,
        free_at: Instant,
        most: usize,
    }

    impl Simulation {
        fn new(most: usize) -> Self {
            let now = Instant::now();
            Self { limit: InFlightLimit::default(), now, in_flight: Vec::new(), free_at: now, most }
        }

        /// Runs for a time against a destination that takes `service` for each write in sequence,
        /// and an additional `delay` in parallel. Returns the number of answered writes.
        fn run(&mut self, duration: Duration, service: Duration, delay: Duration) -> usize {
            let (end, mut answered) = (self.now + duration, 0);
            while self.now < end {
                while self.in_flight.len() < self.limit.get(self.most) {
                    self.free_at = self.free_at.max(self.now) + service;
                    self.in_flight.push((self.now, self.free_at + delay));
                }
                let Some(next) = (0..self.in_flight.len()).min_by_key(|index| self.in_flight[*index].1)
                else {
                    return answered;
                };
                let (sent, answer) = self.in_flight.remove(next);
                self.now = self.now.max(answer);
                self.limit.succeed(1_000, sent, self.now, true, self.most);
                answered += 1;
            }
            answered
        }
    }

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_limit_reaches_its_bound_if_answers_are_slow_but_many_are_accepted() {
        let mut simulation = Simulation::new(16);
        simulation.run(10_000 * MS, Duration::ZERO, 1_000 * MS);
        assert_eq!(simulation.limit.get(16), 16);
    }

    #[test]
    fn the_limit_stays_low_if_more_writes_only_queue() {
        let mut simulation = Simulation::new(16);
        simulation.run(1_000 * MS, 10 * MS, Duration::ZERO);
        for _ in 0..20 {
            simulation.run(1_000 * MS, 10 * MS, Duration::ZERO);
            assert!(simulation.limit.get(16) <= 5, "{:?}", simulation.limit);
        }
    }

    #[test]
    fn the_limit_finds_the_optimum_in_between() {
        // 10 ms of work and 40 ms of delay each: five in flight keep the destination busy.
        let mut simulation = Simulation::new(16);
        simulation.run(5_000 * MS, 10 * MS, 40 * MS);
        let answered = simulation.run(20_000 * MS, 10 * MS, 40 * MS);
        assert!(answered >= 1_800, "{answered} of 2,000: {:?}", simulation.limit);
        assert!(simulation.limit.get(16) <= 10, "{:?}", simulation.limit);
    }

    #[test]
    fn a_destination_that_slows_down_and_recovers_is_followed() {
        let mut simulation = Simulation::new(16);
        simulation.run(5_000 * MS, 5 * MS, 5 * MS);
        simulation.run(30_000 * MS, 5 * MS, 2_000 * MS);
        let slow = simulation.run(20_000 * MS, 5 * MS, 2_000 * MS);
        assert!(slow >= 128, "{slow} of 160: {:?}", simulation.limit);
        simulation.run(2_000 * MS, 5 * MS, 5 * MS);
        let fast = simulation.run(10_000 * MS, 5 * MS, 5 * MS);
        assert!(fast >= 1_600, "{fast} of 2,000: {:?}", simulation.limit);
    }

    #[test]
    fn congestion_halves_once_for_all_that_were_in_flight() {
        let mut simulation = Simulation::new(16);
        simulation.run(10_000 * MS, Duration::ZERO, 1_000 * MS);
        let (sent, now) = (simulation.now, simulation.now + MS);
        for _ in 0..16 {
            simulation.limit.congested(sent, now);
        }
        assert_eq!(simulation.limit.get(16), 8);
        for later in 1..10 {
            simulation.limit.congested(now + later * MS, now + later * MS);
        }
        assert_eq!(simulation.limit.get(16), 1);
    }

    #[test]
    fn without_waiting_batches_the_limit_does_not_change() {
        let mut limit = InFlightLimit::default();
        let now = Instant::now();
        for number in 0..1_000 {
            limit.succeed(1_000, now + number * MS, now + number * MS + MS, false, 16);
        }
        assert_eq!(limit.get(16), START_LIMIT);
        assert_eq!(limit.get(2), 2, "the setting is an upper bound");
    }
}

#[cfg(test)]
mod decisions;
