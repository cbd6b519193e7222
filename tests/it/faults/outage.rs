//! A wrong destination: redirects, captive portals, names that do not resolve, connections that
//! close.

use std::time::Duration;

use tower_influx::{
    Monitor,
    stats::{Blocked, DeliveryState},
};

use super::{Auditor, BUCKET, wait_for};
use crate::{
    stored::{Way, influx_behind_nginx, settings},
    support::{
        live::{self, INFLUXD, NGINX},
        nginx::Fault,
        numbered::{difference, record, stored},
    },
};

const PATIENCE: Duration = Duration::from_secs(20);

/// Neither a redirect to a page that answers 204, nor a portal that answers everything with a page,
/// has written a point.
#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_or_a_portal_has_written_nothing() {
    if !live::ready("a_redirect_or_a_portal_has_written_nothing", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::PROXIED {
        nothing_is_written_elsewhere(way).await;
    }
}

async fn nothing_is_written_elsewhere(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    let mut all = 0;
    for fault in [Fault::Redirect(301), Fault::Redirect(302), Fault::Redirect(307), Fault::Portal] {
        nginx.set_fault(fault);
        let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        record(&monitor, "numbered", all..all + 100);
        all += 100;
        let blocked = DeliveryState::Blocked(Blocked::Configuration);
        wait_for(&monitor, &format!("{fault:?}: the state"), PATIENCE, |stats| {
            stats.delivery.state == blocked && stats.ledger.written == 0
        })
        .await;
        nginx.heal();
        let report = monitor.flush().await.expect("the monitor runs");
        assert_eq!((report.written, report.waiting), (100, 0), "{fault:?}: {report}");
        auditor.stop().await;
        monitor.shutdown(PATIENCE).await;
    }
    let (expected, found) = ((0..all).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
    let followed = nginx.log().iter().filter(|one| one.request.contains("/elsewhere")).count();
    assert_eq!(followed, 0, "no redirect is followed: it would take the token and the points along");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_transient_status_loses_nothing() {
    if !live::ready("every_transient_status_loses_nothing", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::PROXIED {
        every_transient_status_loses_nothing_by(way).await;
    }
}

async fn every_transient_status_loses_nothing_by(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    let faults = [429, 500, 502, 503, 504].map(Fault::Status);
    let mut all = 0;
    for fault in faults.into_iter().chain([Fault::Close]) {
        nginx.set_fault(fault);
        let failures = monitor.stats().delivery.writes.total();
        record(&monitor, "numbered", all..all + 200);
        all += 200;
        wait_for(&monitor, &format!("{fault:?}: a failure"), PATIENCE, |stats| {
            stats.delivery.writes.total() > failures && stats.delivery.state == DeliveryState::Backoff
        })
        .await;
        nginx.heal();
        wait_for(&monitor, &format!("{fault:?}: delivery"), PATIENCE, |stats| {
            stats.ledger.written == all as u64 && stats.delivery.state == DeliveryState::Healthy
        })
        .await;
    }
    auditor.stop().await;
    let report = monitor.shutdown(PATIENCE).await;
    assert_eq!((report.written, report.rejected, report.dropped), (all as u64, 0, 0), "{report}");
    let (expected, found) = ((0..all).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_does_not_resolve_loses_nothing() {
    if !live::ready("a_name_that_does_not_resolve_loses_nothing", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    let right = settings(&nginx.url());
    let mut wrong = right.clone();
    wrong.influx.url = "http://no-such-host.invalid:8086".to_owned();
    let monitor = Monitor::start(wrong).expect("what only the network tells is no error at start");
    record(&monitor, "numbered", 0..300);
    wait_for(&monitor, "a failure", PATIENCE, |stats| stats.delivery.state == DeliveryState::Backoff).await;
    monitor.reload(right).await.expect("the settings are good");
    wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == 300).await;
    monitor.shutdown(PATIENCE).await;
    let (expected, found) = ((0..300).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
}

/// SIGSTOP: connections are accepted, but not answered. Data that was sent may be written much
/// later.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_receives_everything_when_it_continues() {
    if !live::ready("a_server_that_hangs_receives_everything_when_it_continues", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        a_server_that_hangs_receives_everything_when_it_continues_by(way).await;
    }
}

async fn a_server_that_hangs_receives_everything_when_it_continues_by(way: Way) {
    let (mut influx, nginx) = influx_behind_nginx().await;
    let mut settings = way.settings(&influx, &nginx);
    settings.influx.timeout = Duration::from_millis(500);
    let monitor = Monitor::start(settings).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    influx.process().pause();
    record(&monitor, "numbered", 0..5_000);
    wait_for(&monitor, "three timeouts", PATIENCE, |stats| stats.delivery.writes.timeout >= 3).await;
    influx.process().resume();
    wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == 5_000).await;
    auditor.stop().await;
    monitor.shutdown(PATIENCE).await;
    let (expected, found) = ((0..5_000).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
}
