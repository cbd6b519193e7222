//! Runs the models of `src/internals/models` under loom.
//!
//! `cargo run --release --manifest-path models/Cargo.toml` runs all, a part of a name after `--`
//! some.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tower_influx_internals::internals::models::MODELS;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, model) in MODELS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let began = Instant::now();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        builder.max_branches = MOST_BRANCHES;
        let count = Arc::clone(&runs);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        });
        println!("{name}: {} orders in {:.1?}", runs.load(Ordering::Relaxed), began.elapsed());
    }
}

/// How often threads may be interrupted where they need not be. Without this the number of orders
/// explodes; the mistakes that were tried on these models all showed with three.
const PREEMPTIONS: usize = 3;
/// A snapshot of the rollups reads the starts of each route, shard and kind of thread.
const MOST_BRANCHES: usize = 10_000;
