//! Calls that meet a shutdown or a reload: of the same monitor, at the same time or later.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Request, routing::get};
use tokio::{runtime::Builder, task::yield_now, time::sleep};
use tower::ServiceExt;
use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::{SpoolSettings, Storage},
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

fn slow_app(monitor: &Monitor, time: Duration) -> Router {
    Router::new().route("/slow", get(move || sleep(time))).layer(monitor.layer())
}

async fn call(app: Router) {
    let request = Request::get("/slow").body(Body::empty()).expect("a request");
    app.oneshot(request).await.expect("axum never fails");
}

/// A second, shorter timeout ended rollups and added sinks early: before the request.
#[tokio::test(start_paused = true)]
async fn shutdowns_beside_the_first_one_wait_for_it_and_return_its_report() {
    for seconds in [0, 1, 60] {
        let mut settings = Settings::new("shop");
        settings.rollup.interval = Some(Duration::from_secs(3_600));
        let sinks = [MemorySink::new(), MemorySink::new()];
        let builder = Monitor::builder(settings).sink(sinks[0].clone()).add_sink("copy", sinks[1].clone());
        let monitor = builder.on_current_runtime().start().expect("starts");
        let request = tokio::spawn(call(slow_app(&monitor, Duration::from_secs(10))));
        yield_now().await;
        let started = tokio::time::Instant::now();
        let (first, second) = tokio::join!(
            monitor.shutdown(Duration::from_secs(30)),
            monitor.shutdown(Duration::from_secs(seconds))
        );
        assert!(started.elapsed() < Duration::from_secs(11), "{seconds}: {:?}", started.elapsed());
        request.await.expect("no panic");
        assert_eq!((first, first.unfinished), (second, 0), "{seconds}");
        for sink in &sinks {
            assert_eq!(sink.measurement("requests").len(), 1, "{seconds}");
            assert_eq!(sink.measurement("requests_rollup").len(), 1, "{seconds}");
        }
    }
}

