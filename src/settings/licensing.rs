//! When and how the licence is checked.

use std::time::Duration;

use super::defaults::{LICENSE_GRACE_PERIOD, LICENSE_TIMEOUT, LICENSE_WARNING_DAYS};

/// The licence check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LicensingSettings {
    /// IANA name of the time zone whose midnight counts, such as `Europe/Berlin`. Defaults to the
    /// system's.
    pub time_zone: Option<String>,
    /// How long a check may take before it counts as failed. Defaults to 30 seconds.
    pub timeout: Duration,
    /// How long the last result counts while checks cannot run, such as without a network; zero for
    /// not at all. Defaults to 3 days.
    pub grace_period: Duration,
    /// Days before the end from which a licence file gives a warning. Defaults to 14.
    pub warning_days: i64,
}

impl Default for LicensingSettings {
    fn default() -> Self {
        Self {
            time_zone: None,
            timeout: LICENSE_TIMEOUT,
            grace_period: LICENSE_GRACE_PERIOD,
            warning_days: LICENSE_WARNING_DAYS,
        }
    }
}
