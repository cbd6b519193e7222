//! Several destinations: each has an exact ledger of its own, and none waits for another.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    time::Duration,
};

use axum::{Router, body::Body, extract::Request, routing::get};
use http::StatusCode;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower_influx::{
    DataPoint, ErrorCode, Monitor, Point, Settings,
    settings::{FileSettings, InfluxSettings, Overflow, SpoolSettings},
    sink::{Batch, FileSink, InfluxSink, MemorySink, Sink, SinkFuture, WriteError, Written},
    stats::{Blocked, DeliveryState, DestinationStats, DropReason, RejectReason},
};

/// How a destination answers a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Takes,
    /// Answers after a minute, longer than a write may take.
    Slow,
    Down,
    Hangs,
    NoAccess,
    Refuses,
}

use Way::{Down, Hangs, NoAccess, Refuses, Slow, Takes};

const TROUBLES: [Way; 5] = [Slow, Down, Hangs, NoAccess, Refuses];

/// A sink that keeps the points that it accepts.
#[derive(Clone)]
struct Side {
    name: &'static str,
    way: Arc<AtomicU8>,
    stored: MemorySink,
}

impl Side {
    fn new(name: &'static str, way: Way) -> Self {
        Self { name, way: Arc::new(AtomicU8::new(way as u8)), stored: MemorySink::new() }
    }

    fn set(&self, way: Way) {
        self.way.store(way as u8, SeqCst);
    }

    fn way(&self) -> Way {
        let all = [Takes, Slow, Down, Hangs, NoAccess, Refuses];
        all[usize::from(self.way.load(SeqCst))]
    }

    /// Returns the number of distinct points, however often each was sent.
    fn distinct(&self) -> usize {
        let line = |point: &DataPoint| format!("{point:?}");
        self.stored.points().iter().map(line).collect::<BTreeSet<_>>().len()
    }
}

impl Sink for Side {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            match self.way() {
                Takes => {}
                Slow => sleep(Duration::from_secs(60)).await,
                Down => return Err(WriteError::transient("connection refused")),
                Hangs => std::future::pending().await,
                NoAccess => return Err(WriteError::blocked(Blocked::Authorization, "unauthorized")),
                Refuses => return Err(WriteError::refused("no").with_reason(RejectReason::Retention)),
            }
            self.stored.write(batch).await
        })
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async {
            match self.way() {
                Takes | Refuses => Ok(()),
                _ => Err(WriteError::transient("connection refused")),
            }
        })
    }

    fn describe(&self) -> String {
        self.name.to_owned()
    }
}

/// Returns the main destination and a further one.
fn pair(settings: Settings, main: Way, archive: Way) -> (Monitor, [Side; 2]) {
    // The same description, so that only the name of the further one keeps their spools separate.
    let sides = [Side::new("a database", main), Side::new("a database", archive)];
    let builder = Monitor::builder(settings)
        .sink(sides[0].clone())
        .add_sink("archive", sides[1].clone())
        .on_current_runtime();
    (builder.start().expect("starts"), sides)
}

fn record(monitor: &Monitor, count: usize) {
    for number in 0..count {
        monitor.record(&DataPoint::new("jobs").with_field("number", number as i64));
    }
}

fn of(monitor: &Monitor, name: &str) -> DestinationStats {
    let stats = monitor.stats();
    assert!(stats.balances(), "{stats}");
    stats.destinations[name].clone()
}

/// Returns written, rejected and dropped points, and those that are still somewhere.
fn settled(side: &DestinationStats) -> [u64; 4] {
    let ledger = &side.ledger;
    let here = ledger.buffered + ledger.in_flight + ledger.spooled;
    [ledger.written, ledger.rejected_total(), ledger.dropped_total(), here]
}

fn with_spool(directory: &Path) -> Settings {
    let mut settings = Settings::new("shop");
    settings.spool = Some(SpoolSettings::new(directory));
    settings
}

