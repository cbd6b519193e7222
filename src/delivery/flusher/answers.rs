//! Handles the results of jobs, and moves each batch to its next place.

use std::sync::Arc;

use tokio::time::Instant;

use crate::{
    delivery::{
        sink::{Hint, Refused, WriteError, WriteErrorKind, Written},
        spool::{LoadError, StoreError},
    },
    stats::{DropReason, RejectReason},
};

use super::{
    bisect::{Accepted, RefusalCache, Search},
    conditions::Conditions,
    failures::{Others, Remedy, is_timeout, judge, may_reject, nothing_is_accepted},
    in_flight::{EndedJob, Job, JobResult, Sent},
    pending::{Backing, History, Origin, PendingBatch},
    scheduler::Scheduler,
    start::is_too_long,
    successes::Successes,
    worker::Worker,
};

impl Worker {
    /// Handles the result of a job that has ended.
    pub(super) fn handle_ended(&mut self, EndedJob { job, result, former }: EndedJob) {
        match job {
            Job::Write { pending, sent } if former => self.formerly_written(pending, written(result), sent),
            Job::Search { search, sent } if former => self.formerly_searched(*search, written(result), sent),
            Job::Probe { .. } if former => {}
            job => self.handle_result(job, result),
        }
    }

    fn handle_result(&mut self, job: Job, result: JobResult) {
        match (job, result) {
            (Job::Write { mut pending, sent }, result) => match written(result) {
                Ok(written) => {
                    self.scheduler.learn_accepted(&mut pending, Instant::now());
                    let since = pending.history.since;
                    self.count_success(pending.points(), pending.raw_bytes(), written, sent, since);
                    self.accounting.written(&pending, pending.points());
                    self.release(pending.origin);
                }
                Err(error) => self.write_failed(pending, &error, sent),
            },
            (Job::Search { search, sent }, result) => self.search_answered(*search, written(result), sent),
            (Job::Probe { sent }, result) => match checked(result) {
                // The probe succeeded: one batch now tests whether points are accepted.
                Ok(()) => self.breaker.probe_succeeded(),
                Err(error) => {
                    self.accounting.set_last_error(error.report());
                    self.breaker.probe_failed(&error.kind, sent.epoch, Instant::now());
                }
            },
            (Job::Compress { mut pending }, result) => {
                if let JobResult::Compressed(Some(compressed)) = result {
                    pending.compress(compressed);
                }
                self.scheduler.queue.wait(pending);
            }
            (Job::Store { pending }, result) => self.stored(pending, result),
            (Job::Load { .. }, result) => self.loaded(result),
            (Job::Acknowledge | Job::Maintain { .. }, _) => {}
        }
    }

    fn write_failed(&mut self, mut pending: PendingBatch, error: &WriteError, sent: Sent) {
        if error.kind == WriteErrorKind::TooLarge {
            self.scheduler.pace.limit.refuse(pending.raw_bytes());
        }
        let queue = &self.scheduler.queue;
        let others = Others {
            successes: self.breaker.successes(),
            smaller_accepted: self.scheduler.pace.limit.is_confirmed(),
            searched: !queue.searches.is_empty(),
            none: queue.is_empty() && !self.feeder.has_stored(),
        };
        let judgement = judge(&mut pending, error, others);
        match judgement.nothing_is_accepted {
            true => self.count_failure(&nothing_is_accepted(error), sent, judgement.suspect),
            false => self.count_failure(error, sent, judgement.suspect),
        }
        self.apply(judgement.remedy, pending, &error.report());
    }