/// The alarm for a thread that is blocked went by the timeout of the second call.
#[tokio::test]
async fn a_shorter_shutdown_beside_the_first_one_does_not_take_it_for_blocked() {
    let monitor = Monitor::builder(Settings::new("shop")).sink(MemorySink::new()).start().expect("starts");
    let request = tokio::spawn(call(slow_app(&monitor, Duration::from_millis(2_300))));
    while monitor.stats().recorder.running_requests == 0 {
        yield_now().await;
    }
    let (first, second) =
        tokio::join!(monitor.shutdown(Duration::from_secs(20)), monitor.shutdown(Duration::ZERO));
    request.await.expect("no panic");
    assert_eq!((first, first.unfinished, first.in_time), (second, 0, true));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_that_nobody_awaits_ends_every_delivery() {
    let mut settings = Settings::new("shop");
    settings.rollup.interval = Some(Duration::from_secs(3_600));
    let sinks = [MemorySink::new(), MemorySink::new()];
    let builder = Monitor::builder(settings).sink(sinks[0].clone()).add_sink("copy", sinks[1].clone());
    let monitor = builder.on_current_runtime().start().expect("starts");
    let request = tokio::spawn(call(slow_app(&monitor, Duration::from_secs(2))));
    yield_now().await;
    let dropped = tokio::time::timeout(Duration::from_secs(1), monitor.shutdown(Duration::from_secs(30)));
    dropped.await.expect_err("a request is running");
    request.await.expect("no panic");
    let report = monitor.shutdown(Duration::ZERO).await;
    assert!(report.in_time && report.unfinished == 0 && monitor.stats().balances(), "{report}");
    for sink in &sinks {
        assert_eq!(sink.measurement("requests").len(), 1);
        assert_eq!(sink.measurement("requests_rollup").len(), 1);
    }
}

#[tokio::test]
async fn after_a_shutdown_each_call_says_so_and_a_reload_claims_nothing() {
    for (on_current_runtime, own_sink) in [(false, false), (false, true), (true, false), (true, true)] {
        for is_running in [false, true] {
            let root = tempfile::tempdir().expect("a directory");
            let mut settings = Settings::new("shop");
            settings.file.directory = root.path().join("files");
            settings.rollup.interval = Some(Duration::from_secs(3_600));
            let mut builder = Monitor::builder(settings.clone()).add_sink("copy", MemorySink::new());
            if own_sink {
                builder = builder.sink(MemorySink::new());
            }
            if on_current_runtime {
                builder = builder.on_current_runtime();
            }
            let monitor = builder.start().expect("starts");
            let request = tokio::spawn(call(slow_app(&monitor, Duration::from_millis(100))));
            while monitor.stats().recorder.running_requests == 0 {
                yield_now().await;
            }
            let ending = {
                let monitor = monitor.clone();
                tokio::spawn(async move { monitor.shutdown(Duration::from_secs(5)).await })
            };
            // On this thread it has run until its first wait, and the request still runs.
            yield_now().await;
            if !is_running {
                request.await.expect("no panic");
                assert_eq!(monitor.shutdown(Duration::ZERO).await.unfinished, 0);
                assert!(monitor.probe().await.expect_err("it is over").is_closed());
                assert!(monitor.flush().await.expect_err("it is over").is_closed());
            }
            let (spool, rejected) = (root.path().join("spool"), root.path().join("rejected"));
            settings.spool = Some(SpoolSettings::new(&spool));
            settings.rejected_directory = Some(rejected.clone());
            let refused = monitor.reload(settings).await.expect_err("it is over");
            assert!(refused.is_closed(), "{refused}");
            assert!(!spool.exists() && !rejected.exists(), "during it: {is_running}");
            assert!(ending.await.expect("no panic").in_time);
        }
    }
}

#[test]
fn a_reload_to_a_server_needs_a_runtime_with_io_as_a_start_does() {
    let root = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new("shop");
    settings.file.directory = root.path().join("files");
    let mut influx = settings.clone();
    influx.storage = Storage::Influx;
    influx.influx.bucket = "bucket".to_owned();
    for (own_sink, own_thread) in [(false, false), (false, true), (true, false), (true, true)] {
        let runtime = Builder::new_current_thread().enable_time().build().expect("builds");
        runtime.block_on(async {
            let mut builder = Monitor::builder(settings.clone());
            if own_sink {
                builder = builder.sink(MemorySink::new());
            }
            if !own_thread {
                builder = builder.on_current_runtime();
            }
            let monitor = builder.start().expect("starts");
            match monitor.reload(influx.clone()).await {
                Ok(()) => assert!(own_sink || own_thread, "accepted"),
                Err(error) => {
                    assert!(!own_sink && !own_thread && error.is_runtime(), "{error}");
                    monitor.record(&DataPoint::new("jobs").with_field("number", 1));
                    let report = monitor.flush().await.expect("runs");
                    assert_eq!(report.written, 1, "as before: {report:?}");
                }
            }
            monitor.shutdown(Duration::ZERO).await;
        });
    }
}

/// Keeps the time of its first write.
#[derive(Clone, Default)]
struct Timed(Arc<Mutex<Option<tokio::time::Instant>>>);

impl Sink for Timed {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        self.0.lock().expect("no panic").get_or_insert_with(tokio::time::Instant::now);
        Box::pin(async { Ok(Written::default()) })
    }

    fn describe(&self) -> String {
        "timed".to_owned()
    }
}

#[tokio::test(start_paused = true)]
async fn an_interval_that_is_set_during_a_reload_is_that_of_all_destinations_or_of_none() {
    let mut settings = Settings::new("shop");
    // The first interval ends at a random time, so it must be long.
    settings.flush_interval = Duration::from_secs(3_600);
    let sinks = [Timed::default(), Timed::default(), Timed::default()];
    let builder = Monitor::builder(settings.clone()).sink(sinks[0].clone());
    let builder = builder.add_sink("second", sinks[1].clone()).add_sink("third", sinks[2].clone());
    let monitor = builder.on_current_runtime().start().expect("starts");
    let reloading = {
        let monitor = monitor.clone();
        tokio::spawn(async move { monitor.reload(settings).await })
    };
    let began = Instant::now();
    while !reloading.is_finished() {
        monitor.set_flush_interval(Duration::from_millis(100)).expect("an interval");
        assert!(began.elapsed() < Duration::from_secs(20), "the reload hangs");
        yield_now().await;
    }
    reloading.await.expect("no panic").expect("nothing is wrong");
    let started = tokio::time::Instant::now();
    monitor.record(&DataPoint::new("jobs").with_field("number", 1));
    sleep(Duration::from_secs(2 * 3_600)).await;
    let time = |sink: &Timed| sink.0.lock().expect("no panic").expect("written") - started;
    let soon = sinks.iter().filter(|sink| time(sink) < Duration::from_secs(1)).count();
    assert!(soon == 0 || soon == 3, "{:?}", sinks.each_ref().map(time));
    monitor.shutdown(Duration::ZERO).await;
}
