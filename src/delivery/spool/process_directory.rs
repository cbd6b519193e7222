//! The directories of the spool, one for each process, and who owns which.

use std::{
    fs::{self, OpenOptions, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::fs_ext::{self, Lockable};

/// The directory in which this process stores its batches. It is ours as long as this value lives.
#[derive(Debug)]
pub(super) struct ProcessDirectory {
    directory: Arc<Path>,
    _lock: Lockable,
}

impl ProcessDirectory {
    /// Locks the first directory of this target that no living process holds, so that after a restart it is the same one again.
    pub(super) fn claim(root: &Path, target: u64) -> io::Result<Self> {
        fs_ext::create_directory(root)?;
        for number in 0..MAX_PROCESSES {
            let directory = root.join(directory_name(target, number));
            fs_ext::create_directory(&directory)?;
            match lock(&directory) {
                Ok(Some(lock)) => {
                    fs_ext::sync_directory(root)?;
                    return Ok(Self { directory: directory.into(), _lock: lock });
                }
                // Somebody else's, or another user's.
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                Err(error) => return Err(error),
            }
        }
        let message =
            format!("each of its {MAX_PROCESSES} directories for processes is in use or may not be used");
        Err(io::Error::other(message))
    }

    /// Whether the directory still has its lock.
    pub(super) fn is_intact(&self) -> bool {
        self.directory.join(LOCK).exists()
    }

    pub(super) fn directory(&self) -> Arc<Path> {
        Arc::clone(&self.directory)
    }
}

/// A directory whose process has ended. Nobody else reads or claims it as long as this value lives.
#[derive(Debug)]
pub(super) struct Abandoned {
    pub(super) directory: PathBuf,
    /// Whether it holds batches for the same target as ours.
    pub(super) same_target: bool,
    _lock: Lockable,
}

/// The directories of dead processes, locked one after the other.
pub(super) fn abandoned(
    root: &Path,
    target: u64,
    home: &Path,
) -> io::Result<impl Iterator<Item = Abandoned>> {
    let mut directories = Vec::new();
    for entry in fs::read_dir(root)? {
        let entry = entry?;
        let Some(of) = entry.file_name().to_str().and_then(parse_directory_name) else { continue };
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) && entry.path() != home {
            directories.push((entry.path(), of == target));
        }
    }
    // The same order everywhere, or two processes that start together could each find half of them locked.
    directories.sort();
    Ok(directories.into_iter().filter_map(|(directory, same_target)| {
        let lock = lock(&directory).ok()??;
        Some(Abandoned { directory, same_target, _lock: lock })
    }))
}

/// `None` if another process holds it. The lock file is never deleted: whoever has opened it already would then lock a file
/// without a name, while others lock the next one.
fn lock(directory: &Path) -> io::Result<Option<Lockable>> {
    let mut options = OpenOptions::new();
    options.create(true).truncate(false).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = Lockable(options.open(directory.join(LOCK))?);
    match file.0.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn directory_name(target: u64, number: u32) -> String {
    format!("{target:016x}-{number}")
}

/// The target's hash.
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
    fn each_has_its_own_and_the_dead_are_found() {
        let root = tempfile::tempdir().expect("a directory");
        let names = |homes: &[&ProcessDirectory]| -> Vec<_> {
            homes.iter().map(|home| home.directory.file_name().expect("has one").to_owned()).collect()
        };
        let first = ProcessDirectory::claim(root.path(), 1).expect("claims");
        let second = ProcessDirectory::claim(root.path(), 1).expect("claims");
        let other = ProcessDirectory::claim(root.path(), 0xab).expect("claims");
        assert_eq!(
            names(&[&first, &second, &other]),
            ["0000000000000001-0", "0000000000000001-1", "00000000000000ab-0"]
        );
        let found = |home: &ProcessDirectory| -> Vec<_> {
            let found = abandoned(root.path(), 1, &home.directory).expect("lists");
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
}