#[tokio::test(start_paused = true)]
async fn a_fault_of_one_destination_never_delays_the_other() {
    for trouble in TROUBLES {
        for is_main in [true, false] {
            let (main, archive) = if is_main { (trouble, Takes) } else { (Takes, trouble) };
            let (good, bad) = if is_main { ("archive", "main") } else { ("main", "archive") };
            let (monitor, sides) = pair(Settings::new("shop"), main, archive);
            for round in 1..=20 {
                record(&monitor, 10);
                sleep(Duration::from_secs(2)).await;
                let written = of(&monitor, good).ledger.written;
                assert_eq!(written, round * 10, "{trouble:?} of {bad}");
                assert_eq!(of(&monitor, bad).ledger.written, 0, "told written by the other's answer");
            }
            let [_, rejected, dropped, here] = settled(&of(&monitor, bad));
            let all_rejected = if trouble == Refuses { 200 } else { 0 };
            assert_eq!((rejected, dropped, here), (all_rejected, 0, 200 - all_rejected), "{trouble:?}");
            let stats = monitor.stats();
            assert_eq!((stats.ledger.accepted, stats.ledger.written), (400, 200));
            let states = [of(&monitor, good).delivery.state, of(&monitor, bad).delivery.state];
            assert_eq!(states[0], DeliveryState::Healthy);
            if matches!(trouble, Down | NoAccess) {
                assert!(states[1] != DeliveryState::Healthy, "{trouble:?}");
                assert_eq!(stats.delivery.state, states[1], "the worse one is told");
            }

            sides.iter().for_each(|side| side.set(Takes));
            let report = monitor.shutdown(Duration::from_secs(60)).await;
            let lost = all_rejected;
            assert_eq!((report.accepted, report.written, report.rejected), (400, 400 - lost, lost));
            assert!(report.in_time && report.dropped == 0, "{report}");
            assert_eq!(sides.map(|side| side.distinct() as u64).iter().sum::<u64>(), 400 - lost);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_kind_of_point_goes_to_both() {
    let mut settings = Settings::new("shop");
    settings.rollup.interval = Some(Duration::from_secs(10));
    let (monitor, sides) = pair(settings, Takes, Takes);
    let failing = || async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) };
    let app = Router::new()
        .route("/items/{id}", get(|| async { "item" }))
        .route("/missing", get(failing))
        .layer(monitor.layer());
    for path in ["/items/1", "/missing", "/nowhere"].repeat(10) {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        _ = app.clone().oneshot(request).await;
    }
    record(&monitor, 5);
    sleep(Duration::from_secs(25)).await;
    monitor.flush().await.expect("runs");
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.dropped + report.rejected == 0, "{report}");
    let points = sides.map(|side| side.stored.points());
    assert_eq!(points[0], points[1]);
    let count = |name: &str| points[0].iter().filter(|point| point.measurement() == name).count();
    assert_eq!((count("requests"), count("errors"), count("jobs")), (30, 20, 5));
    assert!(points[0].iter().any(|point| point.field("count").is_some()), "rollups");
    assert_eq!(report.accepted, 2 * points[0].len() as u64);
}

