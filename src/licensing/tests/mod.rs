//! A watch with the clock of the test: tokio's paused time, plus jumps of the wall clock alone.

mod failures;
mod life;
mod outcomes;
mod sleep;
mod years;

use std::{
    env, future,
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, civil::DateTime, tz::TimeZone};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::{
    LicenseCheck, LicenseState, LicenseWatch, Licensing, LicensingPoint, task::RecordPoint,
    wall_clock::WallClock,
};
use crate::{error::Error, settings::LicensingSettings};

/// Stores the points instead of sending them.
#[derive(Default)]
pub(crate) struct Points {
    points: Mutex<Vec<LicensingPoint>>,
    closed: AtomicBool,
}

impl Points {
    fn all(&self) -> MutexGuard<'_, Vec<LicensingPoint>> {
        self.points.lock()
    }

    fn count(&self) -> usize {
        self.all().len()
    }

    fn close(&self) {
        self.closed.store(true, Ordering::SeqCst);
    }

    /// Returns when the checks began, in the local time of this zone.
    fn local_times(&self, zone: &TimeZone) -> Vec<DateTime> {
        let local = |point: &LicensingPoint| {
            let checked_at =
                Timestamp::try_from(point.license().checked_at()).expect("a test's time is in range");
            zone.to_datetime(checked_at)
        };
        self.all().iter().map(local).collect()
    }
}

impl RecordPoint for Points {
    fn record(&self, point: &LicensingPoint) {
        self.all().push(point.clone());
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::SeqCst)
    }
}

/// Wall time that follows tokio's paused time, and can be set.
#[derive(Clone)]
struct Clock {
    start: Instant,
    base: Arc<Mutex<Timestamp>>,
}

impl Clock {
    fn at(local: &str, zone: &TimeZone) -> Self {
        let local: DateTime = local.parse().expect("a civil date and time");
        let base = zone.to_timestamp(local).expect("in range");
        Self { start: Instant::now(), base: Arc::new(Mutex::new(base)) }
    }

    /// Sets the wall clock forward or back without the timers, as `date --set` and suspending do.
    fn jump(&self, seconds: i64) {
        let mut base = self.base.lock();
        *base = base.checked_add(SignedDuration::from_secs(seconds)).expect("in range");
    }

    fn now(&self) -> Timestamp {
        let base = *self.base.lock();
        base.checked_add(self.start.elapsed()).expect("in range")
    }

    fn wall(&self) -> WallClock {
        let clock = self.clone();
        WallClock::new(move || clock.now())
    }
}

fn settings(zone: &str) -> LicensingSettings {
    LicensingSettings { time_zone: Some(zone.to_owned()), ..LicensingSettings::default() }
}

fn spawn(
    check: impl LicenseCheck,
    zone: &str,
    clock: &Clock,
    points: &Arc<Points>,
) -> Result<LicenseWatch, Error> {
    let recorder = Arc::clone(points);
    Licensing::new(check).clock(clock.wall()).spawn_with(&settings(zone), "luna-licenses", recorder)
}

/// Noon of an ordinary day.
fn clock() -> Clock {
    Clock::at("2026-05-04T12:00:00", &TimeZone::UTC)
}

fn points() -> Arc<Points> {
    Arc::default()
}

/// Returns a check without warnings and errors.
fn fine() -> future::Ready<Result<LicenseState, Error>> {
    future::ready(Ok(LicenseState::new(100)))
}

/// Lets time pass, and runs everything that is due in it.
async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

/// Returns the zone, or `None` with a message on standard error if the system has no zone data. The
/// test then proves nothing.
pub(crate) fn zone(name: &str) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok();
    if zone.is_none() {
        // Written directly, since libtest hides what passing tests print by macro.
        writeln!(io::stderr(), "NOT RUN: no time zone data for {name}; install tzdata")
            .expect("stderr is open");
        let required = env::var("TOWER_INFLUX_LIVE").is_ok_and(|value| value == "required");
        assert!(!required, "no time zone data for {name}, and TOWER_INFLUX_LIVE=required");
    }
    zone
}

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
