//! From sealed to sent, and what becomes of it by the sink's answer.

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        sink::{WriteError, Written},
    },
    stats::DropReason,
};

use super::{
    batcher::whole_lines,
    compressed::CompressedBatch,
    failures::FAILURES_BEFORE_OTHERS,
    in_flight::{Job, JobOutcome, Sent, Work, within},
    pending::{History, Origin, PendingBatch},
    worker::Worker,
};

impl Worker {
    /// Admits a new batch.
    pub(super) fn admit(&mut self, batch: Batch) {
        if self.shared.batches.receiver_count() > 0 {
            // Fails only if the last receiver went just now.
            let _ = self.shared.batches.send(batch.clone());
        }
        let pending = PendingBatch::live(batch, History::new(Instant::now(), self.blocked_so_far()));
        if self.goes_to_disk_first() { self.to_store.push_back(pending) } else { self.keep(pending) }
    }

    /// Keeps a batch in memory: among the next to be sent, or compressed behind them.
    pub(super) fn keep(&mut self, pending: PendingBatch) {
        if self.queue.fresh.len() < self.write_slots() + PLAIN {
            self.queue.fresh.push_back(pending);
        } else {
            self.compress(pending);
        }
    }

    pub(super) fn start_write(&mut self, mut pending: PendingBatch) {
        let Some(batch) = pending.batch() else {
            tracing::error!(target: "tower_influx", points = pending.points(), "a batch that waited in memory cannot be read any more and is dropped; this is a bug, or broken memory: please report it");
            return self.discard(pending, DropReason::Internal);
        };
        if let Some(limit) = self.body_limit.get()
            && batch.bytes().len() > limit
            && batch.len() > 1
        {
            return self.split(&pending, &batch, limit);
        }
        if let Some(search) = self.cut(&batch, &pending) {
            return self.start_search(search);
        }
        if pending.history.tried {
            self.shared.delivery.lock().resent += batch.len() as u64;
        }
        (pending.history.tried, pending.history.tried_since_flush) = (true, true);
        let (sent, work) = self.send(batch);
        self.in_flight.start(Job::Write { pending, sent }, work);
    }

