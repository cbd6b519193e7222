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
//! The parts of a name are the UTC second of sealing, a random number of the process, a count, and
//! the millisecond of sealing by the spool's own [clock], by which batches grow old. Names of
//! version 0.1 lack the last part.
//!
//! A file is valid line protocol, so people can read it, search it, and import it by hand. Its
//! first line is a comment:
//!
//! ```text
//! # tower-influx spool version=1 sequence=7 created=… points=5000 bytes=812345 target=0123456789abcdef lines=89abcdef check=01234567
//! ```
//!
//! `created` is the time of sealing in nanoseconds since the epoch; `bytes` the length of the lines
//! after it, and `lines` their CRC-32; `target` the 64-bit FNV-1a hash of the sink's target. Every
//! version begins with the magic and `version=N`, ends its first line with ` check=` and the CRC-32
//! of all before that, and has a first line of at most 512 bytes: so a newer version is told from a
//! damaged file.
//!
//! # Invariants
//!
//! - A batch is stored when its file has been synced, renamed to its final name, and the directory
//!   synced after that; the ledger counts it as spooled from then on, and not before. A file under
//!   a temporary name was promised to nobody.
//! - A file goes when its points were written or rejected, by a bound (bytes, files, age; the
//!   oldest first; counted as dropped), and in no other way. Its removal is not synced: after a
//!   crash the batch is sent again, which is harmless.
//! - What is not as it was written is never sent: it is moved to `corrupt`, which is bounded by
//!   1,000 files and a tenth of `max_size`. What is for another target or of a newer version is
//!   left where it is and reported.
//! - Only the process that holds a directory's lock writes, reads or moves files in it. Files of
//!   dead processes are moved into one's own directory.
//! - Nothing that lies in the directory, whatever its bytes, keeps a service from starting.
//! - An error while storing switches the spool off for a minute. The batch stays in memory.

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

/// Batches on disk, and what is known of them in memory.
///
/// Locks are taken in the order `process_directory`, `recovery`, `state`, ledger. No file is read
/// or written and nothing is logged under `recovery` and `state`, so statistics wait for no disk.
pub(crate) struct Spool {
    root: PathBuf,
    target: u64,
    ledger: Arc<Ledger>,
    quarantine: Quarantine,
    machine: Machine,
    clock: SpoolClock,
    /// Tells this process's files from those of any other.
    run: u32,
    next_number: AtomicU64,
    process_directory: Mutex<ProcessDirectory>,
    /// What of our own directory was not looked at yet.
    recovery: Mutex<Option<DirectoryScan>>,
    state: Mutex<SpoolState>,
    log: SpoolLog,
}

/// Lines that are about single batches.
#[derive(Debug, Default)]
struct SpoolLog {
    full: LogThrottle,
    expired: LogThrottle,
    lost: LogThrottle,
    undeleted: LogThrottle,
}

/// Why a batch was not stored. It stays in memory.
#[derive(Debug)]
pub(crate) enum StoreError {
    /// Switched off for a minute after an error.
    Off,
    /// This is the error.
    Io(io::Error),
}

/// Why a stored batch could not be read.
#[derive(Debug)]
pub(crate) enum LoadError {
    /// Its file was damaged or gone, or it was too old. It is no longer in the spool, and the
    /// ledger has been told.
    Lost,
    /// It may work later: the entry is still taken, and is to be released.
    Io(io::Error),
}

impl Spool {
    /// Claims a directory. What earlier processes have left is neither looked at nor counted before
    /// [`recover_first`](Self::recover_first) and [`maintain`](Self::maintain): a spool that is
    /// dropped before that has changed nothing.
    ///
    /// Blocks for a few operations on the disk.
    ///
    /// # Errors
    ///
    /// A directory that cannot be created, locked or written, that is a link, or in which every
    /// user may write. A full disk is no error here: the spool is then off for its first minute.
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

    /// Changes the bounds of a spool that is in use. What is beyond them is dropped.
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

    /// Returns whether this is the spool of this directory.
    pub(crate) fn is_at(&self, directory: &Path) -> bool {
        self.root == directory
    }

    /// Returns whether the entries wait for this destination.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        self.target == format::hash(target)
    }

    /// Takes the entry that has waited longest, oldest first. It is the caller's until it is
    /// released or acknowledged; its points stay `spooled` in the ledger.
    pub(crate) fn take_oldest(&self) -> Option<SpoolEntry> {
        self.state().queue.take()
    }

    /// Returns about how many bytes of memory the batch takes that
    /// [`take_oldest`](Self::take_oldest) would return.
    pub(crate) fn next_bytes(&self) -> Option<usize> {
        self.state().queue.next_bytes()
    }

    /// Reads a batch that was taken.
    pub(crate) async fn load(self: &Arc<Self>, entry: &SpoolEntry) -> Result<Batch, LoadError> {
        let (spool, entry) = (Arc::clone(self), entry.clone());
        match task::spawn_blocking(move || spool.load_blocking(&entry)).await {
            Ok(loaded) => loaded,
            Err(ended) => Err(LoadError::Io(io::Error::other(ended))),
        }
    }

    /// Releases an entry that was not sent: it goes behind all others that wait. Nothing of it may
    /// have left `spooled` in the ledger.
    pub(crate) fn release(&self, entry: SpoolEntry) {
        self.state().queue.release(&entry);
    }

    /// Returns how often this entry was given back without having been sent.
    pub(crate) fn times_released(&self, entry: &SpoolEntry) -> u32 {
        self.state().queue.turns(entry)
    }

    /// Removes the file of an entry, all of whose points have left `spooled` in the ledger.
    pub(crate) async fn acknowledge(self: &Arc<Self>, entry: SpoolEntry) {
        if self.state().queue.remove(&entry) {
            let spool = Arc::clone(self);
            let _ = task::spawn_blocking(move || spool.delete(&[entry])).await;
        }
    }

    /// Returns the current counts. Waits for no disk.
    pub(crate) fn counts(&self) -> SpoolCounts {
        self.state().counts(&self.clock)
    }

    /// Returns whether nothing is left to be done here, so that another process may have the
    /// directory.
    pub(crate) fn is_done(&self) -> bool {
        if self.recovery.lock().is_some() {
            return false;
        }
        let state = self.state();
        state.queue.files() == 0 && state.undeleted.is_empty()
    }

    /// Returns whether no file is left, neither waiting nor taken.
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
