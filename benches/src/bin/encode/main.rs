//! What the line of one request costs to write: ours, and with the encoders that others offer.
//!
//! `cargo run --release --bin encode` in this folder. Every row writes the very same line; that is
//! checked first. Our encoder is not public, so it comes from the package `internals`: the rows
//! `encoder alone` are what the layer calls, and nothing else. The rows of `Monitor::record` go the
//! public way of an application's own points, with the unique stamp and the push into the buffer.

use std::env;

use tower_influx_benches::measure::{callgrind, grouped, median, thread_time};
use tower_influx_internals::internals::encode;

use ours::Recorded;

#[cfg(feature = "peers")]
mod others;
mod ours;

/// One way of writing the line.
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) write: Box<Write>,
}

/// Appends the line, or records the point.
pub(crate) type Write = dyn FnMut(&mut Vec<u8>);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let recorded = Recorded::new();
    let mut rows = rows(&recorded);
    if let [row] = &arguments[..] {
        let row: usize = row.parse().expect("a number");
        repeat(&mut rows[row].write, WARM_UP);
        counted(&mut rows[row].write);
        return recorded.close();
    }
    compare(&mut rows);

    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..=ROUNDS {
        for (row, times) in rows.iter_mut().zip(&mut times) {
            let start = thread_time();
            repeat(&mut row.write, TIMED);
            times.push((thread_time() - start).as_nanos() as f64 / f64::from(TIMED));
            recorded.flush();
        }
    }
    println!(
        "a line of {} bytes, {ROUNDS} rounds of {}, medians of the processor time\n",
        LINE.len(),
        grouped(TIMED.into())
    );
    println!(
        "| the line of a request by | ns | × ours | allocations | instructions |\n|---|--:|--:|--:|--:|"
    );
    let ours = times[0].clone();
    for (index, (row, times)) in rows.iter_mut().zip(&times).enumerate() {
        // The first round fills caches.
        let mut ratios: Vec<f64> = times.iter().zip(&ours).skip(1).map(|(time, ours)| time / ours).collect();
        let instructions = callgrind(&[index.to_string()]) / i64::from(COUNT);
        println!(
            "| {} | {:.0} | {:.1} | {} | {} |",
            row.name,
            median(&mut times[1..].to_vec()),
            median(&mut ratios),
            allocations(&mut row.write),
            grouped(instructions as f64)
        );
    }
    recorded.close();
}

fn rows(recorded: &Recorded) -> Vec<Row> {
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut rows = ours::rows(recorded);
    #[cfg(feature = "peers")]
    rows.extend(others::rows());
    rows
}

/// Whoever writes less has an easy life.
fn compare(rows: &mut [Row]) {
    for row in rows {
        let mut out = Vec::new();
        (row.write)(&mut out);
        if !row.name.contains("record") {
            // An id that the layer makes begins with twelve digits of the process, whatever they
            // are.
            let generated = encode::generated_id(ours::NUMBER);
            let line = String::from_utf8(out).expect("UTF-8").replace(&generated, REQUEST_ID);
            assert_eq!(line, LINE, "{}", row.name);
        }
    }
}

/// As the buffer does it: the space is there, and it is used again.
fn repeat(write: &mut Write, count: u32) {
    let mut out = Vec::with_capacity(1024);
    for _ in 0..count {
        out.clear();
        write(&mut out);
        std::hint::black_box(&out);
    }
}

#[inline(never)]
fn counted(write: &mut Write) {
    repeat(write, COUNT);
}

/// The least of some, since buffers take new chunks now and then.
fn allocations(write: &mut Write) -> u64 {
    let mut out = Vec::with_capacity(1024);
    let one = || {
        out.clear();
        allocation_counter::measure(|| write(&mut out)).count_total
    };
    std::iter::repeat_with(one).take(100).min().unwrap_or_default()
}

/// What every row writes, but for the stamp and the number of those that are recorded.
pub(crate) const LINE: &str = "requests,route=GET:/items/{id},service=bench,status_code=200 \
                               execution_time=0.000123456,request_id=\"3fa81c0d92be-000001e240\" 1700000000123456789\n";
pub(crate) const NANOSECONDS: u64 = 123_456;
pub(crate) const REQUEST_ID: &str = "3fa81c0d92be-000001e240";
pub(crate) const STAMP: i64 = 1_700_000_000_123_456_789;

const ROUNDS: usize = 15;
const TIMED: u32 = 50_000;
const WARM_UP: u32 = 100;
const COUNT: u32 = 1_000;
