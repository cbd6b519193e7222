//! Lock files, which show other processes that their holder is alive.

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
    /// The file is never deleted. Otherwise a process that has opened it already would lock a file
    /// without a name, while others lock a new one.
    ///
    /// # Errors
    ///
    /// Returns `NotADirectory` or `InvalidData` if something other than a regular file has this
    /// name. Returns `Unsupported` if the file system has no locks. Errors of opening the file are
    /// passed on.
    pub(crate) fn acquire(path: &Path) -> io::Result<Option<Self>> {
        let lock = Self { file: Lockable(open(path)?), path: path.to_owned() };
        if !try_lock(&lock.file.0, path)? {
            return Ok(None);
        }
        // The file may have been deleted between the two steps. The name could then lead to a file
        // that another process locks.
        Ok(lock.is_intact().then_some(lock))
    }

    /// Reads what an owner has written, at most 256 bytes of it.
    pub(crate) fn read(&self) -> io::Result<String> {
        let (mut text, mut file) = (Vec::new(), &self.file.0);
        file.seek(SeekFrom::Start(0))?;
        file.take(256).read_to_end(&mut text)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    /// Overwrites the beginning of the file. It is not synced, since the text is not required when
    /// it is read.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        let mut file = &self.file.0;
        file.seek(SeekFrom::Start(0))?;
        file.write_all(text.as_bytes())
    }

    /// Returns whether the path still leads to the locked file.
    pub(crate) fn is_intact(&self) -> bool {
        is_same(&self.file.0, &self.path)
    }
}

/// Locks a directory itself, where the system supports it. The lock holds even if the lock file in
/// it is deleted. Returns `None` if another process holds it.
pub(crate) fn lock_directory(path: &Path) -> io::Result<Option<Option<Lockable>>> {
    // Windows cannot open a directory as a file, and NFS locks only files that are open for
    // writing.
    let Ok(directory) = File::open(path).map(Lockable) else { return Ok(Some(None)) };
    match directory.0.try_lock() {
        Ok(()) => Ok(Some(Some(directory))),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(_)) => Ok(Some(None)),
    }
}

/// Returns whether the path leads to the open file or directory.
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
        // Opening a pipe waits until something reads it, and a link may lead anywhere.
        Ok(found) if !found.is_file() => {
            let what = "the lock file is not a regular file";
            Err(io::Error::new(io::ErrorKind::InvalidData, what))
        }
        Ok(_) => OpenOptions::new().read(true).write(true).open(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match fs_ext::create_file(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
            // The file now exists, created by us or by another process that was quicker. It is
            // opened again, since the created handle only appends.
            _ => OpenOptions::new().read(true).write(true).open(path),
        },
        Err(error) => Err(error),
    }
}

fn try_lock(file: &File, path: &Path) -> io::Result<bool> {
    // ENOLCK, EINVAL, ENOTSUP or ENOSYS, depending on the file system. No other error is possible
    // here.
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
    fn a_lock_file_that_another_process_creates_meanwhile_can_be_locked() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let exists = faults::inject_times(directory.path(), Operation::Create, 17, 1);
        let lock = LockFile::acquire(&path).expect("no error").expect("nobody holds it");
        drop(exists);
        assert!(lock.is_intact() && LockFile::acquire(&path).expect("no error").is_none());
        drop(lock);
        // Any other failure is an error, with the reason of the system.
        let fault = faults::inject(directory.path(), Operation::Create, 13);
        let error = LockFile::acquire(&directory.path().join("another")).expect_err("must not be created");
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
        drop(fault);
        let error = LockFile::acquire(&path.join("below-a-file")).expect_err("has no directory");
        assert_eq!(error.kind(), io::ErrorKind::NotADirectory);
    }
}
