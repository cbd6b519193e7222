//! Maintenance of a spool: expired batches are dropped, and failed deletions are tried again.

use super::{state::MARK_INTERVAL, *};

impl Spool {
    /// Returns whether the entry has waited for longer than `max_age`.
    pub(crate) fn is_expired(&self, entry: &SpoolEntry) -> bool {
        self.clock.age(entry.0.born) > self.state().bounds.max_age
    }

    /// Returns when the entry will have waited for longer than `max_age`, or `None` if that instant
    /// is out of range.
    pub(crate) fn expiry(&self, entry: &SpoolEntry) -> Option<Instant> {
        let (now, age) = (Instant::now(), self.clock.age(entry.0.born));
        match self.state().bounds.max_age.checked_sub(age) {
            Some(left) => now.checked_add(left.saturating_add(MILLISECOND)),
            None => Some(now),
        }
    }

    /// Returns when [`maintain`](Self::maintain) is due next, as far as is known now.
    pub(crate) fn next_maintenance(&self) -> Option<Instant> {
        let (oldest, retry, mark) = {
            let state = self.state();
            let oldest = state.queue.oldest_waiting().cloned();
            (oldest, state.retry_deletes_at, (state.queue.files() > 0).then_some(state.mark_at))
        };
        [oldest.and_then(|oldest| self.expiry(&oldest)), retry, mark].into_iter().flatten().min()
    }

    /// Drops expired batches, retries failed deletions, and saves the clock's mark. With `adopt` it
    /// also recovers what is left to inspect in our directory, and the batches of processes that
    /// have died.
    pub(crate) async fn maintain(self: &Arc<Self>, adopt: bool) {
        let spool = Arc::clone(self);
        let _ = task::spawn_blocking(move || spool.maintain_blocking(adopt)).await;
    }

    pub(super) fn maintain_blocking(&self, adopt: bool) {
        if adopt {
            self.adopt_blocking();
        }
        self.delete(&self.drop_expired());
        self.delete(&self.take_undeleted());
        let mark_is_due = {
            let mut state = self.state();
            let (now, due) = (Instant::now(), state.mark_at);
            state.mark_at = if due <= now { now + MARK_INTERVAL } else { due };
            due <= now
        };
        if mark_is_due {
            // If this fails, batches count as younger than they are after a restart of the machine.
            // Nothing worse happens.
            let _ = self.process_directory().keep_mark(self.clock.mark());
        }
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        // The next process then knows how old the batches are, even if the machine is restarted
        // before it starts.
        let _ = self.process_directory().keep_mark(self.clock.mark());
    }
}

/// The clock has a resolution of one millisecond, so an entry expires one later.
const MILLISECOND: Duration = Duration::from_millis(1);
