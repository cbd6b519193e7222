//! Lock files: they tell other processes that the one which holds them is alive.

use std::{
    fs::{self, File, Metadata, OpenOptions, TryLockError},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::fs_ext::{self, Lockable};

/// A lock file that this process holds as long as this value lives.
#[derive(Debug)]
pub(crate) struct LockFile {
    file: Lockable,
    path: PathBuf,
}

impl LockFile {
    /// Locks the file, and creates it if it is missing. Returns `None` if another process holds it.
    ///
    /// The file is never deleted: whoever has opened it already would then lock a file without a
    /// name, while others lock the next one.
    ///
    /// # Errors
    ///
    /// `NotADirectory` or `InvalidData` if something else than a regular file has this name,
    /// `Unsupported` if the file system has no locks, and whatever opening the file returns.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let lock = Self { file: Lockable(open(path)?), path: path.to_owned() };
        if !try_lock(&lock.file.0, path)? {
            return Ok(None);
        }
        // Deleted between the two steps: the name may lead to a file that another process locks.
        Ok(lock.is_intact().then_some(lock))
    }

    /// Reads what an owner has written, at most 256 bytes of it.
    pub(crate) fn read(&self) -> io::Result<String> {
        let (mut text, mut file) = (Vec::new(), &self.file.0);
        file.seek(SeekFrom::Start(0))?;
        file.take(256).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Writes over the beginning of the file. It is not synced: whoever reads it has a way on
    /// without it.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut file = &self.file.0;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }

    /// Returns whether the name still leads to the file that is locked.
    pub(crate) fn is_intact(&self) -> bool {
        is_same(&self.file.0, &self.path)
    }
}

/// Locks a directory itself, where the system can do that: it holds even if the lock file in it is
/// deleted. Returns `None` if another process holds it.
pub(crate) fn lock_directory(path: &Path) -> io::Result<Option<Option<Lockable>>> {
    // Windows opens no directory as a file, NFS locks only what is open for writing.
    let Ok(directory) = File::open(path).map(Lockable) else { return Ok(Some(None)) };
    match directory.0.try_lock() {
        Ok(()) => Ok(Some(Some(directory))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(_)) => Ok(Some(None)),
    }
}

/// Returns whether the name leads to the open file or directory.
pub(crate) fn is_same(open: &File, path: &Path) -> bool {
    let Ok(named) = fs::symlink_metadata(path) else { return false };
    open.metadata().is_ok_and(|opened| same_inode(&opened, &named))
}

#[cfg(unix)]
fn same_inode(left: &Metadata, right: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (left.dev(), left.ino()) == (right.dev(), right.ino())
}

#[cfg(not(unix))]
fn same_inode(left: &Metadata, right: &Metadata) -> bool {
    left.file_type() == right.file_type()
}

fn open(path: &Path) -> io::Result<File> {
    match fs::symlink_metadata(path) {
        // Opening a pipe waits until somebody reads it, and a link leads anywhere.
        Ok(found) if !found.is_file() => {
            let what = "something else than a regular file has the name of a lock file";
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        Ok(_) => OpenOptions::new().read(true).write(true).open(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs_ext::create_file(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // By us or by another process that was quicker. Opened anew, as what is written to the
            // file that was created goes to its end.
            _ => OpenOptions::new().read(true).write(true).open(path),
        },
        Err(error) => Err(error),
    }
}

fn try_lock(file: &File, path: &Path) -> io::Result<bool> {
    // ENOLCK, EINVAL, ENOTSUP or ENOSYS, as the file system likes: nothing else can go wrong here.
    let unsupported = |error| io::Error::new(io::ErrorKind::Unsupported, error);
    #[cfg(test)]
    fs_ext::faults::check(fs_ext::faults::Operation::Lock, path).map_err(unsupported)?;
    #[cfg(not(test))]
    let _ = path;
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(unsupported(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_ext::faults::{self, Operation};

    #[test]
    fn a_lock_file_that_another_process_creates_meanwhile_is_locked_like_any() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let exists = faults::inject_times(directory.path(), Operation::Create, 17, 1);
        let lock = LockFile::acquire(&path).expect("no error").expect("nobody holds it");
        drop(exists);
        assert!(lock.is_intact() && LockFile::acquire(&path).expect("no error").is_none());
        drop(lock);
        // What does not work at all is an error, with the reason that the system gives.
        let fault = faults::inject(directory.path(), Operation::Create, 13);
        let error = LockFile::acquire(&directory.path().join("another")).expect_err("must not be created");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        drop(fault);
        let error = LockFile::acquire(&path.join("below-a-file")).expect_err("has no directory");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
