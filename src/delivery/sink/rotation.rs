//! A row of files in one directory, begun anew by size and by day, with the oldest deleted to stay under a bound.
//!
//! Names are `PREFIX-20260603T101112Z-0000.lp`: the UTC second of creation and a number that tells apart what is created
//! within it. Only regular files with such a name are counted and deleted. Several processes may share a directory: each
//! writes to files that it has created itself and holds a lock on, and no process deletes a file that is locked.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use crate::fs_ext::{self, Listed, Lockable};

#[derive(Debug)]
pub(crate) struct RotatingFiles {
    directory: PathBuf,
    prefix: &'static str,
    max_file_size: u64,
    max_total_size: u64,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: Lockable,
    path: PathBuf,
    /// The stamp of its creation.
    stamp: String,
}

impl RotatingFiles {
    /// Creates no file before something is appended.
    pub(crate) fn new(
        directory: &Path,
        prefix: &'static str,
        max_file_size: u64,
        max_total_size: u64,
    ) -> Self {
        Self { directory: directory.to_owned(), prefix, max_file_size, max_total_size, open: None }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Appends all of it or nothing.
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
                // Half a line left behind would swallow the first line of what is appended next.
                if length == 0 {
                    let _ = fs_ext::remove_file(&open.path);
                } else if open.file.0.set_len(length).is_ok() {
                    self.open = Some(open);
                } else {
                    tracing::warn!(
                        target: "tower_influx",
                        file = %open.path.display(),
                        length,
                        "a write failed half-way and could not be taken back: the file's last line may be incomplete; \
                         cut the file to this length before importing it. No point is lost: all are kept and go to a new file"
                    );
                }
                Err(error)
            }
        }
    }

    /// The open file and its length, if it is still the one to append to.
    fn usable(&mut self, stamp: &str, size: u64) -> Option<(OpenFile, u64)> {
        let open = self.open.take()?;
        // Asked of the system each time, since somebody may have deleted or truncated the file meanwhile.
        let length = open.file.0.metadata().ok()?.len();
        if !same_file(&open) {
            return None;
        }
        if open.stamp[..DAY] == stamp[..DAY]
            && (length == 0 || length.saturating_add(size) <= self.max_file_size)
        {
            return Some((open, length));
        }
        if let Err(error) = open.file.0.sync_data() {
            tracing::warn!(
                target: "tower_influx",
                file = %open.path.display(),
                %error,
                "a finished file may be incomplete on disk: points already counted as written may be missing from it; \
                 look after the disk"
            );
        }
        None
    }

    fn create(&self, stamp: String, size: u64) -> io::Result<OpenFile> {
        fs_ext::create_directory(&self.directory)?;
        self.make_room(size.max(self.max_file_size))?;
        for number in 0..MAX_NUMBER {
            let path = self.directory.join(format!("{}-{stamp}-{number:04}.lp", self.prefix));
            match fs_ext::create_file(&path) {
                Ok(file) => {
                    // Some file systems know no locks; there only the clock keeps others from deleting this file.
                    let _ = file.try_lock();
                    return Ok(OpenFile { file: Lockable(file), path, stamp });
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
        Err(io::Error::new(io::ErrorKind::AlreadyExists, "10,000 files were created within one second"))
    }

    /// Deletes the oldest files until this much fits under the bound.
    fn make_room(&self, size: u64) -> io::Result<()> {
        let files = self.files()?;
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
                "deleted the oldest files to stay under the bound, and their points with them: raise `max_total_size` to keep more \
                 of `directory`; `rejected_directory` has 256 MiB"
            );
        }
        Ok(())
    }

    /// Our files, oldest first.
    fn files(&self) -> io::Result<Vec<Listed>> {
        let mut files = fs_ext::list(&self.directory)?;
        files.retain(|file| is_name(self.prefix, &file.name));
        files.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(files)
    }
}

fn is_name(prefix: &str, name: &str) -> bool {
    let rest = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-'));
    let Some((stamp, number)) = rest.and_then(|rest| rest.strip_suffix(".lp")?.split_once('-')) else {
        return false;
    };
    fs_ext::is_stamp(stamp) && number.len() == 4 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// A restart each minute leaves a tiny file each time; counted by their lengths alone they would fill the disk.
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

/// Whether the name still leads to the open file.
fn same_file(open: &OpenFile) -> bool {
    let Ok(named) = fs::symlink_metadata(&open.path) else { return false };
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        open.file.0.metadata().is_ok_and(|opened| (opened.dev(), opened.ino()) == (named.dev(), named.ino()))
    }
    #[cfg(not(unix))]
    named.is_file()
}

