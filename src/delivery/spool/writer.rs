//! Writes a batch to disk: under a temporary name, synced, renamed, then counted in the ledger.

use super::*;

impl Spool {
    /// Stores a batch. On success its points have moved from `in_flight` to `spooled` in the
    /// ledger. Entries beyond the bounds are then dropped, oldest first, which may include this
    /// batch.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing was stored: the file is removed, and the ledger is
    /// unchanged.
    pub(crate) async fn store(self: &Arc<Self>, batch: &Batch) -> Result<SpoolEntry, StoreError> {
        self.store_as(batch, false).await
    }

    /// Stores a batch like `store`, but as taken, since it is being sent from memory. Nobody else
    /// takes it, and no bound evicts it.
    pub(crate) async fn store_taken(self: &Arc<Self>, batch: &Batch) -> Result<SpoolEntry, StoreError> {
        self.store_as(batch, true).await
    }

    /// Stores a batch like `store`, on this thread, for shutdown and drop. It tries even while the
    /// spool is switched off, since there is no later attempt.
    pub(crate) fn store_blocking(&self, batch: &Batch) -> Result<SpoolEntry, StoreError> {
        let (file, stored) = self.write(batch).map_err(|error| self.failed(error))?;
        let (entry, dropped) = self.commit(file, stored, false);
        self.delete(&dropped);
        Ok(entry)
    }

    async fn store_as(self: &Arc<Self>, batch: &Batch, taken: bool) -> Result<SpoolEntry, StoreError> {
        {
            let state = self.state();
            if state.off_until.is_some_and(|until| Instant::now() < until) {
                return Err(StoreError::Off);
            }
            if state.is_stuck() {
                drop(state);
                let why = "files that cannot be deleted take all that the spool may take";
                return Err(self.failed(io::Error::other(why)));
            }
        }
        let (spool, copy) = (Arc::clone(self), batch.clone());
        // If this future is dropped meanwhile, nobody receives the file, and its drop removes it.
        // The spool is dropped after that. Otherwise another process could claim the directory and
        // count the file.
        let write = move || (spool.write(&copy), spool);
        let (written, _spool) = match task::spawn_blocking(write).await {
            Ok(written) => written,
            Err(ended) => return Err(StoreError::Io(io::Error::other(ended))),
        };
        let (file, stored) = written.map_err(|error| self.failed(error))?;
        // There must be no await from here on: if the future were dropped after the commit, its
        // caller would count the points a second time.
        let (entry, dropped) = self.commit(file, stored, taken);
        self.delete_off_thread(dropped);
        Ok(entry)
    }

    fn write(&self, batch: &Batch) -> io::Result<(NewFile, StoredFile)> {
        if !self.process_directory().is_intact() {
            self.claim_again()?;
        }
        let directory = self.process_directory().directory();
        match self.write_in(&directory, batch) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.claim_again()?;
                let directory = self.process_directory().directory();
                self.write_in(&directory, batch)
            }
            written => written,
        }
    }

    fn write_in(&self, directory: &Arc<Path>, batch: &Batch) -> io::Result<(NewFile, StoredFile)> {
        let header = Header::new(batch, self.target);
        if header.file_bytes() > self.state().bounds.max_size {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        let stored = StoredFile {
            directory: Arc::clone(directory),
            created: header.created,
            born: self.clock.before(batch.age()),
            run: self.run,
            number,
            id: number,
            points: batch.len(),
            bytes: header.file_bytes(),
        };
        let path = stored.path();
        let mut temporary = path.clone().into_os_string();
        temporary.push(format::TEMPORARY);
        let temporary = PathBuf::from(temporary);
        let file = fs_ext::create_file(&temporary)?;
        let mut new = NewFile { path: temporary, keep: false };
        fs_ext::write_all(&file, &new.path, header.encode().as_bytes())?;
        fs_ext::write_all(&file, &new.path, batch.bytes())?;
        fs_ext::sync_file(&file, &new.path)?;
        drop(file);
        fs_ext::rename(&new.path, &path)?;
        new.path = path;
        fs_ext::sync_directory(directory)?;
        Ok((new, stored))
    }

    /// Claims a directory again. Ours or its lock file was deleted while the process ran, or the
    /// disk had no room for one before.
    pub(super) fn claim_again(&self) -> io::Result<()> {
        let (lost, theirs) = {
            let mut directory = self.process_directory();
            // Its files are still there and in the queue: they must not be recovered a second time.
            if directory.is_intact() {
                return Ok(());
            }
            if directory.relock() {
                return directory.keep_mark(self.clock.mark());
            }
            let new = ProcessDirectory::claim(&self.root, self.target)?;
            let theirs = SpoolClock::resume(new.mark(), &self.machine);
            (std::mem::replace(&mut *directory, new), theirs)
        };
        if lost.is_claimed() {
            tracing::warn!(
                target: "tower_influx",
                directory = %lost.directory().display(),
                "spool directory deleted while in use: the points stored in it are lost; it has been created \
                 again for new points; keep other programs out of the directory"
            );
        }
        self.scan_directory(theirs)?;
        self.recover(usize::MAX, adopt::CHECKED_BYTES);
        Ok(())
    }

    fn commit(&self, mut file: NewFile, stored: StoredFile, taken: bool) -> (SpoolEntry, Vec<SpoolEntry>) {
        file.keep = true;
        let points = stored.points;
        let mut state = self.state();
        let entry = state.queue.insert(stored, taken);
        self.ledger.lock().spool(points);
        let again = state.off_until.take().is_some();
        let dropped = self.drop_beyond_bounds(&mut state);
        drop(state);
        if again {
            tracing::info!(target: "tower_influx", "points are stored in the spool again");
        }
        self.log_full(&dropped);
        (entry, dropped)
    }

    fn failed(&self, error: io::Error) -> StoreError {
        let mut state = self.state();
        state.errors += 1;
        // A batch that is larger than the spool's bound says nothing about the disk.
        if error.kind() != io::ErrorKind::FileTooLarge {
            let first = state.switch_off();
            drop(state);
            if first {
                log_off(&error, &self.root);
            }
        }
        StoreError::Io(error)
    }
}

pub(super) fn log_off(error: &io::Error, directory: &Path) {
    tracing::warn!(
        target: "tower_influx",
        directory = %directory.display(),
        %error,
        "points cannot be stored in the spool: they stay in memory, up to `buffer_size`, and storing is retried \
         every minute; free disk space, or make the directory writable"
    );
}

/// A new file that the ledger does not count yet. It is removed on drop unless it is kept.
#[derive(Debug)]
struct NewFile {
    path: PathBuf,
    keep: bool,
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.keep {
            let _ = fs_ext::remove_file(&self.path);
        }
    }
}
