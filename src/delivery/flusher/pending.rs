//! A batch in the flusher, from sealing until its final result.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        spool::{Spool, SpoolEntry},
    },
    stats::ledger::PointLocation,
};

use super::{batcher::whole_lines, compressed::CompressedBatch, successes::Successes};

/// A batch, or a piece of one.
#[derive(Debug)]
pub(super) struct PendingBatch {
    body: Body,
    pub(super) origin: Origin,
    pub(super) history: History,
    /// Whether it was sealed by this process and not yet reported as spooled. Pending flushes wait
    /// for it.
    pub(super) live: bool,
}

/// The lines of the batch: uncompressed, compressed while it waits, or both while a compressed
/// batch is sent again.
#[derive(Debug)]
enum Body {
    Plain(Batch),
    Compressed(CompressedBatch),
    Both(Batch, CompressedBatch),
}

/// Where the ledger counts the points, and their file on disk.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Memory,
    /// If the batch was split, the file also holds the points of other pieces. It may be deleted
    /// only when the last of them is settled, which is when the last of these references is
    /// dropped.
    Spool(Arc<Backing>),
}

/// The file of a batch. If it is dropped without an acknowledgement, the file stays on disk for the
/// next process.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) spool: Arc<Spool>,
    pub(super) entry: SpoolEntry,
}

/// The history of a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    /// When it entered the flusher, which is about when its points were created.
    pub(super) since: Instant,
    /// How long the sink had been blocked in total by then. This time does not count as waiting.
    pub(super) blocked_before: Duration,
    /// Attempts that failed, as far as is known for no reason of its own.
    pub(super) failures: u32,
    /// Of these, errors of the server and of connections: neither throttling nor timeouts.
    pub(super) faults: u32,
    /// How many of these failures had a success of another batch since the previous failure.
    pub(super) beside_successes: u32,
    /// The same for successful probes.
    pub(super) beside_probes: u32,
    /// Successes of the sink at the last failure.
    pub(super) seen: Successes,
    /// Attempts without an answer since it was last halved.
    pub(super) timeouts: u32,
    /// Consecutive connections that broke while it was sent.
    pub(super) breaks: u32,
    /// Whether it was sent at least once.
    pub(super) tried: bool,
    /// Whether it was sent at least once since the last flush command.
    pub(super) tried_since_flush: bool,
    /// Whether it was sent again after a refusal that may not recur.
    pub(super) resent_as_it_was: bool,
}

impl History {
    pub(super) fn new(since: Instant, blocked_before: Duration) -> Self {
        Self {
            since,
            blocked_before,
            failures: 0,
            faults: 0,
            beside_successes: 0,
            beside_probes: 0,
            seen: Successes::default(),
            timeouts: 0,
            breaks: 0,
            tried: false,
            tried_since_flush: false,
            resent_as_it_was: false,
        }
    }

    /// Records a failure that may or may not be caused by the batch.
    pub(super) fn fail(&mut self, successes: Successes) {
        if self.failures > 0 {
            self.beside_successes += u32::from(successes.writes > self.seen.writes);
            self.beside_probes += u32::from(successes.probes > self.seen.probes);
        }
        self.failures += 1;
        self.seen = successes;
    }

    /// Clears the failures of a piece: those of the whole batch say nothing about it.
    pub(super) fn acquit(&mut self) {
        *self = Self { tried: self.tried, ..Self::new(self.since, self.blocked_before) };
    }

    /// Returns whether it failed while others were accepted, or would have been.
    pub(super) fn is_suspect(&self) -> bool {
        self.beside_successes > 0 || self.beside_probes > 0
    }

    /// Records that a connection broke while the batch was sent. Returns whether this has happened
    /// so often that a body of this size may be the cause.
    pub(super) fn break_off(&mut self, bytes: usize) -> bool {
        self.breaks += 1;
        self.breaks >= BREAKS_BEFORE_HALVING && bytes >= LARGE_BODY
    }
}

impl Origin {
    /// Returns whether the points may be sent to this target. Spooled points are for the target of
    /// their spool only.
    pub(super) fn is_for(&self, target: &str) -> bool {
        match self {
            Self::Memory => true,
            Self::Spool(backing) => backing.spool.is_for(target),
        }
    }

