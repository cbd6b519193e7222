//! Limits the log lines about the state: a server that alternates between success and failure must
//! not fill the log.

use std::time::Duration;

use tokio::time::Instant;

use crate::stats::DeliveryState;

/// Lets the line of each state through once a minute. A suppressed line is made up for: after the
/// minute the current state is logged, unless it was the last one logged.
#[derive(Debug, Default)]
pub(super) struct StateLog {
    logged: DeliveryState,
    spoke: Vec<(DeliveryState, Instant)>,
    kept_back: u64,
}

impl StateLog {
    /// Returns the previously logged state and the number of suppressed changes, if this state must
    /// be logged now.
    pub(super) fn speak(&mut self, state: DeliveryState, changed: bool) -> Option<(DeliveryState, u64)> {
        if state == self.logged {
            self.kept_back += u64::from(changed);
            return None;
        }
        let now = Instant::now();
        if self.next(state).is_some_and(|next| now < next) {
            self.kept_back += u64::from(changed);
            return None;
        }
        self.spoke.retain(|(other, _)| *other != state);
        self.spoke.push((state, now));
        let before = std::mem::replace(&mut self.logged, state);
        Some((before, std::mem::take(&mut self.kept_back)))
    }

    /// Returns when a suppressed line for this state may be logged.
    pub(super) fn next(&self, state: DeliveryState) -> Option<Instant> {
        let spoke = self.spoke.iter().find(|(other, _)| *other == state)?.1;
        (state != self.logged).then_some(spoke + INTERVAL)
    }
}

const INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use DeliveryState::{Backoff, Healthy};

    #[tokio::test(start_paused = true)]
    async fn flapping_states_are_logged_once_a_minute_and_the_last_one_always() {
        let (mut log, mut lines) = (StateLog::default(), Vec::new());
        for second in 0..600_u64 {
            for state in [Backoff, Healthy] {
                lines.extend(log.speak(state, true).map(|(_, others)| (second, state, others)));
            }
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!(lines[..4], [(0, Backoff, 0), (0, Healthy, 0), (60, Backoff, 118), (60, Healthy, 0)]);
        assert_eq!(lines.len(), 20, "{lines:?}");
        // The line is suppressed, and the state is unchanged when the minute is over.
        let mut log = StateLog::default();
        let spoken = [Backoff, Healthy, Backoff].map(|state| log.speak(state, true).is_some());
        assert_eq!(spoken, [true, true, false]);
        let next = log.next(Backoff).expect("it is made up for");
        assert_eq!(next, Instant::now() + INTERVAL);
        tokio::time::sleep_until(next).await;
        assert_eq!(log.speak(Backoff, false), Some((Healthy, 1)));
        assert_eq!((log.next(Backoff), log.speak(Backoff, false)), (None, None));
    }
}
