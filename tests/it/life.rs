//! How a monitor ends while requests run, a monitor that is disabled, and the log lines about both.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::StatusCode,
    routing::{get, put},
};
use futures_util::FutureExt;
use tokio::{sync::Notify, task::JoinHandle};
use tower::ServiceExt;
use tower_influx::{
    DataPoint, ErrorCode, Monitor, MonitoringData, Settings, ShutdownReport,
    settings::{SpoolSettings, Storage},
    sink::MemorySink,
};

use crate::support::log::Log;

fn start(settings: Settings) -> (Monitor, MemorySink) {
    let sink = MemorySink::new();
    let monitor = Monitor::builder(settings)
        .sink(sink.clone())
        .on_current_runtime()
        .start()
        .expect("settings are right");
    (monitor, sink)
}

/// Returns a service with a route that waits until it is released, and then fails.
fn app(monitor: &Monitor) -> (Router, Arc<Notify>) {
    let release = Arc::new(Notify::new());
    let told = Arc::clone(&release);
    let wait = || async move {
        told.notified().await;
        (StatusCode::NOT_FOUND, ErrorCode::from(11009))
    };
    (Router::new().route("/ok", get(async || "ok")).route("/wait", get(wait)).layer(monitor.layer()), release)
}

async fn call(app: &Router, path: &str) -> StatusCode {
    let request = Request::builder().uri(path).body(Body::empty()).expect("a valid request");
    app.clone().oneshot(request).await.expect("axum never fails").status()
}

