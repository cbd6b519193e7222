//! Rotating files in one directory. A new file begins by size and by day, and the oldest are
//! deleted to stay under a bound.
//!
//! Names are `PREFIX-20260603T101112Z-0000-89abcdef-0.lp`: the UTC second of creation, a number
//! that distinguishes files of the same second, and a label of the owner. Only regular files with
//! such a name are counted and deleted, and only those of this process and of ended processes of
//! its service. Several processes and services may share a directory. Each process writes only to
//! files that it has created and locked, and no process deletes a locked file.

use std::{
    collections::BTreeMap,
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::owner::{self, Label, Owner};
use crate::{
    delivery::{
        directory,
        lock::{self, LockFile},
    },
    error::Error,
    fs_ext::{self, Listed, Lockable},
};

#[derive(Debug)]
pub(crate) struct RotatingFiles {
    directory: PathBuf,
    prefix: &'static str,
    /// Hash of the service's name.
    service: u32,
    max_file_size: u64,
    max_total_size: u64,
    /// `None` until the disk has room for a lock file.
    owner: Option<Owner>,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: Lockable,
    path: PathBuf,
    /// The stamp of the file's creation.
    stamp: String,
}

impl RotatingFiles {
    /// Creates no file until something is appended.
    pub(crate) fn new(
        directory: &Path,
        prefix: &'static str,
        service: &str,
        max_file_size: u64,
        max_total_size: u64,
    ) -> Self {
        let (directory, service) = (directory.to_owned(), owner::hash(service));
        Self { directory, prefix, service, max_file_size, max_total_size, owner: None, open: None }
    }

    /// Creates the directory, and checks that it can be written.
    ///
    /// # Errors
    ///
    /// Fails if the directory cannot be used. A full disk is only logged: appending fails until
    /// there is room.
    pub(crate) fn prepare(&mut self, setting: &str) -> Result<(), Error> {
        let full = match directory::prepare(setting, &self.directory)? {
            Some(error) => Some(error),
            None => match self.claim() {
                Ok(()) => None,
                Err(error) if directory::is_full(&error) => Some(error),
                Err(error) => return Err(directory::unusable(setting, &self.directory, error)),
            },
        };
        if let Some(error) = full {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.directory.display(),
                setting,
                %error,
                "disk full at start: nothing is written to the directory until there is space; free disk space"
            );
        }
        Ok(())
    }

    fn claim(&mut self) -> io::Result<()> {
        if self.owner.as_ref().is_none_or(|owner| !owner.is_intact()) {
            // Ours is released first. Otherwise it would count as another process's.
            self.owner = None;
            self.owner = Some(Owner::claim(&self.directory, self.prefix, self.service)?);
        }
        Ok(())
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Appends all parts or nothing.
    pub(crate) fn append(&mut self, now: SystemTime, parts: &[&[u8]]) -> io::Result<()> {
        let size = parts.iter().map(|part| part.len() as u64).sum();
        let stamp = fs_ext::stamp(now);
        let (open, length) = match self.usable(&stamp, size) {
            Some(found) => found,
            None => (self.create(stamp, size)?, 0),
        };
        match parts.iter().try_for_each(|part| fs_ext::write_all(&open.file.0, &open.path, part)) {
            Ok(()) => {
                self.open = Some(open);
                Ok(())
            }
            Err(error) => {
                // A partial line would corrupt the first line that is appended next.
                if length == 0 {
                    let _ = fs_ext::remove_file(&open.path);
                } else if open.file.0.set_len(length).is_ok() {
                    self.open = Some(open);
                } else {
                    tracing::warn!(
                        target: "tower_influx",
                        file = %open.path.display(),
                        length,
                        "partial write could not be rolled back: the last line of the file may be incomplete, \
                         and no point is lost, since all are kept and go to a new file; cut the file to this \
                         length before importing it"
                    );
                }
                Err(error)
            }
        }
    }

    /// Returns the open file and its length if the next append still belongs into it.
    fn usable(&mut self, stamp: &str, size: u64) -> Option<(OpenFile, u64)> {
        let open = self.open.take()?;
        // The file system is asked each time, since the file may have been deleted or truncated
        // meanwhile.
        let length = open.file.0.metadata().ok()?.len();
        if !lock::is_same(&open.file.0, &open.path) {
            return None;
        }
        if open.stamp[..DATE_LENGTH] == stamp[..DATE_LENGTH]
            && (length == 0 || length.saturating_add(size) <= self.max_file_size)
        {
            return Some((open, length));
        }
        if let Err(error) = open.file.0.sync_data() {
            tracing::warn!(
                target: "tower_influx",
                file = %open.path.display(),
                %error,
                "finished file may be incomplete on disk: points already counted as written may be missing from \
                 it; check the disk"
            );
        }
        None
    }

    fn create(&mut self, stamp: String, size: u64) -> io::Result<OpenFile> {
        directory::create(&self.directory)?;
        self.claim()?;
        let Some(owner) = &self.owner else { return Err(io::ErrorKind::NotFound.into()) };
        self.make_room(owner, size.max(self.max_file_size))?;
        let label = owner.label();
        for number in 0..MAX_NUMBER {
            let path = self.directory.join(format!("{}-{stamp}-{number:04}-{label}.lp", self.prefix));
            match fs_ext::create_file(&path) {
                Ok(file) => {
                    // On a file system without locks, only the order of age keeps others from
                    // deleting this file.
                    let _ = file.try_lock();
                    return Ok(OpenFile { file: Lockable(file), path, stamp });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "10,000 files were created within one second"))
    }

    /// Deletes the oldest files until `size` more bytes fit under the bound.
    fn make_room(&self, owner: &Owner, size: u64) -> io::Result<()> {
        let (files, _locks) = self.files(owner)?;
        let mut total: u64 = files.iter().map(counted).sum();
        let (mut deleted, before) = (0, total);
        for file in &files {
            if total.saturating_add(size) <= self.max_total_size {
                break;
            }
            if delete_unless_in_use(&file.path) {
                deleted += 1;
                total -= counted(file);
            }
        }
        if deleted > 0 {
            tracing::info!(
                target: "tower_influx",
                directory = %self.directory.display(),
                files = deleted,
                bytes = before - total,
                "oldest files deleted, and their points with them: the directory has reached its maximum size; \
                 to keep more of `directory`, raise `max_total_size` (`rejected_directory` keeps 256 MiB)"
            );
        }
        Ok(())
    }

    /// Returns the files that we may delete, oldest first. The locks keep others from claiming the
    /// labels of ended processes.
    fn files(&self, owner: &Owner) -> io::Result<(Vec<Listed>, Vec<LockFile>)> {
        let (mut owned, mut locks) = (BTreeMap::new(), Vec::new());
        let mut files = fs_ext::list(&self.directory)?;
        files.retain(|file| {
            let Some(label) = label(self.prefix, &file.name) else { return false };
            *owned.entry(label).or_insert_with(|| {
                let (owned, lock) = owner.owns(label);
                locks.extend(lock);
                owned
            })
        });
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok((files, locks))
    }
}

/// Returns the label in the name of a file, if the name has our format.
fn label(prefix: &str, name: &str) -> Option<Label> {
    let rest = name.strip_prefix(prefix)?.strip_prefix('-')?.strip_suffix(".lp")?;
    let mut parts = rest.splitn(3, '-');
    let (stamp, number, label) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit());
    if fs_ext::is_stamp(stamp) && digits { Label::parse(label) } else { None }
}

/// Returns the length that counts for the bound. A service that restarts each minute leaves tiny
/// files. Counted by their lengths alone, they would fill the disk.
fn counted(file: &Listed) -> u64 {
    file.length.max(BLOCK)
}

fn delete_unless_in_use(path: &Path) -> bool {
    let Ok(file) = File::open(path).map(Lockable) else { return false };
    if matches!(file.0.try_lock(), Err(TryLockError::WouldBlock)) {
        return false;
    }
    fs_ext::remove_file(path).is_ok()
}

/// Bytes of a stamp that give the date.
const DATE_LENGTH: usize = "20260603".len();
const MAX_NUMBER: u32 = 10_000;
const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests;
