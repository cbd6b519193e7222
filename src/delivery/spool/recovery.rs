//! The scan of a directory that an earlier process left, and the quarantine for damaged files.

use std::{
    io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering::Relaxed},
};

use super::{
    clock::SpoolClock,
    format::{self, FileName, Found, Header},
    process_directory,
};
use crate::{
    delivery::log_throttle::LogThrottle,
    fs_ext::{self, Files, Listed},
};

/// A scan of one directory, whose lock must be held. It returns one batch at a time, since there
/// may be more files than the index may hold.
#[derive(Debug)]
pub(super) struct Scan {
    files: Files,
    target: u64,
    /// How many bytes of lines may still be compared with their checksums. Reading a gigabyte would
    /// take seconds, and every file is compared again before it is sent.
    pub(super) budget: u64,
    /// How many files may still be inspected before the next pause. Files that are no batches take
    /// time, too.
    pub(super) looks: usize,
    has_ended: bool,
    pub(super) counts: ScanCounts,
}

/// What a scan found besides batches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ScanCounts {
    pub(super) damaged: u64,
    /// Files for other targets, of newer versions, or not written by this crate.
    pub(super) foreign: u64,
    pub(super) unreadable: u64,
}

impl Scan {
    pub(super) fn new(directory: &Path, target: u64, budget: u64) -> io::Result<Self> {
        Ok(Self {
            files: fs_ext::files(directory)?,
            target,
            budget,
            looks: usize::MAX,
            has_ended: false,
            counts: ScanCounts::default(),
        })
    }

    /// Returns the next batch, or `None` at the end or when no looks are left.
    pub(super) fn next(&mut self, quarantine: &Quarantine) -> Option<(Listed, Header)> {
        while !self.has_ended && self.looks > 0 {
            self.looks -= 1;
            match self.files.next() {
                Some(Ok(file)) => {
                    if let Some(header) = self.look(&file, quarantine) {
                        return Some((file, header));
                    }
                }
                Some(Err(_)) => {
                    self.counts.unreadable += 1;
                    self.has_ended = true;
                }
                None => self.has_ended = true,
            }
        }
        None
    }

    /// Returns whether every file was inspected.
    pub(super) fn has_ended(&self) -> bool {
        self.has_ended
    }

    fn look(&mut self, file: &Listed, quarantine: &Quarantine) -> Option<Header> {
        if file.name == process_directory::LOCK {
            return None;
        }
        if format::is_temporary(&file.name) {
            // Unfinished files were never reported as stored.
            let _ = fs_ext::remove_file(&file.path);
            return None;
        }
        if !file.name.ends_with(".lp") {
            self.counts.foreign += 1;
            return None;
        }
        match self.inspect(&file.path) {
            Ok(Found::Batch(header)) => return Some(header),
            Ok(Found::OtherTarget | Found::NewerVersion) => self.counts.foreign += 1,
            Ok(Found::Damaged(why)) if FileName::parse(&file.name).is_some() => {
                self.counts.damaged += 1;
                quarantine.take(&file.path, why);
            }
            // Somebody put the file there by hand, and may want it back.
            Ok(Found::Damaged(_)) => self.counts.foreign += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                self.counts.unreadable += 1;
                quarantine.log_unreadable(&file.path, &error);
            }
        }
        None
    }

    fn inspect(&mut self, path: &Path) -> io::Result<Found> {
        let (found, file) = format::read_header(path, self.target)?;
        let Found::Batch(header) = &found else { return Ok(found) };
        match self.budget.checked_sub(header.bytes) {
            None => self.budget = 0,
            Some(rest) => {
                self.budget = rest;
                let lines = format::read_lines(&file, header)?;
                if header.batch(lines).is_none() {
                    return Ok(Found::Damaged(LINES));
                }
            }
        }
        Ok(found)
    }
}

