//! Limits log lines about single batches or lines to one a minute.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Lets the first line through, then one a minute.
#[derive(Debug, Default)]
pub(crate) struct LogThrottle(Mutex<Throttle>);

#[derive(Debug, Default)]
struct Throttle {
    spoke: Option<Instant>,
    kept_back: u64,
}

impl LogThrottle {
    /// Returns `None` if the line is suppressed. Otherwise returns how many were suppressed since
    /// the last one. The caller logs the line, without holding a lock.
    pub(crate) fn speak(&self) -> Option<u64> {
        let mut throttle = self.0.lock();
        let now = Instant::now();
        if throttle.spoke.is_some_and(|spoke| now < spoke + INTERVAL) {
            throttle.kept_back += 1;
            return None;
        }
        throttle.spoke = Some(now);
        Some(std::mem::take(&mut throttle.kept_back))
    }
}

const INTERVAL: Duration = Duration::from_secs(60);
