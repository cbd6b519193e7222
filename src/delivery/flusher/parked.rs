//! Pieces of batches for another destination than the current one, after a reload.

use super::{bisect::Search, pending::PendingBatch};

/// Pieces of batches in a spool for another destination. Their files stay on disk.
#[derive(Debug, Default)]
pub(super) struct Parked {
    pub(super) batches: Vec<PendingBatch>,
    pub(super) searches: Vec<Search>,
}

impl Parked {
    pub(super) fn memory(&self) -> usize {
        self.batches.iter().map(PendingBatch::memory).sum::<usize>()
            + self.searches.iter().map(Search::memory).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use tokio::time::Instant;

    use super::*;
    use crate::delivery::{batch::Batch, flusher::pending::History};

    #[test]
    fn batches_that_are_set_aside_count_as_memory() {
        let batch = |lines: usize| {
            let text = "x v=1 1\n".repeat(lines);
            Batch::new(text.into(), lines, 1, SystemTime::UNIX_EPOCH)
        };
        let pending = |lines| PendingBatch::live(batch(lines), History::new(Instant::now(), Duration::ZERO));
        let search = || Search::failing_batch(&batch(5), &pending(5));
        let mut parked = Parked::default();
        assert_eq!(parked.memory(), 0);
        parked.batches.extend([pending(1_000), pending(10)]);
        parked.searches.extend([search(), search()]);
        let batches = pending(1_000).memory() + pending(10).memory();
        assert_eq!(parked.memory(), batches + 2 * search().memory());
    }
}
