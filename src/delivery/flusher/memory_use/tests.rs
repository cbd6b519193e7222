//! Tests what the worker counts as held, and what leaves the memory first, without a loop.

use std::time::Duration;

use super::*;
use crate::delivery::flusher::{
    in_flight::{Job, JobResult, Sent},
    pending::{History, PendingBatch},
    tests::support::{batch_of, drained, idle_worker},
};

/// Returns the memory that was reported to the buffer.
fn reported(worker: &Worker) -> usize {
    worker.shared.buffer.snapshot(&worker.shared.ledger).1.bytes
}

#[tokio::test(start_paused = true)]
async fn reserved_and_held_memory_fit_together_and_are_reported_to_the_buffer() {
    let mut worker = idle_worker(1 << 20, Overflow::DropNewest, None);
    for held in [0, 100] {
        if held > 0 {
            let pending = drained(&worker, held);
            worker.scheduler.queue.fresh.push_back(pending);
        }
        let MemoryUse { flusher, bound, .. } = worker.memory_use();
        assert_eq!(flusher > 0, held > 0);
        let left = bound.bytes - flusher;
        assert!(worker.reserve(left));
        assert_eq!(reported(&worker), bound.bytes);
        assert!(!worker.reserve(left + 1));
        assert_eq!(reported(&worker), flusher, "what was not reserved is free");
        assert!(worker.reserve(10));
        assert_eq!(reported(&worker), flusher + 10);
    }
}

#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
#[tokio::test(start_paused = true)]
async fn memory_is_reserved_for_batches_that_are_decompressed_to_be_sent() {
    let mut worker = idle_worker(1 << 20, Overflow::DropNewest, None);
    let mut pending = drained(&worker, 1_000);
    let compressed = crate::delivery::flusher::compressed::CompressedBatch::new(&batch_of(1_000));
    pending.compress(compressed.expect("it gets smaller"));
    let waiting = pending.memory();
    assert!(pending.batch().is_some() && pending.memory() > waiting, "decompressed");
    let sent = Sent { at: Instant::now(), epoch: 0 };
    let work = Box::pin(std::future::ready(JobResult::Done));
    worker.in_flight.start(Job::Write { pending, sent }, work);
    assert_eq!(worker.memory_use().flusher, waiting);
}

#[tokio::test(start_paused = true)]
async fn a_drain_needs_room_or_a_batch_that_may_be_dropped_wherever_it_waits() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let drops = overflow == Overflow::DropOldest;
        let mut worker = idle_worker(64 * 1024, overflow, None);
        let small = drained(&worker, 1);
        worker.scheduler.queue.fresh.push_back(small);
        assert!(worker.may_drain(), "there is room");
        // More than there is room for, in the queue and then on its way to the disk.
        let most = worker.memory_use().bound.bytes;
        let large = drained(&worker, most / 4);
        worker.scheduler.queue.fresh.push_back(large);
        assert_eq!(worker.may_drain(), drops, "{overflow:?}");
        while let Some(pending) = worker.scheduler.queue.fresh.pop_front() {
            worker.feeder.push(pending);
        }
        assert_eq!(worker.may_drain(), drops, "{overflow:?}");
        // A batch in flight cannot be dropped.
        while let Some(pending) = worker.feeder.pop() {
            let work = Box::pin(std::future::ready(JobResult::Done));
            worker.in_flight.start(Job::Compress { pending }, work);
        }
        assert!(!worker.may_drain(), "{overflow:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn room_is_made_by_dropping_the_oldest_until_the_rest_fits() {
    let mut worker = idle_worker(64 * 1024, Overflow::DropOldest, None);
    let most = worker.memory_use().bound.waiting;
    for _ in 0..8 {
        let pending = drained(&worker, most / 4 / 8);
        worker.scheduler.queue.fresh.push_back(pending);
    }
    assert!(worker.make_room());
    let held = worker.memory_use().flusher;
    let each = held / worker.scheduler.queue.fresh.len();
    assert!((most - each..=most).contains(&held), "{held} of {most}");
    assert!(worker.shared.ledger.lock().dropped[&DropReason::BufferFull] > 0);
    // A batch that may not be dropped makes no room.
    while let Some(pending) = worker.scheduler.queue.fresh.pop_front() {
        let work = Box::pin(std::future::ready(JobResult::Done));
        worker.in_flight.start(Job::Compress { pending }, work);
    }
    let pending = drained(&worker, worker.memory_use().bound.bytes / 4);
    let work = Box::pin(std::future::ready(JobResult::Done));
    worker.in_flight.start(Job::Compress { pending }, work);
    assert!(!worker.make_room());
    // A closed buffer cannot grow.
    worker.shared.buffer.close();
    assert!(worker.make_room());
}

#[tokio::test(start_paused = true)]
async fn batches_beyond_their_share_of_memory_go_to_disk() {
    let each = PendingBatch::live(batch_of(100), History::new(Instant::now(), Duration::ZERO)).memory();
    for (buffer_size, left) in [(8 * each, 2), (8 * each - 8, 1), (4 * each - 8, 0)] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut worker = idle_worker(buffer_size, Overflow::DropNewest, Some(directory.path()));
        for _ in 0..2 {
            let pending = drained(&worker, 100);
            worker.scheduler.queue.fresh.push_back(pending);
        }
        worker.bound_memory();
        let counts = (worker.scheduler.queue.fresh.len(), worker.feeder.batches().count());
        assert_eq!(counts, (left, 2 - left), "{buffer_size}");
    }
}
