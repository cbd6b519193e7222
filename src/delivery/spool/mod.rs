//! Batches that wait on disk.
//!
//! # Format
//!
//! ```text
//! DIRECTORY/                                        `spool.directory`, mode 0700
//!   0123456789abcdef-0/                             one for each process: hash of the target, smallest free number
//!     lock                                          locked as long as the process lives
//!     batch-20260603T101112Z-7f3a9c21-000042.lp     one batch: UTC second of sealing, random number of the process, count
//!     batch-20260603T101113Z-7f3a9c21-000043.lp.new one that is being written
//!   corrupt/                                        files that are not as they were written
//! ```
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
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::{runtime::Handle, task, time::Instant};

pub(crate) use self::queue::Entry;
use self::{
    format::{Found, Header},
    process_directory::ProcessDirectory,
    queue::{Queue, Stored},
    recovery::{Quarantine, Scan},
};
use crate::{
    delivery::{batch::Batch, directory},
    error::Error,
    fs_ext,
    settings::SpoolSettings,
    stats::{DropReason, ledger::Ledger},
};

mod eviction;
mod format;
mod process_directory;
mod queue;
mod reader;
mod recovery;
mod writer;

/// Batches on disk, and what is known of them in memory.
///
/// Locks are taken in the order `home`, `state`, ledger.
pub(crate) struct Spool {
    root: PathBuf,
    target: u64,
    max_size: u64,
    max_files: usize,
    max_age: Duration,
    ledger: Arc<Ledger>,
    quarantine: Quarantine,
    /// Tells this process's files from those of any other.
    run: u32,
    next_number: AtomicU64,
    home: Mutex<ProcessDirectory>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    queue: Queue,
    off_until: Option<Instant>,
    corrupt: u64,
    errors: u64,
    foreign_at_home: u64,
    foreign_elsewhere: u64,
    /// Files that could not be removed when their time had come.
    undeleted: Vec<PathBuf>,
    retry_deletes_at: Option<Instant>,
    full_logged_at: Option<Instant>,
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
    /// Its file was damaged or gone. It is no longer in the spool, and the ledger has been told.
    Lost,
    /// It may work later: the entry is still taken, and is to be released.
    Io(io::Error),
}

/// The spool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoolCounts {
    pub(crate) files: usize,
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// Points in the files, counted by what they hold.
    pub(crate) points: u64,
    /// Damaged files found since the start.
    pub(crate) corrupt: u64,
    /// Files that are left alone: for other targets, of newer versions, or with names that are not
    /// ours.
    pub(crate) foreign: u64,
    /// Operations that failed since the start.
    pub(crate) errors: u64,
    pub(crate) oldest: Option<SystemTime>,
}

impl Spool {
    /// Claims a directory, recovers what earlier processes have left, and drops what is beyond the
    /// bounds.
    ///
    /// Blocks: it looks at every file, and reads up to 64 MiB of them.
    ///
    /// # Errors
    ///
    /// A directory that cannot be created, locked or written, that is a link, or in which every
    /// user may write. A full disk is no error here: the spool is then off for its first minute.
    pub(crate) fn open(settings: &SpoolSettings, target: &str, ledger: Arc<Ledger>) -> Result<Self, Error> {
        let SpoolSettings { directory, max_size, max_files, max_age, mode: _ } = settings;
        let unusable = |error| directory::unusable("spool.directory", directory, error);
        let target = format::hash(target);
        let mut state = State::default();
        let home = match ProcessDirectory::claim(directory, target) {
            Ok(home) => home,
            Err(error) if directory::is_full(&error) => {
                if state.switch_off() {
                    writer::log_off(&error, directory);
                }
                ProcessDirectory::unclaimed(directory)
            }
            Err(error) => return Err(unusable(error)),
        };
        if home.is_claimed()
            && let Err(error) = fs_ext::probe(&home.directory())
        {
            if !directory::is_full(&error) {
                return Err(unusable(error));
            }
            if state.switch_off() {
                writer::log_off(&error, directory);
            }
        }
        let spool = Self {
            root: directory.clone(),
            target,
            max_size: *max_size,
            max_files: *max_files,
            max_age: *max_age,
            ledger,
            quarantine: Quarantine::new(directory, *max_size),
            run: fastrand::u32(..),
            next_number: AtomicU64::new(0),
            home: Mutex::new(home),
            state: Mutex::new(state),
        };
        spool.recover().map_err(unusable)?;
        Ok(spool)
    }

