//! The state that the handle and the task share.

use std::{sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{broadcast, watch};

use crate::{
    delivery::{
        batch::Batch,
        buffer::Buffer,
        spool::{Spool, SpoolCounts},
    },
    stats::{
        Delivery, DeliveryStats, DropReason, LedgerStats, RecorderCounters, RecorderStats, SpoolStats, Stats,
        ledger::Ledger,
    },
};

use super::{
    destination::{Destination, SinkHandle},
    report::ShutdownReport,
};

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) buffer: Arc<Buffer>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) recorder: Arc<RecorderCounters>,
    pub(super) delivery: Delivery,
    pub(super) batches: broadcast::Sender<Batch>,
    /// Set once, at the end.
    pub(super) report: watch::Sender<Option<Ended>>,
    /// The part that a reload changes.
    current: Mutex<CurrentDestination>,
    /// The number of batches loaded from the spool.
    #[cfg(test)]
    pub(super) loads: std::sync::atomic::AtomicUsize,
}

#[derive(Clone, Debug)]
struct CurrentDestination {
    /// `None` after the end.
    destination: Option<Destination>,
    write_timeout: Duration,
    /// Spools of earlier destinations that still contain files.
    retired: Vec<Arc<Spool>>,
    /// The counts of the spools at the end.
    last_spools: Option<SpoolStats>,
}

/// The destination, and the spools of earlier ones, that are no longer in use.
type Released = (Option<Destination>, Vec<Arc<Spool>>);

/// How the flusher has ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) report: ShutdownReport,
    /// Whether a shutdown ended it, and not the drop of the runtime or of the last handle.
    pub(super) orderly: bool,
}

impl Shared {
    pub(super) fn new(
        buffer: Arc<Buffer>,
        ledger: Arc<Ledger>,
        recorder: Arc<RecorderCounters>,
        destination: &Destination,
        write_timeout: Duration,
    ) -> Self {
        let delivery = Delivery::default();
        delivery.lock().sink = destination.sink.0.describe();
        let current = Mutex::new(CurrentDestination::new(destination, write_timeout, &[]));
        let (batches, report) = (broadcast::Sender::new(OBSERVED_BATCHES), watch::Sender::new(None));
        Self {
            buffer,
            ledger,
            recorder,
            delivery,
            batches,
            report,
            current,
            #[cfg(test)]
            loads: Default::default(),
        }
    }

    pub(super) fn replace(&self, destination: &Destination, write_timeout: Duration, retired: &[Arc<Spool>]) {
        self.delivery.lock().sink = destination.sink.0.describe();
        let new = CurrentDestination::new(destination, write_timeout, retired);
        let old = std::mem::replace(&mut *self.current(), new);
        // Not under the lock: the last owner closes files.
        drop(old);
    }

    pub(super) fn set_retired(&self, retired: &[Arc<Spool>]) {
        let old = std::mem::replace(&mut self.current().retired, retired.to_vec());
        drop(old);
    }

    /// Keeps the counts of the spools, and returns everything that holds locks. Handles outlive the
    /// end, and the next monitor of this process would otherwise find directories and labels in
    /// use.
    pub(super) fn release(&self) -> Released {
        let mut current = self.current();
        current.last_spools = current.spool_stats();
        (current.destination.take(), std::mem::take(&mut current.retired))
    }

