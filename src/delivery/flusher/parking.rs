//! Sets aside what belongs to another destination, and takes it up again.

use super::{pending::Origin, queue::Next, worker::Worker};

impl Worker {
    /// Sets aside what is for another destination: a whole batch goes back to its spool, pieces
    /// stay in memory.
    pub(super) fn park(&mut self, next: Next) {
        match next {
            Next::Batch(pending) => match &pending.origin {
                Origin::Spool(backing) if backing.is_whole(pending.points()) => self.back_to_spool(pending),
                _ => {
                    self.report_spooled(&pending);
                    self.parked.batches.push(pending);
                }
            },
            Next::Search(mut search) => {
                let points = search.remaining_points() as u64;
                self.update_flush_reports(search.live, search.sequence(), |report| report.spooled += points);
                search.live = false;
                self.parked.searches.push(*search);
            }
        }
    }

    /// Takes up what is for the destination there is now.
    pub(super) fn unpark(&mut self) {
        let target = &self.target;
        let batches = self.parked.batches.extract_if(.., |pending| pending.origin.is_for(target));
        self.queue.loaded.extend(batches);
        let searches = self.parked.searches.extract_if(.., |search| search.origin.is_for(target));
        self.queue.searches.extend(searches);
    }
}
