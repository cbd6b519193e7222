//! A batch in the flusher's hands, from sealing until something final becomes of it.

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

/// One batch, or a piece of one.
#[derive(Debug)]
pub(super) struct PendingBatch {
    body: Body,
    pub(super) origin: Origin,
    pub(super) history: History,
    /// Sealed by this process and not yet reported as spooled: those who wait for a flush wait for
    /// it.
    pub(super) live: bool,
}

/// The lines as they are, or compressed while they wait, or both while a batch that was compressed
/// before is tried again.
#[derive(Debug)]
enum Body {
    Plain(Batch),
    Compressed(CompressedBatch),
    Both(Batch, CompressedBatch),
}

/// Where the points are counted, and what is on disk for them.
#[derive(Clone, Debug)]
pub(super) enum Origin {
    Memory,
    /// The file also holds the points of other pieces, if the batch was split: it may only go when
    /// the last of them is settled, which is when the last of these references goes.
    Spool(Arc<Backing>),
}

/// The file that holds a batch. Forgotten rather than acknowledged, it stays on disk for the next
/// process.
#[derive(Debug)]
pub(super) struct Backing {
    pub(super) spool: Arc<Spool>,
    pub(super) entry: SpoolEntry,
}

/// What the batch has gone through.
#[derive(Clone, Copy, Debug)]
pub(super) struct History {
    /// When it came into the flusher's hands, which is about when its points were made.
    pub(super) since: Instant,
    /// How long the sink had been blocked by then, in total: time that does not count as waiting.
    pub(super) blocked_before: Duration,
    /// Tries that failed for no reason of its own, as far as is known.
    pub(super) failures: u32,
    /// Of these, errors of the server and of connections: not a wish for patience, and not silence.
    pub(super) faults: u32,
    /// How many of these failures had a success of another batch between them and the one before.
    pub(super) beside_successes: u32,
    /// The same for probes that said that points would be taken.
    pub(super) beside_probes: u32,
    /// Successes of the sink at the last failure.
    pub(super) seen: Successes,
    /// Tries without an answer since the last time it was halved.
    pub(super) timeouts: u32,
    /// Connections in a row that broke under it.
    pub(super) breaks: u32,
    /// It was sent at least once.
    pub(super) tried: bool,
    /// It was sent at least once since a flush was asked for.
    pub(super) tried_since_flush: bool,
    /// A refusal that may not come again has been answered by sending it again.
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

    /// Records a failure that may or may not be the batch's own fault.
    pub(super) fn fail(&mut self, successes: Successes) {
        if self.failures > 0 {
            self.beside_successes += u32::from(successes.writes > self.seen.writes);
            self.beside_probes += u32::from(successes.probes > self.seen.probes);
        }
        self.failures += 1;
        self.seen = successes;
    }

    /// Clears the failures of a piece: those of the whole batch say nothing of it.
    pub(super) fn acquit(&mut self) {
        *self = Self { tried: self.tried, ..Self::new(self.since, self.blocked_before) };
    }

    /// Returns whether it failed while others were taken, or would have been.
    pub(super) fn is_suspect(&self) -> bool {
        self.beside_successes > 0 || self.beside_probes > 0
    }

    /// Records that a connection broke under the batch. Whether so many have in a row that a body
    /// of this size may be the reason.
    pub(super) fn break_off(&mut self, bytes: usize) -> bool {
        self.breaks += 1;
        self.breaks >= BREAKS_BEFORE_HALVING && bytes >= LARGE_BODY
    }
}

impl Origin {
    /// Returns whether the points may go to this target: those in a spool only to the target of
    /// that spool.
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
    /// Returns whether these are all the points of the file: then it can be given back to the spool
    /// as it is.
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

    /// Returns whether these are all the points of a stored batch, so that it can be given back to
    /// the spool.
    pub(super) fn is_whole(&self) -> bool {
        matches!(&self.origin, Origin::Spool(backing) if backing.is_whole(self.points()))
    }

    /// Returns the bytes of the lines, uncompressed.
    pub(super) fn raw_bytes(&self) -> usize {
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => batch.bytes().len(),
            Body::Compressed(compressed) => compressed.raw_bytes(),
        }
    }

    /// Returns what it takes of the memory.
    pub(super) fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.body {
                Body::Plain(batch) => batch.bytes().len(),
                Body::Compressed(compressed) => compressed.memory(),
                Body::Both(batch, compressed) => batch.bytes().len() + compressed.memory(),
            }
    }

    /// Returns the part of it for lines that are held a second time, decompressed.
    pub(super) fn decompressed(&self) -> usize {
        match &self.body {
            Body::Both(batch, _) => batch.bytes().len(),
            Body::Plain(_) | Body::Compressed(_) => 0,
        }
    }

    /// Returns what it will take more when its lines are needed.
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

    /// Returns the lines, to be sent. `None` where the compressed form turns out unreadable, which
    /// only broken memory can cause.
    pub(super) fn batch(&mut self) -> Option<Batch> {
        if let Body::Compressed(compressed) = &self.body {
            self.body = Body::Both(compressed.decompress()?, compressed.clone());
        }
        match &self.body {
            Body::Plain(batch) | Body::Both(batch, _) => Some(batch.clone()),
            Body::Compressed(_) => None,
        }
    }

    /// Lets go of the uncompressed lines where a compressed form exists.
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

    /// Cuts a batch at line breaks into pieces of at most so many bytes; a line that is longer is
    /// one alone.
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
/// A smaller body is taken in by the systems on the way before anybody can hang up on it, so its
/// answer arrives.
const LARGE_BODY: usize = 64 * 1024;

#[cfg(test)]
mod tests;
