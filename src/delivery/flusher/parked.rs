//! What belongs to another destination than the one there is now, after a reload.

use super::{
    bisect::Search,
    held::{Held, Origin},
    queue::Next,
    worker::Worker,
};

/// Pieces of batches that lie in a spool for another destination. Their files stay on disk.
#[derive(Debug, Default)]
pub(super) struct Parked {
    batches: Vec<Held>,
    searches: Vec<Search>,
}

impl Parked {
    pub(super) fn memory(&self) -> usize {
        self.batches.iter().map(Held::memory).sum::<usize>()
            + self.searches.iter().map(Search::memory).sum::<usize>()
    }
}

impl Worker {
    /// Sets aside what is for another destination: a whole batch goes back to its spool, pieces
    /// stay in memory.
    pub(super) fn park(&mut self, next: Next) {
        match next {
            Next::Batch(held) => match &held.origin {
                Origin::Spool(backing) if backing.is_whole(held.points()) => self.back_to_spool(held),
                _ => {
                    self.tell_spooled(&held);
                    self.parked.batches.push(held);
                }
            },
            Next::Search(mut search) => {
                let points = search.remaining_points() as u64;
                self.tell_flushes(search.live, search.sequence(), |report| report.spooled += points);
                search.live = false;
                self.parked.searches.push(*search);
            }
        }
    }

    /// Takes up what is for the destination there is now.
    pub(super) fn unpark(&mut self) {
        let target = &self.target;
        let batches = self.parked.batches.extract_if(.., |held| held.origin.is_for(target));
        self.queue.loaded.extend(batches);
        let searches = self.parked.searches.extract_if(.., |search| search.origin.is_for(target));
        self.queue.searches.extend(searches);
    }
}