    /// Returns whether the entries wait for this destination.
    pub(crate) fn is_for(&self, target: &str) -> bool {
        self.target == format::hash(target)
    }

    /// Takes the entry that has waited longest, oldest first. It is the caller's until it is
    /// released or acknowledged; its points stay `spooled` in the ledger.
    pub(crate) fn take_oldest(&self) -> Option<Entry> {
        self.state().queue.take()
    }

    /// Returns about how many bytes of memory the batch takes that
    /// [`take_oldest`](Self::take_oldest) would return.
    pub(crate) fn next_bytes(&self) -> Option<usize> {
        self.state().queue.next_bytes()
    }

    /// Reads a batch that was taken.
    pub(crate) async fn load(self: &Arc<Self>, entry: &Entry) -> Result<Batch, LoadError> {
        let (spool, entry) = (Arc::clone(self), entry.clone());
        match task::spawn_blocking(move || spool.load_blocking(&entry)).await {
            Ok(loaded) => loaded,
            Err(ended) => Err(LoadError::Io(io::Error::other(ended))),
        }
    }

    /// Releases an entry that was not sent: it goes behind all others that wait. Nothing of it may
    /// have left `spooled` in the ledger.
    pub(crate) fn release(&self, entry: Entry) {
        self.state().queue.release(&entry);
    }

    /// Returns how often this entry was given back without having been sent.
    pub(crate) fn times_released(&self, entry: &Entry) -> u32 {
        self.state().queue.turns(entry)
    }

    /// Removes the file of an entry, all of whose points have left `spooled` in the ledger.
    pub(crate) async fn acknowledge(self: &Arc<Self>, entry: Entry) {
        if self.state().queue.remove(&entry) {
            let spool = Arc::clone(self);
            let _ = task::spawn_blocking(move || spool.delete(&[entry])).await;
        }
    }

    /// Drops what is older than `max_age` and is not being sent.
    pub(crate) fn expire(self: &Arc<Self>) {
        self.expire_at(SystemTime::now());
    }

    /// Takes over what processes have left that died since the last look.
    pub(crate) async fn adopt(self: &Arc<Self>) {
        let spool = Arc::clone(self);
        let _ = task::spawn_blocking(move || spool.adopt_blocking()).await;
    }

    pub(crate) fn counts(&self) -> SpoolCounts {
        let state = self.state();
        SpoolCounts {
            files: state.queue.files(),
            bytes: state.queue.bytes(),
            points: state.queue.points(),
            corrupt: state.corrupt,
            foreign: state.foreign_at_home + state.foreign_elsewhere,
            errors: state.errors,
            oldest: state.queue.oldest(),
        }
    }

    /// Returns whether no file is left, neither waiting nor taken.
    pub(crate) fn is_empty(&self) -> bool {
        self.state().queue.files() == 0
    }

    fn expire_at(self: &Arc<Self>, now: SystemTime) {
        let expired = self.drop_expired(now);
        let undeleted = self.undeleted();
        if !expired.is_empty() || !undeleted.is_empty() {
            self.off_thread(move |spool| {
                spool.delete(&expired);
                spool.delete_paths(undeleted.iter());
            });
        }
    }

    /// Runs work that nobody waits for.
    fn off_thread(self: &Arc<Self>, work: impl FnOnce(&Self) + Send + 'static) {
        let spool = Arc::clone(self);
        match Handle::try_current() {
            Ok(runtime) => drop(runtime.spawn_blocking(move || work(&spool))),
            Err(_) => work(&spool),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn home(&self) -> MutexGuard<'_, ProcessDirectory> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Spool {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Spool").field("root", &self.root).field("counts", &self.counts()).finish()
    }
}

#[cfg(test)]
mod tests;
