//! What a request pays: ours and the peers, in one run, interleaved, as ratios to a bare router.
//!
//! `cargo run --release --bin request [-- THREADS]` in this folder.

use tower_influx_benches::{
    Monitors, Variant,
    measure::{median, time},
    variants,
};

fn main() {
    let threads: usize = std::env::args().nth(1).map_or(1, |text| text.parse().expect("a number of threads"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let monitors = Monitors::start(&runtime);
    #[cfg_attr(not(feature = "peers"), allow(unused_mut))]
    let mut variants = variants(&monitors);
    #[cfg(feature = "peers")]
    variants.extend(tower_influx_benches::peers::Peers::new(&runtime).variants());

    let mut times = vec![Vec::new(); variants.len()];
    for round in 0..ROUNDS {
        for (variant, times) in variants.iter().zip(&mut times) {
            let nanoseconds = on_threads(variant, threads);
            // The first round fills caches and pools.
            if round > 0 {
                times.push(nanoseconds);
            }
        }
    }

    println!("{threads} threads, {ROUNDS} rounds of {COUNT} requests each, medians\n");
    println!("| what is layered on a bare router | × bare | ns added | allocations added |");
    println!("|---|--:|--:|--:|");
    let bare = times[0].clone();
    let bare_allocations = allocations(&variants[0]);
    for (variant, times) in variants.iter().zip(&times) {
        let mut ratios: Vec<f64> = times.iter().zip(&bare).map(|(time, bare)| time / bare).collect();
        let mut added: Vec<f64> = times.iter().zip(&bare).map(|(time, bare)| time - bare).collect();
        println!(
            "| {} | {:.2} | {:.0} | {} |",
            variant.name,
            median(&mut ratios),
            median(&mut added),
            allocations(variant) - bare_allocations
        );
    }
    println!("\nbare: {:.0} ns, {bare_allocations} allocations a request", median(&mut bare.clone()));
    monitors.close(&runtime);
}

/// Nanoseconds of processor time of one request, of what each thread has used.
fn on_threads(variant: &Variant, threads: usize) -> f64 {
    let total: f64 = std::thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|_| scope.spawn(|| time(variant, COUNT).as_nanos() as f64)).collect();
        running.into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    total / (threads as f64 * f64::from(COUNT))
}

/// The least of some, since buffers take new chunks now and then.
fn allocations(variant: &Variant) -> i64 {
    let one = || allocation_counter::measure(|| variant.request()).count_total;
    (0..100).map(|_| one()).min().unwrap_or_default() as i64
}

const ROUNDS: usize = 31;
const COUNT: u32 = 4_000;
