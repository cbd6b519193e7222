//! Log lines that would come once a batch, or once a line, come once a minute.

use std::time::Duration;

use tokio::time::Instant;

/// Lets the first through, then one a minute.
#[derive(Debug, Default)]
pub(super) struct LogThrottle {
    spoke: Option<Instant>,
    kept_back: u64,
}

impl LogThrottle {
    /// Returns `None` to suppress this message, otherwise how many were suppressed since the last
    /// one.
    pub(super) fn speak(&mut self) -> Option<u64> {
        let now = Instant::now();
        if self.spoke.is_some_and(|spoke| now < spoke + INTERVAL) {
            self.kept_back += 1;
            return None;
        }
        self.spoke = Some(now);
        Some(std::mem::take(&mut self.kept_back))
    }
}

const INTERVAL: Duration = Duration::from_secs(60);
