//! Batches that wait on disk.
//!
//! # Format
//!
//! ```text
//! DIRECTORY/                                        `spool.directory`, mode 0700
//!   0123456789abcdef-0/                             one for each process: hash of the target, smallest free number
//!     lock                                          locked as long as the process lives; holds the clock's mark
//!     batch-20260603T101112Z-7f3a9c21-000042-1000000000007.lp      one batch
//!     batch-20260603T101113Z-7f3a9c21-000043-1000000001007.lp.new  one that is being written
//!   corrupt/                                        files that are not as they were written
//! ```
//!
//! A name consists of the UTC second in which the batch was sealed, a random number of the process,
//! a counter, and a time in milliseconds. That is the time of sealing by the spool's own [clock],
//! which measures the age of batches. Names written by version 0.1 lack it.
//!
//! A file is valid line protocol, so people can read it, search it, and import it by hand. Its
//! first line is a comment:
//!
//! ```text
//! # tower-influx spool version=1 sequence=7 created=… points=5000 bytes=812345 target=0123456789abcdef lines=89abcdef check=01234567
//! ```
//!
//! `created` is the time of sealing in nanoseconds since the epoch. `bytes` is the length of the
//! lines after the comment, and `lines` their CRC-32. `target` is the 64-bit FNV-1a hash of the
//! sink's target.
//!
//! Every version of the format begins with the magic and `version=N`. It ends its first line with `
//! check=` and the CRC-32 of everything before that. The first line has at most 512 bytes. So a
//! file of a newer version is never mistaken for a damaged file.
//!
//! # Invariants
//!
//! - A batch is stored when its file has been synced and renamed to its final name, and the
//!   directory has been synced after that. From then on, and not before, the ledger counts it as
//!   spooled. A file under a temporary name was never reported as stored.
//! - A file is removed when its points were written or rejected, or by a bound (bytes, files, age).
//!   A bound removes the oldest first and counts the points as dropped. Nothing else removes a
//!   file. The removal is not synced: after a crash the batch may be sent again, which is harmless.
//! - A file whose content differs from what was written is never sent. It is moved to `corrupt`,
//!   which is bounded by 1,000 files and a tenth of `max_size`. Files for another target or of a
//!   newer version are left in place and reported.
//! - Only the process that holds a directory's lock writes, reads or moves files in it. A process
//!   moves the files of dead processes into its own directory.
//! - No file in the directory, whatever its bytes, keeps a service from starting.
//! - An I/O error while storing switches the spool off for a minute. The batch stays in memory.

use std::{
    fmt, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime::Handle, task, time::Instant};

use self::{
    clock::{Machine, SpoolClock},
    format::{FileName, Found, Header},
    process_directory::ProcessDirectory,
    queue::{Queue, StoredFile},
    recovery::{DirectoryScan, Quarantine, RecoveredFiles, Scan, ScanCounts},
    state::{Bounds, SpoolState},
};
pub(crate) use self::{queue::SpoolEntry, state::SpoolCounts};
use crate::{
    delivery::{batch::Batch, directory, log_throttle::LogThrottle},
    error::Error,
    fs_ext::{self, Listed},
    settings::SpoolSettings,
    stats::{DropReason, ledger::Ledger},
};

mod adopt;
mod clock;
mod eviction;
mod format;
mod maintenance;
mod process_directory;
mod queue;
mod reader;
mod recovery;
mod state;
mod writer;

/// Stores batches on disk, and keeps an index of them in memory.
///
/// Locks are taken in the order `process_directory`, `recovery`, `state`, ledger. Under `recovery`
/// and `state` no file is read or written and nothing is logged, so reading the statistics never
/// waits for the disk.
pub(crate) struct Spool {
    root: PathBuf,
    target: u64,
    ledger: Arc<Ledger>,
    quarantine: Quarantine,
    machine: Machine,
    clock: SpoolClock,
    /// Distinguishes the files of this process from those of any other.
    run: u32,
    next_number: AtomicU64,
    process_directory: Mutex<ProcessDirectory>,
    /// The scan of our own directory, until every file in it was inspected.
    recovery: Mutex<Option<DirectoryScan>>,
    state: Mutex<SpoolState>,
    log: SpoolLog,
}

/// Throttles for log lines about single batches.
#[derive(Debug, Default)]
struct SpoolLog {
    full: LogThrottle,
    expired: LogThrottle,
    lost: LogThrottle,
    undeleted: LogThrottle,
}

/// Why a batch was not stored. The batch stays in memory.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// The spool is switched off for a minute after an error.
    Off,
    /// Writing failed with this error.
    Io(io::Error),
}

/// Why a stored batch could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// The file was damaged, missing or too old. It is no longer in the spool, and the ledger
    /// counts its points as dropped.
    Lost,
    /// A later attempt may succeed. The entry is still taken: the caller must release it.
    Io(io::Error),
}

impl Spool {
    /// Claims a directory. Files of earlier processes are neither read nor counted before
    /// [`recover_first`](Self::recover_first) and [`maintain`](Self::maintain). A spool that is
    /// dropped before that has changed nothing.
    ///
    /// Blocks for a few disk operations.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be created, locked or written, is a link, or is writable by
    /// every user. A full disk is not an error: the spool then starts switched off for a minute.
    pub(crate) fn open(settings: &SpoolSettings, target: &str, ledger: Arc<Ledger>) -> Result<Self, Error> {
        Self::open_on(Machine::this(), settings, target, ledger)
    }

