//! Lines that earlier processes wrote into files, read once at the start, up to a bound.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
};

use crate::fs_ext;

/// The files as they were when observing began, newest first.
#[derive(Debug)]
pub(super) struct StoredFiles(Vec<(PathBuf, u64)>);

impl StoredFiles {
    /// Lists the current files of the directory. The observer receives what is written later by
    /// itself.
    pub(super) fn find(directory: &Path) -> Self {
        let mut files = fs_ext::list(directory).unwrap_or_default();
        files.retain(|file| is_points_file(&file.name));
        files.sort_by(|left, right| right.name.cmp(&left.name));
        Self(files.into_iter().map(|file| (file.path, file.length)).collect())
    }

    /// Reads the lines of the newest files, at most `limit` bytes of them. Blocks.
    pub(super) fn read(self, mut limit: u64, mut line: impl FnMut(&[u8])) -> io::Result<()> {
        for (path, length) in self.0 {
            if limit == 0 {
                break;
            }
            // The file may have been deleted meanwhile, by the bound on the files.
            let Ok(mut file) = File::open(&path) else { continue };
            let take = length.min(limit);
            limit -= take;
            file.seek(SeekFrom::Start(length - take))?;
            let mut reader = BufReader::with_capacity(64 * 1024, file.take(take));
            let mut buffer = Vec::new();
            if take < length {
                // Skips the rest of a line that begins before the bound.
                reader.read_until(b'\n', &mut buffer)?;
            }
            loop {
                buffer.clear();
                if reader.read_until(b'\n', &mut buffer)? == 0 {
                    break;
                }
                line(&buffer);
            }
        }
        Ok(())
    }
}

/// Returns whether a name has the format of the file storage, such as
/// `points-20260603T101112Z-0000-89abcdef-0.lp`.
fn is_points_file(name: &str) -> bool {
    let stamp = name.strip_prefix("points-").and_then(|rest| rest.strip_suffix(".lp")?.split_once('-'));
    stamp.is_some_and(|(stamp, _)| fs_ext::is_stamp(stamp))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn read(directory: &Path, limit: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let line = |line: &[u8]| lines.push(String::from_utf8_lossy(line).trim_end().to_owned());
        StoredFiles::find(directory).read(limit, line).expect("reads");
        lines
    }

    #[test]
    fn the_newest_files_come_first_and_the_bound_holds() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(read(&directory.path().join("none"), 100), [""; 0]);
        let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).expect("writes");
        write("points-20260603T101112Z-0000-89abcdef-0.lp", "old 1\nold 2\n");
        write("points-20260603T101113Z-0000.lp", "new 1\nnew 2\n");
        write("notes.lp", "none of ours\n");
        assert_eq!(read(directory.path(), 100), ["new 1", "new 2", "old 1", "old 2"]);
        assert_eq!(read(directory.path(), 20), ["new 1", "new 2", "old 2"]);
        assert_eq!(read(directory.path(), 0), [""; 0]);
    }

    #[test]
    fn what_is_appended_later_is_not_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("points-20260603T101112Z-0000-89abcdef-0.lp");
        fs::write(&path, "a\n").expect("writes");
        let history = StoredFiles::find(directory.path());
        fs::write(&path, "a\nb\n").expect("writes");
        let mut lines = 0;
        history.read(100, |_| lines += 1).expect("reads");
        assert_eq!(lines, 1);
    }
}
