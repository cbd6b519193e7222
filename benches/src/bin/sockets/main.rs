//! A service over real sockets, with and without the layer, under `wrk`: throughput, latencies, and
//! what the service's own process uses.
//!
//! `cargo run --release --bin sockets [-- ROUNDS SECONDS]` in this folder; it takes Debian's
//! packages `wrk` and `influxdb`. The services run side by side, each in a process of its own, and
//! take turns under load, so that whatever else the machine does meets all of them alike. At the
//! end each point that a service has accepted must be in the database.

use std::env;

use tower_influx_benches::{
    influx::Influx,
    measure::{grouped, median, pin},
};

use load::{Load, load};
use service::Service;

mod load;
mod service;

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [first, kind, database] = &arguments[..]
        && first == "serve"
    {
        return service::serve(kind, database.parse().expect("a port"));
    }
    let number = |index: usize, default| {
        arguments.get(index).map_or(default, |text| text.parse().expect("numbers: rounds and seconds"))
    };
    let (rounds, seconds) = (number(0, ROUNDS), number(1, SECONDS));

    pin(1);
    let influx = Influx::start();
    let mut services: Vec<Service> =
        KINDS.iter().map(|(kind, _)| Service::start(kind, influx.port)).collect();
    println!(
        "{rounds} rounds of {seconds} s each, interleaved, medians; in parentheses × bare of the same round"
    );
    for (path, what) in PATHS {
        let mut measured = vec![Vec::new(); services.len()];
        // The first round opens what has to be opened.
        for round in 0..=rounds {
            for turn in 0..services.len() {
                // Each comes first as often as the others.
                let index = (turn + usize::try_from(round).expect("few")) % services.len();
                let load = run(&mut services[index], path, if round == 0 { 1 } else { seconds });
                if round > 0 {
                    measured[index].push(load);
                }
            }
        }
        print(what, &measured);
    }
    for ((kind, name), service) in KINDS.iter().zip(services) {
        let ledger = service.stop();
        assert_eq!(ledger.accepted, ledger.written, "points were lost");
        if *kind == "influx" {
            let stored = influx.count("requests", "execution_time") + influx.count("errors", "request_id");
            eprintln!(
                "{name}: accepted {}, written {}, in the database {stored}",
                ledger.accepted, ledger.written
            );
            assert_eq!(stored, ledger.written, "the database has another number of points");
        }
    }
}

/// What `wrk` saw, and nanoseconds of the service's processor time for a request.
type Measured = (Load, f64);

fn run(service: &mut Service, path: &str, seconds: u64) -> Measured {
    let before = service.processor_time();
    let load = load(service.port, path, seconds);
    let processor = service.processor_time() - before;
    // The next one's turn is not to be spent on this one's points.
    service.flush();
    (load, processor * 1e9 / load.requests)
}

fn print(what: &str, measured: &[Vec<Measured>]) {
    println!(
        "\n| {what} | requests a second | µs of processor time a request | p50, µs | p99, µs | p99.9, µs |"
    );
    println!("|---|--:|--:|--:|--:|--:|");
    type Value = fn(&Measured) -> f64;
    let values: [Value; 5] = [
        |one| one.0.throughput,
        |one| one.1 / 1e3,
        |one| one.0.percentiles[0],
        |one| one.0.percentiles[1],
        |one| one.0.percentiles[2],
    ];
    for ((_, name), rows) in KINDS.iter().zip(measured) {
        let cells = values.map(|value| {
            let mut ratios: Vec<f64> =
                rows.iter().zip(&measured[0]).map(|(one, bare)| value(one) / value(bare)).collect();
            let middle = median(&mut rows.iter().map(value).collect::<Vec<_>>());
            let text = if middle < 100.0 { format!("{middle:.2}") } else { grouped(middle) };
            format!(" {text} ({:.3}) |", median(&mut ratios))
        });
        println!("| {name} |{}", cells.concat());
    }
}

const PATHS: &[(&str, &str)] = &[
    ("/version", "`/version`, the least that a service can do"),
    ("/items/7", "`/items/7`, which waits 200 µs as for a database, and answers in JSON"),
];
const KINDS: &[(&str, &str)] = &[
    ("bare", "without the layer"),
    ("discard", "with the layer, points to nowhere"),
    ("influx", "with the layer, points to InfluxDB 1.6 on this machine"),
];
const ROUNDS: u64 = 7;
const SECONDS: u64 = 2;
