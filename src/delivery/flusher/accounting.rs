//! What becomes of points, told to the ledger, to the statistics, and to those who wait for a
//! flush.

use std::{collections::VecDeque, sync::Arc};

use tokio::time::{Duration, Instant};

use crate::{
    delivery::{
        batch::Batch,
        sink::{WriteError, Written},
    },
    stats::{DropReason, RejectReason, ledger::PointLocation},
};

use super::{
    bisect::Search,
    in_flight::{Job, Sent},
    pending::{History, Origin, PendingBatch},
    worker::Worker,
};

impl Worker {
    pub(super) fn record_written(&mut self, origin: &Origin, live: bool, sequence: u64, points: usize) {
        self.ledger.lock().write(origin.place(), points);
        self.update_flush_reports(live, sequence, |report| report.written += points as u64);
    }

    /// Rejects lines that the server will never accept.
    pub(super) fn reject(
        &mut self,
        lines: &Batch,
        reason: RejectReason,
        place: PointLocation,
        live: bool,
        said: &str,
    ) {
        self.ledger.lock().reject(place, reason, lines.len());
        if let Some(files) = &self.rejected {
            files.write(lines, reason, said);
        }
        self.update_flush_reports(live, lines.sequence(), |report| report.rejected += lines.len() as u64);
        if let Some(others) = self.reject_log.speak() {
            let (points, measurement) = (lines.len(), measurement(lines));
            tracing::warn!(
                target: "tower_influx", points, measurement, %reason, others,
                "the server refuses these points permanently; they are counted as rejected and the others are written: \
                 see `last_error` in the statistics for what it says, and set `rejected_directory` to keep such lines"
            );
        }
    }

    /// Drops a batch that is only in memory, for a reason of ours; one that is also on disk just
    /// leaves the memory.
    pub(super) fn discard(&mut self, pending: PendingBatch, reason: DropReason) {
        let (points, sequence) = (pending.points(), pending.sequence());
        match pending.origin {
            Origin::Memory => self.drop_points(points, sequence, pending.live, PointLocation::Memory, reason),
            Origin::Spool(_) => self.back_to_spool(pending),
        }
    }

    pub(super) fn drop_points(
        &mut self,
        points: usize,
        sequence: u64,
        live: bool,
        place: PointLocation,
        reason: DropReason,
    ) {
        self.ledger.lock().drop_from(place, reason, points);
        self.update_flush_reports(live, sequence, |report| report.dropped += points as u64);
        if let Some(others) = self.drop_log.speak() {
            tracing::warn!(
                target: "tower_influx", points, %reason, others,
                "points are lost and counted as dropped: {}", remedy(reason)
            );
        }
    }

    /// Releases the origin, all of whose points are settled.
    pub(super) fn release(&mut self, origin: Origin) {
        if let Origin::Spool(backing) = origin
            && let Some(backing) = Arc::into_inner(backing)
        {
            self.acknowledge(backing);
        }
    }

    pub(super) fn count_success(
        &mut self,
        points: usize,
        bytes: usize,
        written: Written,
        sent: Sent,
        history: &History,
    ) {
        debug_assert!(points > 0, "a write of nothing");
        self.body_limit.accept(bytes);
        self.pace_success(bytes, points, sent);
        self.breaker.write_succeeded();
        let mut progress = self.shared.delivery.lock();
        progress.writes.count(Ok(()));
        progress.raw_bytes += bytes as u64;
        progress.wire_bytes += written.wire_bytes;
        progress.write_time.record(sent.at.elapsed());
        progress.queue_time.record(history.since.elapsed());
    }

    /// Counts a failure. `suspect`: others are taken, or may be, while this one is not.
    pub(super) fn count_failure(&mut self, error: &WriteError, sent: Sent, suspect: bool) {
        self.note_error(error);
        self.pace_failure(error, sent);
        let mut progress = self.shared.delivery.lock();
        progress.writes.count(Err(error));
        progress.server_reported_dropped += error.reported_dropped;
        drop(progress);
        self.breaker.write_failed(&error.kind, suspect, sent.epoch, Instant::now());
    }

    pub(super) fn note_error(&mut self, error: &WriteError) {
        self.shared.delivery.lock().last_error = Some(error.report());
    }

    /// Drops what has waited in memory for too long. Time in which the sink was blocked does not
    /// count, since nothing but somebody's action could have ended it.
    pub(super) fn expire(&mut self) {
        let now = Instant::now();
        if self.next_expiry().is_none_or(|expiry| expiry > now) {
            return;
        }
        let (limit, blocked) = (self.settings.max_retry_time, self.blocked_so_far());
        let old = |origin: &Origin, history: &History| {
            matches!(origin, Origin::Memory)
                && expiry(history, limit, blocked).is_some_and(|expiry| expiry <= now)
        };
        let batches = [&mut self.queue.fresh, &mut self.queue.waiting];
        let expired: Vec<PendingBatch> = batches
            .into_iter()
            .flat_map(|queue| {
                let (gone, kept): (VecDeque<PendingBatch>, _) =
                    queue.drain(..).partition(|pending| old(&pending.origin, &pending.history));
                *queue = kept;
                gone
            })
            .collect();
        for pending in expired {
            self.discard(pending, DropReason::Expired);
        }
        let (gone, kept): (VecDeque<Search>, _) =
            self.queue.searches.drain(..).partition(|search| old(&search.origin, &search.history));
        self.queue.searches = kept;
        for search in gone {
            self.end_search(search, DropReason::Expired);
        }
    }

    pub(super) fn next_expiry(&self) -> Option<Instant> {
        if self.blocked_since.is_some() {
            return None;
        }
        let pending = self
            .queue
            .fresh
            .iter()
            .chain(&self.queue.waiting)
            .map(|pending| (&pending.origin, &pending.history));
        let searched = self.queue.searches.iter().map(|search| (&search.origin, &search.history));
        let memory = pending.chain(searched).filter(|(origin, _)| matches!(origin, Origin::Memory));
        let (limit, blocked) = (self.settings.max_retry_time, self.blocked_so_far());
        memory.filter_map(|(_, history)| expiry(history, limit, blocked)).min()
    }

    pub(super) fn blocked_so_far(&self) -> Duration {
        self.blocked_total + self.blocked_since.map(|since| since.elapsed()).unwrap_or_default()
    }

    /// Counts the batches in memory, in flight or not.
    pub(super) fn batches_in_hand(&self) -> usize {
        let wire = self
            .in_flight
            .jobs()
            .filter(|job| matches!(job, Job::Search { .. }) || job.pending().is_some())
            .count();
        wire + self.queue.batches().count() + self.queue.searches.len() + self.to_store.len()
    }
}

/// Returns when a batch has waited long enough, if the sink is not blocked again before. `None` is
/// beyond what the clock can count.
fn expiry(history: &History, limit: Duration, blocked: Duration) -> Option<Instant> {
    history.since.checked_add(limit)?.checked_add(blocked.saturating_sub(history.blocked_before))
}

/// Returns the measurement of the first line: with the reason it tells where to look, and it is
/// never a client's words.
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
        DropReason::SpoolExpired => "they lay in the spool longer than its `max_age`; check the server",
        DropReason::SpoolCorrupt => {
            "their file in the spool was damaged; see what else writes to its directory"
        }
        DropReason::Internal => "the flusher failed; this is a bug, please report it",
    }
}
