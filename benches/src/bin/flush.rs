//! What delivery pays for a point, from the buffer to a sink that discards.
//!
//! `cargo run --release --bin flush` in this folder. Points come of requests, so that the lines are
//! real ones. They are made while the flusher stands still, and are not part of what is measured,
//! but for the row that says so.

use std::{env, sync::Arc, time::Instant};

use tokio::runtime::{Builder, Runtime};
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxClient, Storage},
};
use tower_influx_benches::{
    Discard, ledger,
    measure::{grouped, median, process_time, thread_time},
    monitor_to, request, routes,
    server::{Discarding, discard},
};

fn main() {
    if env::args().nth(1).is_some_and(|argument| argument == "discard") {
        return discard();
    }
    println!("{ROUNDS} rounds of {POINTS} points each, medians\n");
    println!(
        "| from the buffer to | points a second | ns of processor time a point | allocations in 1,000 points | bytes allocated for a byte of lines |"
    );
    println!("|---|--:|--:|--:|--:|");
    into_nothing("a sink in this process, a batch at a time", BATCH);
    into_nothing("the same, from a full buffer", POINTS);
    beside_requests("the same, while a thread makes requests");
    for (client, name) in [(InfluxClient::Influxdb2, "influxdb2"), (InfluxClient::Reqwest, "reqwest")] {
        for (gzip, how) in [(false, "plain"), (true, "gzip")] {
            to_server(&format!("a server, client `{name}`, {how}"), client, gzip);
        }
    }
}

fn into_nothing(name: &str, at_once: u64) {
    let runtime = standing_still();
    let sink = Discard::default();
    let monitor = monitor_to(&runtime, sink.clone());
    measure(name, &runtime, &monitor, at_once);
    let taken = sink.0.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(taken, TOTAL, "the sink has seen another number of points");
}

fn to_server(name: &str, client: InfluxClient, gzip: bool) {
    let runtime = standing_still();
    let server = Discarding::start();
    let mut settings = Settings::new("bench");
    settings.storage = Storage::Influx;
    settings.influx.url = format!("http://127.0.0.1:{}", server.port);
    settings.influx.bucket = "bench".to_owned();
    settings.influx.client = client;
    settings.influx.gzip = Some(gzip);
    let monitor = {
        let _entered = runtime.enter();
        Monitor::start(settings).expect("settings are right")
    };
    measure(name, &runtime, &monitor, BATCH);
    let sent = monitor.stats().delivery.wire_bytes;
    assert_eq!(server.stop(), sent, "the server has seen another number of bytes");
}

/// Alternates between making points and flushing them.
fn measure(name: &str, runtime: &Runtime, monitor: &Monitor, at_once: u64) {
    let app = routes().layer(monitor.layer()).with_state(());
    let mut rows = Vec::new();
    for _ in 0..=ROUNDS {
        let mut row = Row::default();
        for _ in 0..POINTS / at_once {
            (0..at_once).for_each(|_| request(&app, "/version"));
            let (start, processor) = (Instant::now(), process_time());
            let allocated = allocation_counter::measure(|| {
                let report = runtime.block_on(monitor.flush()).expect("the flusher runs");
                assert_eq!(report.written, at_once, "the flush was not complete: {report}");
            });
            row.seconds += start.elapsed().as_secs_f64();
            row.processor += (process_time() - processor).as_secs_f64();
            row.allocations += allocated.count_total as f64;
            row.bytes += allocated.bytes_total as f64;
        }
        rows.push(row);
    }
    let lines = monitor.stats().delivery.raw_bytes as f64 / (ROUNDS + 1) as f64;
    // The first round fills pools and opens connections.
    rows.remove(0);
    let of = |value: fn(&Row) -> f64| median(&mut rows.iter().map(value).collect::<Vec<_>>());
    let points = POINTS as f64;
    println!(
        "| {name} | {} | {:.0} | {:.0} | {:.2} |",
        grouped(points / of(|row| row.seconds)),
        of(|row| row.processor) * 1e9 / points,
        of(|row| row.allocations) * 1e3 / points,
        of(|row| row.bytes) / lines,
    );
    ledger::close(runtime, monitor, Some(TOTAL));
}

/// The flusher at work as it is in a service: woken by a full batch, and each second.
fn beside_requests(name: &str) {
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
    let monitor = monitor_to(&runtime, Discard::default());
    let app = routes().layer(monitor.layer()).with_state(());
    let app = Arc::new(app);
    let flusher_time =
        || runtime.block_on(async { tokio::spawn(async { thread_time() }).await.expect("it cannot fail") });
    let mut rows = Vec::new();
    for _ in 0..=ROUNDS {
        let (start, before) = (Instant::now(), flusher_time());
        (0..POINTS).for_each(|_| request(&app, "/version"));
        let seconds = start.elapsed().as_secs_f64();
        runtime.block_on(monitor.flush()).expect("the flusher runs");
        rows.push((seconds, (flusher_time() - before).as_secs_f64()));
    }
    rows.remove(0);
    let of = |value: fn(&(f64, f64)) -> f64| median(&mut rows.iter().map(value).collect::<Vec<_>>());
    let points = POINTS as f64;
    println!(
        "| {name} | {} came | {:.0} | – | – |",
        grouped(points / of(|row| row.0)),
        of(|row| row.1) * 1e9 / points
    );
    ledger::close(&runtime, &monitor, Some(TOTAL));
    eprintln!("a line has {} bytes", monitor.stats().delivery.raw_bytes / TOTAL);
}

/// A runtime that works only while it is asked to, on this thread.
fn standing_still() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

/// Of one round.
#[derive(Default)]
struct Row {
    seconds: f64,
    processor: f64,
    allocations: f64,
    bytes: f64,
}

const ROUNDS: u64 = 7;
/// As many as the buffer holds by default, and a multiple of a batch.
const POINTS: u64 = 160_000;
/// Fewer lines than 768 KiB have room for.
const BATCH: u64 = 4_000;
const TOTAL: u64 = (ROUNDS + 1) * POINTS;
