//! What the spools need when nothing else happens.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::{Duration, Instant};

use crate::stats::DropReason;

use super::{
    bisect::Search,
    in_flight::{Job, JobOutcome},
    pending::{Origin, PendingBatch},
    worker::Worker,
};

impl Worker {
    /// Drops batches that have waited in a spool for too long, tries again to delete files, and
    /// looks for what dead processes have left.
    pub(super) fn maintain_spools(&mut self) {
        self.release_spools();
        let next = self.next_maintenance();
        // Looked at afterwards: what is due already is due at the moment of the question.
        let now = Instant::now();
        if next.is_none_or(|next| now < next) {
            return;
        }
        self.expire_loaded();
        let adopt = self.next_adoption <= now;
        if adopt {
            self.next_adoption = now + ADOPTION_INTERVAL;
        }
        let own = self.spool.iter().map(|spool| (Arc::clone(spool), adopt));
        let retired = self.retired.iter().map(|spool| (Arc::clone(spool), false));
        let spools: Vec<_> = own.chain(retired).collect();
        let work = async move {
            for (spool, adopt) in spools {
                spool.maintain(adopt).await;
            }
            JobOutcome::Done
        };
        self.in_flight.start(Job::Maintain, Box::pin(work));
    }

    /// Returns when [`maintain_spools`](Self::maintain_spools) has something to do. `None` while it
    /// is being done, and where there is no spool.
    pub(super) fn next_maintenance(&self) -> Option<Instant> {
        if self.closing.is_some() || self.in_flight.jobs().any(|job| matches!(job, Job::Maintain)) {
            return None;
        }
        let adoption = self.spool.as_ref().map(|_| self.next_adoption);
        let spools = self.spool.iter().chain(&self.retired).filter_map(|spool| spool.next_maintenance());
        let batches = self.queue.batches().map(|pending| &pending.origin);
        let searches = self.queue.searches.iter().map(|search| &search.origin);
        let in_memory = batches.chain(searches).filter_map(expiry);
        adoption.into_iter().chain(spools).chain(in_memory).min()
    }

    /// Gives up the directories of earlier destinations in which nothing is left.
    fn release_spools(&mut self) {
        let before = self.retired.len();
        self.retired.retain(|spool| !spool.is_done());
        if self.retired.len() < before {
            self.shared.set_retired(&self.retired);
        }
    }

    /// Drops what lies in a spool, waits in memory too, and is too old: a batch that was loaded to
    /// be sent, or what is left of one that is divided.
    fn expire_loaded(&mut self) {
        let mut expired = Vec::new();
        for queue in [&mut self.queue.fresh, &mut self.queue.waiting, &mut self.queue.loaded] {
            let (gone, kept): (VecDeque<PendingBatch>, _) =
                queue.drain(..).partition(|pending| is_expired(&pending.origin));
            *queue = kept;
            expired.extend(gone);
        }
        for pending in expired {
            let (points, sequence) = (pending.points(), pending.sequence());
            self.drop_points(
                points,
                sequence,
                pending.live,
                pending.origin.place(),
                DropReason::SpoolExpired,
            );
            self.release(pending.origin);
        }
        let (gone, kept): (VecDeque<Search>, _) =
            self.queue.searches.drain(..).partition(|search| is_expired(&search.origin));
        self.queue.searches = kept;
        for search in gone {
            self.end_search(search, DropReason::SpoolExpired);
        }
    }
}

fn is_expired(origin: &Origin) -> bool {
    matches!(origin, Origin::Spool(backing) if backing.spool.is_expired(&backing.entry))
}

fn expiry(origin: &Origin) -> Option<Instant> {
    match origin {
        Origin::Spool(backing) => backing.spool.expiry(&backing.entry),
        Origin::Memory => None,
    }
}

const ADOPTION_INTERVAL: Duration = Duration::from_secs(10 * 60);