    fn open_on(
        machine: Machine,
        settings: &SpoolSettings,
        target: &str,
        ledger: Arc<Ledger>,
    ) -> Result<Self, Error> {
        let directory = &settings.directory;
        let unusable = |error| directory::unusable("spool.directory", directory, error);
        let target = format::hash(target);
        let mut state = SpoolState::new(Bounds::from(settings));
        let claimed = match ProcessDirectory::claim(directory, target) {
            Ok(claimed) => claimed,
            Err(error) if directory::is_full(&error) => {
                if state.switch_off() {
                    writer::log_off(&error, directory);
                }
                ProcessDirectory::unclaimed(directory)
            }
            Err(error) => return Err(unusable(error)),
        };
        if claimed.is_claimed()
            && let Err(error) = fs_ext::probe(&claimed.directory())
        {
            if !directory::is_full(&error) {
                return Err(unusable(error));
            }
            if state.switch_off() {
                writer::log_off(&error, directory);
            }
        }
        let clock = SpoolClock::resume(claimed.mark(), &machine);
        let spool = Self {
            root: directory.clone(),
            target,
            ledger,
            quarantine: Quarantine::new(directory, settings.max_size),
            machine,
            clock: clock.clone(),
            run: fastrand::u32(..),
            next_number: AtomicU64::new(0),
            process_directory: Mutex::new(claimed),
            recovery: Mutex::default(),
            state: Mutex::new(state),
            log: SpoolLog::default(),
        };
        spool.scan_directory(clock).map_err(unusable)?;
        Ok(spool)
    }

    /// Changes the bounds of a spool in use. Entries beyond the new bounds are dropped.
    pub(crate) fn configure(self: &Arc<Self>, settings: &SpoolSettings) {
        self.quarantine.configure(settings.max_size);
        let dropped = {
            let mut state = self.state();
            state.bounds = Bounds::from(settings);
            self.drop_beyond_bounds(&mut state)
        };
        self.log_full(&dropped);
        self.delete_off_thread(dropped);
    }

    /// Returns how long the lines of a batch may be. A longer one would evict all others.
    pub(crate) fn most_bytes(&self) -> usize {
        usize::try_from(self.state().bounds.max_size / 2).unwrap_or(usize::MAX)
    }

    /// Returns whether this spool uses this directory.
    pub(crate) fn is_at(&self, directory: &Path) -> bool {
        self.root == directory
    }

    /// Returns whether the entries are to be sent to this target.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        self.target == format::hash(target)
    }

    /// Takes the entry that is next in turn, the oldest first. It belongs to the caller until it is
    /// released or acknowledged. Its points stay `spooled` in the ledger.
    pub(crate) fn take_oldest(&self) -> Option<SpoolEntry> {
        self.state().queue.take()
    }

    /// Returns about how many bytes of memory the next batch of [`take_oldest`](Self::take_oldest)
    /// takes.
    pub(crate) fn next_bytes(&self) -> Option<usize> {
        self.state().queue.next_bytes()
    }

    /// Reads the batch of an entry that was taken.
    pub(crate) async fn load(self: &Arc<Self>, entry: &SpoolEntry) -> Result<Batch, LoadError> {
        let (spool, entry) = (Arc::clone(self), entry.clone());
        match task::spawn_blocking(move || spool.load_blocking(&entry)).await {
            Ok(loaded) => loaded,
            Err(ended) => Err(LoadError::Io(io::Error::other(ended))),
        }
    }

    /// Releases an entry that was not sent. It is queued behind all waiting entries. All of its
    /// points must still be `spooled` in the ledger.
    pub(crate) fn release(&self, entry: SpoolEntry) {
        self.state().queue.release(&entry);
    }

    /// Returns how often this entry was released without having been sent.
    pub(crate) fn times_released(&self, entry: &SpoolEntry) -> u32 {
        self.state().queue.turns(entry)
    }

    /// Deletes the file of an entry. All of its points must have left `spooled` in the ledger.
    pub(crate) async fn acknowledge(self: &Arc<Self>, entry: SpoolEntry) {
        if self.state().queue.remove(&entry) {
            let spool = Arc::clone(self);
            let _ = task::spawn_blocking(move || spool.delete(&[entry])).await;
        }
    }

    /// Returns the current counts without waiting for the disk.
    pub(crate) fn counts(&self) -> SpoolCounts {
        self.state().counts(&self.clock)
    }

    /// Returns whether the spool has no more work, so that another process may take the directory.
    pub(crate) fn is_done(&self) -> bool {
        if self.recovery.lock().is_some() {
            return false;
        }
        let state = self.state();
        state.queue.files() == 0 && state.undeleted.is_empty()
    }

    /// Returns whether no entry is left, neither waiting nor taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().queue.files() == 0
    }

    fn state(&self) -> MutexGuard<'_, SpoolState> {
        self.state.lock()
    }

    fn process_directory(&self) -> MutexGuard<'_, ProcessDirectory> {
        self.process_directory.lock()
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spool").field("root", &self.root).field("counts", &self.counts()).finish()
    }
}

#[cfg(test)]
mod tests;
