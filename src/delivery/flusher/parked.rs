//! What belongs to another destination than the one there is now, after a reload.

use super::{bisect::Search, pending::PendingBatch};

/// Pieces of batches that lie in a spool for another destination. Their files stay on disk.
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