    fn apply(&mut self, remedy: Remedy<'_>, mut pending: PendingBatch, said: &str) {
        match remedy {
            Remedy::Resend => return self.scheduler.queue.push_front(pending),
            Remedy::PutBack { behind } => {
                let placement = self.scheduler.put_back(pending, behind, &self.conditions());
                return self.put(placement);
            }
            Remedy::Halve | Remedy::SearchRefused(_) | Remedy::SearchFailing | Remedy::Reject(_) => {}
        }
        let Some(batch) = pending.batch() else { return self.discard(pending, DropReason::Internal) };
        let Scheduler { queue, cache, .. } = &mut self.scheduler;
        match remedy {
            Remedy::Resend | Remedy::PutBack { .. } => {}
            Remedy::Halve => queue.push_pieces(pending.split(&batch, batch.bytes().len() / 2)),
            Remedy::SearchRefused(refused) => {
                let search = Search::refused_batch(&batch, &pending, refused, cache);
                self.move_search(search, true, said);
            }
            Remedy::SearchFailing => queue.searches.push_back(Search::failing_batch(&batch, &pending)),
            Remedy::Reject(reason) => {
                self.accounting.reject(&pending, &batch, reason, said);
                self.release(pending.origin);
            }
        }
    }

    fn search_answered(&mut self, mut search: Search, answer: Result<Written, WriteError>, sent: Sent) {
        let said = answer.as_ref().err().map(WriteError::report).unwrap_or_default();
        let mut goes_on = true;
        match answer {
            Ok(written) => {
                let Accepted { points, bytes, stripped } = search.accepted(&mut self.scheduler.cache);
                self.count_success(points, bytes, written, sent, search.history.since);
                self.accounting.written(&search, points);
                if let Some(reason) = stripped {
                    self.accounting.stripped(reason, points);
                }
            }
            Err(error) => {
                let single = search.testing_points() == 1;
                let nothing = error.kind == WriteErrorKind::TooLarge
                    && single
                    && !self.scheduler.pace.limit.is_confirmed();
                let error = if nothing { nothing_is_accepted(&error) } else { error };
                self.count_failure(&error, sent, true);
                goes_on = search_failed(
                    &mut search,
                    &error,
                    single,
                    self.breaker.successes(),
                    &mut self.scheduler.cache,
                );
            }
        }
        self.move_search(search, goes_on, &said);
    }

    /// Continues a search, first or behind others, or ends it.
    pub(super) fn move_search(&mut self, mut search: Search, goes_on: bool, said: &str) {
        self.reject_found(&mut search, said);
        for column in self.scheduler.cache.newly_refused() {
            tracing::warn!(
                target: "tower_influx", column,
                "column of handlers or settings rejected by the server: points are written without it and counted as \
                 `stripped`, and it is retried later; give it the type that it has in the database, or another name"
            );
        }
        if search.is_done() {
            self.release(search.origin);
        } else if goes_on {
            // One search is finished before the next: each is then done sooner than if all took
            // turns.
            self.scheduler.queue.searches.push_front(search);
        } else {
            self.scheduler.queue.searches.push_back(search);
        }
    }

    /// Rejects the lines that a search has found. With its last line the search ends.
    pub(super) fn reject_found(&mut self, search: &mut Search, said: &str) {
        for (lines, reason) in search.take_rejected() {
            self.accounting.reject(&*search, &lines, reason, said);
        }
    }

    fn count_success(&mut self, points: usize, bytes: usize, written: Written, sent: Sent, since: Instant) {
        debug_assert!(points > 0, "a write of nothing");
        // This success counts as the proof.
        let conditions = Conditions { proven: true, ..self.conditions() };
        let drained = self.batcher.bytes() + self.shared.buffer.sealed_bytes();
        let waiting = self.scheduler.has_waiting(&conditions, self.batcher.timing.is_deferred(), drained)
            || self.feeder.has_stored();
        self.scheduler.pace.succeed(bytes, points, sent, waiting, &conditions);
        self.breaker.write_succeeded();
        self.accounting.write_succeeded(bytes, written, sent.at, since);
    }

