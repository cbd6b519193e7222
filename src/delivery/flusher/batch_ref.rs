//! A reference to a batch of the flusher, pending or under search.

use crate::stats::ledger::PointLocation;

use super::{
    bisect::Search,
    pending::{History, Origin, PendingBatch},
};

/// A batch in memory, whatever is being done with it.
#[derive(Clone, Copy, Debug)]
pub(super) enum BatchRef<'a> {
    Pending(&'a PendingBatch),
    Search(&'a Search),
}

impl<'a> BatchRef<'a> {
    /// Returns whether pending flushes wait for it.
    pub(super) fn is_live(self) -> bool {
        match self {
            Self::Pending(pending) => pending.live,
            Self::Search(search) => search.live,
        }
    }

    pub(super) fn sequence(self) -> u64 {
        match self {
            Self::Pending(pending) => pending.sequence(),
            Self::Search(search) => search.sequence(),
        }
    }

    pub(super) fn origin(self) -> &'a Origin {
        match self {
            Self::Pending(pending) => &pending.origin,
            Self::Search(search) => &search.origin,
        }
    }

    /// Returns where the ledger counts its points.
    pub(super) fn location(self) -> PointLocation {
        self.origin().location()
    }

    pub(super) fn history(self) -> &'a History {
        match self {
            Self::Pending(pending) => &pending.history,
            Self::Search(search) => &search.history,
        }
    }

    /// Returns the number of points without a final result.
    pub(super) fn points(self) -> usize {
        match self {
            Self::Pending(pending) => pending.points(),
            Self::Search(search) => search.remaining_points(),
        }
    }

    pub(super) fn memory(self) -> usize {
        match self {
            Self::Pending(pending) => pending.memory(),
            Self::Search(search) => search.memory(),
        }
    }
}

impl<'a> From<&'a PendingBatch> for BatchRef<'a> {
    fn from(pending: &'a PendingBatch) -> Self {
        Self::Pending(pending)
    }
}

impl<'a> From<&'a Search> for BatchRef<'a> {
    fn from(search: &'a Search) -> Self {
        Self::Search(search)
    }
}

/// Counts the points of the batches that a flush waits for: those that are only in memory, and
/// those that are also on disk.
pub(super) fn count_live<'a>(batches: impl Iterator<Item = BatchRef<'a>>, up_to: Option<u64>) -> (u64, u64) {
    let concerned =
        batches.filter(|batch| batch.is_live() && up_to.is_none_or(|up_to| batch.sequence() <= up_to));
    concerned.fold((0, 0), |(memory, disk), batch| match batch.location() {
        PointLocation::Memory => (memory + batch.points() as u64, disk),
        PointLocation::Spool => (memory, disk + batch.points() as u64),
    })
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        time::{Duration, SystemTime},
    };

    use tokio::time::Instant;

    use super::*;
    use crate::{
        delivery::{batch::Batch, flusher::pending::Backing, spool::Spool},
        settings::SpoolSettings,
        stats::ledger::Ledger,
    };

    #[tokio::test]
    async fn a_flush_counts_the_live_batches_up_to_its_own_by_where_their_points_are() {
        let directory = tempfile::tempdir().expect("a directory");
        let settings = SpoolSettings::new(directory.path());
        let ledger = Arc::new(Ledger::default());
        let spool = Arc::new(Spool::open(&settings, "test", Arc::clone(&ledger)).expect("opens"));
        let history = History::new(Instant::now(), Duration::ZERO);
        let batch = |sequence, lines: usize| {
            Batch::new("x v=1 1\n".repeat(lines).into(), lines, sequence, SystemTime::UNIX_EPOCH)
        };
        let stored = batch(1, 1);
        ledger.lock().take_off(1);
        let entry = spool.store_taken(&stored).await.expect("stores");
        let disk = Origin::Spool(Arc::new(Backing { spool: Arc::clone(&spool), entry }));
        let batches = [
            (1, 2, Origin::Memory, true),
            (2, 3, Origin::Memory, true),
            (2, 5, disk.clone(), true),
            (3, 7, disk.clone(), true),
            (4, 11, Origin::Memory, true),
            (1, 100, disk, false),
        ]
        .map(|(sequence, lines, origin, live)| {
            PendingBatch::part(batch(sequence, lines), origin, history, live)
        });
        let lines = batch(3, 13);
        let search = Search::failing_batch(&lines, &PendingBatch::live(lines.clone(), history));
        let all = || batches.iter().map(BatchRef::from).chain([BatchRef::from(&search)]);
        for (up_to, counted) in [(Some(0), (0, 0)), (Some(2), (5, 5)), (Some(3), (18, 12)), (None, (29, 12))]
        {
            assert_eq!(count_live(all(), up_to), counted, "{up_to:?}");
        }
    }
}
