//! Delivery continues whatever the threads of the application do, and delays none of them.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, mpsc},
    task::{Context, Poll, Wake},
    thread,
    time::{Duration, Instant},
};

use tokio::runtime::{Builder, Runtime};
use tower_influx::{
    DataPoint, Monitor, Settings, ShutdownReport,
    licensing::{LicenseState, Licensing},
    settings::{SpoolSettings, Storage},
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

use crate::support::{
    child::{self, Child},
    locks,
};

/// More than a busy machine adds, and less than would be noticed.
const TIME: Duration = Duration::from_secs(3);

fn start() -> (Monitor, MemorySink) {
    let sink = MemorySink::new();
    let mut settings = Settings::new("threads");
    settings.flush_interval = Duration::from_millis(50);
    (Monitor::builder(settings).sink(sink.clone()).start().expect("starts"), sink)
}

fn record(monitor: &Monitor, points: i64) {
    for number in 0..points {
        monitor.record(&DataPoint::new("jobs").with_field("number", number));
    }
}

/// Runs a future on this thread, like an executor that does not know tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn runtimes() -> [(&'static str, Runtime); 4] {
    let threads = |number| Builder::new_multi_thread().worker_threads(number).enable_all().build();
    [
        ("current thread", Builder::new_current_thread().enable_all().build().expect("builds")),
        ("without timers", Builder::new_current_thread().build().expect("builds")),
        ("one worker", threads(1).expect("builds")),
        ("four workers", threads(4).expect("builds")),
    ]
}

#[test]
fn points_are_written_while_every_thread_of_the_application_is_blocked() {
    for (name, runtime) in runtimes() {
        let (monitor, sink) = runtime.block_on(async { start() });
        let (release, wait) = mpsc::channel::<()>();
        let wait = Arc::new(Mutex::new(wait));
        let block = move |monitor: Monitor, wait: Arc<Mutex<mpsc::Receiver<()>>>| async move {
            // A worker that wakes a task and then blocks keeps that task in its own slot.
            record(&monitor, 51);
            let _ = wait.lock().expect("no panic").recv();
        };
        for _ in 0..4 {
            runtime.spawn(block(monitor.clone(), Arc::clone(&wait)));
        }
        let application = {
            let (monitor, wait) = (monitor.clone(), Arc::clone(&wait));
            thread::spawn(move || runtime.block_on(block(monitor, wait)))
        };
        let began = Instant::now();
        while sink.len() < 51 {
            assert!(began.elapsed() < TIME, "{name}: {}", sink.len());
            thread::yield_now();
        }
        let began = Instant::now();
        let report = block_on(monitor.shutdown(TIME));
        assert!(report.in_time && report.dropped == 0, "{name}: {report}");
        assert!(began.elapsed() < TIME, "{name}: {:?}", began.elapsed());
        drop(release);
        application.join().expect("no panic");
    }
}

#[test]
fn a_shutdown_respects_its_timeout_wherever_it_is_awaited() {
    type Place = fn(Runtime, Monitor) -> ShutdownReport;
    let places: [(&str, Place); 6] = [
        ("in the runtime", |runtime, monitor| runtime.block_on(monitor.shutdown(TIME))),
        ("in a synchronous hook of the runtime", |runtime, monitor| {
            runtime.block_on(async { monitor.shutdown_blocking(TIME) })
        }),
        ("in synchronous code", |_runtime, monitor| monitor.shutdown_blocking(TIME)),
        ("on another thread", |runtime, monitor| {
            let _entered = runtime.enter();
            thread::spawn(move || block_on(monitor.shutdown(TIME))).join().expect("no panic")
        }),
        ("after the runtime", |runtime, monitor| {
            drop(runtime);
            block_on(monitor.shutdown(TIME))
        }),
        ("in another runtime", |runtime, monitor| {
            drop(runtime);
            Builder::new_current_thread().build().expect("builds").block_on(monitor.shutdown(TIME))
        }),
    ];
    for rollups in [false, true] {
        for (place, shutdown) in places {
            for (name, runtime) in runtimes() {
                let sink = MemorySink::new();
                let mut settings = Settings::new("threads");
                settings.rollup.interval = rollups.then_some(Duration::from_secs(60));
                let monitor = Monitor::builder(settings).sink(sink.clone());
                let monitor = runtime.block_on(async { monitor.start() }).expect("starts");
                record(&monitor, 10);
                let began = Instant::now();
                let report = shutdown(runtime, monitor);
                assert!(report.in_time && report.written >= 10, "{place}, {name}: {report}");
                assert!(began.elapsed() < TIME, "{place}, {name}: {:?}", began.elapsed());
                assert_eq!(sink.measurement("jobs").len(), 10, "{place}, {name}");
            }
        }
    }
}

