//! Failed checks: when they are repeated, and for how long the last result counts.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::state::LicenseState;

/// The state after failed checks: the last successful result, and the next attempt.
#[derive(Debug)]
pub(crate) struct Failures {
    grace_period: Duration,
    last: Option<(LicenseState, Timestamp)>,
    in_a_row: u32,
    retry_at: Option<Instant>,
}

impl Failures {
    pub(crate) fn new(grace_period: Duration) -> Self {
        Self { grace_period, last: None, in_a_row: 0, retry_at: None }
    }

    /// Returns when the check is repeated, if the last one failed.
    pub(crate) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Resets the pauses: the attempts of another day begin with short ones again.
    pub(crate) fn start_over(&mut self) {
        self.in_a_row = 0;
    }

    /// Records a successful check.
    pub(crate) fn ran(&mut self, state: &LicenseState, at: Timestamp) {
        (self.in_a_row, self.retry_at) = (0, None);
        self.last = Some((state.clone(), at));
    }

    /// Records a failed check, and returns the state that counts now. That is the last result with
    /// a warning, within the grace period and while the licence is valid; otherwise it is an error.
    pub(crate) fn failed(&mut self, message: &str, at: Timestamp) -> LicenseState {
        let pause = FIRST_PAUSE.saturating_mul(1 << self.in_a_row.min(MOST_DOUBLINGS)).min(LONGEST_PAUSE);
        self.in_a_row = self.in_a_row.saturating_add(1);
        // The pause is random, so that replicas do not all contact a licence server at once when it
        // is back.
        let pause = pause.mul_f64(0.5 + 0.5 * fastrand::f64());
        let kept = self.kept(message, at);
        // A long pause must not extend the time for which the result counts.
        let changes_in = kept.as_ref().and_then(|_| self.changes_in(at)).unwrap_or(pause);
        self.retry_at = Some(Instant::now() + pause.min(changes_in + FIRST_PAUSE.mul_f64(fastrand::f64())));
        kept.unwrap_or_else(|| LicenseState::unknown(message))
    }

    fn kept(&self, message: &str, at: Timestamp) -> Option<LicenseState> {
        let (state, checked_at) = self.last.as_ref()?;
        let age = age(*checked_at, at);
        if age > self.grace_period {
            return None;
        }
        let warning = format!("{message}; the result is that of {checked_at:.0}");
        state
            .after(i64::try_from(age.as_secs() / SECONDS_A_DAY).ok()?)
            .map(|state| state.with_warning(warning))
    }

    /// Returns the time until the last result has one day less, or no longer counts.
    fn changes_in(&self, at: Timestamp) -> Option<Duration> {
        let (_, checked_at) = self.last.as_ref()?;
        let age = age(*checked_at, at);
        let next_day = Duration::from_secs((age.as_secs() / SECONDS_A_DAY + 1) * SECONDS_A_DAY);
        Some(next_day.min(self.grace_period).saturating_sub(age))
    }
}

/// Returns the age of a result. It is zero if the clock was set back.
fn age(checked_at: Timestamp, at: Timestamp) -> Duration {
    Duration::try_from(at.duration_since(checked_at)).unwrap_or_default()
}

const FIRST_PAUSE: Duration = Duration::from_secs(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(15 * 60);
const MOST_DOUBLINGS: u32 = 10;
const SECONDS_A_DAY: u64 = 24 * 60 * 60;
