//! Settings of the licence check.

use std::time::Duration;

use super::defaults::{LICENSE_GRACE_PERIOD, LICENSE_TIMEOUT, LICENSE_WARNING_DAYS};

/// Settings of the licence check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LicensingSettings {
    /// The IANA name of the time zone whose midnight starts a check, such as `Europe/Berlin`.
    /// Defaults to the time zone of the system.
    pub time_zone: Option<String>,
    /// The timeout of a check, 10 ms to 1 hour. A check that takes longer counts as failed.
    /// Defaults to 30 seconds.
    pub timeout: Duration,
    /// How long the last result stays valid while checks fail to run, for example without a
    /// network. 0 to 30 days; 0 turns this off. Defaults to 3 days.
    pub grace_period: Duration,
    /// The number of days before the end of a licence file from which it has a warning, 0 to 3,650.
    /// Defaults to 14.
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
