//! What a monitor may be doing.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use tokio::runtime::Runtime;
use tower_influx::{
    Monitor, Settings,
    settings::{KeepRequests, Overflow},
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
    stats::DropReason,
};
use tower_influx_benches::{Discard, ledger, measure::grouped, monitor_to, request, routes};

use crate::HEAP;

pub(crate) const ROWS: &[(&str, fn())] = &[
    ("a runtime without a monitor", nothing),
    ("a monitor that has just started", started),
    ("at rest after 500,000 requests on two threads", at_rest),
    ("at 10,000 requests a second", steady),
    ("rollups only, 1,000 routes that two threads have used", rollups_only),
    ("the sink is away, 32 MiB of `buffer_size` full, `drop-oldest`", || outage(Overflow::DropOldest)),
    ("the same with `drop-newest`", || outage(Overflow::DropNewest)),
];

fn nothing() {
    let _runtime = Runtime::new().expect("a runtime");
    print();
}

fn started() {
    let runtime = Runtime::new().expect("a runtime");
    let monitor = monitor_to(&runtime, Discard::default());
    thread::sleep(REST);
    print();
    ledger::close(&runtime, &monitor, Some(0));
}

fn at_rest() {
    let runtime = Runtime::new().expect("a runtime");
    let monitor = monitor_to(&runtime, Discard::default());
    let app = routes().layer(monitor.layer()).with_state(());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..250_000).for_each(|_| request(&app, "/version")));
        }
    });
    thread::sleep(REST);
    print();
    ledger::close(&runtime, &monitor, Some(500_000));
}

fn rollups_only() {
    let runtime = Runtime::new().expect("a runtime");
    let monitor = {
        let _entered = runtime.enter();
        let mut settings = Settings::new("bench");
        settings.rollup.interval = Some(Duration::from_secs(1));
        settings.requests.keep = KeepRequests::None;
        Monitor::builder(settings).sink(Discard::default()).start().expect("settings are right")
    };
    // What the router itself takes is no memory of the monitor's.
    let paths: Vec<&'static str> = (0..1_000).map(|number| &*format!("/route-{number}").leak()).collect();
    let routes =
        paths.iter().fold(Router::new(), |router, path| router.route(path, get(|| async { "0.1.0" })));
    let before = HEAP.allocated();
    let app = routes.layer(monitor.layer()).with_state(());
    let of_app = HEAP.allocated() - before;
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..10).for_each(|_| paths.iter().for_each(|path| request(&app, path))));
        }
    });
    thread::sleep(REST);
    print_as((HEAP.allocated() - of_app) / 1024, status("VmRSS"));
    drop(app);
    ledger::close(&runtime, &monitor, None);
}

fn steady() {
    let runtime = Runtime::new().expect("a runtime");
    let monitor = monitor_to(&runtime, Discard::default());
    let app = routes().layer(monitor.layer()).with_state(());
    let start = Instant::now();
    let (mut heap, mut resident) = (Vec::new(), Vec::new());
    for hundredth in 1..=STEADY_HUNDREDTHS {
        (0..100).for_each(|_| request(&app, "/version"));
        heap.push(HEAP.allocated());
        resident.push(status("VmRSS"));
        thread::sleep(
            (start + Duration::from_millis(10 * hundredth)).saturating_duration_since(Instant::now()),
        );
    }
    heap.sort_unstable();
    resident.sort_unstable();
    print_as(heap[heap.len() / 2] / 1024, resident[resident.len() / 2]);
    ledger::close(&runtime, &monitor, Some(100 * STEADY_HUNDREDTHS));
}

/// An hour of outage in seconds: what bounds the memory is the number of points, not the time.
fn outage(overflow: Overflow) {
    let runtime = Runtime::new().expect("a runtime");
    let sink = Away::default();
    let mut settings = Settings::new("bench");
    settings.overflow = overflow;
    let monitor = {
        let _entered = runtime.enter();
        Monitor::builder(settings).sink(sink.clone()).start().expect("settings are right")
    };
    let app = routes().layer(monitor.layer()).with_state(());
    let mut made = 0;
    let lost = |monitor: &Monitor| {
        let stats = monitor.stats();
        stats.ledger.dropped_total() + stats.recorder.refused_full
    };
    while lost(&monitor) < ENOUGH {
        (0..10_000).for_each(|_| request(&app, "/version"));
        made += 10_000;
        assert!(made < MOST, "the memory is not bounded: {}", monitor.stats());
    }
    print();
    sink.0.store(true, Ordering::SeqCst);
    let _ = runtime.block_on(monitor.flush()).expect("the flusher runs");
    let report = runtime.block_on(monitor.shutdown(Duration::from_secs(30)));
    let stats = monitor.stats();
    let refused = stats.recorder.refused_full;
    eprintln!(
        "{} points into memory for about {}: {report}, refused {refused}",
        grouped(made as f64),
        grouped(report.written as f64)
    );
    let dropped = stats.ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
    assert!(stats.balances(), "a point is not accounted for: {stats}");
    assert_eq!(report.accepted + refused, made, "there are not as many points as were made");
    assert_eq!(report.written + dropped, report.accepted, "points were lost for another reason: {stats}");
}

/// A sink that takes nothing until it is told to.
#[derive(Clone, Default)]
struct Away(Arc<AtomicBool>);

impl Sink for Away {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        let back = self.0.load(Ordering::SeqCst);
        Box::pin(async move { if back { Ok(Written::new(0)) } else { Err(WriteError::transient("away")) } })
    }

    fn describe(&self) -> String {
        "a server that is away".to_owned()
    }
}

fn print() {
    print_as(HEAP.allocated() / 1024, status("VmRSS"));
}

fn print_as(heap: usize, resident: usize) {
    let cells = [heap, HEAP.max_allocated() / 1024, resident, status("VmHWM")];
    println!("{}", cells.map(|cell| grouped(cell as f64)).join(" | "));
}

/// A number of this process, as the kernel keeps it.
fn status(name: &str) -> usize {
    let text = fs::read_to_string("/proc/self/status").expect("this is Linux");
    let line = text.lines().find_map(|line| line.strip_prefix(name)).expect("a line of that name");
    line.trim_matches(|character: char| !character.is_ascii_digit()).parse().expect("a number of KiB")
}

/// Longer than an interval of flushing.
const REST: Duration = Duration::from_secs(3);
const STEADY_HUNDREDTHS: u64 = 1_000;
/// Lost points that show that memory is full.
const ENOUGH: u64 = 200_000;
/// Far more than memory can hold.
const MOST: u64 = 10_000_000;
