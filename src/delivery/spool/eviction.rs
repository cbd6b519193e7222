//! Eviction of batches when the spool is full or they are too old, and deletion of files.

use super::*;

impl Spool {
    /// Drops entries beyond the bounds. The caller deletes the returned entries and logs them with
    /// [`log_full`](Self::log_full) after it has released the lock. A log handler may read the
    /// statistics, which take the same lock.
    pub(super) fn drop_beyond_bounds(&self, state: &mut SpoolState) -> Vec<SpoolEntry> {
        let Bounds { max_size, max_files, .. } = state.bounds;
        self.drop_while(state, DropReason::SpoolFull, |queue, _| {
            queue.bytes() > max_size || queue.files() > max_files
        })
    }

    /// Logs that the spool is full. Must not be called under the lock.
    pub(super) fn log_full(&self, dropped: &[SpoolEntry]) {
        if dropped.is_empty() {
            return;
        }
        if let Some(others) = self.log.full.speak() {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.root.display(),
                points = points(dropped),
                others,
                "points dropped, the spool is full: the oldest stored points make room for new ones; restore the \
                 server, or raise `spool.max_size` and `spool.max_files`"
            );
        }
    }

    /// Drops expired entries and returns them. The caller deletes them. Must not be called under
    /// the lock.
    pub(super) fn drop_expired(&self) -> Vec<SpoolEntry> {
        let dropped = {
            let mut state = self.state();
            let max_age = state.bounds.max_age;
            self.drop_while(&mut state, DropReason::SpoolExpired, |_, entry| {
                self.clock.age(entry.0.born) > max_age
            })
        };
        self.log_expired(&dropped);
        dropped
    }

    /// Logs that batches have expired. Must not be called under the lock.
    pub(super) fn log_expired(&self, dropped: &[SpoolEntry]) {
        if dropped.is_empty() {
            return;
        }
        if let Some(others) = self.log.expired.speak() {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.root.display(),
                points = points(dropped),
                others,
                "points dropped, they were in the spool for longer than `spool.max_age`; restore the server, or \
                 raise `spool.max_age`, but not above the retention of the database"
            );
        }
    }

    fn drop_while(
        &self,
        state: &mut SpoolState,
        reason: DropReason,
        condition: impl Fn(&Queue, &SpoolEntry) -> bool,
    ) -> Vec<SpoolEntry> {
        let mut dropped = Vec::new();
        while let Some(entry) = state.queue.remove_oldest(&condition) {
            self.ledger.lock().drop_spooled(reason, entry.points());
            dropped.push(entry);
        }
        dropped
    }

    /// Deletes the files of entries that were removed from the queue.
    pub(super) fn delete(&self, entries: &[SpoolEntry]) {
        for entry in entries {
            let path = entry.0.path();
            let Err(error) = fs_ext::remove_file(&path) else { continue };
            if error.kind() == io::ErrorKind::NotFound {
                continue;
            }
            let mut state = self.state();
            state.errors += 1;
            state.undeleted.push(entry.clone());
            state.retry_deletes_at = Some(Instant::now() + RETRY_INTERVAL);
            drop(state);
            if let Some(others) = self.log.undeleted.speak() {
                tracing::warn!(
                    target: "tower_influx",
                    file = %path.display(),
                    %error,
                    others,
                    "spooled file of settled points cannot be deleted: deletion is retried every minute; if the \
                     file is still there after a restart, its points are sent again, which InfluxDB stores once; \
                     make the directory writable"
                );
            }
        }
    }

    /// Deletes files in the background. A deletion that fails is due again in a minute, so the next
    /// maintenance is scheduled here.
    pub(super) fn delete_off_thread(self: &Arc<Self>, entries: Vec<SpoolEntry>) {
        if entries.is_empty() {
            return;
        }
        self.state().retry_deletes_at.get_or_insert_with(|| Instant::now() + RETRY_INTERVAL);
        let spool = Arc::clone(self);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || spool.delete(&entries))),
            Err(_) => self.delete(&entries),
        }
    }

    /// Takes the files whose deletion failed, if the next attempt is due.
    pub(super) fn take_undeleted(&self) -> Vec<SpoolEntry> {
        let mut state = self.state();
        if state.retry_deletes_at.is_none_or(|at| Instant::now() < at) {
            return Vec::new();
        }
        state.retry_deletes_at = None;
        std::mem::take(&mut state.undeleted)
    }
}

fn points(entries: &[SpoolEntry]) -> usize {
    entries.iter().map(SpoolEntry::points).sum()
}

/// How long to wait after a failed deletion.
const RETRY_INTERVAL: Duration = Duration::from_secs(60);