    pub(super) fn start_probe(&mut self) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.breaker.epoch() };
        let work = async move { JobOutcome::Checked(within(patience, sink.0.probe()).await) };
        self.in_flight.start(Job::Probe { sent }, Box::pin(work));
    }

    /// Settles a piece of work that has ended.
    pub(super) fn handle_outcome(&mut self, job: Job, outcome: JobOutcome) {
        match (job, outcome) {
            (Job::Write { mut pending, sent }, outcome) => match written(outcome) {
                Ok(written) => {
                    self.learn_accepted(&mut pending);
                    self.count_success(
                        pending.points(),
                        pending.raw_bytes(),
                        written,
                        sent,
                        &pending.history,
                    );
                    self.record_written(&pending.origin, pending.live, pending.sequence(), pending.points());
                    self.release(pending.origin);
                }
                Err(error) => self.write_failed(pending, error, sent),
            },
            (Job::Search { search, sent }, outcome) => self.search_answered(*search, written(outcome), sent),
            (Job::Probe { sent }, outcome) => self.probed(checked(outcome), sent),
            (Job::Compress { mut pending }, outcome) => {
                if let JobOutcome::Compressed(Some(compressed)) = outcome {
                    pending.compress(compressed);
                }
                self.queue.wait(pending);
            }
            (Job::Store { pending }, outcome) => self.stored(pending, outcome),
            (Job::Load { .. }, outcome) => self.loaded(outcome),
            (Job::Acknowledge | Job::Maintain, _) => {}
        }
    }

    fn probed(&mut self, answer: Result<(), WriteError>, sent: Sent) {
        match answer {
            // It says it would take points: one batch finds out whether it does.
            Ok(()) => self.breaker.probe_succeeded(),
            Err(error) => {
                self.note_error(&error);
                self.breaker.probe_failed(&error.kind, sent.epoch, Instant::now());
            }
        }
    }

    /// Puts a batch back after a failure that is not its own fault, as far as is known. `behind`:
    /// others are tried first.
    pub(super) fn put_back(&mut self, pending: PendingBatch, behind: bool) {
        let paused = self.breaker.state().is_open();
        if !matches!(pending.origin, Origin::Memory) {
            self.put_back_spooled(pending);
        } else if paused && self.usable_spool().is_some() && pending.history.failures < KEPT_FAILURES {
            self.to_store.push_back(pending);
        } else if !behind && pending.history.failures < FAILURES_BEFORE_OTHERS {
            self.next_in_line(pending);
        } else {
            self.compress(pending);
        }
    }

    /// Puts a batch first in the queue.
    pub(super) fn next_in_line(&mut self, mut pending: PendingBatch) {
        pending.shrink();
        match pending.origin {
            Origin::Memory => self.queue.fresh.push_front(pending),
            Origin::Spool(_) => self.queue.loaded.push_front(pending),
        }
    }

    /// Cuts a batch at line breaks into pieces of at most so many bytes; a line that is longer is
    /// one alone.
    pub(super) fn split(&mut self, pending: &PendingBatch, batch: &Batch, limit: usize) {
        let mut pieces = Vec::new();
        let mut rest = batch.clone();
        loop {
            let lines = whole_lines(rest.bytes(), usize::MAX, limit).1.max(1);
            match rest.split_at(lines) {
                Some((piece, others)) => {
                    pieces.push(pending.piece(&piece));
                    rest = others;
                }
                None => {
                    pieces.push(pending.piece(&rest));
                    break;
                }
            }
        }
        for mut piece in pieces.into_iter().rev() {
            piece.history.tried_since_flush = false;
            self.next_in_line(piece);
        }
    }

    pub(super) fn learn_limit(&mut self, bytes: usize) {
        if self.body_limit.get().is_none() {
            tracing::warn!(target: "tower_influx", bytes, "the server refused a body as too large: batches are split and made smaller, no point is lost; to save the tries, lower `batch_bytes` or raise the server's or proxy's limit (nginx: client_max_body_size)");
        }
        self.body_limit.refuse(bytes);
    }

    /// Compresses it on the way to where it waits.
    fn compress(&mut self, mut pending: PendingBatch) {
        pending.shrink();
        let batch =
            if pending.is_plain() { pending.batch().filter(CompressedBatch::is_worth_it) } else { None };
        let Some(batch) = batch else { return self.queue.wait(pending) };
        let work = async move {
            JobOutcome::Compressed(
                tokio::task::spawn_blocking(move || CompressedBatch::new(&batch)).await.ok().flatten(),
            )
        };
        self.in_flight.start(Job::Compress { pending }, Box::pin(work));
    }

    pub(super) fn send(&self, batch: Batch) -> (Sent, Work) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.breaker.epoch() };
        (sent, Box::pin(async move { JobOutcome::Written(within(patience, sink.0.write(&batch)).await) }))
    }
}

fn written(outcome: JobOutcome) -> Result<Written, WriteError> {
    match outcome {
        JobOutcome::Written(result) => result,
        // What it says may quote a point, so it is not repeated; the panic hook has printed it.
        _ => Err(WriteError::transient("the sink panicked; the batch is kept and tried again")),
    }
}

fn checked(outcome: JobOutcome) -> Result<(), WriteError> {
    match outcome {
        JobOutcome::Checked(result) => result,
        _ => Err(WriteError::transient("the sink panicked while it was asked")),
    }
}

/// Batches that wait uncompressed beside those that can go at once.
const PLAIN: usize = 2;
/// What has failed so often stays in memory until it is clear whose fault that is: from the disk it
/// would come back as if nothing had happened.
const KEPT_FAILURES: u32 = 2;