#[test]
fn a_monitor_needs_no_runtime_of_the_application() {
    let (monitor, sink) = start();
    record(&monitor, 10);
    assert_eq!(block_on(monitor.flush()).expect("runs").written, 10);
    block_on(monitor.probe()).expect("the sink is there");
    block_on(monitor.reload(Settings::new("threads"))).expect("nothing is new");
    record(&monitor, 5);
    assert_eq!(block_on(monitor.shutdown(TIME)).written, 15);
    assert_eq!(sink.len(), 15);
    assert!(block_on(monitor.flush()).expect_err("shut down").is_closed());
}

#[test]
fn a_failing_start_is_an_error_on_every_runtime() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("file");
    std::fs::write(&file, "").expect("writes");
    let mut no_files = Settings::new("threads");
    no_files.file.directory = file.join("points");
    let mut no_spool = Settings::new("threads");
    no_spool.spool = Some(SpoolSettings::new(file.join("spool")));
    let mut no_rejected = Settings::new("threads");
    no_rejected.rejected_directory = Some(file.join("rejected"));
    // Only opening the directory shows this, since no check of settings can know it.
    let mut open_to_all = Settings::new("threads");
    let root = directory.path().join("spool");
    std::fs::create_dir(&root).expect("creates");
    std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o777)).expect("may");
    open_to_all.spool = Some(SpoolSettings::new(root));
    let mut no_rollups = open_to_all.clone();
    no_rollups.rollup.interval = Some(Duration::from_secs(10));
    // Opening comes after the thread's runtime was created.
    for settings in [no_files, no_spool, no_rejected, open_to_all, no_rollups] {
        let error = Monitor::start(settings.clone()).expect_err("it cannot work");
        assert!(error.is_io() || error.is_setting(), "{error}");
        for (_, runtime) in runtimes() {
            runtime.block_on(async { assert!(Monitor::start(settings.clone()).is_err()) });
        }
    }
}

#[test]
fn delivery_on_the_current_runtime_needs_one() {
    let error = Monitor::builder(Settings::new("threads")).on_current_runtime().start();
    let error = error.expect_err("there is none");
    assert!(error.is_runtime() && error.to_string().contains("`on_current_runtime`"), "{error}");
}

/// For example a handle in a static: it is never dropped, and `main` returns.
#[test]
fn points_recorded_when_the_runtime_ends_are_written() {
    for (name, runtime) in runtimes() {
        let sink = MemorySink::new();
        let mut settings = Settings::new("threads");
        settings.flush_interval = Duration::from_secs(3_600);
        let monitor = Monitor::builder(settings).sink(sink.clone());
        let monitor = runtime.block_on(async { monitor.start() }).expect("starts");
        record(&monitor, 10);
        drop(runtime);
        assert_eq!(sink.len(), 10, "{name}");
        record(&monitor, 1);
        assert_eq!(block_on(monitor.shutdown(TIME)).written, 11, "{name}: it goes on");
    }
}

#[test]
fn the_last_handle_waits_until_what_is_left_is_in_the_spool() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = Settings::new("threads");
    settings.flush_interval = Duration::from_secs(3_600);
    settings.spool = Some(SpoolSettings::new(directory.path()));
    let builder = Monitor::builder(settings.clone()).sink(MemorySink::new());
    let monitor = builder.start().expect("starts");
    record(&monitor, 10);
    drop(monitor);
    // At once: the process may end next.
    let [left] = &locks::directories(directory.path())[..] else { panic!("one directory") };
    let files = std::fs::read_dir(left).expect("lists").map(|file| file.expect("readable").path());
    assert_eq!(files.filter(|file| file.extension().is_some_and(|ending| ending == "lp")).count(), 1);
    // A search in it that began with the monitor may still end in the background.
    let runtime = Builder::new_current_thread().enable_time().build().expect("builds");
    runtime.block_on(locks::wait_until_free(left));
    let monitor = Monitor::builder(settings).sink(MemorySink::new()).start().expect("starts");
    let report = block_on(monitor.shutdown(TIME));
    assert_eq!((report.recovered, report.written + report.spooled), (10, 10), "{report}");
}

