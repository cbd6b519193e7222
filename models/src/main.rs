//! The buffer's hand-over, wake-ups and shutdown, and the ledger's snapshot, under every order of steps in which no thread is
//! interrupted more than a few times; what weakly ordered memory may show instead of the newest value included.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

#[path = "../../src/buffer/mod.rs"]
mod buffer;
mod handover;
#[path = "../../src/stats/ledger.rs"]
mod ledger;
mod shutdown;
mod sync;
mod waking;

fn main() {
    let wanted = std::env::args().nth(1).unwrap_or_default();
    for (name, model) in MODELS.iter().filter(|(name, _)| name.contains(&wanted)) {
        let began = Instant::now();
        let runs = Arc::new(AtomicUsize::new(0));
        let mut builder = loom::model::Builder::new();
        builder.preemption_bound = Some(PREEMPTIONS);
        let count = Arc::clone(&runs);
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        });
        println!("{name}: {} orders in {:.1?}", runs.load(Ordering::Relaxed), began.elapsed());
    }
}

type Model = fn();

const MODELS: &[(&str, Model)] = &[
    ("every snapshot balances", handover::every_snapshot_balances),
    (
        "every snapshot balances while points are dropped",
        handover::every_snapshot_balances_while_points_are_dropped,
    ),
    ("closing is final", handover::closing_is_final),
    ("running requests are never too few", handover::running_requests_are_never_too_few),
    (
        "a shutdown without time refuses only what it reports",
        shutdown::a_shutdown_without_time_refuses_only_what_it_reports,
    ),
    ("a shutdown that waits refuses nothing", shutdown::a_shutdown_that_waits_refuses_nothing),
    ("no first point is overlooked", waking::no_first_point_is_overlooked),
    ("no full buffer is overlooked", waking::no_full_buffer_is_overlooked),
];

/// How often threads may be interrupted where they need not be. Without this the number of orders explodes; the mistakes
/// that were tried on these models all showed with three.
const PREEMPTIONS: usize = 3;

mod stats {
    pub(crate) use crate::ledger;
}

mod settings {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Overflow {
        DropOldest,
        DropNewest,
    }
}

/// A thread of a model says itself which shard is its own: numbers handed out round robin would differ from run to run.
mod shard {
    use std::cell::Cell;

    #[derive(Debug, Default)]
    pub(crate) struct Padded<T>(pub(crate) T);

    loom::thread_local! {
        static SHARD: Cell<usize> = Cell::new(0);
    }

    pub(crate) fn shard() -> usize {
        SHARD.with(Cell::get)
    }

    pub(crate) fn take(number: usize) {
        SHARD.with(|shard| shard.set(number));
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum DropReason {
    BufferFull,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RejectReason {
    Invalid,
}
