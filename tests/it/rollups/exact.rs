//! The counts of all lines together equal the requests that ended.

use std::{
    collections::BTreeMap,
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, http::Response, routing::get};
use http::StatusCode;
use tempfile::tempdir;
use tokio::time::sleep;
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, ErrorCode, Monitor, Settings,
    settings::{KeepRequests, SpoolSettings},
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

pub(super) const INTERVAL: Duration = Duration::from_secs(10);

pub(super) fn settings() -> Settings {
    let mut settings = Settings::new("shop");
    settings.rollup.interval = Some(INTERVAL);
    settings
}

pub(super) fn app(monitor: &Monitor) -> Router {
    let failing = || async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) };
    let router = Router::new()
        .route("/items/{id}", get(|| async { "item" }))
        .route("/missing", get(failing))
        .route("/panics", get(|| async { panic!("as asked") as () }))
        .route("/hangs", get(std::future::pending::<()>));
    router.layer(monitor.layer()).with_state(())
}

pub(super) async fn get_path(app: &Router, path: &str) {
    let request = Request::get(path).body(Body::empty()).expect("a request");
    _ = app.clone().oneshot(request).await;
}

pub(super) fn count(points: &[DataPoint], field: &str) -> i64 {
    points.iter().filter_map(|point| point.field(field)?.as_i64()).sum()
}

/// Returns the counts of rollup lines by route, status code and error code.
pub(crate) fn by_key(points: &[DataPoint]) -> BTreeMap<(String, String, String), u64> {
    let mut counts = BTreeMap::new();
    for point in points.iter().filter(|point| point.field("count").is_some()) {
        let tag = |key| point.tag(key).unwrap_or_default().to_owned();
        let count = point.field("count").and_then(|count| count.as_i64()).expect("an integer");
        *counts.entry((tag("route"), tag("status_code"), tag("error_code"))).or_default() += count as u64;
    }
    counts
}

/// Fails while it is set to, then keeps everything.
#[derive(Clone, Debug, Default)]
struct Outage {
    away: Arc<AtomicBool>,
    failures: Arc<AtomicU64>,
    memory: MemorySink,
}