    /// Returns where the ledger counts the points.
    pub(super) fn location(&self) -> PointLocation {
        match self {
            Self::Memory => PointLocation::Memory,
            Self::Spool(_) => PointLocation::Spool,
        }
    }
}

impl Backing {
    /// Returns whether these are all points of the file, so that it can be released to the spool.
    pub(super) fn is_whole(&self, points: usize) -> bool {
        self.entry.points() == points
    }
}

impl PendingBatch {
    pub(super) fn live(batch: Batch, history: History) -> Self {
        Self { body: Body::Plain(batch), origin: Origin::Memory, history, live: true }
    }

    pub(super) fn from_spool(batch: Batch, backing: Backing, history: History) -> Self {
        Self { body: Body::Plain(batch), origin: Origin::Spool(Arc::new(backing)), history, live: false }
    }

    pub(super) fn points(&self) -> usize {
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => batch.len(),
            Body::Compressed(compressed) => compressed.points(),
        }
    }

    /// Returns whether these are all points of a stored batch, so that it can be released to the
    /// spool.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.origin, Origin::Spool(backing) if backing.is_whole(self.points()))
    }

    /// Returns the uncompressed bytes of the lines.
    pub(super) fn raw_bytes(&self) -> usize {
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => batch.bytes().len(),
            Body::Compressed(compressed) => compressed.raw_bytes(),
        }
    }

    /// Returns the memory that it takes.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.body {
                Body::Plain(batch) => batch.bytes().len(),
                Body::Compressed(compressed) => compressed.memory(),
                Body::Both(batch, compressed) => batch.bytes().len() + compressed.memory(),
            }
    }

    /// Returns the part of it for lines that are also held compressed.
    pub(super) fn decompressed(&self) -> usize {
        match &self.body {
            Body::Both(batch, _) => batch.bytes().len(),
            Body::Plain(_) | Body::Compressed(_) => 0,
        }
    }

    /// Returns how much more memory it takes when its lines are needed.
    pub(super) fn bytes_to_decompress(&self) -> usize {
        match &self.body {
            Body::Compressed(compressed) => compressed.raw_bytes(),
            Body::Plain(_) | Body::Both(..) => 0,
        }
    }

    pub(super) fn sequence(&self) -> u64 {
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => batch.sequence(),
            Body::Compressed(compressed) => compressed.sequence(),
        }
    }

    pub(super) fn is_plain(&self) -> bool {
        matches!(self.body, Body::Plain(_))
    }

    /// Returns the lines to send. Returns `None` if decompression fails, which only defective
    /// memory can cause.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        if let Body::Compressed(compressed) = &self.body {
            self.body = Body::Both(compressed.decompress()?, compressed.clone());
        }
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => Some(batch.clone()),
            Body::Compressed(_) => None,
        }
    }

    /// Drops the uncompressed lines if there is a compressed form.
    pub(super) fn shrink(&mut self) {
        if let Body::Both(_, compressed) = &self.body {
            self.body = Body::Compressed(compressed.clone());
        }
    }

    pub(super) fn compress(&mut self, compressed: CompressedBatch) {
        self.body = Body::Compressed(compressed);
    }

    /// Creates a part of this batch, in memory of its own, with the same origin and history.
    pub(super) fn piece(&self, batch: &Batch) -> Self {
        Self::part(batch.detached(), self.origin.clone(), self.history, self.live)
    }

    /// Cuts a batch at line breaks into pieces of at most `limit` bytes. A longer line is a piece
    /// of its own.
    pub(super) fn split(&self, batch: &Batch, limit: usize) -> Vec<Self> {
        let mut pieces = Vec::new();
        let mut rest = batch.clone();
        loop {
            let lines = whole_lines(rest.bytes(), usize::MAX, limit).1.max(1);
            let Some((piece, others)) = rest.split_at(lines) else {
                pieces.push(self.piece(&rest));
                return pieces;
            };
            pieces.push(self.piece(&piece));
            rest = others;
        }
    }

    pub(super) fn part(batch: Batch, origin: Origin, history: History, live: bool) -> Self {
        Self { body: Body::Plain(batch), origin, history, live }
    }
}

const BREAKS_BEFORE_HALVING: u32 = 3;
/// Smaller bodies fit into the buffers of the network before a proxy can close the connection, so
/// their answers arrive.
const LARGE_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests;