/// Bytes of a stamp that name the day.
const DAY: usize = "20260603".len();
const MAX_NUMBER: u32 = 10_000;
const BLOCK: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_ext::faults;
    use std::time::Duration;

    fn at(second: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(second)
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> =
            fs_ext::list(directory).expect("lists").into_iter().map(|file| file.name).collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_ends_with_its_size_and_with_the_utc_day() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = RotatingFiles::new(directory.path(), "points", 10, 1 << 20);
        let mut append = |second, text: &str| files.append(at(second), &[text.as_bytes()]).expect("appends");
        append(0, "12345\n");
        append(1, "789\n");
        append(2, "a\n");
        append(86_399, "b\n");
        append(86_400, "c\n");
        append(86_399, "d\n");
        append(86_399, "longer than a file\n");
        let contents: Vec<_> = names(directory.path())
            .iter()
            .map(|name| (name.clone(), fs::read_to_string(directory.path().join(name)).expect("reads")))
            .collect();
        let expected = [
            ("points-19700101T000000Z-0000.lp", "12345\n789\n"),
            ("points-19700101T000002Z-0000.lp", "a\nb\n"),
            ("points-19700101T235959Z-0000.lp", "d\n"),
            ("points-19700101T235959Z-0001.lp", "longer than a file\n"),
            ("points-19700102T000000Z-0000.lp", "c\n"),
        ];
        assert_eq!(contents, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
    }

    #[test]
    fn the_oldest_go_and_foreign_files_stay() {
        let directory = tempfile::tempdir().expect("a directory");
        let foreign = [
            "points-19700101T000000Z-0000.lp.bak",
            "points-19700101T000000Z-00000.lp",
            "points-19700101T000000-0000.lp",
            "rejected-19700101T000000Z-0000.lp",
            "points-.lp",
            "notes.lp",
        ];
        for name in foreign {
            fs::write(directory.path().join(name), vec![b'#'; 8192]).expect("writes");
        }
        fs::create_dir(directory.path().join("points-19700101T000000Z-0001.lp")).expect("creates");
        let mut files = RotatingFiles::new(directory.path(), "points", 4, 3 * BLOCK);
        for second in 1..10 {
            files.append(at(second), &[b"abc\n"]).expect("appends");
        }
        let ours: Vec<_> = files.files().expect("lists").into_iter().map(|file| file.name).collect();
        assert_eq!(ours, [7, 8, 9].map(|second| format!("points-19700101T00000{second}Z-0000.lp")));
        assert!(foreign.iter().all(|name| directory.path().join(name).exists()));
    }

    #[test]
    fn a_file_that_another_is_writing_is_not_deleted() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut first = RotatingFiles::new(directory.path(), "points", 4, BLOCK);
        let mut second = RotatingFiles::new(directory.path(), "points", 4, BLOCK);
        first.append(at(1), &[b"a"]).expect("appends");
        second.append(at(1), &[b"b"]).expect("appends");
        second.append(at(2), &[b"abcd"]).expect("appends");
        first.append(at(2), &[b"a\n"]).expect("appends");
        let contents: Vec<_> = names(directory.path())
            .iter()
            .map(|name| fs::read_to_string(directory.path().join(name)).expect("reads"))
            .collect();
        assert_eq!(contents, ["aa\n", "abcd"]);
    }

    #[test]
    fn a_file_that_somebody_deleted_or_replaced_is_begun_anew() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("points");
        let mut files = RotatingFiles::new(&path, "points", 100, 1 << 20);
        files.append(at(1), &[b"a\n"]).expect("appends");
        let name = path.join(&names(&path)[0]);
        fs::rename(&name, path.join("moved")).expect("moves");
        fs::write(&name, "other\n").expect("writes");
        files.append(at(1), &[b"b\n"]).expect("appends");
        assert_eq!(fs::read_to_string(&name).expect("reads"), "other\n");
        assert_eq!(fs::read_to_string(path.join("points-19700101T000001Z-0001.lp")).expect("reads"), "b\n");

        fs::remove_dir_all(&path).expect("removes");
        files.append(at(2), &[b"c\n"]).expect("appends");
        assert_eq!(names(&path), ["points-19700101T000002Z-0000.lp"]);
    }

    #[test]
    fn a_truncated_file_is_appended_to_without_a_hole() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = RotatingFiles::new(directory.path(), "points", 100, 1 << 20);
        files.append(at(1), &[b"abcdef\n"]).expect("appends");
        let name = directory.path().join(&names(directory.path())[0]);
        File::options().write(true).open(&name).expect("opens").set_len(0).expect("truncates");
        files.append(at(1), &[b"b\n"]).expect("appends");
        assert_eq!(fs::read(&name).expect("reads"), b"b\n");
    }

    #[test]
    fn a_failed_first_write_leaves_no_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut files = RotatingFiles::new(directory.path(), "points", 100, 1 << 20);
        let fault = faults::inject(directory.path(), faults::Operation::Write(1), 28);
        files.append(at(1), &[b"#\n", b"abc\n"]).expect_err("full");
        assert_eq!(names(directory.path()), [""; 0]);
        drop(fault);
        files.append(at(1), &[b"#\n", b"abc\n"]).expect("appends");
        assert_eq!(names(directory.path()).len(), 1);
    }
}
