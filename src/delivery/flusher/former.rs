//! Handles the answers of a destination that a reload has replaced meanwhile. Successes count, and
//! nothing else is concluded from them.

use crate::delivery::sink::{WriteError, Written};

use super::{
    bisect::{Accepted, RefusalCache, Search},
    failures::EARLIER_ANSWER,
    in_flight::Sent,
    pending::PendingBatch,
    worker::Worker,
};

impl Worker {
    pub(super) fn formerly_written(
        &mut self,
        mut pending: PendingBatch,
        answer: Result<Written, WriteError>,
        sent: Sent,
    ) {
        match answer {
            Ok(written) => {
                let (bytes, since) = (pending.raw_bytes(), pending.history.since);
                self.accounting.write_succeeded(bytes, written, sent.at, since);
                self.accounting.written(&pending, pending.points());
                self.release(pending.origin);
            }
            Err(error) => {
                self.accounting.write_failed(&error);
                pending.history.acquit();
                self.scheduler.queue.push_front(pending);
            }
        }
    }

    pub(super) fn formerly_searched(
        &mut self,
        mut search: Search,
        answer: Result<Written, WriteError>,
        sent: Sent,
    ) {
        match answer {
            Ok(written) => {
                let Accepted { points, bytes, stripped } = search.accepted(&mut RefusalCache::new(false));
                self.accounting.write_succeeded(bytes, written, sent.at, search.history.since);
                self.accounting.written(&search, points);
                if let Some(reason) = stripped {
                    self.accounting.stripped(reason, points);
                }
            }
            Err(error) => self.accounting.write_failed(&error),
        }
        self.end_search(search);
    }

    /// Ends a search without a verdict about the lines that are left: they are sent as a whole.
    pub(super) fn end_search(&mut self, mut search: Search) {
        self.reject_found(&mut search, EARLIER_ANSWER);
        if search.is_done() {
            return self.release(search.origin);
        }
        if let Some(mut rest) = search.into_rest() {
            rest.history.acquit();
            self.scheduler.queue.push_front(rest);
        }
    }
}