/// A disk or a name server that does not answer. Both run on blocking threads.
struct Hangs;

impl Sink for Hangs {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async {
            let hangs = tokio::task::spawn_blocking(|| thread::sleep(Duration::from_secs(40)));
            hangs.await.map_err(|_| WriteError::transient("gone"))?;
            Ok(Written::default())
        })
    }

    fn describe(&self) -> String {
        "a sink that hangs".to_owned()
    }
}

/// A sink that blocks the thread of delivery itself.
struct Blocks;

impl Sink for Blocks {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        thread::sleep(Duration::from_secs(40));
        Box::pin(async { Ok(Written::default()) })
    }

    fn describe(&self) -> String {
        "a sink that blocks".to_owned()
    }
}

#[test]
fn a_hanging_sink_does_not_delay_the_end_of_the_process() {
    for (blocks, rollups) in [(false, false), (false, true), (true, false), (true, true)] {
        let directory = tempfile::tempdir().expect("a directory");
        let script = serde_json::json!({ "blocks": blocks, "rollups": rollups });
        let mut child = Child::start("threads::a_process_whose_sink_hangs", script, directory.path());
        let began = Instant::now();
        let status = loop {
            if let Some(status) = child.process().ended() {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "blocks {blocks}: it does not end");
            thread::sleep(Duration::from_millis(20));
        };
        assert!(status.success(), "blocks {blocks}: {status}");
    }
}

#[test]
#[ignore = "a part of `a_hanging_sink_does_not_delay_the_end_of_the_process`, in a process of its own"]
fn a_process_whose_sink_hangs() {
    child::run("threads::a_process_whose_sink_hangs", |script| async move {
        let mut settings = Settings::new("threads");
        settings.flush_interval = Duration::from_millis(10);
        let rollups = script["rollups"].as_bool() == Some(true);
        settings.rollup.interval = rollups.then_some(Duration::from_millis(100));
        let builder = Monitor::builder(settings);
        let builder = match script["blocks"].as_bool() {
            Some(true) => builder.sink(Blocks),
            _ => builder.sink(Hangs),
        };
        let monitor = builder.start().expect("starts");
        record(&monitor, 10);
        let began = Instant::now();
        let report = monitor.shutdown(Duration::from_secs(1)).await;
        assert_eq!(report.written, 0, "{report}");
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    });
}

/// Without that check, a panic in a task of that runtime would be the first sign.
#[test]
fn a_start_on_a_runtime_without_timers_or_io_is_refused() {
    let mut influx = Settings::new("threads");
    influx.storage = Storage::Influx;
    influx.influx.bucket = "bucket".to_owned();
    let build = |timers: bool, io: bool| {
        let mut builder = Builder::new_current_thread();
        if timers {
            builder.enable_time();
        }
        if io {
            builder.enable_io();
        }
        builder.build().expect("builds")
    };
    for (timers, io) in [(false, false), (false, true), (true, false), (true, true)] {
        let runtime = build(timers, io);
        let _entered = runtime.enter();
        for own_sink in [false, true] {
            let mut builder = Monitor::builder(influx.clone());
            if own_sink {
                builder = builder.sink(MemorySink::new());
            }
            let works = timers && (io || own_sink);
            let started = builder.on_current_runtime().start();
            match started {
                Ok(_) => assert!(works, "timers {timers}, I/O {io}, own sink {own_sink}"),
                Err(error) => {
                    assert!(!works && error.is_runtime(), "{error}");
                    let lacks = if timers { "I/O" } else { "timers" };
                    let text = error.to_string();
                    assert!(text.contains(lacks) && text.contains("`enable_all`"), "{text}");
                }
            }
        }
    }
    // Delivery has a runtime of its own, but the licence check does not.
    let runtime = build(false, false);
    let _entered = runtime.enter();
    let monitor = Monitor::start(influx).expect("starts");
    let check = || async { Ok::<_, std::io::Error>(LicenseState::new(1)) };
    let error = Licensing::new(check).spawn(&monitor).expect_err("no timers");
    assert!(error.is_runtime() && error.to_string().contains("licence check needs the timers"), "{error}");
}
