//! [`Licensing`]: the configuration of a licence check: its midnight and its timeout.

use std::{fmt, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{mpsc, watch},
};

use super::{
    LicenseCheck, LicenseWatch,
    failures::Failures,
    schedule::{self, LONGEST_PAUSE, Schedule},
    task::{RecordPoint, Task},
    wall_clock::WallClock,
};
use crate::{clock::timers, error::Error, settings::LicensingSettings};

/// A licence check that is ready to start. Once started, it runs at once and then each day at
/// midnight.
///
/// ```no_run
/// use std::time::Duration;
///
/// use tower_influx::{
///     Monitor, Settings,
///     licensing::{LicenseState, Licensing},
/// };
///
/// # async fn days_left() -> Result<i64, std::io::Error> { Ok(30) }
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = Monitor::start(Settings::new("my-service"))?;
/// let check = || async { days_left().await.map(LicenseState::new) };
/// let watch = Licensing::new(check)
///     .time_zone("Europe/Berlin")
///     .timeout(Duration::from_secs(10))
///     .spawn_checked(&monitor)
///     .await?;
/// println!("{:?}", watch.latest().map(|license| license.status()));
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is checked before `spawn` or `spawn_checked`"]
pub struct Licensing<C> {
    check: C,
    time_zone: Option<String>,
    timeout: Option<Duration>,
    grace_period: Option<Duration>,
    clock: WallClock,
    longest_pause: Duration,
}

impl<C: LicenseCheck> Licensing<C> {
    /// Creates the settings of this check. Time zone, timeout and grace period default to the
    /// settings of the monitor.
    pub fn new(check: C) -> Self {
        Self {
            check,
            time_zone: None,
            timeout: None,
            grace_period: None,
            clock: WallClock::system(),
            longest_pause: LONGEST_PAUSE,
        }
    }

    /// Sets the IANA name of the time zone whose midnight starts a check, such as `Europe/Berlin`.
    /// Defaults to the setting `licensing.time_zone`. Its default is the time zone of the system at
    /// start.
    pub fn time_zone(mut self, name: impl Into<String>) -> Self {
        self.time_zone = Some(name.into());
        self
    }

    /// Sets the timeout of a check. A check that takes longer counts as failed. Defaults to the
    /// setting `licensing.timeout`, which is 30 seconds by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets how long the last result stays valid while checks fail to run. Zero turns this off.
    /// Defaults to the setting `licensing.grace_period`, which is 3 days by default.
    pub fn grace_period(mut self, period: Duration) -> Self {
        self.grace_period = Some(period);
        self
    }

    #[cfg(test)]
    pub(crate) fn clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    #[cfg(test)]
    pub(crate) fn longest_pause(mut self, pause: Duration) -> Self {
        self.longest_pause = pause;
        self
    }

    pub(crate) fn spawn_with(
        mut self,
        settings: &LicensingSettings,
        service: &str,
        recorder: Arc<dyn RecordPoint>,
    ) -> Result<LicenseWatch, Error> {
        let zone = schedule::time_zone(self.time_zone.as_deref().or(settings.time_zone.as_deref()))?;
        let timeout = self.timeout.unwrap_or(settings.timeout);
        if timeout.is_zero() {
            return Err(Error::setting(
                "licensing.timeout",
                "0",
                "must be longer than 0; write 30 seconds, for instance",
            ));
        }
        let runtime = Handle::try_current().map_err(|_| {
            Error::runtime("the licence check needs a tokio runtime: spawn it inside `#[tokio::main]` or `Runtime::block_on`")
        })?;
        timers::check(&runtime, "the licence check")?;
        self.check.configure(settings);
        let (requests, receiver) = mpsc::channel(WAITING_REQUESTS);
        let (sender, latest) = watch::channel(None);
        let task = Task {
            check: Arc::new(self.check),
            service: service.into(),
            recorder,
            clock: self.clock,
            schedule: Schedule::new(zone, self.longest_pause),
            failures: Failures::new(self.grace_period.unwrap_or(settings.grace_period)),
            timeout,
            requests: receiver,
            latest: sender,
        };
        let task = runtime.spawn(task.run());
        Ok(LicenseWatch::new(requests, latest, task.abort_handle()))
    }
}

impl<C> fmt::Debug for Licensing<C> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Licensing")
            .field("time_zone", &self.time_zone)
            .field("timeout", &self.timeout)
            .field("grace_period", &self.grace_period)
            .finish_non_exhaustive()
    }
}

/// Further requests wait for room, then for a check.
const WAITING_REQUESTS: usize = 64;