/// The scan of our own directory, which may continue in the background.
#[derive(Debug)]
pub(super) struct DirectoryScan {
    pub(super) scan: Scan,
    /// The clock of the directory when it was found.
    pub(super) theirs: SpoolClock,
    pub(super) entered: RecoveredFiles,
}

/// The batches that one scan has recovered.
#[derive(Debug, Default)]
pub(super) struct RecoveredFiles {
    pub(super) files: usize,
    pub(super) points: usize,
}

/// The directory for damaged files, kept for people to inspect. It has bounds of its own.
#[derive(Debug)]
pub(super) struct Quarantine {
    directory: PathBuf,
    max_size: AtomicU64,
    log: RecoveryLog,
}

#[derive(Debug, Default)]
struct RecoveryLog {
    moved: LogThrottle,
    stuck: LogThrottle,
    unreadable: LogThrottle,
}

impl Quarantine {
    pub(super) fn new(root: &Path, max_spool_size: u64) -> Self {
        let quarantine = Self {
            directory: root.join("corrupt"),
            max_size: AtomicU64::new(0),
            log: RecoveryLog::default(),
        };
        quarantine.configure(max_spool_size);
        quarantine
    }

    pub(super) fn configure(&self, max_spool_size: u64) {
        self.max_size.store(max_spool_size / 10, Relaxed);
    }

    /// Moves a file into the quarantine. Returns false if the file could not be moved.
    pub(super) fn take(&self, path: &Path, why: &str) -> bool {
        match self.move_in(path) {
            Ok(destination) => {
                if let Some(others) = self.log.moved.speak() {
                    tracing::warn!(
                        target: "tower_influx",
                        file = %destination.display(),
                        why,
                        others,
                        "damaged spooled file moved to this path: its points are not sent; import by hand what \
                         is left of it, and check the disk"
                    );
                }
                true
            }
            Err(error) => {
                if let Some(others) = self.log.stuck.speak() {
                    tracing::warn!(
                        target: "tower_influx",
                        file = %path.display(),
                        why,
                        %error,
                        others,
                        "damaged spooled file cannot be moved away: its points are not sent; move it by hand, \
                         and check the disk"
                    );
                }
                false
            }
        }
    }

    fn log_unreadable(&self, path: &Path, error: &io::Error) {
        if let Some(others) = self.log.unreadable.speak() {
            tracing::warn!(
                target: "tower_influx",
                file = %path.display(),
                %error,
                others,
                "spooled file cannot be read: it stays in place, and its points are not sent; make it readable \
                 and restart the service"
            );
        }
    }

    fn move_in(&self, path: &Path) -> io::Result<PathBuf> {
        fs_ext::create_directory(&self.directory)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        // Renaming onto an existing name would delete the file there.
        let free = (0..MAX_FILES as u32).map(|number| match number {
            0 => self.directory.join(&*name),
            number => self.directory.join(format!("{number}-{name}")),
        });
        let destination =
            free.into_iter().find(|destination| !destination.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
        fs_ext::rename(path, &destination)?;
        self.bound();
        Ok(destination)
    }

    /// Deletes the oldest files until the quarantine is within its bounds. Always keeps one.
    fn bound(&self) {
        let Ok(files) = fs_ext::list(&self.directory) else { return };
        let mut files: Vec<_> = files
            .into_iter()
            .map(|file| (std::fs::metadata(&file.path).and_then(|metadata| metadata.modified()).ok(), file))
            .collect();
        files.sort_by(|left, right| (left.0, &left.1.name).cmp(&(right.0, &right.1.name)));
        let mut bytes: u64 = files.iter().map(|(_, file)| file.length).sum();
        let mut count = files.len();
        for (_, file) in files {
            if count <= 1 || (count <= MAX_FILES && bytes <= self.max_size.load(Relaxed)) {
                break;
            }
            if fs_ext::remove_file(&file.path).is_ok() {
                bytes -= file.length;
                count -= 1;
            }
        }
    }
}

pub(super) const LINES: &str = "its lines are not those that were written";
const MAX_FILES: usize = 1000;