#[tokio::test(start_paused = true)]
async fn an_idle_service_writes_no_own_point_because_of_an_earlier_one() {
    let mut settings = Settings::new("shop");
    settings.own_points = true;
    let (monitor, sides) = pair(settings, Takes, Takes);
    record(&monitor, 5);
    sleep(Duration::from_secs(200)).await;
    monitor.shutdown(Duration::from_secs(5)).await;
    for side in sides {
        let own = side.stored.measurement("monitoring");
        assert_eq!(
            own.iter().filter_map(|point| point.field("accepted")?.as_i64()).collect::<Vec<_>>(),
            [10]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn each_destination_has_its_own_memory() {
    let mut settings = Settings::new("shop");
    settings.buffer_size = 1024 * 1024;
    settings.batch_bytes = 64 * 1024;
    for overflow in [Overflow::DropOldest, Overflow::DropNewest] {
        settings.overflow = overflow;
        let (monitor, sides) = pair(settings.clone(), Takes, Down);
        // Waiting batches are compressed, and this text does not compress well.
        let mut noise = fastrand::Rng::with_seed(7);
        let mut noise = || (0..1_000).map(|_| noise.alphanumeric()).collect::<String>();
        for number in 0..4_000 {
            monitor.record(&DataPoint::new("jobs").with_field("n", number).with_field("text", noise()));
            if number % 100 == 0 {
                sleep(Duration::from_millis(1_100)).await;
            }
        }
        monitor.flush().await.expect("runs");
        assert_eq!(settled(&of(&monitor, "main")), [4_000, 0, 0, 0], "{overflow:?}");
        let archive = of(&monitor, "archive");
        let lost = archive.refused_full
            + archive.ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
        assert!(lost > 1_000, "{archive:?}");
        assert_eq!(archive.ledger.offered, 4_000);
        sides[1].set(Takes);
        let report = monitor.shutdown(Duration::from_secs(5)).await;
        assert_eq!(sides[0].distinct(), 4_000);
        assert_eq!(sides[1].distinct() as u64, 4_000 - lost, "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn at_shutdown_each_destination_uses_its_own_spool_and_the_next_process_sends_it() {
    for (main, archive) in [(Takes, Down), (Down, Takes), (Hangs, NoAccess), (Slow, Down)] {
        let directory = tempfile::tempdir().expect("a directory");
        let (monitor, sides) = pair(with_spool(directory.path()), main, archive);
        record(&monitor, 100);
        let started = Instant::now();
        let report = monitor.shutdown(Duration::from_secs(5)).await;
        assert!(started.elapsed() <= Duration::from_millis(5_001) && report.in_time, "{report}");
        let good = [main, archive].iter().filter(|way| **way == Takes).count() as u64 * 100;
        assert_eq!((report.written, report.spooled, report.dropped), (good, 200 - good, 0), "{report}");
        assert_eq!(report, monitor.shutdown(Duration::ZERO).await, "the same report");
        let before = sides.map(|side| side.distinct());
        drop(monitor);

        let (monitor, sides) = pair(with_spool(directory.path()), Takes, Takes);
        sleep(Duration::from_secs(10)).await;
        for (name, (side, before)) in ["main", "archive"].into_iter().zip(sides.iter().zip(before)) {
            let recovered = 100 - before as u64;
            assert_eq!(of(&monitor, name).ledger.recovered, recovered, "{name} {main:?} {archive:?}");
            assert_eq!((side.distinct() as u64, before as u64), (recovered, 100 - recovered));
        }
        monitor.shutdown(Duration::from_secs(1)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn running_requests_are_awaited_for_both_destinations() {
    let (monitor, sides) = pair(Settings::new("shop"), Takes, Takes);
    let slow = || async {
        sleep(Duration::from_secs(2)).await;
        "done"
    };
    let app = Router::new().route("/slow", get(slow)).layer(monitor.layer());
    let request = Request::get("/slow").body(Body::empty()).expect("a request");
    let running = tokio::spawn(app.oneshot(request));
    sleep(Duration::from_millis(100)).await;
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    running.await.expect("no panic").expect("an answer");
    assert_eq!((report.accepted, report.written, report.unfinished), (2, 2, 0), "{report}");
    assert_eq!(sides.map(|side| side.distinct()), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_last_handle_that_is_dropped_spools_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let (monitor, _) = pair(with_spool(directory.path()), Down, Hangs);
    record(&monitor, 10);
    sleep(Duration::from_secs(3)).await;
    drop(monitor);
    sleep(Duration::from_secs(1)).await;
    let (monitor, _) = pair(with_spool(directory.path()), Down, Down);
    let recovered = ["main", "archive"].map(|name| of(&monitor, name).ledger.recovered);
    assert_eq!(recovered, [10, 10]);
    monitor.shutdown(Duration::ZERO).await;
}

#[tokio::test(start_paused = true)]
async fn flush_check_and_reload_reach_both() {
    let directory = tempfile::tempdir().expect("a directory");
    let (monitor, sides) = pair(Settings::new("shop"), Takes, Down);
    record(&monitor, 10);
    let report = monitor.flush().await.expect("runs");
    assert_eq!((report.written, report.waiting), (10, 10), "{report}");
    assert!(monitor.probe().await.expect_err("one is down").is_server());
    monitor.reload(with_spool(directory.path())).await.expect("another spool");
    record(&monitor, 10);
    sleep(Duration::from_secs(5)).await;
    // Also those that have failed before: nothing is known of the sink after a reload.
    assert_eq!(of(&monitor, "archive").ledger.spooled, 20);
    assert!(directory.path().join("archive").is_dir());
    sides[1].set(Takes);
    monitor.probe().await.expect("both are there, and pauses end");
    monitor.flush().await.expect("runs");
    sleep(Duration::from_secs(1)).await;
    for name in ["main", "archive"] {
        assert_eq!(settled(&of(&monitor, name)), [20, 0, 0, 0], "{name}");
    }
    monitor.shutdown(Duration::from_secs(1)).await;
    assert!(monitor.flush().await.expect_err("ended").is_closed());
}

#[tokio::test]
async fn names_are_plain_and_single() {
    let start = |names: &[&str]| {
        let builder = Monitor::builder(Settings::new("shop")).sink(MemorySink::new());
        let add = |builder: tower_influx::MonitorBuilder, name: &&str| {
            builder.add_sink(*name, Box::new(MemorySink::new()) as Box<dyn Sink>)
        };
        names.iter().fold(builder, add).start()
    };
    let long = "x".repeat(65);
    for names in
        [&[""][..], &["main"], &["rollups"], &["corrupt"], &["a", "a"], &["../a"], &["A"], &["ä"], &[&long]]
    {
        let error = start(names).expect_err(names[0]);
        assert!(error.is_setting() && error.to_string().contains("added sink"), "{error}");
    }
    let monitor = start(&["a", "b-2"]).expect("good names");
    assert_eq!(monitor.stats().destinations.keys().collect::<Vec<_>>(), ["a", "b-2", "main"]);
    monitor.shutdown(Duration::from_secs(1)).await;
    let alone = start(&[]).expect("none is added");
    assert!(alone.stats().destinations.is_empty());
    let json = serde_json::to_value(alone.stats()).expect("serializes");
    assert!(json.get("destinations").is_none(), "{json}");
    alone.shutdown(Duration::from_secs(1)).await;
}

#[tokio::test]
async fn the_sinks_of_the_settings_can_be_made_alone() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = FileSettings::default();
    files.directory = directory.path().join("points");
    let mut server = InfluxSettings::default();
    assert!(InfluxSink::new(&server).expect_err("no bucket").is_setting());
    server.bucket = "monitoring".to_owned();
    let sink = InfluxSink::new(&server).expect("settings that work");
    assert!(format!("{sink:?}").contains("localhost:8086"));
    let monitor = Monitor::builder(Settings::new("shop"))
        .sink(MemorySink::new())
        .add_sink("files", FileSink::new(&files, "shop").expect("a directory that can be written"))
        .start()
        .expect("starts");
    record(&monitor, 3);
    monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(of(&monitor, "files").ledger.written, 3);
    files.max_total_size = 1;
    assert!(FileSink::new(&files, "shop").expect_err("no file fits").is_setting());
}
