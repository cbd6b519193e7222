//! Tests that every line is in exactly one batch, and the smallest and largest batches.

use std::time::Duration;

use super::*;
use crate::{delivery::buffer::Pushed, settings::Overflow};

const PLENTY: usize = usize::MAX;

/// A batcher with the buffer that it drains.
struct BatcherRig {
    batcher: Batcher,
    buffer: Buffer,
    ledger: Ledger,
}

impl BatcherRig {
    fn new() -> Self {
        let timing = Timing::new(Duration::from_secs(1), fastrand::Rng::with_seed(1));
        Self {
            batcher: Batcher::new(timing),
            buffer: Buffer::with_shards(1, PLENTY, Overflow::DropNewest),
            ledger: Ledger::default(),
        }
    }

    /// Drains these lines, all in one chunk.
    fn drain(&mut self, lines: &[String]) {
        for line in lines {
            assert_eq!(self.buffer.push(line.as_bytes(), 1, false), Pushed::Accepted);
        }
        self.batcher.drain(&self.buffer, &self.ledger);
    }

    fn next(&mut self, max_lines: usize, max_bytes: usize, all: bool) -> Option<Batch> {
        let batch = self.batcher.next_batch(max_lines, max_bytes, all, &self.buffer);
        let held: usize = self.batcher.chunks.iter().map(Chunk::size).sum();
        assert_eq!(self.batcher.memory(), held);
        batch
    }

    /// Returns its points, its bytes, and whether it holds any memory.
    fn holds(&self) -> (usize, usize, bool) {
        (self.batcher.points(), self.batcher.bytes(), self.batcher.memory() > 0)
    }
}

/// Returns a line of this many bytes, including its line break.
fn line(bytes: usize) -> String {
    format!("{}\n", "x".repeat(bytes - 1))
}

#[tokio::test(start_paused = true)]
async fn every_line_is_in_one_batch_in_the_order_of_the_buffer() {
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..300 {
        let (max_lines, max_bytes) = (random.usize(1..9), random.usize(20..400));
        let (mut rig, mut waiting, mut sequence) = (BatcherRig::new(), VecDeque::new(), 0);
        for step in 0..12 {
            let all = step == 11 || random.bool();
            let lines: Vec<_> =
                (0..random.usize(0..9)).map(|_| format!("{}{}", step, line(random.usize(2..90)))).collect();
            rig.drain(&lines);
            waiting.extend(lines);
            while let Some(batch) = rig.next(max_lines, max_bytes, all) {
                sequence += 1;
                assert_eq!((batch.sequence(), rig.batcher.sequence()), (sequence, sequence));
                let expected: String = waiting.drain(..batch.len()).collect();
                assert_eq!(batch.bytes(), expected.as_bytes());
                let within = batch.len() <= max_lines && batch.bytes().len() <= max_bytes;
                assert!(within || batch.len() == 1, "{max_lines} {max_bytes} {batch:?}");
                // Unless a whole chunk was passed on, the next line would have exceeded the limit.
                let next = waiting.front().map_or(PLENTY, String::len);
                let full = batch.len() == max_lines || next > max_bytes.saturating_sub(batch.bytes().len());
                assert!(full || batch.bytes().len() > max_bytes / 2, "{max_lines} {max_bytes} {batch:?}");
            }
            let bytes = waiting.iter().map(String::len).sum();
            assert_eq!(rig.holds(), (waiting.len(), bytes, !waiting.is_empty()));
            assert!(if all { waiting.is_empty() } else { waiting.len() < max_lines && bytes < max_bytes });
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_full_by_its_lines_or_by_its_bytes() {
    for (lines, max_lines, max_bytes, is_full) in
        [(3, 4, 31, false), (4, 4, 100, true), (3, 4, 30, true), (3, 3, 1_000, true), (0, 0, 0, false)]
    {
        let mut rig = BatcherRig::new();
        rig.drain(&vec![line(10); lines]);
        let batch = rig.next(max_lines, max_bytes, false);
        assert_eq!(batch.is_some(), is_full, "{lines} lines, {max_lines} and {max_bytes} are full");
    }
}

#[tokio::test(start_paused = true)]
async fn a_line_longer_than_a_batch_goes_alone() {
    let mut rig = BatcherRig::new();
    rig.drain(&[line(10), line(100), line(10)]);
    let sizes: Vec<_> =
        std::iter::from_fn(|| rig.next(50, 30, true)).map(|batch| batch.bytes().len()).collect();
    assert_eq!(sizes, [10, 100, 10]);
}

/// A copy costs time, and a chunk that is passed on costs the buffer a new one.
#[tokio::test(start_paused = true)]
async fn only_a_chunk_that_is_nearly_a_batch_is_passed_on_without_a_copy() {
    for (first, next, max_bytes, is_copied) in [
        (60, None, 100, false),
        (50, None, 100, true),
        (51, None, 100, false),
        (60, Some(41), 100, false),
        (60, Some(40), 100, true),
        // A chunk that does not fit as a whole is cut.
        (101, None, 100, true),
        (100, None, 100, false),
    ] {
        let mut rig = BatcherRig::new();
        rig.drain(&[line(first / 2), line(first - first / 2)]);
        next.into_iter().for_each(|bytes| rig.drain(&[line(bytes)]));
        let chunk = rig.batcher.chunks[0].bytes.as_ptr();
        let batch = rig.next(50, max_bytes, true).expect("a batch");
        assert_eq!(batch.bytes().as_ptr() != chunk, is_copied, "{first} {next:?}");
    }
    // Too many lines, and the rest of a chunk.
    let mut rig = BatcherRig::new();
    rig.drain(&[line(30), line(30), line(30)]);
    let chunk = rig.batcher.chunks[0].bytes.as_ptr();
    for lines in [2, 1] {
        let batch = rig.next(2, 100, true).expect("a batch");
        assert_eq!((batch.len(), batch.bytes().as_ptr() == chunk), (lines, false));
    }
}

#[tokio::test]
async fn waiting_points_are_counted_in_the_buffer_and_after_draining() {
    let mut rig = BatcherRig::new();
    let second = Duration::from_secs(1);
    assert!(!rig.batcher.has_points());
    rig.batcher.timing.arm(second);
    assert!(rig.batcher.has_points(), "in the buffer, until the end of the interval");
    rig.batcher.timing.defer();
    assert!(rig.batcher.has_points(), "in the buffer, deferred");
    rig.batcher.timing.collected(second);
    assert!(!rig.batcher.has_points());
    rig.drain(&[line(10)]);
    assert!(rig.batcher.has_points(), "drained, and in no batch yet");
    assert!(rig.next(PLENTY, PLENTY, true).is_some() && !rig.batcher.has_points());
}

#[tokio::test(start_paused = true)]
async fn the_series_of_all_batches_are_counted() {
    let mut rig = BatcherRig::new();
    for (tag, series) in [("a", 1), ("b", 2), ("a", 2), ("c", 3)] {
        rig.drain(&[format!("x,t={tag} v=1 1\n")]);
        rig.next(50, 1_000, true).expect("a batch");
        assert_eq!(rig.batcher.series(), series, "{tag}");
    }
}
