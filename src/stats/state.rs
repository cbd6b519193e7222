//! The states of delivery.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::stats::Blocked;

/// The state of delivery. Serializes as the text that it displays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeliveryState {
    /// The sink accepts points, or has not been tried yet.
    #[default]
    Healthy,
    /// The last write failed, and the next one is delayed.
    Backoff,
    /// Delivery is blocked until somebody corrects the cause. Points are kept. The sink is probed
    /// every 30 seconds to 5 minutes.
    Blocked(Blocked),
    /// The sink accepts points, and the points in the spool are being sent.
    Draining,
    /// The monitor is being shut down.
    Closing,
    /// The monitor is shut down.
    Closed,
}

impl DeliveryState {
    /// Returns the state as text, such as `healthy` or `blocked: target`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Backoff => "backoff",
            Self::Blocked(Blocked::Authorization) => "blocked: authorization",
            Self::Blocked(Blocked::Target) => "blocked: target",
            Self::Blocked(Blocked::Configuration) => "blocked: configuration",
            Self::Draining => "draining",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for DeliveryState {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl Serialize for DeliveryState {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
