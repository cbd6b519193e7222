//! The handle: checks on demand, notifications of changes, the end of the task, and settings
//! refused at start.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::timeout;

use super::{DAY, MINUTE, clock, fine, pass, points, settings, spawn};
use crate::{
    error::Error,
    licensing::{LicenseState, Licensing},
};

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
async fn many_requests_at_once_share_a_check() {
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
async fn permanent_requests_do_not_delay_the_check_at_midnight() {
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
async fn changes_are_notified_and_repetitions_are_not() {
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

/// Counts the instances that exist.
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
