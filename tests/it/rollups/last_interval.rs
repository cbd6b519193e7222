//! Every destination has the last interval, however the monitor ends and whatever still runs then.

use std::{path::Path, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
    routing::get,
};
use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use tempfile::tempdir;
use tokio::{runtime::Builder, task::JoinHandle, time::sleep};
use tower::ServiceExt;
use tower_influx::{
    Monitor, Point,
    settings::SpoolSettings,
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

use super::exact::{count, settings};
use crate::support::locks;

/// What still runs when the monitor ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Nothing,
    /// A request that has no response.
    Request,
    /// A response whose body does not end.
    Body,
}

const RUNNING: [Running; 3] = [Running::Nothing, Running::Request, Running::Body];
const ITEMS: i64 = 3;

impl Running {
    /// Returns the number of requests that a monitor has counted after its end.
    fn counted(self) -> i64 {
        ITEMS + i64::from(self == Self::Body)
    }
}

/// Shows by the count of its references whether a delivery still uses it.
#[derive(Clone, Default)]
struct Used {
    memory: MemorySink,
    users: Arc<()>,
}

impl Sink for Used {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        self.memory.write(batch)
    }

    fn describe(&self) -> String {
        "memory".to_owned()
    }
}

/// What must live on until the monitor has ended.
struct Kept {
    _body: Option<Body>,
    hanging: Option<JoinHandle<Response>>,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.hanging.iter().for_each(JoinHandle::abort);
    }
}

fn start(
    added: usize,
    spool: Option<&Path>,
    on_current_runtime: bool,
    sinks: &[Used],
) -> Result<Monitor, tower_influx::Error> {
    let mut settings = settings();
    // Only the end of the monitor ends it.
    settings.rollup.interval = Some(Duration::from_secs(3_600));
    settings.spool = spool.map(SpoolSettings::new);
    let mut builder = Monitor::builder(settings).sink(sinks[0].clone());
    for (number, sink) in sinks.iter().enumerate().take(added + 1).skip(1) {
        builder = builder.add_sink(format!("added-{number}"), sink.clone());
    }
    if on_current_runtime { builder.on_current_runtime().start() } else { builder.start() }
}

fn sinks() -> [Used; 3] {
    Default::default()
}