impl Sink for Outage {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        if self.away.load(SeqCst) {
            self.failures.fetch_add(1, SeqCst);
            return Box::pin(async { Err(WriteError::transient("away")) });
        }
        self.memory.write(batch)
    }

    fn describe(&self) -> String {
        "outage".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn each_interval_with_requests_has_a_line_and_a_shutdown_writes_the_last_one() {
    let sink = MemorySink::new();
    let monitor =
        Monitor::builder(settings()).sink(sink.clone()).on_current_runtime().start().expect("starts");
    let app = app(&monitor);
    for requests in [3, 0, 2] {
        for number in 0..requests {
            get_path(&app, &format!("/items/{number}")).await;
            get_path(&app, "/missing").await;
        }
        sleep(INTERVAL).await;
    }
    get_path(&app, "/items/1").await;
    assert!(monitor.stats().balances());
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    let lines = sink.measurement("requests_rollup");
    assert_eq!((lines.len(), count(&lines, "count"), count(&lines, "kept")), (5, 11, 11), "{lines:?}");
    assert_eq!(count(&lines[..2], "count"), 6);
    let failed: Vec<_> = lines.iter().filter(|line| line.tag("error_code").is_some()).collect();
    assert!(failed.iter().all(|line| line.tag("error_code") == Some("11009")));
    assert_eq!(failed.len(), 2);
    let stats = monitor.stats();
    let rollup = stats.rollup.expect("rollups are on");
    assert_eq!((rollup.started, rollup.ended, rollup.rolled_up, rollup.open), (11, 11, 11, 0));
    assert!(stats.balances());
    assert_eq!((report.written, report.in_time), (11 + 5 + 5, true), "points, their errors, and lines");
}

#[tokio::test(start_paused = true)]
async fn in_an_outage_with_little_memory_points_are_dropped_and_no_count_is() {
    let sink = Outage::default();
    sink.away.store(true, SeqCst);
    let mut settings = settings();
    settings.buffer_size = 1024 * 1024;
    let monitor = Monitor::builder(settings).sink(sink.clone()).on_current_runtime().start().expect("starts");
    let app = app(&monitor);
    for _ in 0..20 {
        for _ in 0..1_000 {
            get_path(&app, "/items/1").await;
        }
        sleep(INTERVAL).await;
        assert!(monitor.stats().balances());
    }
    let during = monitor.stats();
    assert!(during.ledger.dropped_total() > 0 && sink.failures.load(SeqCst) > 0, "{during}");
    sink.away.store(false, SeqCst);
    sleep(Duration::from_secs(120)).await;
    monitor.shutdown(Duration::from_secs(5)).await;
    let lines = sink.memory.measurement("requests_rollup");
    assert_eq!(count(&lines, "count"), 20_000);
    let stored = sink.memory.measurement("requests").len() as u64;
    let stats = monitor.stats();
    assert_eq!(stored + stats.ledger.dropped_total(), 20_000, "{stats}");
    assert!(stats.balances());
}

/// The spool is soon full. Counts without room there stay in memory.
#[tokio::test(start_paused = true)]
async fn in_a_long_outage_intervals_become_longer_and_nothing_is_dropped() {
    const ROUTES: usize = 60;
    const INTERVALS: usize = 100;
    let directory = tempdir().expect("a directory");
    let sink = Outage::default();
    sink.away.store(true, SeqCst);
    let mut settings = settings();
    settings.requests.keep = KeepRequests::None;
    settings.spool = Some(SpoolSettings::new(directory.path()));
    if let Some(spool) = &mut settings.spool {
        spool.max_size = 1536 * 1024;
    }
    let monitor =
        Monitor::builder(settings.clone()).sink(sink.clone()).on_current_runtime().start().expect("starts");
    let name = |path: &str| path.to_owned().into();
    let service = monitor
        .layer()
        .route(move |request| Some(name(request.uri.path())))
        .layer(service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::empty()))));
    for _ in 0..INTERVALS {
        for route in 0..ROUTES {
            let request = Request::get(format!("/{route}")).body(Body::empty()).expect("a request");
            service.clone().oneshot(request).await.expect("never fails");
        }
        sleep(INTERVAL).await;
    }
    let during = monitor.stats();
    let rollup = during.rollup.expect("rollups are on");
    assert!(during.balances() && rollup.open > 0, "{rollup:?}");
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.dropped, report.written), (0, 0), "{report}");
    assert_eq!(monitor.stats().rollup.map(|rollup| rollup.open), Some(0));
    drop((monitor, service));
    sink.away.store(false, SeqCst);
    let again = Monitor::builder(settings).sink(sink.clone()).on_current_runtime().start().expect("starts");
    sleep(Duration::from_secs(120)).await;
    again.shutdown(Duration::from_secs(5)).await;
    let lines = sink.memory.measurement("requests_rollup");
    assert_eq!(count(&lines, "count"), (ROUTES * INTERVALS) as i64);
    assert!(lines.len() < ROUTES * INTERVALS, "{} lines", lines.len());
}

#[tokio::test(start_paused = true)]
async fn with_a_spool_counts_survive_a_restart_however_the_process_ended() {
    let directory = tempdir().expect("a directory");
    for shut_down in [true, false] {
        let away = Outage::default();
        away.away.store(true, SeqCst);
        let mut settings = settings();
        settings.spool = Some(SpoolSettings::new(directory.path().join(shut_down.to_string())));
        let monitor = Monitor::builder(settings.clone())
            .sink(away.clone())
            .on_current_runtime()
            .start()
            .expect("starts");
        let app = app(&monitor);
        for _ in 0..3 {
            for _ in 0..100 {
                get_path(&app, "/items/1").await;
            }
            sleep(INTERVAL).await;
        }
        get_path(&app, "/missing").await;
        drop(app);
        if shut_down {
            let report = monitor.shutdown(Duration::from_secs(5)).await;
            assert_eq!(report.dropped, 0, "{report}");
        }
        // The last handle: the counts of the last interval must be on disk when the task has ended.
        drop(monitor);
        sleep(Duration::from_secs(1)).await;

        away.away.store(false, SeqCst);
        let again =
            Monitor::builder(settings).sink(away.clone()).on_current_runtime().start().expect("starts");
        sleep(Duration::from_secs(60)).await;
        let stats = again.stats();
        assert!(stats.balances() && stats.ledger.spooled == 0 && stats.ledger.recovered > 0, "{stats}");
        let lines = away.memory.measurement("requests_rollup");
        assert_eq!(count(&lines, "count"), 301, "shut down: {shut_down}");
        again.shutdown(Duration::from_secs(1)).await;
    }
}

