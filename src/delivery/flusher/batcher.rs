//! Turns chunks of the buffer into batches.

use std::{collections::VecDeque, time::SystemTime};

use bytes::Bytes;

use super::series::SeriesCounter;
use crate::{
    delivery::{
        batch::Batch,
        buffer::{Buffer, Chunk},
    },
    stats::ledger::Ledger,
};

use super::timing::Timing;

/// Drains the buffer, and owns the drained chunks until they are in a batch. Their points count as
/// in flight.
#[derive(Debug)]
pub(super) struct Batcher {
    /// When the buffer is drained.
    pub(super) timing: Timing,
    chunks: VecDeque<Chunk>,
    /// Bytes of the first chunk that are already in a batch.
    used: usize,
    bytes: usize,
    /// The memory of the chunks, including the parts that are already in a batch or were never
    /// used.
    memory: usize,
    points: usize,
    sequence: u64,
    series: SeriesCounter,
    /// Passed to the buffer to be filled. It is kept, so that a drain does not allocate.
    drained: Vec<Chunk>,
}

impl Batcher {
    pub(super) fn new(timing: Timing) -> Self {
        Self {
            timing,
            chunks: VecDeque::new(),
            used: 0,
            bytes: 0,
            memory: 0,
            points: 0,
            sequence: 0,
            series: SeriesCounter::default(),
            drained: Vec::new(),
        }
    }

    /// Takes all chunks of the buffer.
    pub(super) fn drain(&mut self, buffer: &Buffer, ledger: &Ledger) {
        buffer.drain(ledger, &mut self.drained);
        for chunk in self.drained.drain(..) {
            if chunk.points == 0 {
                buffer.recycle(chunk);
                continue;
            }
            self.bytes += chunk.bytes.len();
            self.points += chunk.points;
            self.memory += chunk.size();
            self.chunks.push_back(chunk);
        }
    }

    pub(super) fn points(&self) -> usize {
        self.points
    }

    /// Returns whether there are points that are not in a batch yet, here or in the buffer.
    pub(super) fn has_points(&self) -> bool {
        self.points > 0 || !self.timing.is_idle()
    }

    /// Returns the bytes of the lines that are not in a batch yet.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Returns the number of series of the points of all batches.
    pub(super) fn series(&self) -> u64 {
        self.series.series()
    }

    /// Returns the number of the last sealed batch.
    pub(super) fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the next batch with at most these numbers of lines and bytes. A single line may be
    /// longer. Without `all`, it only returns a full batch.
    pub(super) fn next_batch(
        &mut self,
        max_lines: usize,
        max_bytes: usize,
        all: bool,
        buffer: &Buffer,
    ) -> Option<Batch> {
        if self.points == 0 || (!all && self.points < max_lines && self.bytes < max_bytes) {
            return None;
        }
        let first = self.chunks.front()?;
        let alone = self.used == 0 && first.points <= max_lines && first.bytes.len() <= max_bytes;
        let next = self.chunks.get(1);
        // Passing on the chunk saves the copy, but costs the buffer a chunk. So it is done only for
        // a chunk that is nearly a full batch.
        if alone
            && next.is_none_or(|next| first.bytes.len() + next.bytes.len() > max_bytes)
            && first.bytes.len() > max_bytes / 2
        {
            let chunk = self.chunks.pop_front()?;
            (self.bytes, self.points) = (self.bytes - chunk.bytes.len(), self.points - chunk.points);
            self.memory -= chunk.size();
            return Some(self.batch(chunk.bytes.into(), chunk.points));
        }
        let mut lines = Vec::with_capacity(self.bytes.min(max_bytes));
        let mut count = 0;
        while let Some(chunk) = self.chunks.front_mut() {
            let rest = &chunk.bytes[self.used..];
            let room = (max_lines - count, max_bytes.saturating_sub(lines.len()));
            let (length, taken) = if chunk.points <= room.0 && rest.len() <= room.1 {
                (rest.len(), chunk.points)
            } else {
                let cut = whole_lines(rest, room.0, room.1);
                // A line that is longer than a batch gets one of its own.
                if cut.1 == 0 && count == 0 { whole_lines(rest, 1, usize::MAX) } else { cut }
            };
            if taken == 0 {
                break;
            }
            lines.extend_from_slice(&rest[..length]);
            count += taken;
            chunk.points -= taken;
            self.used += length;
            if self.used < chunk.bytes.len() {
                break;
            }
            self.used = 0;
            if let Some(chunk) = self.chunks.pop_front() {
                self.memory -= chunk.size();
                buffer.recycle(chunk);
            }
        }
        (self.bytes, self.points) = (self.bytes - lines.len(), self.points - count);
        (count > 0).then(|| self.batch(lines.into(), count))
    }

    fn batch(&mut self, bytes: Bytes, points: usize) -> Batch {
        self.sequence += 1;
        self.series.count(&bytes);
        Batch::new(bytes, points, self.sequence, SystemTime::now())
    }
}

/// Returns the bytes and the number of the lines at the beginning of `text` that are within both
/// bounds.
pub(super) fn whole_lines(text: &[u8], max_lines: usize, max_bytes: usize) -> (usize, usize) {
    let (mut length, mut lines) = (0, 0);
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        if lines == max_lines || length + line.len() > max_bytes {
            break;
        }
        length += line.len();
        lines += 1;
    }
    (length, lines)
}

#[cfg(test)]
mod tests;
