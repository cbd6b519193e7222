//! Recovers batches that earlier processes left on disk, and adopts those of processes that die
//! meanwhile.

use super::*;

impl Spool {
    /// Recovers the first batches that an earlier process has left. Their number is limited so that
    /// they do not delay the start. [`maintain`](Self::maintain) recovers the others.
    pub(crate) fn recover_first(&self) {
        self.recover(FIRST_FILES, FIRST_BYTES);
    }

    /// Inspects at most `most` files of our own directory and recovers the batches among them.
    /// Returns true when no file is left to inspect.
    pub(super) fn recover(&self, most: usize, budget: u64) -> bool {
        // The scan is taken out of the lock, since it reads files and logs.
        let Some(mut recovery) = self.recovery().take() else { return true };
        recovery.scan.budget = budget;
        recovery.scan.looks = most;
        while let Some((file, header)) = recovery.scan.next(&self.quarantine) {
            self.enter(&file, &header, &recovery.theirs, &mut recovery.entered);
        }
        if !recovery.scan.has_ended() {
            *self.recovery() = Some(recovery);
            return false;
        }
        self.state().foreign_in_directory = recovery.scan.counts.foreign;
        self.count(recovery.scan.counts);
        self.log_entered(&recovery.entered);
        true
    }

    pub(super) fn adopt_blocking(&self) {
        self.recover(usize::MAX, CHECKED_BYTES);
        if !self.process_directory().is_intact() && self.claim_again().is_err() {
            self.state().errors += 1;
            return;
        }
        let mut entered = RecoveredFiles::default();
        let foreign = self.state().foreign();
        self.take_over(&mut entered);
        self.log_entered(&entered);
        let now = self.state().foreign();
        if now > foreign || now > 0 && !self.state().told_foreign {
            self.state().told_foreign = true;
            self.log_foreign(now);
        }
    }

    /// Begins the scan of our own directory, which was just locked. `theirs` is the clock that it
    /// had.
    pub(super) fn scan_directory(&self, theirs: SpoolClock) -> io::Result<()> {
        let directory = self.process_directory();
        if !directory.is_claimed() {
            return Ok(());
        }
        let scan = Scan::new(&directory.directory(), self.target, 0)?;
        // The mark is saved before any file gets a time of our clock. If the process is killed in
        // between, its files count as younger than they are, but never as older.
        let _ = directory.keep_mark(self.clock.mark());
        drop(directory);
        *self.recovery() = Some(DirectoryScan { scan, theirs, entered: RecoveredFiles::default() });
        Ok(())
    }

    fn take_over(&self, entered: &mut RecoveredFiles) {
        let directory = self.process_directory().directory();
        let Ok(abandoned) = process_directory::abandoned(&self.root, self.target, &directory) else {
            self.state().errors += 1;
            return;
        };
        let (mut foreign, mut budget) = (0, CHECKED_BYTES);
        for left in abandoned {
            if !left.same_target {
                let files = fs_ext::files(&left.directory).into_iter().flatten().flatten();
                foreign += files.filter(|file| file.name.ends_with(".lp")).count() as u64;
                continue;
            }
            let Ok(mut scan) = Scan::new(&left.directory, self.target, budget) else {
                self.state().errors += 1;
                continue;
            };
            let theirs = SpoolClock::resume(left.mark(), &self.machine);
            while let Some((file, header)) = scan.next(&self.quarantine) {
                self.enter(&file, &header, &theirs, entered);
            }
            budget = scan.budget;
            foreign += scan.counts.foreign;
            self.count(scan.counts);
        }
        self.state().foreign_elsewhere = foreign;
    }

    /// Adds a file to the index. Its name must state the time of sealing by our clock, so a file
    /// from elsewhere is renamed into our directory.
    fn enter(&self, file: &Listed, header: &Header, theirs: &SpoolClock, entered: &mut RecoveredFiles) {
        let named = FileName::parse(&file.name);
        if named.is_some_and(|named| named.run == self.run) {
            // This process stored or renamed the file during the scan.
            return;
        }
        let born = match named.and_then(|named| named.born) {
            Some(born) => born.saturating_add_signed(self.clock.ahead_of(theirs)).min(self.clock.now()),
            None => self.clock.before(self.guess_age(header)),
        };
        let id = self.next_number.fetch_add(1, Ordering::Relaxed);
        let directory = self.process_directory().directory();
        let stored = |run, number| StoredFile {
            directory: Arc::clone(&directory),
            created: header.created,
            born,
            run,
            number,
            id,
            points: header.points,
            bytes: header.file_bytes(),
        };
        let as_named = named.map(|named| stored(named.run, named.number));
        let stored = match as_named.filter(|stored| stored.path() == file.path) {
            Some(stored) => stored,
            None => {
                let stored = stored(self.run, id);
                if fs_ext::rename(&file.path, &stored.path()).is_err() {
                    self.state().errors += 1;
                    return;
                }
                stored
            }
        };
        entered.files += 1;
        entered.points += stored.points;
        let mut state = self.state();
        state.queue.insert(stored, false);
        self.ledger.lock().recover(header.points);
        if !state.is_beyond_bounds() {
            return;
        }
        drop(state);
        // Expired entries are dropped first: otherwise they would count as dropped by a full spool.
        let mut dropped = self.drop_expired();
        let beyond = self.drop_beyond_bounds(&mut self.state());
        self.log_full(&beyond);
        dropped.extend(beyond);
        self.delete(&dropped);
    }

    /// Guesses the age of a file whose name does not state it: one of version 0.1, or one copied
    /// here by hand. This is the only use of the system's clock. It is trusted for at most half of
    /// `max_age`, so a wrong clock expires nothing.
    fn guess_age(&self, header: &Header) -> Duration {
        let age = SystemTime::now().duration_since(header.created()).unwrap_or_default();
        age.min(self.state().bounds.max_age / 2)
    }

    fn count(&self, counts: ScanCounts) {
        let mut state = self.state();
        state.corrupt += counts.damaged;
        state.errors += counts.unreadable;
    }

    fn log_entered(&self, entered: &RecoveredFiles) {
        if entered.files > 0 {
            tracing::info!(
                target: "tower_influx",
                directory = %self.root.display(),
                files = entered.files,
                points = entered.points,
                "points recovered from the spool of an earlier process: they will be sent"
            );
        }
    }

    fn log_foreign(&self, files: u64) {
        tracing::warn!(
            target: "tower_influx",
            directory = %self.root.display(),
            files,
            "foreign files in the spool directory, of another server, bucket or version of this crate, or of \
             another program: they stay in place and are not sent; start the service with the settings that \
             wrote them, import them by hand, or delete them"
        );
    }

    fn recovery(&self) -> MutexGuard<'_, Option<DirectoryScan>> {
        self.recovery.lock()
    }
}

/// How many bytes of lines one scan compares with their checksums.
pub(super) const CHECKED_BYTES: u64 = 64 * 1024 * 1024;
/// What the start recovers before it returns.
const FIRST_FILES: usize = 256;
const FIRST_BYTES: u64 = 4 * 1024 * 1024;
