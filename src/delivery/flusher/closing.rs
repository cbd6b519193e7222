//! The time of a shutdown: when waiting for requests ends, when sending ends, and what is left for
//! the disk. It decides without I/O.

use tokio::time::{Duration, Instant};

/// A shutdown in progress.
#[derive(Debug)]
pub(super) struct Closing {
    started: Instant,
    timeout: Duration,
    /// From then on nothing is sent: the rest of the time is for the disk.
    cutoff: Instant,
    phase: Phase,
    /// Whether the cutoff has passed and no job has ended in that moment.
    cut_off: bool,
    unfinished: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits until running requests have ended, with a check at intervals.
    Waiting { look: Instant },
    /// The recorder is closed, and the remaining points are sent.
    Sending,
    /// Points that could not be sent go to the spool, or are dropped.
    Storing,
}

/// The situation of a shutdown.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Situation {
    /// Requests that have not ended yet.
    pub(super) running: u64,
    /// Whether no batch waits and no job is running.
    pub(super) nothing_left: bool,
    /// Whether the circuit breaker lets nothing through.
    pub(super) breaker_open: bool,
    /// Whether there is a spool that accepts batches.
    pub(super) spool: bool,
}

/// The next step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosingStep {
    Wait,
    /// Stops waiting for running requests.
    CloseRecorder,
    /// The next attempt is made at this time at the latest.
    RetryBy(Instant),
    /// The time for sending is over.
    StopSending,
    Finish,
}

impl Closing {
    pub(super) fn new(started: Instant, timeout: Duration, has_spool: bool) -> Self {
        let reserve = RESERVE.max(timeout / 5).min(timeout / 2);
        let cutoff = started + if has_spool { timeout - reserve } else { timeout };
        let phase = Phase::Waiting { look: started };
        Self { started, timeout, cutoff, phase, cut_off: false, unfinished: 0 }
    }

    /// Decides on the next step.
    pub(super) fn advance(&mut self, now: Instant, situation: Situation) -> ClosingStep {
        match self.phase {
            Phase::Waiting { .. } if situation.running > 0 && now < self.cutoff => {
                self.phase = Phase::Waiting { look: now + LOOK_INTERVAL };
                ClosingStep::Wait
            }
            Phase::Waiting { .. } => ClosingStep::CloseRecorder,
            Phase::Sending | Phase::Storing if situation.nothing_left => ClosingStep::Finish,
            Phase::Storing => ClosingStep::Wait,
            Phase::Sending if self.cut_off || situation.breaker_open && situation.spool => {
                self.phase = Phase::Storing;
                ClosingStep::StopSending
            }
            // Without a spool every attempt is one more chance, so several should fit into the
            // remaining time.
            Phase::Sending if situation.breaker_open => {
                let left = self.cutoff.saturating_duration_since(now);
                ClosingStep::RetryBy(now + (left / 8).max(LOOK_INTERVAL))
            }
            Phase::Sending => ClosingStep::Wait,
        }
    }

    /// Records that the recorder was closed with this many unfinished requests.
    pub(super) fn recorder_closed(&mut self, unfinished: u64) {
        (self.unfinished, self.phase) = (unfinished, Phase::Sending);
    }

    pub(super) fn next_step(&self) -> Option<Instant> {
        match self.phase {
            Phase::Waiting { look } => Some(look.min(self.cutoff)),
            Phase::Sending => Some(self.cutoff),
            Phase::Storing => None,
        }
    }

    /// Records that the timer has fired, which means that no other event was ready.
    pub(super) fn tick(&mut self, now: Instant) {
        self.cut_off |= self.phase == Phase::Sending && now >= self.cutoff;
    }

    /// Returns whether the time for sending is over.
    pub(super) fn sends_nothing_more(&self) -> bool {
        self.phase == Phase::Storing
    }

    /// Returns the requests that had not ended when the recorder was closed.
    pub(super) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// Returns when the timeout expires.
    pub(super) fn end(&self) -> Instant {
        self.started + self.timeout
    }

    /// Returns whether the shutdown is within its timeout so far.
    pub(super) fn is_in_time(&self, now: Instant) -> bool {
        now <= self.end() + GRACE
    }
}

/// The time reserved for the disk: at least this or a fifth, and at most half.
const RESERVE: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// What a busy machine may add between the end of the timeout and the report.
const GRACE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sending(timeout: Duration, spool: bool) -> (Closing, Instant) {
        let started = Instant::now();
        let mut closing = Closing::new(started, timeout, spool);
        assert_eq!(
            closing.advance(started, Situation { spool, ..Situation::default() }),
            ClosingStep::CloseRecorder
        );
        closing.recorder_closed(0);
        (closing, started)
    }

    #[test]
    fn running_requests_are_awaited_until_the_cutoff() {
        for (spool, cutoff) in [(false, 5_000), (true, 4_000)] {
            let started = Instant::now();
            let mut closing = Closing::new(started, 5_000 * MS, spool);
            let situation = Situation { running: 2, spool, ..Situation::default() };
            assert_eq!(closing.advance(started + (cutoff - 1) * MS, situation), ClosingStep::Wait);
            assert_eq!(closing.next_step(), Some(started + cutoff * MS), "no look after the cutoff");
            assert_eq!(closing.advance(started + cutoff * MS, situation), ClosingStep::CloseRecorder);
            closing.recorder_closed(2);
            assert_eq!(closing.unfinished(), 2);
        }
    }

    #[test]
    fn a_sink_that_answers_at_once_gets_everything_even_without_time() {
        let (mut closing, started) = sending(Duration::ZERO, false);
        // The time is over, but the timer has not fired, since another event was ready.
        assert_eq!(closing.advance(started + MS, Situation::default()), ClosingStep::Wait);
        for _ in 0..2 {
            closing.tick(started + MS);
        }
        assert_eq!(closing.advance(started + MS, Situation::default()), ClosingStep::StopSending);
        assert!(closing.sends_nothing_more());
    }

    #[test]
    fn an_outage_stops_sending_at_once_only_with_a_spool() {
        let open = |spool| Situation { breaker_open: true, spool, ..Situation::default() };
        let (mut closing, started) = sending(8_000 * MS, true);
        assert_eq!(closing.advance(started, open(true)), ClosingStep::StopSending);
        let (mut closing, started) = sending(8_000 * MS, false);
        assert_eq!(closing.advance(started, open(false)), ClosingStep::RetryBy(started + 1_000 * MS));
        let late = started + 7_999 * MS;
        assert_eq!(closing.advance(late, open(false)), ClosingStep::RetryBy(late + LOOK_INTERVAL));
    }

    #[test]
    fn it_finishes_when_nothing_is_left_and_reports_whether_in_time() {
        let nothing = Situation { nothing_left: true, ..Situation::default() };
        let (mut closing, started) = sending(1_000 * MS, true);
        assert_eq!(closing.advance(started, nothing), ClosingStep::Finish);
        closing.tick(started + 500 * MS);
        assert_eq!(closing.advance(started + 500 * MS, Situation::default()), ClosingStep::StopSending);
        assert_eq!(closing.advance(started + 600 * MS, Situation::default()), ClosingStep::Wait);
        assert_eq!(closing.advance(started + 900 * MS, nothing), ClosingStep::Finish);
        assert!(closing.is_in_time(started + 1_100 * MS) && !closing.is_in_time(started + 1_101 * MS));
    }
}
