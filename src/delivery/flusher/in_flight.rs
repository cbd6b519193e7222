//! What is under way: writes, probes, and the disk's and the compressor's work. All of it is polled
//! inside the flusher's own task, so that it ends with it, and so that nothing is lost when it is
//! cancelled.

use std::{
    fmt,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::delivery::{
    batch::Batch,
    sink::{WriteError, WriteErrorKind, Written},
    spool::{LoadError, Spool, SpoolEntry, StoreError},
};

use super::{
    batch_ref::BatchRef,
    bisect::Search,
    compressed::CompressedBatch,
    pending::{Backing, Origin, PendingBatch},
};

/// Few at a time, so one list that is polled as a whole does it.
#[derive(Debug, Default)]
pub(super) struct InFlight(Vec<RunningJob>);

struct RunningJob {
    job: Job,
    work: Work,
}

/// A piece of work that may be cancelled by dropping it.
pub(super) type Work = Pin<Box<dyn Future<Output = JobResult> + Send>>;

/// Who waits for the result. The points are here and not in the work, which therefore can be
/// dropped at any time.
#[derive(Debug)]
pub(super) enum Job {
    Write {
        pending: PendingBatch,
        sent: Sent,
    },
    Search {
        search: Box<Search>,
        sent: Sent,
    },
    Probe {
        sent: Sent,
    },
    Store {
        pending: PendingBatch,
    },
    Compress {
        pending: PendingBatch,
    },
    /// Of so many bytes, as far as one can know before.
    Load {
        bytes: usize,
    },
    Acknowledge,
    Maintain,
}

/// When it was sent, and the circuit breaker's count then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) epoch: u64,
}

/// What is under way, as far as decisions depend on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlightCounts {
    /// Writes and probes: what the sink is busy with.
    pub(super) sends: usize,
    /// Memory of their batches.
    pub(super) bytes: usize,
    pub(super) stores: usize,
    pub(super) probing: bool,
    pub(super) loading: bool,
    pub(super) maintaining: bool,
    /// Something is being sent that may be at fault itself.
    pub(super) suspect: bool,
    /// Points are being sent that were on disk before.
    pub(super) spooled_write: bool,
}

/// How it ended.
#[derive(Debug)]
pub(super) enum JobResult {
    Written(Result<Written, WriteError>),
    Checked(Result<(), WriteError>),
    /// And whether it was to be sent at once.
    Stored(Arc<Spool>, bool, Result<SpoolEntry, StoreError>),
    Compressed(Option<CompressedBatch>),
    Loaded(Backing, Result<Batch, LoadError>),
    Done,
    Panicked,
}

impl InFlight {
    pub(super) fn start(&mut self, job: Job, work: Work) {
        self.0.push(RunningJob { job, work });
    }

    /// Waits for the next piece of work that ends; for ever, while there is none. Nothing is lost
    /// when this is dropped.
    pub(super) async fn next(&mut self) -> (Job, JobResult) {
        poll_fn(|context| {
            for index in 0..self.0.len() {
                if let Poll::Ready(result) = poll_guarded(&mut self.0[index].work, context) {
                    return Poll::Ready((self.0.remove(index).job, result));
                }
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.iter().map(|running| &running.job)
    }

    /// Returns the batches that something is being done with.
    pub(super) fn batches(&self) -> impl Iterator<Item = BatchRef<'_>> {
        self.jobs().filter_map(Job::batch)
    }

    /// Counts what is under way, by kind.
    pub(super) fn counts(&self) -> InFlightCounts {
        let mut counts = InFlightCounts::default();
        for job in self.jobs() {
            counts.sends += usize::from(job.is_send());
            counts.bytes += if job.is_send() { job.memory() } else { 0 };
            counts.stores += usize::from(matches!(job, Job::Store { .. }));
            counts.probing |= matches!(job, Job::Probe { .. });
            counts.loading |= matches!(job, Job::Load { .. });
            counts.maintaining |= matches!(job, Job::Maintain);
            counts.suspect |= job.is_suspect();
            counts.spooled_write |= job.is_spooled_write();
        }
        counts
    }

    /// Returns the bytes that all of it takes.
    pub(super) fn memory(&self) -> usize {
        self.jobs().map(Job::memory).sum()
    }

    /// Returns the bytes of lines that are in memory twice, compressed and not, up to `largest`:
    /// for one body room is set aside.
    pub(super) fn decompressed(&self, largest: usize) -> usize {
        let decompressed: usize = self.jobs().filter_map(Job::pending).map(PendingBatch::decompressed).sum();
        decompressed.min(largest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cancels what `select` names.
    pub(super) fn cancel(&mut self, mut select: impl FnMut(&Job) -> bool) -> Vec<Job> {
        self.0.extract_if(.., |running| select(&running.job)).map(|running| running.job).collect()
    }
}

impl Job {
    fn is_send(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Search { .. } | Self::Probe { .. })
    }

    /// Returns whether points are sent that were on disk before.
    fn is_spooled_write(&self) -> bool {
        matches!(self, Self::Write { pending, .. } if !pending.live && matches!(pending.origin, Origin::Spool(_)))
    }

    /// Returns whether the points themselves may be what fails.
    fn is_suspect(&self) -> bool {
        match self {
            Self::Write { pending, .. } => pending.history.is_suspect(),
            Self::Search { search, .. } => search.is_by_failure(),
            _ => false,
        }
    }

    pub(super) fn pending(&self) -> Option<&PendingBatch> {
        match self {
            Self::Write { pending, .. } | Self::Store { pending } | Self::Compress { pending } => {
                Some(pending)
            }
            _ => None,
        }
    }

    /// Returns the batch that it is about.
    fn batch(&self) -> Option<BatchRef<'_>> {
        match self {
            Self::Search { search, .. } => Some(BatchRef::Search(search)),
            _ => self.pending().map(BatchRef::Pending),
        }
    }

    pub(super) fn memory(&self) -> usize {
        match self {
            Self::Load { bytes } => *bytes,
            _ => self.batch().map_or(0, BatchRef::memory),
        }
    }
}

impl fmt::Debug for RunningJob {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunningJob").field("job", &self.job).finish_non_exhaustive()
    }
}

/// Limits a write in time. A custom sink may never return: after `patience` the write counts as
/// unanswered.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, WriteError>>,
) -> Result<T, WriteError> {
    timeout(patience, work).await.unwrap_or_else(|_| {
        Err(WriteError::new(WriteErrorKind::Timeout, format!("no answer from the sink within {patience:?}")))
    })
}

/// Runs the work, and returns `None` if it panicked.
pub(super) async fn guarded<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Polls work and catches its panic, which must cost neither its batch nor the flusher.
fn poll_guarded(work: &mut Work, context: &mut Context<'_>) -> Poll<JobResult> {
    catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or(Poll::Ready(JobResult::Panicked))
}

#[cfg(test)]
mod tests;