    /// Counts a failure. `suspect`: others are accepted, or may be, while this batch is not.
    fn count_failure(&mut self, error: &WriteError, sent: Sent, suspect: bool) {
        let now = Instant::now();
        self.accounting.write_failed(error);
        self.scheduler.pace.fail(error, sent, now);
        self.breaker.write_failed(&error.kind, suspect, sent.epoch, now);
    }

    fn stored(&mut self, mut pending: PendingBatch, result: JobResult) {
        match result {
            JobResult::Stored(spool, true, Ok(entry)) => {
                pending.origin = Origin::Spool(Arc::new(Backing { spool, entry }));
                let conditions = self.conditions();
                match conditions.sending_over {
                    true => self.back_to_spool(pending),
                    false => self.keep(pending, &conditions),
                }
            }
            JobResult::Stored(_, false, Ok(_)) => self.accounting.spooled(&pending),
            JobResult::Stored(spool, _, Err(error)) => {
                if let StoreError::Io(error) = error {
                    self.accounting.set_last_error(format!("the spool could not store a batch: {error}"));
                }
                let (now, current) = (Instant::now(), self.feeder.is_at(&spool));
                if self.feeder.is_usable(now) && (!current || is_too_long(&pending, &spool)) {
                    // After a reload, to another spool or with lower bounds. It is split then.
                    return self.feeder.push(pending);
                }
                if current {
                    self.feeder.rest(now);
                }
                self.store_failed(pending);
            }
            _ => {
                self.feeder.rest(Instant::now());
                self.store_failed(pending);
            }
        }
    }

    pub(super) fn store_failed(&mut self, pending: PendingBatch) {
        let conditions = self.conditions();
        match conditions.sending_over {
            true => self.discard(pending, DropReason::Shutdown),
            false => self.keep(pending, &conditions),
        }
    }

    fn loaded(&mut self, result: JobResult) {
        let JobResult::Loaded(backing, loaded) = result else { return };
        match loaded {
            Ok(batch) => {
                let mut history = History::new(Instant::now(), self.state.blocked_time());
                // It has failed before, so others are sent first.
                history.failures = backing.spool.times_released(&backing.entry).min(1);
                self.scheduler.queue.loaded.push_back(PendingBatch::from_spool(batch, backing, history));
            }
            // The spool has counted and logged it.
            Err(LoadError::Lost) => {}
            Err(LoadError::Io(error)) => {
                tracing::debug!(target: "tower_influx", "spooled batch cannot be read: it stays in the spool and is tried again: {error}");
                backing.spool.release(backing.entry);
            }
        }
    }
}

/// Reports a failure to a search. Returns whether its next piece is sent before other batches.
fn search_failed(
    search: &mut Search,
    error: &WriteError,
    single: bool,
    successes: Successes,
    cache: &mut RefusalCache,
) -> bool {
    let may_reject = may_reject(&error.kind);
    match &error.kind {
        WriteErrorKind::Refused(refused) => search.refused(refused, cache),
        WriteErrorKind::TooLarge => {
            let reason = RejectReason::TooLarge;
            search.refused(&Refused { reason, hint: Hint::Unknown, ..Refused::default() }, cache);
        }
        WriteErrorKind::Broken => search.broke(successes, may_reject, cache),
        _ if is_timeout(error) && !single => search.timed_out(),
        _ => search.failed(successes, may_reject, cache),
    }
    matches!(error.kind, WriteErrorKind::Refused(_) | WriteErrorKind::TooLarge)
}

fn written(result: JobResult) -> Result<Written, WriteError> {
    match result {
        JobResult::Written(result) => result,
        // The panic message may quote a point, so it is not repeated. The panic hook has printed
        // it.
        _ => Err(WriteError::transient("the sink panicked; the batch is kept and tried again")),
    }
}

fn checked(result: JobResult) -> Result<(), WriteError> {
    match result {
        JobResult::Checked(result) => result,
        _ => Err(WriteError::transient("the sink panicked in its probe")),
    }
}

#[cfg(test)]
mod tests;
