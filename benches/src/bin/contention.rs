//! What requests on several threads do to each other: ours beside a bare router and peers, as
//! processor time and throughput.
//!
//! `cargo run --release --bin contention` in this folder. Handles of one axum router share its
//! reference counts, and that is dear by itself, also for the bare one. So everything is measured
//! twice: all threads on one router, and each thread on a router of its own around the same
//! monitor. What the second tables show is ours.

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use tower_influx_benches::{
    Monitors, Variant, ledger,
    measure::{grouped, median, time},
    variants,
};

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let monitors = Monitors::start(&runtime);
    #[cfg(feature = "peers")]
    let peers = tower_influx_benches::peers::Peers::new(&runtime);
    let build = || {
        #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
        let mut rows = variants(&monitors);
        #[cfg(feature = "peers")]
        rows.extend(peers.variants());
        rows.retain(|row| ROWS.contains(&row.name));
        rows
    };
    let routers: Vec<Vec<Variant>> = (0..MOST_THREADS).map(|_| build()).collect();

    println!("{ROUNDS} rounds of {} requests each, medians; {} cores", grouped(f64::from(REQUESTS)), cores());
    for (own, title) in
        [(false, "All threads on one router"), (true, "Each thread on a router of its own, one monitor")]
    {
        print(title, &measure(&routers, own));
    }
    ledger::close(&runtime, &monitors.ours, Some(REQUESTS_OF_OURS));
}

/// By row, number of threads and round.
type Measured = Vec<Vec<Vec<Cell>>>;

#[derive(Clone, Copy)]
struct Cell {
    /// Nanoseconds of processor time for a request.
    processor: f64,
    /// Requests a second, of all threads together.
    throughput: f64,
}

type Value = fn(&Cell) -> f64;

fn measure(routers: &[Vec<Variant>], own: bool) -> Measured {
    let mut measured = vec![vec![Vec::new(); THREADS.len()]; routers[0].len()];
    // The first round fills caches and pools.
    for round in 0..=ROUNDS {
        for (column, threads) in THREADS.into_iter().enumerate() {
            for row in 0..measured.len() {
                let of = |thread: usize| &routers[if own { thread } else { 0 }][row];
                let cell = run(&(0..threads).map(of).collect::<Vec<_>>());
                if round > 0 {
                    measured[row][column].push(cell);
                }
            }
        }
    }
    measured
}

/// One thread for each, all at once.
fn run(variants: &[&Variant]) -> Cell {
    let count = REQUESTS / u32::try_from(variants.len()).expect("few");
    let ready = Barrier::new(variants.len());
    let run = |variant| {
        ready.wait();
        // By the threads themselves: where they take all cores, one that only waits for them looks
        // at the clock too late.
        let start = Instant::now();
        (start, time(variant, count), Instant::now())
    };
    let measured: Vec<(Instant, Duration, Instant)> = std::thread::scope(|scope| {
        let running: Vec<_> = variants.iter().map(|variant| scope.spawn(|| run(variant))).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let processor: Duration = measured.iter().map(|(_, processor, _)| *processor).sum();
    let start = measured.iter().map(|(start, ..)| *start).min().expect("a thread");
    let end = measured.iter().map(|(.., end)| *end).max().expect("a thread");
    Cell {
        processor: processor.as_nanos() as f64 / f64::from(REQUESTS),
        throughput: f64::from(REQUESTS) / (end - start).as_secs_f64(),
    }
}

fn print(title: &str, measured: &Measured) {
    let values: [(&str, Value); 2] = [
        ("ns of processor time a request (× bare)", |cell| cell.processor),
        ("thousand requests a second in all (× bare)", |cell| cell.throughput / 1e3),
    ];
    for (what, value) in values {
        println!("\n{title}: {what}\n");
        let threads = THREADS.map(|threads| format!(" {threads} |"));
        println!("| threads |{}\n|---|{}", threads.concat(), "--:|".repeat(threads.len()));
        for (name, row) in ROWS.iter().zip(measured) {
            let cells = row.iter().zip(&measured[0]).map(|(cells, bare)| {
                let mut ratios: Vec<f64> =
                    cells.iter().zip(bare).map(|(one, bare)| value(one) / value(bare)).collect();
                let mut values: Vec<f64> = cells.iter().map(value).collect();
                format!(" {} ({:.2}) |", grouped(median(&mut values)), median(&mut ratios))
            });
            println!("| {name} |{}", cells.collect::<String>());
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// In the order in which the library builds them.
const ROWS: &[&str] = &[
    "bare",
    "a layer that does nothing",
    "tower-influx, default",
    "tower-influx, rollups",
    "tower-influx, rollups only",
    #[cfg(feature = "peers")]
    "tower-http `TraceLayer`, no subscriber",
    #[cfg(feature = "peers")]
    "axum-otel-metrics",
];
const THREADS: [usize; 5] = [1, 2, 4, 8, 16];
const MOST_THREADS: usize = 16;
const ROUNDS: usize = 11;
/// Of all threads together; a multiple of every number of threads.
const REQUESTS: u32 = 32_000;
const REQUESTS_OF_OURS: u64 = 2 * (ROUNDS as u64 + 1) * THREADS.len() as u64 * REQUESTS as u64;
