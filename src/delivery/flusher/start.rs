//! Starts jobs that wait for the sink, the disk or the compressor. The loop receives their results.

use std::sync::Arc;

use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use crate::{
    delivery::{
        batch::Batch,
        sink::rejected::RejectedFiles,
        spool::{Spool, SpoolEntry},
    },
    stats::DropReason,
};

use super::{
    bisect::Search,
    compressed::CompressedBatch,
    failures::EARLIER_ANSWER,
    in_flight::{Job, JobResult, Sent, Work, within},
    pending::{Backing, Origin, PendingBatch},
    spool_feeder::Store,
    worker::Worker,
};

/// Returns whether the batch must be split before this spool can store it.
pub(super) fn is_too_long(pending: &PendingBatch, spool: &Spool) -> bool {
    pending.points() > 1 && pending.raw_bytes() > spool.most_bytes()
}

impl Worker {
    pub(super) fn start_write(&mut self, mut pending: PendingBatch) {
        let Some(batch) = pending.batch() else {
            tracing::error!(target: "tower_influx", points = pending.points(), "points dropped: a compressed batch in memory is corrupt; this is a bug, or broken memory: please report it");
            return self.discard(pending, DropReason::Internal);
        };
        if let Some(limit) = self.scheduler.pace.limit.get()
            && batch.bytes().len() > limit
            && batch.len() > 1
        {
            return self.scheduler.queue.push_pieces(pending.split(&batch, limit));
        }
        if let Some(search) = self.scheduler.cut(&batch, &pending, Instant::now()) {
            return self.start_search(search);
        }
        if pending.history.tried {
            self.accounting.resent(batch.len());
        }
        (pending.history.tried, pending.history.tried_since_flush) = (true, true);
        let (sent, work) = self.write(batch);
        self.in_flight.start(Job::Write { pending, sent }, work);
    }

    pub(super) fn start_search(&mut self, mut search: Search) {
        let Some(piece) = search.next(&mut self.scheduler.cache) else {
            return self.move_search(search, true, EARLIER_ANSWER);
        };
        if search.is_resent() {
            self.accounting.resent(piece.len());
        }
        let (sent, work) = self.write(piece);
        self.in_flight.start(Job::Search { search: Box::new(search), sent }, work);
    }

    pub(super) fn start_probe(&mut self) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.breaker.epoch() };
        let work = async move { JobResult::Checked(within(patience, sink.0.probe()).await) };
        self.in_flight.start(Job::Probe { sent }, Box::pin(work));
    }

    fn write(&self, batch: Batch) -> (Sent, Work) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.breaker.epoch() };
        (sent, Box::pin(async move { JobResult::Written(within(patience, sink.0.write(&batch)).await) }))
    }

    /// Compresses a batch before it waits.
    pub(super) fn start_compression(&mut self, mut pending: PendingBatch) {
        pending.shrink();
        let batch =
            if pending.is_plain() { pending.batch().filter(CompressedBatch::is_worth_it) } else { None };
        let Some(batch) = batch else { return self.scheduler.queue.wait(pending) };
        let work = async move {
            let compressed = spawn_blocking(move || CompressedBatch::new(&batch)).await;
            JobResult::Compressed(compressed.ok().flatten())
        };
        self.in_flight.start(Job::Compress { pending }, Box::pin(work));
    }

    pub(super) fn start_stores(&mut self) {
        while let Some(store) = self.feeder.next_store(&self.conditions()) {
            match store {
                Store::Start { pending, spool, sends_it_now } => {
                    self.start_store(pending, spool, sends_it_now);
                }
                Store::Fail(pending) => self.store_failed(pending),
            }
        }
    }

    fn start_store(&mut self, mut pending: PendingBatch, spool: Arc<Spool>, sends_it_now: bool) {
        let Some(batch) = pending.batch() else { return self.discard(pending, DropReason::Internal) };
        if is_too_long(&pending, &spool) {
            return self.feeder.push_pieces(pending.split(&batch, spool.most_bytes()));
        }
        let used = Arc::clone(&spool);
        let work = async move {
            let stored = match sends_it_now {
                true => spool.store_taken(&batch).await,
                false => spool.store(&batch).await,
            };
            JobResult::Stored(spool, sends_it_now, stored)
        };
        self.in_flight.start_with(vec![used], Job::Store { pending }, Box::pin(work));
    }

    pub(super) fn start_load(&mut self) {
        let Some(bytes) = self.feeder.next_load(&self.conditions(), &self.scheduler.queue) else { return };
        if !self.reserve(bytes) && self.batches().next().is_some() {
            return;
        }
        let Some((spool, entry)) = self.feeder.take_stored() else { return };
        #[cfg(test)]
        self.shared.loads.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let used = Arc::clone(&spool);
        let work = async move {
            let loaded = spool.load(&entry).await;
            JobResult::Loaded(Backing { spool, entry }, loaded)
        };
        self.in_flight.start_with(vec![used], Job::Load { bytes }, Box::pin(work));
    }

    /// Releases an origin whose points are all settled. With its last piece the file is deleted.
    pub(super) fn release(&mut self, origin: Origin) {
        if let Origin::Spool(backing) = origin
            && let Some(backing) = Arc::into_inner(backing)
        {
            self.start_acknowledgement(backing.spool, backing.entry);
        }
    }

    fn start_acknowledgement(&mut self, spool: Arc<Spool>, entry: SpoolEntry) {
        let used = Arc::clone(&spool);
        let work = async move {
            spool.acknowledge(entry).await;
            JobResult::Done
        };
        self.in_flight.start_with(vec![used], Job::Acknowledge, Box::pin(work));
    }

    /// Maintains the spool, or those of earlier destinations. These are two jobs, since the disk of
    /// an earlier one may hang.
    pub(super) fn start_maintenance(&mut self, spools: Vec<Arc<Spool>>, adopt: bool, retired: bool) {
        if spools.is_empty() {
            return;
        }
        let used = spools.clone();
        let work = async move {
            for spool in spools {
                spool.maintain(adopt).await;
            }
            JobResult::Done
        };
        self.in_flight.start_with(used, Job::Maintain { retired }, Box::pin(work));
    }

    /// Waits for refused lines that are being written to their files.
    pub(super) fn start_rejected_files(&mut self, rejected: Arc<RejectedFiles>, end: Instant) {
        let work = async move {
            let _ = timeout_at(end, rejected.finish()).await;
            JobResult::Done
        };
        self.in_flight.start(Job::Acknowledge, Box::pin(work));
    }
}