    fn current(&self) -> MutexGuard<'_, CurrentDestination> {
        self.current.lock()
    }

    /// Returns the sink and how long a write may take, or `None` after the end.
    pub(super) fn sink(&self) -> Option<(SinkHandle, Duration)> {
        let current = self.current();
        let sink = current.destination.as_ref().map(|destination| destination.sink.clone())?;
        Some((sink, current.write_timeout))
    }

    /// Returns the spool of the destination, and those of earlier ones.
    pub(super) fn spools(&self) -> Vec<Arc<Spool>> {
        self.current().spools().cloned().collect()
    }

    /// Waits for the end.
    pub(super) async fn end(&self) -> Ended {
        let mut report = self.report.subscribe();
        loop {
            let ended = *report.borrow_and_update();
            match ended {
                Some(ended) => return ended,
                // Never fails, since we hold the sender.
                None => drop(report.changed().await),
            }
        }
    }

    pub(super) fn ended(&self) -> Option<Ended> {
        *self.report.borrow()
    }

    pub(super) fn stats(&self) -> Stats {
        let (ledger, buffer) = self.buffer.snapshot(&self.ledger);
        let mut dropped = ledger.dropped;
        if buffer.dropped > 0 {
            *dropped.entry(DropReason::BufferFull).or_default() += buffer.dropped;
        }
        let ledger = LedgerStats {
            offered: buffer.offered,
            accepted: buffer.accepted,
            recovered: ledger.recovered,
            written: ledger.written,
            rejected: ledger.rejected,
            dropped,
            buffered: buffer.buffered,
            in_flight: ledger.in_flight,
            spooled: ledger.spooled,
        };
        let recorder = RecorderStats {
            running_requests: self.buffer.running_requests(),
            invalid: buffer.invalid,
            refused_full: buffer.refused_full,
            refused_closed: buffer.refused_closed,
            ..self.recorder.snapshot()
        };
        Stats {
            ledger,
            recorder,
            delivery: self.delivery_stats(buffer.bytes),
            spool: self.current().spool_stats(),
            ..Stats::default()
        }
    }

    /// Builds the report from the current ledger.
    pub(super) fn shutdown_report(&self, unfinished: u64, in_time: bool) -> ShutdownReport {
        let ledger = self.stats().ledger;
        ShutdownReport {
            accepted: ledger.accepted,
            recovered: ledger.recovered,
            written: ledger.written,
            rejected: ledger.rejected_total(),
            dropped: ledger.dropped_total(),
            spooled: ledger.spooled,
            unfinished,
            in_time,
        }
    }

    fn delivery_stats(&self, bytes: usize) -> DeliveryStats {
        let progress = self.delivery.lock().clone();
        DeliveryStats {
            state: progress.state,
            backoff_until: progress.backoff_until,
            oldest_age: progress.oldest_age(),
            last_error: progress.last_error,
            sink: progress.sink,
            writes: progress.writes,
            resent: progress.resent,
            stripped: progress.stripped,
            raw_bytes: progress.raw_bytes,
            wire_bytes: progress.wire_bytes,
            write_time: progress.write_time,
            queue_time: progress.queue_time,
            waiting_batches: progress.waiting_batches as u64,
            memory: (bytes + progress.decompressed) as u64,
            restarts: progress.restarts,
            server_reported_dropped: progress.server_reported_dropped,
            series: progress.series,
        }
    }
}

impl CurrentDestination {
    fn new(destination: &Destination, write_timeout: Duration, retired: &[Arc<Spool>]) -> Self {
        let (destination, retired) = (Some(destination.clone()), retired.to_vec());
        Self { destination, write_timeout, retired, last_spools: None }
    }

    fn spools(&self) -> impl Iterator<Item = &Arc<Spool>> {
        let spool = self.destination.as_ref().and_then(|destination| destination.spool.as_ref());
        spool.into_iter().chain(&self.retired)
    }

    /// Counts under the lock. A clone of a spool would hold its directory beyond the end.
    fn spool_stats(&self) -> Option<SpoolStats> {
        let spools = self.spools().map(|spool| spool_stats(&spool.counts()));
        spools.reduce(|all, spool| all.add(&spool)).or_else(|| self.last_spools.clone())
    }
}

fn spool_stats(counts: &SpoolCounts) -> SpoolStats {
    SpoolStats {
        files: counts.files as u64,
        bytes: counts.bytes,
        corrupt: counts.corrupt,
        foreign: counts.foreign,
        errors: counts.errors,
        oldest_age: counts.oldest_age,
        memory: counts.memory as u64,
    }
}

