//! Running jobs: writes, probes, and work of the disk and the compressor. They are polled in the
//! flusher's own task, so that they end with it, and cancelling them loses nothing.

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

/// Running jobs. There are few at a time, so a list that is polled as a whole suffices.
#[derive(Debug, Default)]
pub(super) struct InFlight(Vec<RunningJob>);

struct RunningJob {
    job: Job,
    work: Work,
    /// The spools whose files it reads or writes.
    spools: Vec<Arc<Spool>>,
    /// Whether it began before the last reload.
    former: bool,
}

/// A job that has ended.
#[derive(Debug)]
pub(super) struct EndedJob {
    pub(super) job: Job,
    pub(super) result: JobResult,
    /// Whether it began before the last reload. Its answer is one of the former destination.
    pub(super) former: bool,
}

/// The future of a job. Dropping it cancels the job.
pub(super) type Work = Pin<Box<dyn Future<Output = JobResult> + Send>>;

/// A job, with its points. They are not in the future, so that can be dropped at any time.
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
    /// Loads a batch of about this many bytes.
    Load {
        bytes: usize,
    },
    Acknowledge,
    /// Maintains the spool, or those of earlier destinations.
    Maintain {
        retired: bool,
    },
}

/// When it was sent, and the epoch of the circuit breaker at that time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) at: Instant,
    pub(super) epoch: u64,
}

/// The running jobs, as far as decisions depend on them. Jobs from before a reload are not counted:
/// a server or a disk that hangs must not keep the next one from being used. Exceptions say so.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct InFlightCounts {
    /// Writes and probes, which occupy the sink.
    pub(super) sends: usize,
    /// Writes and probes of former destinations.
    pub(super) former_sends: usize,
    /// The memory of the batches of both.
    pub(super) bytes: usize,
    pub(super) stores: usize,
    pub(super) probing: bool,
    pub(super) loading: bool,
    pub(super) maintaining: bool,
    /// Also of the spool from before the reload, which is retired since.
    pub(super) maintaining_retired: bool,
    /// Whether something is being sent that may itself be the cause of failures.
    pub(super) suspect: bool,
    /// Whether points from the disk are being sent.
    pub(super) spooled_write: bool,
}

/// The result of a job.
#[derive(Debug)]
pub(super) enum JobResult {
    Written(Result<Written, WriteError>),
    Checked(Result<(), WriteError>),
    /// With whether it must be sent at once.
    Stored(Arc<Spool>, bool, Result<SpoolEntry, StoreError>),
    Compressed(Option<CompressedBatch>),
    Loaded(Backing, Result<Batch, LoadError>),
    Done,
    Panicked,
}

impl InFlight {
    pub(super) fn start(&mut self, job: Job, work: Work) {
        self.start_with(Vec::new(), job, work);
    }

    /// Starts a job that uses these spools.
    pub(super) fn start_with(&mut self, spools: Vec<Arc<Spool>>, job: Job, work: Work) {
        self.0.push(RunningJob { job, work, spools, former: false });
    }

    /// Records that what runs now began before a reload.
    pub(super) fn replace_destination(&mut self) {
        self.0.iter_mut().for_each(|running| running.former = true);
    }

    /// Returns whether a job uses this spool. It may then get a file that it does not list yet.
    pub(super) fn uses(&self, spool: &Arc<Spool>) -> bool {
        self.0.iter().flat_map(|running| &running.spools).any(|used| Arc::ptr_eq(used, spool))
    }

    /// Waits for the next job that ends, or for ever if there is none. Dropping the future loses
    /// nothing.
    pub(super) async fn next(&mut self) -> EndedJob {
        poll_fn(|context| {
            for index in 0..self.0.len() {
                if let Poll::Ready(result) = poll_guarded(&mut self.0[index].work, context) {
                    let RunningJob { job, former, .. } = self.0.remove(index);
                    return Poll::Ready(EndedJob { job, result, former });
                }
            }
            Poll::Pending
        })
        .await
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.0.iter().map(|running| &running.job)
    }

    /// Returns the batches of all jobs.
    pub(super) fn batches(&self) -> impl Iterator<Item = BatchRef<'_>> {
        self.jobs().filter_map(Job::batch)
    }

    /// Counts the jobs, by kind.
    pub(super) fn counts(&self) -> InFlightCounts {
        let mut counts = InFlightCounts::default();
        for RunningJob { job, former, .. } in &self.0 {
            counts.bytes += if job.is_send() { job.memory() } else { 0 };
            counts.maintaining_retired |= matches!(job, Job::Maintain { retired } if *former || *retired);
            if *former {
                counts.former_sends += usize::from(job.is_send());
                continue;
            }
            counts.sends += usize::from(job.is_send());
            counts.stores += usize::from(matches!(job, Job::Store { .. }));
            counts.probing |= matches!(job, Job::Probe { .. });
            counts.loading |= matches!(job, Job::Load { .. });
            counts.maintaining |= matches!(job, Job::Maintain { retired: false });
            counts.suspect |= job.is_suspect();
            counts.spooled_write |= job.is_spooled_write();
        }
        counts
    }

    /// Returns the memory of all jobs.
    pub(super) fn memory(&self) -> usize {
        self.jobs().map(Job::memory).sum()
    }

    /// Returns the bytes of lines that are held both compressed and decompressed, up to `largest`.
    /// Memory is reserved for one such body.
    pub(super) fn decompressed(&self, largest: usize) -> usize {
        let decompressed: usize = self.jobs().filter_map(Job::pending).map(PendingBatch::decompressed).sum();
        decompressed.min(largest)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Cancels the jobs for which `select` returns true, and returns them.
    pub(super) fn cancel(&mut self, mut select: impl FnMut(&Job) -> bool) -> Vec<Job> {
        self.0.extract_if(.., |running| select(&running.job)).map(|running| running.job).collect()
    }
}

impl Job {
    fn is_send(&self) -> bool {
        matches!(self, Self::Write { .. } | Self::Search { .. } | Self::Probe { .. })
    }

    /// Returns whether it sends points from the disk.
    fn is_spooled_write(&self) -> bool {
        matches!(self, Self::Write { pending, .. } if !pending.live && matches!(pending.origin, Origin::Spool(_)))
    }

    /// Returns whether its points may themselves be the cause of failures.
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

    /// Returns its batch.
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

/// Adds a timeout to a write. A custom sink may never return: after `patience` the write counts as
/// unanswered.
pub(super) async fn within<T>(
    patience: Duration,
    work: impl Future<Output = Result<T, WriteError>>,
) -> Result<T, WriteError> {
    timeout(patience, work).await.unwrap_or_else(|_| {
        Err(WriteError::new(WriteErrorKind::Timeout, format!("no answer from the sink within {patience:?}")))
    })
}

/// Runs the work. Returns `None` if it panicked.
pub(super) async fn guarded<T>(work: impl Future<Output = T>) -> Option<T> {
    let mut work = std::pin::pin!(work);
    poll_fn(|context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
        Ok(poll) => poll.map(Some),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Polls the work and catches its panic, which must lose neither its batch nor the flusher.
fn poll_guarded(work: &mut Work, context: &mut Context<'_>) -> Poll<JobResult> {
    catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))).unwrap_or(Poll::Ready(JobResult::Panicked))
}

#[cfg(test)]
mod tests;
