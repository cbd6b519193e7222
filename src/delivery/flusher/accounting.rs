//! Records the results of points in the ledger, in the statistics, and for pending flushes.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    delivery::{
        batch::Batch,
        log_throttle::LogThrottle,
        sink::{WriteError, Written, rejected::RejectedFiles},
    },
    stats::{DropReason, RejectReason, ledger::PointLocation},
};

use super::{batch_ref::BatchRef, flush_waiters::FlushWaiters, shared::Shared};

/// Records results. It decides nothing: every point that it counts is settled elsewhere.
#[derive(Debug)]
pub(super) struct Accounting {
    shared: Arc<Shared>,
    /// The files for refused lines, for people to inspect.
    pub(super) rejected: Option<Arc<RejectedFiles>>,
    pub(super) flushes: FlushWaiters,
    drop_log: LogThrottle,
    reject_log: LogThrottle,
}

impl Accounting {
    pub(super) fn new(shared: Arc<Shared>, rejected: Option<Arc<RejectedFiles>>) -> Self {
        Self {
            shared,
            rejected,
            flushes: FlushWaiters::default(),
            drop_log: LogThrottle::default(),
            reject_log: LogThrottle::default(),
        }
    }

    /// Records that points of a batch were written.
    pub(super) fn written<'a>(&mut self, batch: impl Into<BatchRef<'a>>, points: usize) {
        let batch = batch.into();
        self.shared.ledger.lock().write(batch.location(), points);
        self.flushes.update(batch, |report| report.written += points as u64);
    }

    /// Rejects lines of a batch that the server will never accept.
    pub(super) fn reject<'a>(
        &mut self,
        batch: impl Into<BatchRef<'a>>,
        lines: &Batch,
        reason: RejectReason,
        said: &str,
    ) {
        let batch = batch.into();
        self.shared.ledger.lock().reject(batch.location(), reason, lines.len());
        if let Some(files) = &self.rejected {
            files.write(lines, reason, said);
        }
        self.flushes.update(batch, |report| report.rejected += lines.len() as u64);
        if let Some(others) = self.reject_log.speak() {
            let (points, measurement) = (lines.len(), measurement(lines));
            tracing::warn!(
                target: "tower_influx", points, measurement, %reason, others,
                "points rejected by the server; the others are written: see `last_error` in the statistics for the \
                 server's message, and set `rejected_directory` to keep such lines"
            );
        }
    }

    /// Drops points of a batch, which are then lost.
    pub(super) fn drop_points<'a>(
        &mut self,
        batch: impl Into<BatchRef<'a>>,
        points: usize,
        reason: DropReason,
    ) {
        let batch = batch.into();
        self.shared.ledger.lock().drop_from(batch.location(), reason, points);
        self.flushes.update(batch, |report| report.dropped += points as u64);
        if let Some(others) = self.drop_log.speak() {
            tracing::warn!(
                target: "tower_influx", points, %reason, others,
                "points dropped, they are lost: {}", remedy(reason)
            );
        }
    }

    /// Logs the next drop even if another one was logged shortly before.
    pub(super) fn log_next_drop(&mut self) {
        self.drop_log = LogThrottle::default();
    }

    /// Reports to pending flushes that the points are on disk. The spool itself updates the ledger.
    pub(super) fn spooled<'a>(&mut self, batch: impl Into<BatchRef<'a>>) {
        let batch = batch.into();
        self.flushes.update(batch, |report| report.spooled += batch.points() as u64);
    }

    /// Counts points that a panic of the loop lost, and returns how many. `pending` is the number
    /// of those that still exist.
    pub(super) fn drop_missing(&mut self, pending: usize) -> u64 {
        self.shared.delivery.lock().restarts += 1;
        let mut ledger = self.shared.ledger.lock();
        let lost = ledger.in_flight.saturating_sub(pending as u64);
        ledger.drop_in_flight(DropReason::Internal, lost as usize);
        lost
    }

    /// Counts a successful write of a batch that was created at `since`.
    pub(super) fn write_succeeded(&self, bytes: usize, written: Written, sent: Instant, since: Instant) {
        let mut progress = self.shared.delivery.lock();
        progress.writes.count(Ok(()));
        progress.raw_bytes += bytes as u64;
        progress.wire_bytes += written.wire_bytes;
        progress.write_time.record(sent.elapsed());
        progress.queue_time.record(since.elapsed());
    }

    /// Counts a failed write.
    pub(super) fn write_failed(&self, error: &WriteError) {
        let mut progress = self.shared.delivery.lock();
        progress.last_error = Some(error.report());
        progress.writes.count(Err(error));
        progress.server_reported_dropped += error.reported_dropped;
    }

    /// Shows an error that is not from a write.
    pub(super) fn set_last_error(&self, error: String) {
        self.shared.delivery.lock().last_error = Some(error);
    }

    /// Counts points that are sent again.
    pub(super) fn resent(&self, points: usize) {
        self.shared.delivery.lock().resent += points as u64;
    }

    /// Counts points that were written without columns that the server refuses.
    pub(super) fn stripped(&self, reason: RejectReason, points: usize) {
        *self.shared.delivery.lock().stripped.entry(reason).or_default() += points as u64;
    }
}

/// Returns the number of points that the ledger counts as in flight.
pub(super) fn points_in_memory<'a>(batches: impl Iterator<Item = BatchRef<'a>>) -> usize {
    batches.filter(|batch| batch.location() == PointLocation::Memory).map(BatchRef::points).sum()
}

/// Returns the measurement of the first line. Together with the reason it tells where to look, and
/// no client has chosen it.
fn measurement(lines: &Batch) -> String {
    let line = lines.lines().next().unwrap_or_default();
    let mut escaped = false;
    let end = line.iter().position(|byte| match (escaped, byte) {
        (false, b',' | b' ') => true,
        (false, b'\\') => {
            escaped = true;
            false
        }
        _ => {
            escaped = false;
            false
        }
    });
    String::from_utf8_lossy(&line[..end.unwrap_or(line.len())]).into_owned()
}

fn remedy(reason: DropReason) -> &'static str {
    match reason {
        DropReason::BufferFull => "memory is full; raise `buffer_size`, or give a `spool` directory",
        DropReason::Expired => {
            "they waited longer than `max_retry_time`; check the server, raise it, or give a `spool` directory"
        }
        DropReason::Shutdown => {
            "the time of the shutdown was over and there is no spool; give a `spool` directory, or more time"
        }
        DropReason::SpoolFull => "the spool is full; raise its `max_size` or `max_files`",
        DropReason::SpoolExpired => "they were in the spool for longer than its `max_age`; check the server",
        DropReason::SpoolCorrupt => {
            "their file in the spool was damaged; see what else writes to its directory"
        }
        DropReason::Internal => "the flusher failed; this is a bug, please report it",
    }
}

#[cfg(test)]
mod tests;