#[test]
fn a_runtime_that_is_dropped_leaves_the_last_interval_in_the_spool() {
    let directory = tempdir().expect("a directory");
    let mut settings = settings();
    settings.spool = Some(SpoolSettings::new(directory.path()));
    let sink = MemorySink::new();
    let runtime = || tokio::runtime::Runtime::new().expect("a runtime");
    let first = runtime();
    let monitor = first.block_on(async {
        let monitor = Monitor::builder(settings.clone())
            .sink(sink.clone())
            .on_current_runtime()
            .start()
            .expect("starts");
        let app = app(&monitor);
        for _ in 0..10 {
            get_path(&app, "/items/1").await;
        }
        monitor
    });
    drop(first);
    let rollup = monitor.stats().rollup.expect("rollups are on");
    assert_eq!((rollup.rolled_up, rollup.open), (10, 0));
    drop(monitor);
    runtime().block_on(async {
        let monitor =
            Monitor::builder(settings).sink(sink.clone()).on_current_runtime().start().expect("starts");
        for _ in 0..500 {
            if monitor.stats().ledger.spooled == 0 {
                break;
            }
            sleep(Duration::from_millis(10)).await;
        }
        monitor.shutdown(Duration::from_secs(5)).await;
    });
    assert_eq!(count(&sink.measurement("requests_rollup"), "count"), 10);
}

#[tokio::test(start_paused = true)]
async fn a_reload_loses_no_count() {
    let first = Outage::default();
    first.away.store(true, SeqCst);
    let monitor =
        Monitor::builder(settings()).sink(first.clone()).on_current_runtime().start().expect("starts");
    let app = app(&monitor);
    for number in 0..10 {
        get_path(&app, "/items/1").await;
        let mut settings = settings();
        settings.retry_interval = Duration::from_millis(100 + number);
        monitor.reload(settings).await.expect("delivery may change");
        sleep(INTERVAL / 2).await;
    }
    let mut other = settings();
    other.rollup.interval = Some(INTERVAL * 2);
    let refused = monitor.reload(other).await.expect_err("rollups are fixed").to_string();
    assert!(refused.contains("`rollup`"), "{refused}");
    first.away.store(false, SeqCst);
    sleep(Duration::from_secs(60)).await;
    monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(count(&first.memory.measurement("requests_rollup"), "count"), 10);
}

#[tokio::test(start_paused = true)]
async fn requests_that_outlive_the_shutdown_are_counted_as_open() {
    let sink = MemorySink::new();
    let monitor =
        Monitor::builder(settings()).sink(sink.clone()).on_current_runtime().start().expect("starts");
    let app = app(&monitor);
    let hanging = {
        let app = app.clone();
        tokio::spawn(async move { get_path(&app, "/hangs").await })
    };
    sleep(Duration::from_millis(10)).await;
    get_path(&app, "/items/1").await;
    let running = monitor.rollup().expect("rollups are on").running;
    assert_eq!(running, [("GET:/hangs".to_owned(), 1)]);
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.unfinished, report.in_time), (1, true));
    let lines = sink.measurement("requests_rollup");
    assert_eq!((count(&lines, "count"), count(&lines, "running")), (1, 1));
    hanging.abort();
    _ = hanging.await;
    let stats = monitor.stats();
    let rollup = stats.rollup.expect("rollups are on");
    assert_eq!((rollup.running, rollup.ended, rollup.rolled_up, rollup.open), (0, 2, 1, 1));
    assert!(stats.balances());
}

/// Points that are older than `max_retry_time` are dropped.
#[tokio::test(start_paused = true)]
async fn no_count_is_dropped_because_of_its_age() {
    let sink = Outage::default();
    sink.away.store(true, SeqCst);
    let mut settings = settings();
    settings.max_retry_time = Duration::from_secs(60);
    let monitor = Monitor::builder(settings).sink(sink.clone()).on_current_runtime().start().expect("starts");
    let app = app(&monitor);
    get_path(&app, "/items/1").await;
    sleep(Duration::from_secs(2 * 24 * 60 * 60)).await;
    let dropped = monitor.stats().ledger.dropped_total();
    assert_eq!(dropped, 1, "the point");
    sink.away.store(false, SeqCst);
    sleep(Duration::from_secs(120)).await;
    monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(count(&sink.memory.measurement("requests_rollup"), "count"), 1);
    assert!(sink.memory.measurement("requests").is_empty());
}
