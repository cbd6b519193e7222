//! The end of recording at a shutdown of the flusher: it reads the running requests, closes the
//! buffer, and drains it.

use loom::{sync::Arc, thread};

use super::handover::{assert_balanced, drain};
use crate::{
    delivery::buffer::{Buffer, Pushed},
    settings::Overflow,
    stats::ledger::Ledger,
    sync::shard::take_shard,
};

/// Without time to wait, running requests may be refused, but each of them was reported as
/// unfinished.
pub(super) fn a_shutdown_without_time_refuses_only_what_it_reports() {
    let (buffer, ledger) = start();
    let requests = [0, 1].map(|number| end_in_a_thread(&buffer, number));
    let unfinished = buffer.running_requests();
    buffer.close();
    let drained = drain(&buffer, &ledger).len() as u64;
    assert_balanced(buffer.snapshot(&ledger));
    let refused =
        requests.into_iter().map(|request| request.join().expect("ending does not panic")).sum::<u64>();
    assert!(refused <= unfinished, "{refused} requests were refused, {unfinished} reported as unfinished");
    assert_over(&buffer, &ledger, drained, refused);
}

/// When no request was running at the last read, closing refuses no request that had started
/// before.
pub(super) fn a_shutdown_that_waits_refuses_nothing() {
    let (buffer, ledger) = start();
    let requests = [0, 1].map(|number| end_in_a_thread(&buffer, number));
    while buffer.running_requests() > 0 {
        thread::yield_now();
    }
    buffer.close();
    let drained = drain(&buffer, &ledger).len() as u64;
    for request in requests {
        assert_eq!(request.join().expect("ending does not panic"), 0, "refused");
    }
    assert_over(&buffer, &ledger, drained, 0);
}

/// Starts two requests.
fn start() -> (Arc<Buffer>, Ledger) {
    let buffer = Arc::new(Buffer::with_shards(2, usize::MAX, Overflow::DropOldest));
    for _ in 0..2 {
        buffer.request_started();
    }
    (buffer, Ledger::default())
}

/// Ends a request in a thread that returns how many points were refused: 1 or 0.
fn end_in_a_thread(buffer: &Arc<Buffer>, number: usize) -> thread::JoinHandle<u64> {
    let buffer = Arc::clone(buffer);
    thread::spawn(move || {
        take_shard(number);
        u64::from(buffer.push(b"a\n", 1, true) == Pushed::Closed)
    })
}

fn assert_over(buffer: &Buffer, ledger: &Ledger, drained: u64, refused: u64) {
    let (counts, buffered) = buffer.snapshot(ledger);
    assert_eq!((buffered.accepted, buffered.buffered, counts.in_flight), (drained, 0, drained));
    assert_eq!(buffered.refused_closed, refused);
    assert_eq!((drained + refused, buffer.running_requests()), (2, 0));
}
