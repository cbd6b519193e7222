//! The directories of the spool: one for each process, with locks that say who owns it.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::clock::Mark;
use crate::{
    delivery::{
        directory,
        lock::{self, LockFile},
    },
    fs_ext::{self, Lockable},
};

/// The directory in which this process stores its batches. The process owns it as long as this
/// value lives.
#[derive(Debug)]
pub(super) struct ProcessDirectory {
    directory: Arc<Path>,
    /// `None` until the disk has room for a directory.
    locks: Option<Locks>,
}

/// The lock file and, where the system supports it, a lock on the directory itself. A lock file can
/// be deleted while its process lives. The lock on the directory then still keeps other processes
/// out.
#[derive(Debug)]
struct Locks {
    file: LockFile,
    directory: Option<Lockable>,
}

impl ProcessDirectory {
    /// Claims the first directory of this target that no living process holds. After a restart this
    /// is usually the same directory again.
    pub(super) fn claim(root: &Path, target: u64) -> io::Result<Self> {
        directory::create(root)?;
        for number in 0..MAX_PROCESSES {
            let path = root.join(directory_name(target, number));
            match directory::create(&path).and_then(|()| Locks::acquire(&path)) {
                Ok(Some(locks)) => {
                    fs_ext::sync_directory(root)?;
                    return Ok(Self { directory: path.into(), locks: Some(locks) });
                }
                // Another process holds it.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) if is_not_ours(&error) => tracing::warn!(
                    target: "tower_influx",
                    directory = %path.display(),
                    %error,
                    "name in the spool directory already in use: it stays as it is, and the next number is used; \
                     remove it, and keep other programs out of the directory"
                ),
                Err(error) => return Err(error),
            }
        }
        let message =
            format!("each of its {MAX_PROCESSES} directories for processes is in use or may not be used");
        Err(io::Error::other(message))
    }

    /// Creates a value without a directory. The first batch that is stored claims one.
    pub(super) fn unclaimed(root: &Path) -> Self {
        Self { directory: root.join("unclaimed").into(), locks: None }
    }

    pub(super) fn is_claimed(&self) -> bool {
        self.locks.is_some()
    }

    /// Returns whether the path still leads to the lock file that is held.
    pub(super) fn is_intact(&self) -> bool {
        self.locks.as_ref().is_some_and(|locks| locks.file.is_intact())
    }

    /// Takes a new lock file if only the old one was deleted. Returns whether it did.
    pub(super) fn relock(&mut self) -> bool {
        let Some(locks) = &mut self.locks else { return false };
        if locks.directory.as_ref().is_some_and(|held| !lock::is_same(&held.0, &self.directory)) {
            return false;
        }
        match LockFile::acquire(&self.directory.join(LOCK)) {
            Ok(Some(file)) => {
                locks.file = file;
                true
            }
            Ok(None) | Err(_) => false,
        }
    }

    /// Returns the last saved mark of this directory's clock.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.locks.as_ref().and_then(Locks::mark)
    }

    /// Saves the clock's mark for the next process.
    pub(super) fn keep_mark(&self, mark: Mark) -> io::Result<()> {
        self.locks.as_ref().map_or(Ok(()), |locks| locks.file.write(&mark.encode()))
    }

    pub(super) fn directory(&self) -> Arc<Path> {
        Arc::clone(&self.directory)
    }
}

impl Locks {
    /// Acquires the locks, or returns `None` if another process holds one of them.
    fn acquire(directory: &Path) -> io::Result<Option<Self>> {
        let Some(held) = lock::lock_directory(directory)? else { return Ok(None) };
        let file = LockFile::acquire(&directory.join(LOCK))?;
        Ok(file.map(|file| Self { file, directory: held }))
    }

    fn mark(&self) -> Option<Mark> {
        Mark::decode(&self.file.read().ok()?)
    }
}