/// Starts a request that waits in its handler.
async fn running(monitor: &Monitor, app: &Router) -> JoinHandle<StatusCode> {
    let app = app.clone();
    let before = monitor.stats().recorder.running_requests;
    let request = tokio::spawn(async move { call(&app, "/wait").await });
    while monitor.stats().recorder.running_requests == before {
        tokio::task::yield_now().await;
    }
    request
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_the_requests_that_run() {
    let (monitor, sink) = start(Settings::new("life"));
    let (app, release) = app(&monitor);
    let request = running(&monitor, &app).await;
    let closing = tokio::spawn({
        let monitor = monitor.clone();
        async move { monitor.shutdown(Duration::from_secs(30)).await }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!closing.is_finished(), "a request is still running");
    // Requests that start and end meanwhile are recorded, too.
    assert_eq!(call(&app, "/ok").await, StatusCode::OK);
    release.notify_one();
    assert_eq!(request.await.expect("no panic"), StatusCode::NOT_FOUND);
    let asked = tokio::time::Instant::now();
    let report = closing.await.expect("no panic");
    assert!(asked.elapsed() < Duration::from_secs(1), "and then it does not wait any longer");
    let ShutdownReport { accepted, written, unfinished, in_time, .. } = report;
    assert_eq!((accepted, written, unfinished, in_time), (3, 3, 0, true), "{report}");
    assert_eq!((sink.measurement("requests").len(), sink.measurement("errors").len()), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn requests_that_run_longer_count_as_unfinished_and_their_points_as_refused() {
    let (monitor, sink) = start(Settings::new("life"));
    let (app, release) = app(&monitor);
    assert_eq!(call(&app, "/ok").await, StatusCode::OK);
    let requests = [running(&monitor, &app).await, running(&monitor, &app).await];
    let report = monitor.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.accepted, report.written, report.unfinished), (1, 1, 2), "{report}");
    assert!(report.in_time && report.to_string().contains("2 requests unfinished"), "{report}");

    // The requests themselves are not affected.
    release.notify_waiters();
    for request in requests {
        assert_eq!(request.await.expect("no panic"), StatusCode::NOT_FOUND);
    }
    assert_eq!(call(&app, "/ok").await, StatusCode::OK, "and neither do later ones");
    let stats = monitor.stats();
    assert!(stats.balances(), "{stats}");
    assert_eq!(
        stats.recorder.refused_closed, 5,
        "two points of each that failed, one of the one that did not"
    );
    assert_eq!((stats.recorder.running_requests, stats.ledger.accepted, stats.ledger.offered), (0, 1, 6));
    assert_eq!(sink.len(), 1);
    assert_eq!(monitor.shutdown(Duration::from_secs(10)).await, report, "the first one's report");
    assert!(monitor.flush().await.expect_err("shut down").is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_missing_shutdown_warns_and_spools() {
    let log = Log::capture();
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new("life");
    settings.spool = Some(SpoolSettings::new(directory.path()));
    settings.flush_interval = Duration::from_secs(600);

    let (monitor, sink) = start(settings.clone());
    let (app, release) = app(&monitor);
    let request = running(&monitor, &app).await;
    drop(monitor);
    // Layer and service are handles, too.
    for _ in 0..3 {
        assert_eq!(call(&app, "/ok").await, StatusCode::OK);
    }
    drop(app);
    // Short, since the first interval ends at a random time, and the points would then be sent.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(log.count("without"), 0, "a request is still running: {log}");
    release.notify_one();
    assert_eq!(request.await.expect("no panic"), StatusCode::NOT_FOUND);
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(log.count("call `shutdown` before the process ends"), 1, "{log}");
    assert!(sink.is_empty(), "nothing was sent");

    let (next, sink) = start(settings);
    let drained = async {
        while next.stats().ledger.spooled > 0 {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(3600), drained).await.expect("the next process sends it");
    let report = next.shutdown(Duration::from_secs(60)).await;
    assert_eq!((report.recovered, report.written, report.spooled), (5, 5, 0), "{report}");
    assert_eq!((sink.measurement("requests").len(), sink.measurement("errors").len()), (4, 1));
}

#[tokio::test(start_paused = true)]
async fn a_missing_shutdown_without_a_spool_logs_what_is_lost() {
    let log = Log::capture();
    let mut settings = Settings::new("life");
    settings.flush_interval = Duration::from_secs(600);
    let (monitor, _) = start(settings);
    let (app, _) = app(&monitor);
    call(&app, "/ok").await;
    drop((monitor, app));
    // Short, for the same reason as above.
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!(log.count("dropped=1"), 1, "{log}");
}

#[tokio::test(start_paused = true)]
async fn values_that_threads_keep_for_their_next_request_keep_no_monitor_alive() {
    let log = Log::capture();
    let mut settings = Settings::new("life");
    settings.flush_interval = Duration::from_secs(600);
    let (monitor, _) = start(settings);
    let app = Router::new().route("/", get(|data: MonitoringData| async move { data.tag("tenant", "acme") }));
    let app = app.layer(monitor.layer()).with_state(());
    // Handles of the layer, request data and routes that this thread and others have seen stay with
    // them.
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(call(&app, "/").now_or_never(), Some(StatusCode::OK));
                }
            });
        }
    });
    for _ in 0..3 {
        assert_eq!(call(&app, "/").await, StatusCode::OK);
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(log.count("dropped="), 0, "{log}");
    drop((monitor, app));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(log.count("dropped=9"), 1, "{log}");
}

#[tokio::test]
async fn a_disabled_monitor_passes_all_requests_on() {
    let mut switched_off = Settings::new("life");
    switched_off.enabled = false;
    for monitor in [Monitor::disabled(), Monitor::start(switched_off).expect("nothing to go wrong")] {
        assert!(!monitor.is_enabled());
        let echo = async |data: Option<MonitoringData>, body: String| {
            assert!(data.is_none(), "there is nothing to add to");
            (StatusCode::IM_A_TEAPOT, body)
        };
        let app = Router::new()
            .route("/echo", put(echo))
            .layer(monitor.layer())
            .layer(monitor.layer().propagate_request_id(true).insert_data(true).track_body())
            .with_state(());
        let request = Request::put("/echo").body(Body::from("as it is")).expect("a valid request");
        let answer = app.clone().oneshot(request).await.expect("axum never fails");
        assert_eq!(answer.status(), StatusCode::IM_A_TEAPOT);
        assert!(!answer.headers().contains_key("x-request-id"), "not even an id is made");
        let body = axum::body::to_bytes(answer.into_body(), 100).await.expect("a body");
        assert_eq!(body, "as it is");
        monitor.record(&DataPoint::new("own").with_field("value", 1));
        monitor.probe().await.expect("nobody to ask");
        monitor.set_flush_interval(Duration::ZERO).expect("nothing is flushed");
        assert_eq!(monitor.flush().await.expect("nothing to send"), Default::default());
        let report = monitor.shutdown(Duration::from_secs(5)).await;
        assert_eq!(report.to_string(), "accepted 0 written 0 rejected 0 dropped 0 spooled 0");
        assert_eq!(monitor.stats().ledger.offered, 0);
    }
}