/// An observer that falls behind by more batches than this misses some.
const OBSERVED_BATCHES: usize = 16;

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;
    use crate::{
        delivery::sink::{MemorySink, none::NoSink},
        settings::{Overflow, SpoolSettings},
    };

    fn destination(sink: SinkHandle, spool: Option<Arc<Spool>>) -> Destination {
        Destination { sink, spool, rejected: None }
    }

    fn shared(buffer: Buffer, destination: &Destination) -> Shared {
        let recorder = Arc::new(RecorderCounters::default());
        Shared::new(Arc::new(buffer), Arc::default(), recorder, destination, Duration::from_secs(1))
    }

    fn nowhere() -> Destination {
        destination(SinkHandle(Arc::new(NoSink)), None)
    }

    #[test]
    fn drops_of_buffer_and_flusher_for_lack_of_memory_are_one_sum() {
        // Only two chunks fit, so the oldest lines are dropped.
        let buffer = Buffer::with_shards(1, 1, Overflow::DropOldest);
        let shared = shared(buffer, &nowhere());
        assert!(shared.stats().ledger.dropped.is_empty(), "no reason without a point");
        shared.ledger.lock().take_off(3);
        shared.ledger.lock().drop_in_flight(DropReason::BufferFull, 2);
        shared.ledger.lock().drop_in_flight(DropReason::Expired, 1);
        let line = format!("x v=\"{}\" 1\n", "x".repeat(1_000));
        (0..300).for_each(|_| _ = shared.buffer.push(line.as_bytes(), 1, false));
        let dropped = shared.buffer.snapshot(&shared.ledger).1.dropped;
        assert!(dropped > 0);
        let stats = shared.stats().ledger.dropped.into_iter().collect::<Vec<_>>();
        assert_eq!(stats, [(DropReason::BufferFull, 2 + dropped), (DropReason::Expired, 1)]);
    }

    #[test]
    fn statistics_that_are_read_at_the_end_hold_no_spool() {
        let directory = tempfile::tempdir().expect("a directory");
        for round in 0..100 {
            let spool = Spool::open(&SpoolSettings::new(directory.path()), "none", Arc::default());
            let spool = Arc::new(spool.expect("opens"));
            let held = Arc::downgrade(&spool);
            let sink = SinkHandle(Arc::new(NoSink));
            let shared = shared(Buffer::new(1 << 20, Overflow::DropNewest), &destination(sink, Some(spool)));
            let (reads, ended) = (AtomicUsize::new(0), AtomicBool::new(false));
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !ended.load(Ordering::Relaxed) {
                        reads.fetch_add(1, Ordering::Relaxed);
                        assert!(shared.stats().spool.is_some(), "the last counts stay");
                    }
                });
                while reads.load(Ordering::Relaxed) <= round {
                    std::thread::yield_now();
                }
                drop(shared.release());
                let held = held.strong_count();
                ended.store(true, Ordering::Relaxed);
                assert_eq!(held, 0, "{round}");
            });
        }
    }

    #[tokio::test]
    async fn a_reload_is_visible_at_once_and_the_end_is_reported_to_all_waiters() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&SpoolSettings::new(directory.path()), "none", Arc::default());
        let spool = Arc::new(spool.expect("opens"));
        let shared = shared(Buffer::new(1 << 20, Overflow::DropNewest), &nowhere());
        assert_eq!((shared.stats().delivery.sink.as_str(), shared.spools().len()), ("none", 0));
        let bytes = shared.stats().delivery.memory;
        shared.delivery.lock().decompressed = 5;
        assert_eq!(shared.stats().delivery.memory, bytes + 5);
        let memory = destination(SinkHandle(Arc::new(MemorySink::new())), None);
        shared.replace(&memory, Duration::from_secs(7), &[Arc::clone(&spool)]);
        assert_eq!(shared.stats().delivery.sink, "memory");
        let patience = shared.sink().expect("not ended").1;
        assert_eq!((patience, shared.spools().len()), (Duration::from_secs(7), 1));
        shared.set_retired(&[]);
        assert!(shared.spools().is_empty());
        shared.replace(&destination(memory.sink, Some(spool)), Duration::ZERO, &[]);
        assert_eq!(shared.spools().len(), 1);

        assert!(shared.ended().is_none());
        let report = shared.shutdown_report(3, true);
        shared.report.send_replace(Some(Ended { report, orderly: true }));
        let ended = shared.end().await;
        assert!(ended.orderly && ended.report == report && report.unfinished == 3);
        assert!(shared.ended().is_some_and(|ended| ended.report == report));
    }
}