/// Returns whether something other than a directory has its name, or something other than a file
/// has the name of its lock.
fn is_not_ours(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::AlreadyExists
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidInput
            | io::ErrorKind::InvalidData
    )
}

/// The directory of a process that has ended. No other process reads or claims it as long as this
/// value lives.
#[derive(Debug)]
pub(super) struct Abandoned {
    pub(super) directory: PathBuf,
    /// Whether its batches are for the same target as ours.
    pub(super) same_target: bool,
    locks: Locks,
}

impl Abandoned {
    /// Returns the last saved mark of this directory's clock.
    pub(super) fn mark(&self) -> Option<Mark> {
        self.locks.mark()
    }
}

/// Locks the directories of dead processes, one after the other.
pub(super) fn abandoned(
    root: &Path,
    target: u64,
    directory: &Path,
) -> io::Result<impl Iterator<Item = Abandoned>> {
    #[cfg(test)]
    crate::fs_ext::faults::check(crate::fs_ext::faults::Operation::List, root)?;
    let mut directories = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Some(of) = entry.file_name().to_str().and_then(parse_directory_name) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != directory {
            directories.push((entry.path(), of == target));
        }
    }
    // Every process uses the same order. Otherwise two processes that start together could each
    // find half of the directories locked.
    directories.sort();
    Ok(directories.into_iter().filter_map(|(directory, same_target)| {
        let locks = Locks::acquire(&directory).ok()??;
        Some(Abandoned { directory, same_target, locks })
    }))
}

fn directory_name(target: u64, number: u32) -> String {
    format!("{target:016x}-{number}")
}

/// Parses the target's hash from the name of a directory.
fn parse_directory_name(name: &str) -> Option<u64> {
    let (target, number) = name.split_once('-')?;
    let (target, number) = (u64::from_str_radix(target, 16).ok()?, number.parse().ok()?);
    (directory_name(target, number) == name).then_some(target)
}

pub(super) const LOCK: &str = "lock";
const MAX_PROCESSES: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_its_own_directory_and_those_of_dead_processes_are_found() {
        let root = tempfile::tempdir().expect("a directory");
        let names = |directories: &[&ProcessDirectory]| -> Vec<_> {
            directories
                .iter()
                .map(|directory| directory.directory.file_name().expect("has one").to_owned())
                .collect()
        };
        let first = ProcessDirectory::claim(root.path(), 1).expect("claims");
        let second = ProcessDirectory::claim(root.path(), 1).expect("claims");
        let other = ProcessDirectory::claim(root.path(), 0xab).expect("claims");
        assert_eq!(
            names(&[&first, &second, &other]),
            ["0000000000000001-0", "0000000000000001-1", "00000000000000ab-0"]
        );
        let found = |directory: &ProcessDirectory| -> Vec<_> {
            let found = abandoned(root.path(), 1, &directory.directory).expect("lists");
            found.map(|found| (found.directory, found.same_target)).collect()
        };
        assert_eq!(found(&second), []);
        fs::create_dir(root.path().join("0000000000000001-01")).expect("creates");
        fs::create_dir(root.path().join("corrupt")).expect("creates");
        let paths = (first.directory(), other.directory());
        drop((first, other));
        assert_eq!(found(&second), [(paths.0.to_path_buf(), true), (paths.1.to_path_buf(), false)]);

        let held: Vec<_> = abandoned(root.path(), 1, &second.directory).expect("lists").collect();
        assert_eq!(found(&second), [], "one adopts at a time");
        let third = ProcessDirectory::claim(root.path(), 1).expect("claims");
        assert_eq!(names(&[&third]), ["0000000000000001-2"]);
        drop((held, third));
        assert_eq!(
            names(&[&ProcessDirectory::claim(root.path(), 1).expect("claims")]),
            ["0000000000000001-0"]
        );
    }

    #[test]
    fn the_cost_of_a_name_is_linear_in_its_length() {
        crate::work::assert_linear(&["00000000000000ab-", "0", "+"], |name| _ = parse_directory_name(name));
    }
}
