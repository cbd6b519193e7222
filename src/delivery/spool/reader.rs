//! The way back from disk: what was found at start, what dead processes left, and single batches to
//! be sent.

use super::*;

impl Spool {
    /// Takes over all that lies in our own directory and in those of dead processes.
    pub(super) fn recover(&self) -> io::Result<()> {
        if !self.home().is_claimed() {
            return Ok(());
        }
        let mut budget = CHECKED_BYTES;
        let scan = recovery::scan(&self.home().directory(), self.target, &self.quarantine, &mut budget)?;
        self.state().foreign_at_home = scan.foreign;
        self.count(&scan);
        let mut entered = Entered::default();
        for (path, header) in scan.batches {
            self.enter(path, &header, &mut entered);
        }
        self.take_over(&mut budget, &mut entered);
        let foreign = self.counts().foreign;
        if foreign > 0 {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.root.display(),
                files = foreign,
                "files in the spool's directory are for another server, bucket or version of this crate, or not ours: \
                 they are left alone; start the service with the settings they were written with, import them by hand, \
                 or delete them"
            );
        }
        self.settle(&entered);
        Ok(())
    }

    pub(super) fn adopt_blocking(&self) {
        if !self.home().is_intact() && self.claim_again().is_err() {
            self.state().errors += 1;
            return;
        }
        let mut entered = Entered::default();
        self.take_over(&mut { CHECKED_BYTES }, &mut entered);
        self.settle(&entered);
    }

    fn take_over(&self, budget: &mut u64, entered: &mut Entered) {
        let home = self.home().directory();
        let Ok(abandoned) = process_directory::abandoned(&self.root, self.target, &home) else {
            self.state().errors += 1;
            return;
        };
        let mut foreign = 0;
        for left in abandoned {
            if !left.same_target {
                let files = fs_ext::list(&left.directory).unwrap_or_default();
                foreign += files.iter().filter(|file| file.name.ends_with(".lp")).count() as u64;
                continue;
            }
            let Ok(scan) = recovery::scan(&left.directory, self.target, &self.quarantine, budget) else {
                self.state().errors += 1;
                continue;
            };
            self.count(&scan);
            foreign += scan.foreign;
            for (path, header) in scan.batches {
                let created = header.created(SystemTime::now());
                let number = self.next_number.fetch_add(1, Ordering::Relaxed);
                let place = home.join(format::name(created, self.run, number));
                match fs_ext::rename(&path, &place) {
                    Ok(()) => self.enter(place, &header, entered),
                    Err(_) => self.state().errors += 1,
                }
            }
        }
        self.state().foreign_elsewhere = foreign;
    }

    /// Applies the bounds to new entries, which may be more or older than they allow.
    fn settle(&self, entered: &Entered) {
        if entered.files > 0 {
            tracing::info!(
                target: "tower_influx",
                directory = %self.root.display(),
                files = entered.files,
                points = entered.points,
                "recovered from the spool what an earlier process has left: it will be sent"
            );
        }
        let mut dropped = self.drop_expired(SystemTime::now());
        let (beyond, full) = self.drop_beyond_bounds(&mut self.state());
        if full {
            self.log_full();
        }
        dropped.extend(beyond);
        self.delete(&dropped);
    }

    pub(super) fn load_blocking(&self, entry: &Entry) -> Result<Batch, LoadError> {
        let path = &entry.0.path;
        let read = format::read_header(path, self.target).and_then(|(found, file)| match found {
            Found::Batch(header) => {
                let lines = format::read_lines(&file, &header)?;
                Ok(header.batch(lines, SystemTime::now()).ok_or(Some(recovery::LINES)))
            }
            Found::Damaged(why) => Ok(Err(Some(why))),
            Found::OtherTarget | Found::NewerVersion => Ok(Err(None)),
        });
        match read {
            Ok(Ok(batch)) if batch.len() == entry.points() => Ok(batch),
            // Somebody has put another file in its place: that one is left alone.
            Ok(Ok(_) | Err(None)) => Err(self.lose(entry, None)),
            Ok(Err(Some(why))) => Err(self.lose(entry, Some(why))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.lose(entry, None)),
            Err(error) => {
                let mut state = self.state();
                state.errors += 1;
                if state.queue.count_unreadable(entry) < READS {
                    return Err(LoadError::Io(error));
                }
                drop(state);
                Err(self.lose(entry, Some("it could not be read three times")))
            }
        }
    }

    /// Removes an entry whose file does not hold its batch any more. With a reason for it, the file
    /// is moved away.
    fn lose(&self, entry: &Entry, why: Option<&str>) -> LoadError {
        match why {
            Some(why) => drop(self.quarantine.take(&entry.0.path, why)),
            None => tracing::warn!(
                target: "tower_influx",
                file = %entry.0.path.display(),
                points = entry.points(),
                "a spooled file was deleted or replaced by somebody: its points are lost and counted as `spool_corrupt`; \
                 keep other programs out of the directory"
            ),
        }
        let mut state = self.state();
        if state.queue.remove(entry) {
            state.corrupt += 1;
            self.ledger.lock().drop_spooled(DropReason::SpoolCorrupt, entry.points());
        }
        LoadError::Lost
    }

    fn enter(&self, path: PathBuf, header: &Header, entered: &mut Entered) {
        entered.files += 1;
        entered.points += header.points;
        let stored = Stored {
            path,
            points: header.points,
            bytes: header.file_bytes(),
            created: header.created(SystemTime::now()),
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
        };
        let mut state = self.state();
        state.queue.insert(stored, false);
        self.ledger.lock().recover(header.points);
    }

    fn count(&self, scan: &Scan) {
        let mut state = self.state();
        state.corrupt += scan.damaged;
        state.errors += scan.unreadable;
    }
}

/// What one look has brought.
#[derive(Debug, Default)]
struct Entered {
    files: usize,
    points: usize,
}

/// How many bytes of lines are compared with their checksums in one look at what is there.
const CHECKED_BYTES: u64 = 64 * 1024 * 1024;
/// How often a file that cannot be read is tried.
const READS: u32 = 3;