#[tokio::test]
async fn a_service_without_routes_is_warned_of_once() {
    const WARNING: &str = "requests all had none";
    let log = Log::capture();
    let (monitor, _) = start(Settings::new("life"));
    // The mistake that the warning is about: the layer is added before the routes are known.
    let app = Router::new().fallback(async || "ok").layer(monitor.layer());
    for expected in [0; 99].into_iter().chain([1; 200]) {
        call(&app, "/items/1").await;
        assert_eq!(log.count(WARNING), expected, "{log}");
    }

    let log = Log::capture();
    let (monitor, _) = start(Settings::new("life"));
    let app = Router::new().route("/ok", get(async || "ok")).layer(monitor.layer());
    for path in ["/nowhere", "/ok"].into_iter().chain(["/nowhere"; 200]) {
        call(&app, path).await;
    }
    assert_eq!(log.count(WARNING), 0, "scanners are no mistake of the application: {log}");
}

/// The count is for the whole process, in which other tests run at the same time.
#[tokio::test]
async fn data_extracted_outside_of_a_request_is_counted() {
    let (monitor, sink) = start(Settings::new("life"));
    let before = monitor.stats().recorder.detached;
    let outside = async |data: MonitoringData| data.tag("tenant", "acme");
    let app = Router::new().layer(monitor.layer()).route("/outside", get(outside));
    for _ in 0..3 {
        assert_eq!(call(&app, "/outside").await, StatusCode::OK);
    }
    assert!(monitor.stats().recorder.detached >= before + 3);
    monitor.flush().await.expect("the monitor runs");
    assert!(sink.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_a_custom_sink() {
    let settings = Settings::new("life");
    let (monitor, sink) = start(settings.clone());
    monitor.record(&DataPoint::new("jobs").with_field("number", 1));
    monitor.reload(settings).await.expect("nothing is new");
    monitor.record(&DataPoint::new("jobs").with_field("number", 2));
    monitor.flush().await.expect("runs");
    assert_eq!(sink.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_interval_can_be_changed_after_other_settings_have_become_invalid() {
    let directory = tempfile::tempdir().expect("a directory");
    let token = directory.path().join("token");
    std::fs::write(&token, "hunter2").expect("writes");
    let mut settings = Settings::new("life");
    settings.storage = Storage::Influx;
    settings.influx.bucket = "monitoring".to_owned();
    settings.influx.token_file = Some(token.clone());
    let (monitor, sink) = start(settings);
    std::fs::remove_file(token).expect("is there");

    let refused = monitor.set_flush_interval(Duration::from_millis(1)).expect_err("too short");
    assert!(refused.is_setting() && refused.to_string().contains("`flush_interval` is `1ms`"), "{refused}");
    monitor.set_flush_interval(Duration::from_secs(60)).expect("the interval alone is looked at");
    monitor.flush().await.expect("the flusher has received it");
    monitor.record(&DataPoint::new("jobs").with_field("number", 1));
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(sink.is_empty(), "collected for a minute now");
    tokio::time::sleep(Duration::from_secs(40)).await;
    assert_eq!(sink.len(), 1);
}
