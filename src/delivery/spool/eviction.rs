//! What goes when the spool is full or its batches too old, and the removal of files.

use super::*;

impl Spool {
    /// Drops entries beyond the bounds. The caller deletes what is returned, without the lock, and
    /// logs that the spool is full where the second says so: whoever handles a log line may ask for
    /// the statistics, which take the same lock.
    pub(super) fn drop_beyond_bounds(&self, state: &mut State) -> (Vec<Entry>, bool) {
        let dropped = self.drop_while(state, DropReason::SpoolFull, |queue, _| {
            queue.bytes() > self.max_size || queue.files() > self.max_files
        });
        let log = !dropped.is_empty() && state.full_logged_at.is_none_or(|at| at.elapsed() >= LOG_INTERVAL);
        if log {
            state.full_logged_at = Some(Instant::now());
        }
        (dropped, log)
    }

    /// Logs that the spool is full. Must not be called with the lock.
    pub(super) fn log_full(&self) {
        tracing::warn!(
            target: "tower_influx",
            directory = %self.root.display(),
            "the spool is full: the oldest points in it are dropped, as many as new ones come; \
             bring the server back, or raise `spool.max_size` and `spool.max_files`"
        );
    }

    /// Drops expired entries. The caller deletes their files, without the lock.
    pub(super) fn drop_expired(&self, now: SystemTime) -> Vec<Entry> {
        let dropped = self.drop_while(&mut self.state(), DropReason::SpoolExpired, |_, entry| {
            // A clock that has gone back makes nothing older.
            now.duration_since(entry.created()).is_ok_and(|age| age > self.max_age)
        });
        if !dropped.is_empty() {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.root.display(),
                points = dropped.iter().map(Entry::points).sum::<usize>(),
                "points waited in the spool for longer than `spool.max_age` and are dropped; bring the server back, or raise \
                 the bound, though not above what the database keeps"
            );
        }
        dropped
    }

    fn drop_while(
        &self,
        state: &mut State,
        reason: DropReason,
        condition: impl Fn(&Queue, &Entry) -> bool,
    ) -> Vec<Entry> {
        let mut dropped = Vec::new();
        while let Some(entry) = state.queue.remove_oldest(&condition) {
            self.ledger.lock().drop_spooled(reason, entry.points());
            dropped.push(entry);
        }
        dropped
    }

    /// Deletes the files of entries that have left the queue already.
    pub(super) fn delete(&self, entries: &[Entry]) {
        self.delete_paths(entries.iter().map(|entry| &entry.0.path));
    }

    pub(super) fn delete_paths<'a>(&self, paths: impl Iterator<Item = &'a PathBuf>) {
        for path in paths {
            let Err(error) = fs_ext::remove_file(path) else { continue };
            if error.kind() == io::ErrorKind::NotFound {
                continue;
            }
            let mut state = self.state();
            state.errors += 1;
            let first = state.undeleted.is_empty();
            state.undeleted.push(path.clone());
            state.retry_deletes_at = Some(Instant::now() + LOG_INTERVAL);
            drop(state);
            if first {
                tracing::warn!(
                    target: "tower_influx",
                    file = %path.display(),
                    %error,
                    "a spooled file whose points are settled cannot be deleted: it is tried again later, and \
                     if it is still there after a restart its points are sent once more, which changes nothing in the database"
                );
            }
        }
    }

    /// Returns the files whose deletion failed, if it is time to try again.
    pub(super) fn undeleted(&self) -> Vec<PathBuf> {
        let mut state = self.state();
        if state.retry_deletes_at.is_some_and(|at| Instant::now() < at) {
            return Vec::new();
        }
        std::mem::take(&mut state.undeleted)
    }
}

const LOG_INTERVAL: Duration = Duration::from_secs(60);
