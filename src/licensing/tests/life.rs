//! Checks that hang, panic and fail; the handle; the end of the task.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::time::timeout;

use super::{Clock, DAY, MINUTE, Points, fine, pass, settings, spawn};
use crate::{
    Error, Point, Value,
    licensing::{BoxError, LicenseCheck, LicenseState, LicenseStatus, Licensing},
};

fn clock() -> Clock {
    Clock::at("2026-05-04T12:00:00", &TimeZone::UTC)
}

fn points() -> Arc<Points> {
    Arc::default()
}

/// Series, tags and fields of the last point.
fn last(points: &Points) -> (String, Vec<(String, String)>, Vec<(String, Value<'static>)>) {
    let points = points.all();
    let point = points.last().expect("a point was recorded");
    let tags = point.tags().into_iter().map(|tag| (tag.key.into_owned(), tag.value.into_owned())).collect();
    let fields =
        point.fields().into_iter().map(|field| (field.key.into_owned(), field.value.into_owned())).collect();
    (point.series().into_owned(), tags, fields)
}

fn pair<V>(key: &str, value: impl Into<V>) -> (String, V) {
    (key.to_owned(), value.into())
}

async fn state_of<C: LicenseCheck>(check: C) -> (LicenseState, Arc<Points>) {
    let points = points();
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check at start ends");
    let state = watch.latest().expect("there is a first result").state().clone();
    pass(DAY).await;
    assert_eq!(points.count(), 2, "the next day is checked whatever became of the first check");
    (state, points)
}

#[tokio::test(start_paused = true)]
async fn the_point_has_the_schema_and_the_extras() {
    let points = points();
    let check = || async {
        let state = LicenseState::new(-3).warning("a").warning("b").error("c");
        Ok::<_, Error>(
            state.tag("edition", "gold").field("seats", 12_i64).tag("service", "x").field("errors", "x"),
        )
    };
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    let (series, tags, fields) = last(&points);
    assert_eq!(series, "licensing");
    assert_eq!(
        tags,
        [pair("service", "luna-licenses"), pair("license_status", "error"), pair("edition", "gold")]
    );
    let expected: [(String, Value<'_>); 4] = [
        pair("license_period_rest", -3_i64),
        pair("warnings", "a; b"),
        pair("errors", "c"),
        pair("seats", 12_i64),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test(start_paused = true)]
async fn without_messages_the_strings_are_empty() {
    let (_, points) = state_of(fine).await;
    let expected: [(String, Value<'_>); 3] =
        [pair("license_period_rest", 100_i64), pair("warnings", ""), pair("errors", "")];
    assert_eq!(last(&points).2, expected);
    assert_eq!(last(&points).1[1], pair("license_status", "ok"));
}

#[test]
fn the_status_follows_from_the_messages() {
    let state = LicenseState::new(-1);
    assert_eq!(state.status(), LicenseStatus::Ok);
    assert_eq!(state.clone().warning("w").status(), LicenseStatus::Warning);
    assert_eq!(state.clone().error("e").status(), LicenseStatus::Error);
    assert_eq!(state.error("e").warning("w").status(), LicenseStatus::Error);
    assert_eq!(LicenseState::unknown("e").status(), LicenseStatus::Error);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_is_an_error_point() {
    let (state, points) =
        state_of(|| future::ready(Err::<LicenseState, _>("the licence server is away"))).await;
    assert_eq!(state, LicenseState::unknown("the licence check failed: the licence server is away"));
    let expected: [(String, Value<'_>); 3] = [
        pair("license_period_rest", 0_i64),
        pair("warnings", ""),
        pair("errors", "the licence check failed: the licence server is away"),
    ];
    assert_eq!(last(&points).2, expected);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_an_error_point() {
    let (state, _) = state_of(future::pending::<Result<LicenseState, Error>>).await;
    assert_eq!(state, LicenseState::unknown("the licence check gave no answer within 30s"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_is_an_error_point() {
    let panicking = || async {
        if true {
            panic!("no {}", "licence")
        }
        Ok::<_, Error>(LicenseState::new(1))
    };
    let (state, _) = state_of(panicking).await;
    assert_eq!(state, LicenseState::unknown("the licence check panicked: no licence"));
    // Before the first await, while the future is made.
    let (state, _) = state_of(|| -> future::Ready<Result<LicenseState, Error>> { panic!("at once") }).await;
    assert_eq!(state, LicenseState::unknown("the licence check panicked: at once"));
}

#[tokio::test(start_paused = true)]
async fn a_check_can_be_a_type() {
    struct Seats;
    impl LicenseCheck for Seats {
        async fn check(&self) -> Result<LicenseState, BoxError> {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(LicenseState::new("7".parse()?))
        }
    }
    assert_eq!(state_of(Seats).await.0, LicenseState::new(7));
}

#[tokio::test(start_paused = true)]
async fn a_check_on_demand_is_a_check_of_its_own() {
    let points = points();
    let watch = spawn(fine, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    let license = watch.check_now().await.expect("the watch runs");
    assert_eq!(points.count(), 2);
    assert_eq!(watch.latest().expect("there is one").checked_at(), license.checked_at());
    pass(12 * 60 * MINUTE + 1).await;
    assert_eq!(points.count(), 3, "midnight is checked all the same");
}

#[tokio::test(start_paused = true)]
async fn many_who_ask_at_once_share_a_check() {
    let points = points();
    let slow = || async {
        pass(5).await;
        Ok::<_, Error>(LicenseState::new(1))
    };
    let watch = spawn(slow, "UTC", &clock(), &points).expect("settings are right");
    pass(1).await;
    let asked: Vec<_> = (0..20)
        .map(|_| {
            let watch = watch.clone();
            tokio::spawn(async move { watch.check_now().await.is_ok() })
        })
        .collect();
    for answer in asked {
        assert!(answer.await.expect("no panic"));
    }
    assert_eq!(
        points.count(),
        2,
        "the check at start, which began before they asked, and one for all of them"
    );
}

#[tokio::test(start_paused = true)]
async fn asking_all_the_time_does_not_put_midnight_off() {
    let points = points();
    let watch = spawn(fine, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    for _ in 0..24 * 60 + 1 {
        pass(31).await;
        watch.check_now().await.expect("the watch runs");
    }
    assert_eq!(points.count(), 1 + (24 * 60 + 1) + 1, "start, each request, midnight");
}

#[tokio::test(start_paused = true)]
async fn changes_are_told_and_repetitions_are_not() {
    let days = Arc::new(AtomicI64::new(5));
    let points = points();
    let check = {
        let days = Arc::clone(&days);
        move || future::ready(Ok::<_, Error>(LicenseState::new(days.load(Ordering::SeqCst))))
    };
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    let mut changes = watch.changes();
    let first = changes.changed().await.expect("the first result is a change");
    assert_eq!(first.state().days_left(), Some(5));
    watch.check_now().await.expect("the watch runs");
    assert!(timeout(Duration::from_secs(1), changes.changed()).await.is_err(), "the same again is no change");
    days.store(4, Ordering::SeqCst);
    watch.check_now().await.expect("the watch runs");
    assert_eq!(changes.changed().await.expect("a change").state().days_left(), Some(4));
    drop(watch);
    assert!(changes.changed().await.is_none(), "the watch is gone");
    assert_eq!(changes.latest().expect("it stays readable").state().days_left(), Some(4));
}

/// Counts itself while it exists.
struct Alive(Arc<AtomicUsize>);

impl Alive {
    fn new(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self(Arc::clone(count))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_ends_its_task_and_the_check_under_way() {
    let alive = Arc::new(AtomicUsize::new(0));
    let points = points();
    let check = {
        let alive = Arc::clone(&alive);
        move || {
            let alive = Alive::new(&alive);
            async move {
                future::pending::<()>().await;
                drop(alive);
                Ok::<_, Error>(LicenseState::new(1))
            }
        }
    };
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    let clone = watch.clone();
    pass(1).await;
    drop(watch);
    pass(1).await;
    assert_eq!(alive.load(Ordering::SeqCst), 1, "a clone is left");
    drop(clone);
    pass(1).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
    assert_eq!(points.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_timed_out_check_is_dropped() {
    let alive = Arc::new(AtomicUsize::new(0));
    let check = {
        let alive = Arc::clone(&alive);
        move || {
            let alive = Alive::new(&alive);
            async move {
                future::pending::<()>().await;
                drop(alive);
                Ok::<_, Error>(LicenseState::new(1))
            }
        }
    };
    let points = points();
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the time-out is a result");
    pass(1).await;
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_watch_keeps_its_result_and_refuses_checks() {
    let points = points();
    let watch = spawn(fine, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    watch.stop();
    watch.stop();
    pass(3 * DAY).await;
    assert_eq!(points.count(), 1);
    assert!(watch.latest().is_some());
    assert!(watch.check_now().await.expect_err("it is stopped").is_closed());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_monitor_ends_the_task() {
    let points = points();
    let watch = spawn(fine, "UTC", &clock(), &points).expect("settings are right");
    pass(1).await;
    points.close();
    pass(MINUTE).await;
    assert!(watch.check_now().await.expect_err("it has ended").is_closed());
    assert_eq!(points.count(), 1);
    assert!(watch.changes().changed().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn nothing_is_checked_on_demand_once_the_monitor_has_ended() {
    let points = points();
    let watch = spawn(fine, "UTC", &clock(), &points).expect("settings are right");
    pass(1).await;
    points.close();
    assert!(watch.check_now().await.expect_err("it has ended").is_closed());
    assert_eq!(points.count(), 1);
}

#[tokio::test(start_paused = true)]
async fn settings_that_cannot_work_are_errors_at_start() {
    let points = points();
    let error = spawn(fine, "Europe/Berlln", &clock(), &points).expect_err("there is no such zone");
    assert!(error.is_setting(), "{error}");
    assert!(error.to_string().starts_with("setting `licensing.time_zone` is `Europe/Berlln`: "), "{error}");
    for name in ["", "../../etc/passwd", "Europe", "CEST-", "\0", "Europe/Berlin\n"] {
        assert!(spawn(fine, name, &clock(), &points).is_err(), "{name:?}");
    }
    let licensing = Licensing::new(fine).timeout(Duration::ZERO).time_zone("UTC");
    let error = licensing.spawn_with(&settings("nowhere"), "s", points).expect_err("no time at all");
    assert!(error.to_string().starts_with("setting `licensing.timeout` is `0`: "), "{error}");
}

#[test]
fn without_a_runtime_there_is_an_error_and_no_panic() {
    let licensing = Licensing::new(fine).time_zone("UTC");
    let error = licensing.spawn_with(&settings("UTC"), "s", points()).expect_err("no runtime");
    assert!(error.is_runtime(), "{error}");
}

#[test]
fn a_check_that_blocks_its_thread_times_out_on_a_runtime_with_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("a runtime");
    let over = Arc::new(AtomicBool::new(false));
    let blocked = Arc::clone(&over);
    let check = move || {
        while !blocked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        fine()
    };
    let points = points();
    runtime.block_on(async {
        let licensing = Licensing::new(check).timeout(Duration::from_millis(1));
        let watch = licensing.spawn_with(&settings("UTC"), "s", points).expect("settings are right");
        watch.first().await.expect("the time-out is a result");
        assert_eq!(watch.latest().expect("there is one").status(), LicenseStatus::Error);
    });
    over.store(true, Ordering::SeqCst);
}
