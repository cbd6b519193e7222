//! More points than the server can write: memory stays within its bound, and dropped points are
//! counted exactly.

use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use axum::body::Body;
use http::Request;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower_influx::{
    Monitor,
    settings::{Overflow, SpoolSettings},
    stats::DropReason,
};

use super::{Auditor, BUCKET, wait_for};
use crate::{
    stored::{influx_behind_nginx, settings},
    support::{
        live::{self, INFLUXD, NGINX},
        numbered::{record, stored},
        service::app,
    },
};

const MIB: usize = 1024 * 1024;

/// Threads record as fast as they can, several times faster than InfluxDB writes.
#[tokio::test(flavor = "multi_thread")]
async fn an_overload_is_counted_exactly() {
    if !live::ready("an_overload_is_counted_exactly", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    for (overflow, measurement) in [(Overflow::DropOldest, "oldest"), (Overflow::DropNewest, "newest")] {
        let mut settings = settings(&nginx.url());
        settings.buffer_size = 2 * MIB;
        settings.overflow = overflow;
        let monitor = Monitor::start(settings).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        let stop = Arc::new(AtomicBool::new(false));
        let producers: Vec<_> = (0..2)
            .map(|thread| {
                let (monitor, stop) = (monitor.clone(), Arc::clone(&stop));
                thread::spawn(move || {
                    let mut number = thread * 1_000_000_000;
                    while !stop.load(Ordering::Relaxed) {
                        record(&monitor, measurement, number..number + 100);
                        number += 100;
                    }
                    (number - thread * 1_000_000_000) as u64
                })
            })
            .collect();
        sleep(Duration::from_secs(5)).await;
        stop.store(true, Ordering::Relaxed);
        let recorded: u64 = producers.into_iter().map(|thread| thread.join().expect("it ends")).sum();
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        let most_memory = auditor.stop().await;
        let stats = monitor.stats();
        let found = stored(&influx, BUCKET, measurement).await.len() as u64;
        live::say(&format!(
            "{overflow:?}: {recorded} recorded, {found} stored, {report}, {most_memory} bytes at most"
        ));
        assert_eq!(stats.ledger.offered, recorded, "{stats:?}");
        assert_eq!(report.accepted, report.written + report.dropped, "{stats:?}");
        assert_eq!(
            found, report.written,
            "no write was ambiguous, so the server has what it took: {stats:?}"
        );
        let (refused, dropped) =
            (stats.recorder.refused_full, stats.ledger.dropped.get(&DropReason::BufferFull).copied());
        match overflow {
            Overflow::DropNewest => assert!(refused > 0 && dropped.is_none(), "{stats:?}"),
            _ => assert!(refused == 0 && dropped == Some(report.dropped) && report.dropped > 0, "{stats:?}"),
        }
        assert!(most_memory <= 2 * MIB as u64, "{most_memory} bytes were held");
    }
}

/// The server hangs while requests continue. They are not affected, and memory stays within its
/// bound.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_does_not_affect_requests() {
    if !live::ready("a_server_that_hangs_does_not_affect_requests", &[INFLUXD, NGINX]) {
        return;
    }
    let (mut influx, nginx) = influx_behind_nginx().await;
    let mut settings = settings(&nginx.url());
    settings.buffer_size = MIB;
    settings.influx.timeout = Duration::from_secs(1);
    let monitor = Monitor::start(settings).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    let app = app(&monitor).with_state(());
    let mut slowest = Vec::new();
    let mut requests = 0;
    for hangs in [false, true] {
        if hangs {
            influx.process().pause();
        }
        let mut times = Vec::new();
        let end = Instant::now() + Duration::from_secs(if hangs { 8 } else { 2 });
        while Instant::now() < end {
            let began = Instant::now();
            let request = Request::get("/version").body(Body::empty()).expect("a valid request");
            let response = app.clone().oneshot(request).await.expect("a router does not fail");
            assert!(response.status().is_success());
            times.push(began.elapsed());
            requests += 1;
            if requests % 50 == 0 {
                tokio::task::yield_now().await;
            }
        }
        times.sort();
        slowest.push(times[times.len() * 99 / 100]);
    }
    influx.process().resume();
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    let most_memory = auditor.stop().await;
    let stats = monitor.stats();
    let found = influx.count(BUCKET, "requests", "execution_time").await;
    live::say(&format!(
        "a server that hangs: p99 of a request {:?} before, {:?} meanwhile; {report}, {found} stored, {most_memory} bytes at most",
        slowest[0], slowest[1]
    ));
    assert_eq!(report.accepted, requests, "{stats:?}");
    assert_eq!(report.accepted, report.written + report.dropped, "{stats:?}");
    assert!(report.dropped > 0 && stats.ledger.dropped.contains_key(&DropReason::BufferFull), "{stats:?}");
    // Points in flight when the server hung may be stored although they were dropped later.
    assert!((report.written..=report.accepted).contains(&found), "{found} stored: {stats:?}");
    assert!(most_memory <= MIB as u64, "{most_memory} bytes were held");
}

/// The database is down while 5,000 requests arrive each second, with the spool on.
/// `TOWER_INFLUX_OUTAGE_SECONDS=180` sets the duration to three minutes.
#[tokio::test(flavor = "multi_thread")]
async fn an_outage_with_the_spool_on_loses_no_point() {
    if !live::ready("an_outage_with_the_spool_on_loses_no_point", &[INFLUXD, NGINX]) {
        return;
    }
    const A_SECOND: u32 = 5_000;
    const EACH_TICK: u32 = 50;
    let seconds =
        env::var("TOWER_INFLUX_OUTAGE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    let (mut influx, nginx) = influx_behind_nginx().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut settings = settings(&nginx.url());
    settings.spool = Some(SpoolSettings::new(directory.path()));
    let monitor = Monitor::start(settings).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    let app = app(&monitor).with_state(());
    let (mut slowest, mut requests) = (Vec::new(), 0);
    // The same load with and without the outage, to compare them.
    for away in [false, true] {
        if away {
            influx.kill();
        }
        let mut times = Vec::new();
        let mut ticks = tokio::time::interval(Duration::from_secs(1) * EACH_TICK / A_SECOND);
        for _ in 0..seconds * A_SECOND / EACH_TICK {
            ticks.tick().await;
            for _ in 0..EACH_TICK {
                let began = Instant::now();
                let request = Request::get("/version").body(Body::empty()).expect("a valid request");
                let response = app.clone().oneshot(request).await.expect("a router does not fail");
                assert!(response.status().is_success());
                times.push(began.elapsed());
            }
        }
        requests += times.len() as u64;
        times.sort();
        slowest.push(times[times.len() * 99 / 100]);
    }
    influx.restart().await;
    let back = Instant::now();
    monitor.probe().await.expect("all is well again");
    wait_for(&monitor, "the end of the backlog", Duration::from_secs(120), |stats| {
        stats.ledger.buffered + stats.ledger.in_flight + stats.ledger.spooled == 0
    })
    .await;
    live::say(&format!(
        "{seconds} s of outage with the spool on: p99 of a request {:?} before, {:?} meanwhile; {requests} requests, \
         caught up in {:?}, {} bytes at most in memory",
        slowest[0],
        slowest[1],
        back.elapsed(),
        auditor.stop().await
    ));
    let report = monitor.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.accepted, report.written), (requests, requests), "{report}");
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, requests);
}