async fn send(monitor: &Monitor, running: Running) -> Kept {
    let endless = || async {
        let first = stream::iter([Ok::<_, std::io::Error>(Bytes::from_static(b"event"))]);
        Body::from_stream(first.chain(stream::pending()))
    };
    let app: Router = Router::new()
        .route("/items", get(|| async { "item" }))
        .route("/hangs", get(std::future::pending::<()>))
        .route("/events", get(endless))
        .layer(monitor.layer().track_body());
    let call = |path: &str| {
        let request = Request::get(path).body(Body::empty()).expect("a request");
        let app = app.clone();
        async move { app.oneshot(request).await.expect("axum never fails") }
    };
    for _ in 0..ITEMS {
        let body = call("/items").await.into_body();
        assert_eq!(body.collect().await.expect("a body").to_bytes(), "item");
    }
    let mut kept = Kept { _body: None, hanging: None };
    match running {
        Running::Nothing => {}
        Running::Request => {
            kept.hanging = Some(tokio::spawn(call("/hangs")));
            while monitor.stats().recorder.running_requests == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        Running::Body => {
            let mut body = call("/events").await.into_body();
            body.frame().await.expect("a frame").expect("no error");
            kept._body = Some(body);
        }
    }
    kept
}

fn assert_same(sinks: &[Used], added: usize, running: Running, case: &str) {
    for (number, sink) in sinks.iter().enumerate().take(added + 1) {
        let lines = sink.memory.measurement("requests_rollup");
        let points = sink.memory.measurement("requests").len() as i64;
        let counts = (count(&lines, "count"), points);
        assert_eq!(counts, (running.counted(), running.counted()), "destination {number}: {case}");
        let hanging = i64::from(running == Running::Request);
        // A gauge, so that of the last interval counts. The end of the points may end an interval
        // just before.
        let last = lines.iter().filter_map(Point::time).max();
        let last: Vec<_> = lines.into_iter().filter(|line| line.time() == last).collect();
        assert_eq!(count(&last, "running"), hanging, "destination {number}: {case}: {last:?}");
    }
}

async fn shut_down(on_current_runtime: bool) {
    for added in 0..=2 {
        for running in RUNNING {
            for with_spool in [false, true] {
                let case = format!("{added} added, {running:?}, spool: {with_spool}");
                let (directory, sinks) = (tempdir().expect("a directory"), sinks());
                let spool = with_spool.then_some(directory.path());
                let monitor = start(added, spool, on_current_runtime, &sinks).expect("starts");
                let kept = send(&monitor, running).await;
                let report = monitor.shutdown(Duration::from_millis(200)).await;
                let stats = monitor.stats();
                assert!(stats.balances() && stats.recorder.refused_closed == 0, "{case}: {stats}");
                assert_eq!(report.unfinished, u64::from(running == Running::Request), "{case}");
                assert_same(&sinks, added, running, &case);
                drop(kept);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_it_to_every_destination_on_the_runtime_of_the_application() {
    shut_down(true).await;
}

#[tokio::test]
async fn a_shutdown_sends_it_to_every_destination_in_a_thread() {
    shut_down(false).await;
}

/// How a monitor ends without a shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    RuntimeOfOneThread,
    Runtime,
    LastHandle,
}

fn end(end: End, added: usize, running: Running, directory: &Path, sinks: &[Used]) {
    let mut builder = match end {
        End::RuntimeOfOneThread => Builder::new_current_thread(),
        End::Runtime | End::LastHandle => Builder::new_multi_thread(),
    };
    let runtime = builder.worker_threads(2).enable_all().build().expect("a runtime");
    let (monitor, kept) = runtime.block_on(async {
        let monitor = start(added, Some(directory), true, sinks).expect("starts");
        let kept = send(&monitor, running).await;
        (monitor, kept)
    });
    if end == End::LastHandle {
        // Within a task: the workers are then woken in the order of the handles.
        runtime.block_on(async {
            // A running request is a handle.
            drop(kept);
            tokio::spawn(async move { drop(monitor) }).await.expect("no panic");
            again(added, directory, sinks).await;
        });
        return;
    }
    drop(runtime);
    let stats = monitor.stats();
    // A request that the runtime drops ends while the destinations close.
    let refused = stats.recorder.refused_closed > 0 && running != Running::Request;
    assert!(stats.balances() && !refused, "{stats}");
    drop((kept, monitor));
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(again(added, directory, sinks));
}

/// Waits for the end of the delivery, and sends what is in the spools.
async fn again(added: usize, directory: &Path, sinks: &[Used]) {
    let is_used = || sinks.iter().any(|sink| Arc::strong_count(&sink.users) > 1);
    wait_until(|| !is_used()).await;
    for spool in locks::directories(directory) {
        locks::wait_until_free(&spool).await;
    }
    let monitor = start(added, Some(directory), true, sinks).expect("starts");
    wait_until(|| monitor.stats().ledger.spooled == 0).await;
    monitor.shutdown(Duration::from_secs(5)).await;
}

async fn wait_until(is_done: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if is_done() {
            return;
        }
        sleep(Duration::from_millis(10)).await;
    }
    panic!("it does not happen");
}

#[test]
fn an_end_without_a_shutdown_leaves_it_in_every_spool() {
    for way in [End::RuntimeOfOneThread, End::Runtime, End::LastHandle] {
        for added in 0..=2 {
            for running in RUNNING {
                let (directory, sinks) = (tempdir().expect("a directory"), sinks());
                end(way, added, running, directory.path(), &sinks);
                let case = format!("{way:?}, {added} added, {running:?}");
                // Requests and bodies that are dropped by the test or the runtime may have ended.
                let ended = running.counted()..=ITEMS + i64::from(running != Running::Nothing);
                let counts = |sink: &Used| count(&sink.memory.measurement("requests_rollup"), "count");
                for (number, sink) in sinks.iter().enumerate().take(added + 1) {
                    let points = sink.memory.measurement("requests").len() as i64;
                    assert!(ended.contains(&points), "destination {number}: {case}: {points} points");
                    assert!(ended.contains(&counts(sink)), "destination {number}: {case}");
                    assert_eq!(counts(sink), counts(&sinks[0]), "destination {number}: {case}");
                }
            }
        }
    }
}
