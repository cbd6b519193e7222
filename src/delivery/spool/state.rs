//! The state of a spool that is held in memory.

use std::time::Duration;

use tokio::time::Instant;

use super::{
    clock::SpoolClock,
    queue::{MEMORY, Queue, SpoolEntry},
};
use crate::settings::SpoolSettings;

#[derive(Debug)]
pub(super) struct SpoolState {
    pub(super) queue: Queue,
    pub(super) bounds: Bounds,
    pub(super) off_until: Option<Instant>,
    pub(super) corrupt: u64,
    pub(super) errors: u64,
    pub(super) foreign_in_directory: u64,
    pub(super) foreign_elsewhere: u64,
    pub(super) told_foreign: bool,
    /// Files whose deletion failed.
    pub(super) undeleted: Vec<SpoolEntry>,
    pub(super) retry_deletes_at: Option<Instant>,
    /// When the clock's mark is written next.
    pub(super) mark_at: Instant,
}

/// The limits on all files together, and on their age.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) max_size: u64,
    pub(super) max_files: usize,
    pub(super) max_age: Duration,
}

/// The counts of the spool at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpoolCounts {
    pub(crate) files: usize,
    /// Bytes of the files.
    pub(crate) bytes: u64,
    /// Points in the files, as the ledger counts them.
    pub(crate) points: u64,
    /// Damaged files found since the start.
    pub(crate) corrupt: u64,
    /// Files that are left in place: for other targets, of newer versions, or with names that this
    /// crate does not write.
    pub(crate) foreign: u64,
    /// I/O operations that failed since the start.
    pub(crate) errors: u64,
    pub(crate) oldest_age: Option<Duration>,
    /// Bytes of memory that the index takes.
    pub(crate) memory: usize,
}

impl SpoolState {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            queue: Queue::default(),
            bounds,
            off_until: None,
            corrupt: 0,
            errors: 0,
            foreign_in_directory: 0,
            foreign_elsewhere: 0,
            told_foreign: false,
            undeleted: Vec::new(),
            retry_deletes_at: None,
            mark_at: Instant::now() + MARK_INTERVAL,
        }
    }

    pub(super) fn foreign(&self) -> u64 {
        self.foreign_in_directory + self.foreign_elsewhere
    }

    pub(super) fn counts(&self, clock: &SpoolClock) -> SpoolCounts {
        SpoolCounts {
            files: self.queue.files(),
            bytes: self.queue.bytes(),
            points: self.queue.points(),
            corrupt: self.corrupt,
            foreign: self.foreign(),
            errors: self.errors,
            oldest_age: self.queue.oldest().map(|born| clock.age(born)),
            memory: self.queue.memory() + self.undeleted.len() * MEMORY,
        }
    }

    pub(super) fn is_beyond_bounds(&self) -> bool {
        self.queue.bytes() > self.bounds.max_size || self.queue.files() > self.bounds.max_files
    }

    /// Returns whether the files that cannot be deleted use up a bound of the spool.
    pub(super) fn is_stuck(&self) -> bool {
        let bytes: u64 = self.undeleted.iter().map(|entry| entry.0.bytes).sum();
        self.undeleted.len() >= self.bounds.max_files || bytes >= self.bounds.max_size
    }

    /// Switches the spool off, and returns true if it was on. The caller then logs it after it has
    /// released the lock.
    pub(super) fn switch_off(&mut self) -> bool {
        self.off_until.replace(Instant::now() + OFF).is_none()
    }
}

impl From<&SpoolSettings> for Bounds {
    fn from(settings: &SpoolSettings) -> Self {
        let SpoolSettings { max_size, max_files, max_age, directory: _, mode: _ } = settings;
        Self { max_size: *max_size, max_files: *max_files, max_age: *max_age }
    }
}

/// How much of the batches' age is lost at most when a process is killed and the machine is
/// restarted.
pub(super) const MARK_INTERVAL: Duration = Duration::from_secs(60);
/// How long the spool stays off after an error.
const OFF: Duration = Duration::from_secs(60);
