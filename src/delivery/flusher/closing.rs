//! A shutdown's time: when requests are no longer waited for, when sending stops, and what is left
//! for the disk. Decides without I/O.

use tokio::time::{Duration, Instant};

/// A shutdown under way.
#[derive(Debug)]
pub(super) struct Closing {
    started: Instant,
    timeout: Duration,
    /// From then on nothing is sent: the rest of the time is the disk's.
    cutoff: Instant,
    phase: Phase,
    /// The cutoff has come, and nothing that is in flight has ended in this moment.
    cut_off: bool,
    unfinished: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until running requests have ended, with a look now and then.
    Waiting { look: Instant },
    /// Recorder is closed, and what is left is sent.
    Sending,
    /// What could not be sent goes to the spool, or is dropped.
    Storing,
}

/// What a shutdown depends on.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Situation {
    /// Requests that have not ended yet.
    pub(super) running: u64,
    /// No batch waits and no work is under way.
    pub(super) nothing_left: bool,
    /// The circuit breaker lets nothing through.
    pub(super) breaker_open: bool,
    /// There is a spool that takes batches.
    pub(super) spool: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClosingStep {
    Wait,
    /// Running requests are no longer waited for.
    CloseRecorder,
    /// The next try is made at this time at the latest.
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
            // Without a spool every try is one chance more: some should fit into the time that is
            // left.
            Phase::Sending if situation.breaker_open => {
                let left = self.cutoff.saturating_duration_since(now);
                ClosingStep::RetryBy(now + (left / 8).max(LOOK_INTERVAL))
            }
            Phase::Sending => ClosingStep::Wait,
        }
    }

    /// The recorder is closed, with so many requests unfinished.
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

    /// The timer has fired, and so nothing else was ready.
    pub(super) fn tick(&mut self, now: Instant) {
        self.cut_off |= self.phase == Phase::Sending && now >= self.cutoff;
    }

    /// Whether the time for sending is over.
    pub(super) fn sends_nothing_more(&self) -> bool {
        self.phase == Phase::Storing
    }

    /// Requests that had not ended when the recorder was closed.
    pub(super) fn unfinished(&self) -> u64 {
        self.unfinished
    }

    /// When the time that was given is over.
    pub(super) fn end(&self) -> Instant {
        self.started + self.timeout
    }

    /// Whether the shutdown has kept its time so far.
    pub(super) fn is_in_time(&self, now: Instant) -> bool {
        now <= self.end() + GRACE
    }
}

/// What the disk gets of the time, at least, or a fifth; never more than half.
const RESERVE: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
/// What a busy machine may add between the end of the time and the report of it.
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
    fn running_requests_are_waited_for_until_the_cutoff() {
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
    fn a_sink_that_answers_at_once_gets_all_even_without_time() {
        let (mut closing, started) = sending(Duration::ZERO, false);
        // The time is over, but the timer has not fired: something was ready.
        assert_eq!(closing.advance(started + MS, Situation::default()), ClosingStep::Wait);
        for _ in 0..2 {
            closing.tick(started + MS);
        }
        assert_eq!(closing.advance(started + MS, Situation::default()), ClosingStep::StopSending);
        assert!(closing.sends_nothing_more());
    }

    #[test]
    fn an_outage_stops_sending_at_once_only_where_there_is_a_spool() {
        let open = |spool| Situation { breaker_open: true, spool, ..Situation::default() };
        let (mut closing, started) = sending(8_000 * MS, true);
        assert_eq!(closing.advance(started, open(true)), ClosingStep::StopSending);
        let (mut closing, started) = sending(8_000 * MS, false);
        assert_eq!(closing.advance(started, open(false)), ClosingStep::RetryBy(started + 1_000 * MS));
        let late = started + 7_999 * MS;
        assert_eq!(closing.advance(late, open(false)), ClosingStep::RetryBy(late + LOOK_INTERVAL));
    }

    #[test]
    fn it_finishes_when_nothing_is_left_and_says_whether_in_time() {
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
