//! Files and directories that belong to this user alone, and the operations on them that can fail
//! half-way.
//!
//! All of them block: they must not be called on async threads.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// Creates the directory and its missing parents, accessible to this user only. An existing one is
/// left unchanged.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    if !path.exists() {
        faults::check(faults::Operation::CreateDirectory, path)?;
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Creates a file that must not exist yet, accessible to this user only. Writes append to its end,
/// also after a truncation.
pub(crate) fn create_file(path: &Path) -> io::Result<File> {
    #[cfg(test)]
    faults::check(faults::Operation::Create, path).inspect_err(|error| faults::create_first(path, error))?;
    let mut options = OpenOptions::new();
    options.read(true).append(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Writes all bytes. `path` is the path under which the file was created.
pub(crate) fn write_all(mut file: &File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    #[cfg(test)]
    if let Some((part, error)) = faults::cut_write(path, bytes) {
        file.write_all(part)?;
        return Err(error);
    }
    #[cfg(not(test))]
    let _ = path;
    file.write_all(bytes)
}

/// An open file that may hold a lock, which is released when this value is dropped. Closing the
/// file does not always release it: a child process that another thread is starting has a copy of
/// it until `exec`.
#[derive(Debug)]
pub(crate) struct Lockable(pub(crate) File);

impl Drop for Lockable {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// Syncs the written data to disk. `path` is the path under which the file was created.
pub(crate) fn sync_file(file: &File, path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::check(faults::Operation::Sync, path)?;
    #[cfg(not(test))]
    let _ = path;
    file.sync_data()
}

/// Syncs the names in this directory to disk.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::check(faults::Operation::Sync, path)?;
    // On other systems a directory cannot be opened as a file, and renames are journaled.
    #[cfg(unix)]
    File::open(path)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = path;
    Ok(())
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::check(faults::Operation::Remove, path)?;
    fs::remove_file(path)
}

/// Renames a file within one file system. An existing file with the new name is replaced.
pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    #[cfg(test)]
    faults::check(faults::Operation::Rename, from)?;
    fs::rename(from, to)
}

/// Checks that files can be created here: creates one and removes it.
pub(crate) fn probe(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".probe-{:016x}", fastrand::u64(..)));
    let file = create_file(&path)?;
    let written = write_all(&file, &path, b"\n");
    drop(file);
    let removed = remove_file(&path);
    written.and(removed)
}

/// Lists the regular files of a directory, with their names and lengths. Links are not followed;
/// pipes and directories are not opened.
pub(crate) fn list(directory: &Path) -> io::Result<Vec<Listed>> {
    files(directory)?.collect()
}

/// Returns the files one by one, since a directory may contain more names than fit into memory.
pub(crate) fn files(directory: &Path) -> io::Result<Files> {
    #[cfg(test)]
    faults::check(faults::Operation::List, directory)?;
    fs::read_dir(directory).map(Files)
}

/// The regular files of a directory. See [`files`].
#[derive(Debug)]
pub(crate) struct Files(fs::ReadDir);

impl Iterator for Files {
    type Item = io::Result<Listed>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let entry = match self.0.next()? {
                Ok(entry) => entry,
                Err(error) => return Some(Err(error)),
            };
            #[cfg(test)]
            if let Err(error) = faults::check(faults::Operation::ListNext, &entry.path()) {
                return Some(Err(error));
            }
            // A file that disappears meanwhile is not an error: another process may have deleted
            // it.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_file() {
                let name = entry.file_name().to_string_lossy().into_owned();
                return Some(Ok(Listed { path: entry.path(), name, length: metadata.len() }));
            }
        }
    }
}

/// A regular file in a directory.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) path: PathBuf,
    pub(crate) name: String,
    pub(crate) length: u64,
}

/// Formats a time as `20260603T101112Z`. It is in UTC, so that names sort by time and no hour is
/// repeated or missing.
pub(crate) fn stamp(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or(jiff::Timestamp::UNIX_EPOCH);
    time.strftime("%Y%m%dT%H%M%SZ").to_string()
}

/// Returns whether the text has the form of [`stamp`].
pub(crate) fn is_stamp(text: &str) -> bool {
    let pattern = b"00000000T000000Z";
    text.len() == pattern.len()
        && text.bytes().zip(pattern).all(|(byte, pattern)| match pattern {
            b'0' => byte.is_ascii_digit(),
            letter => byte == *letter,
        })
}

#[cfg(test)]
pub(crate) mod faults;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn stamps_are_utc_and_recognized() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_780_481_472);
        assert_eq!(stamp(time), "20260603T101112Z");
        assert!(is_stamp(&stamp(time)) && is_stamp(&stamp(SystemTime::UNIX_EPOCH)));
        for other in
            ["", "20260603", "20260603T101112", "20260603t101112Z", "2026060xT101112Z", "20260603T101112ZZ"]
        {
            assert!(!is_stamp(other), "{other}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn created_files_and_directories_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a/b");
        create_directory(&path).expect("creates");
        create_file(&path.join("file")).expect("creates");
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(&directory.path().join("a"))), (0o700, 0o700));
        assert_eq!(mode(&path.join("file")), 0o600);
        assert!(create_file(&path.join("file")).is_err(), "never opens what is there");
    }
    #[test]
    fn a_lock_ends_with_its_owner_even_if_a_copy_of_the_file_is_open() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("lock");
        let owner = Lockable(create_file(&path).expect("creates"));
        owner.0.try_lock().expect("is free");
        // As a child process has it between fork and exec.
        let copy = owner.0.try_clone().expect("copies");
        let other = File::open(&path).expect("opens");
        assert!(other.try_lock().is_err());
        drop(owner);
        other.try_lock().expect("is free again");
        drop(copy);
    }
}
