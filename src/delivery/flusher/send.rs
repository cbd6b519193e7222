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
    failures::FAILURES_BEFORE_OTHERS,
    held::{Held, History, Origin},
    packed::Packed,
    retry::Position,
    seal::whole_lines,
    wire::{Job, Outcome, Sent, Work, within},
    worker::Worker,
};

impl Worker {
    /// Admits a new batch.
    pub(super) fn admit(&mut self, batch: Batch) {
        if self.shared.batches.receiver_count() > 0 {
            // Fails only if the last receiver went just now.
            let _ = self.shared.batches.send(batch.clone());
        }
        let held = Held::live(batch, History::new(Instant::now(), self.blocked_so_far()));
        if self.goes_to_disk_first() { self.to_store.push_back(held) } else { self.keep(held) }
    }

    /// Keeps a batch in memory: among the next to be sent, or compressed behind them.
    pub(super) fn keep(&mut self, held: Held) {
        if self.queue.fresh.len() < self.write_slots() + PLAIN {
            self.queue.fresh.push_back(held);
        } else {
            self.pack(held);
        }
    }

    pub(super) fn start_write(&mut self, mut held: Held) {
        let Some(batch) = held.batch() else {
            tracing::error!(target: "tower_influx", points = held.points(), "a batch that waited in memory cannot be read any more and is dropped; this is a bug, or broken memory: please report it");
            return self.give_up(held, DropReason::Internal);
        };
        if let Some(limit) = self.body_limit.get()
            && batch.bytes().len() > limit
            && batch.len() > 1
        {
            return self.split(&held, &batch, limit);
        }
        if let Some(search) = self.cut(&batch, &held) {
            return self.start_search(search);
        }
        if held.history.tried {
            self.shared.delivery.lock().resent += batch.len() as u64;
        }
        (held.history.tried, held.history.tried_since_flush) = (true, true);
        let (sent, work) = self.send(batch);
        self.wire.start(Job::Write { held, sent }, work);
    }

    pub(super) fn start_probe(&mut self) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.gate.epoch() };
        let work = async move { Outcome::Checked(within(patience, sink.0.probe()).await) };
        self.wire.start(Job::Probe { sent }, Box::pin(work));
    }

    /// Settles a piece of work that has ended.
    pub(super) fn settle(&mut self, job: Job, outcome: Outcome) {
        match (job, outcome) {
            (Job::Write { mut held, sent }, outcome) => match written(outcome) {
                Ok(written) => {
                    self.learn_accepted(&mut held);
                    self.count_success(held.points(), held.raw_bytes(), written, sent, &held.history);
                    self.book_written(&held.origin, held.live, held.sequence(), held.points());
                    self.let_go(held.origin);
                }
                Err(error) => self.write_failed(held, error, sent),
            },
            (Job::Search { search, sent }, outcome) => self.search_answered(*search, written(outcome), sent),
            (Job::Probe { sent }, outcome) => self.probed(checked(outcome), sent),
            (Job::Pack { mut held }, outcome) => {
                if let Outcome::Packed(Some(packed)) = outcome {
                    held.pack(packed);
                }
                self.queue.wait(held);
            }
            (Job::Store { held }, outcome) => self.stored(held, outcome),
            (Job::Load { .. }, outcome) => self.loaded(outcome),
            (Job::Acknowledge | Job::Maintain, _) => {}
        }
    }

    fn probed(&mut self, answer: Result<(), WriteError>, sent: Sent) {
        match answer {
            // It says it would take points: one batch finds out whether it does.
            Ok(()) => {
                self.evidence.probes += 1;
                self.gate.pass_probe();
            }
            Err(error) => {
                self.note_error(&error);
                self.gate.fail(&error.kind, sent.epoch, Instant::now());
            }
        }
    }

    /// Puts a batch back after a failure that is not its own fault, as far as is known. `behind`:
    /// others are tried first.
    pub(super) fn put_back(&mut self, held: Held, behind: bool) {
        let paused = matches!(self.gate.position(), Position::Paused { .. });
        if !matches!(held.origin, Origin::Memory) {
            self.put_back_spooled(held);
        } else if paused && self.usable_spool().is_some() && held.history.failures < KEPT_FAILURES {
            self.to_store.push_back(held);
        } else if !behind && held.history.failures < FAILURES_BEFORE_OTHERS {
            self.next_in_line(held);
        } else {
            self.pack(held);
        }
    }

    /// Puts a batch first in the queue.
    pub(super) fn next_in_line(&mut self, mut held: Held) {
        held.shrink();
        match held.origin {
            Origin::Memory => self.queue.fresh.push_front(held),
            Origin::Spool(_) => self.queue.loaded.push_front(held),
        }
    }

    /// Cuts a batch at line breaks into pieces of at most so many bytes; a line that is longer is
    /// one alone.
    pub(super) fn split(&mut self, held: &Held, batch: &Batch, limit: usize) {
        let mut pieces = Vec::new();
        let mut rest = batch.clone();
        loop {
            let lines = whole_lines(rest.bytes(), usize::MAX, limit).1.max(1);
            match rest.split_at(lines) {
                Some((piece, others)) => {
                    pieces.push(held.piece(&piece));
                    rest = others;
                }
                None => {
                    pieces.push(held.piece(&rest));
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
    fn pack(&mut self, mut held: Held) {
        held.shrink();
        let batch = if held.is_plain() { held.batch().filter(Packed::is_worth_it) } else { None };
        let Some(batch) = batch else { return self.queue.wait(held) };
        let work = async move {
            Outcome::Packed(tokio::task::spawn_blocking(move || Packed::new(&batch)).await.ok().flatten())
        };
        self.wire.start(Job::Pack { held }, Box::pin(work));
    }

    pub(super) fn send(&self, batch: Batch) -> (Sent, Work) {
        let (sink, patience) = (self.sink.clone(), self.settings.write_timeout);
        let sent = Sent { at: Instant::now(), epoch: self.gate.epoch() };
        (sent, Box::pin(async move { Outcome::Written(within(patience, sink.0.write(&batch)).await) }))
    }
}

fn written(outcome: Outcome) -> Result<Written, WriteError> {
    match outcome {
        Outcome::Written(result) => result,
        // What it says may quote a point, so it is not repeated; the panic hook has printed it.
        _ => Err(WriteError::transient("the sink panicked; the batch is kept and tried again")),
    }
}

fn checked(outcome: Outcome) -> Result<(), WriteError> {
    match outcome {
        Outcome::Checked(result) => result,
        _ => Err(WriteError::transient("the sink panicked while it was asked")),
    }
}

/// Batches that wait uncompressed beside those that can go at once.
const PLAIN: usize = 2;
/// What has failed so often stays in memory until it is clear whose fault that is: from the disk it
/// would come back as if nothing had happened.
const KEPT_FAILURES: u32 = 2;
