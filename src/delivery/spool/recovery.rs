//! What an earlier process left in a directory, and what becomes of files that cannot be read as
//! they were written.

use std::{
    io,
    path::{Path, PathBuf},
    time::SystemTime,
};

use super::{
    format::{self, Found, Header},
    process_directory,
};
use crate::fs_ext;

/// What was found in one directory.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) batches: Vec<(PathBuf, Header)>,
    pub(super) damaged: u64,
    /// For other targets, of newer versions, or not ours at all.
    pub(super) foreign: u64,
    pub(super) unreadable: u64,
}

/// Looks at every file. The lock of the directory must be held.
///
/// The lines are compared with their checksum for as long as `budget`, in bytes, lasts: reading a
/// gigabyte would hold up the start of the service for seconds, and every file is compared again
/// before it is sent.
pub(super) fn scan(
    directory: &Path,
    target: u64,
    quarantine: &Quarantine,
    budget: &mut u64,
) -> io::Result<Scan> {
    let mut scan = Scan::default();
    for file in fs_ext::list(directory)? {
        if file.name == process_directory::LOCK {
            continue;
        }
        if format::is_temporary(&file.name) {
            // Nobody was told that it is stored.
            let _ = fs_ext::remove_file(&file.path);
            continue;
        }
        if !file.name.ends_with(".lp") {
            scan.foreign += 1;
            continue;
        }
        match inspect(&file.path, target, budget) {
            Ok(Found::Batch(header)) => scan.batches.push((file.path, header)),
            Ok(Found::OtherTarget | Found::NewerVersion) => scan.foreign += 1,
            Ok(Found::Damaged(why)) if format::is_name(&file.name) => {
                scan.damaged += 1;
                quarantine.take(&file.path, why);
            }
            // Somebody has put it there, and may want it back.
            Ok(Found::Damaged(_)) => scan.foreign += 1,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => {
                scan.unreadable += 1;
                tracing::warn!(
                    target: "tower_influx",
                    file = %file.path.display(),
                    %error,
                    "a spooled file cannot be read: it is left where it is, and its points are not sent; \
                     make it readable and restart the service"
                );
            }
        }
    }
    Ok(scan)
}

fn inspect(path: &Path, target: u64, budget: &mut u64) -> io::Result<Found> {
    let (found, file) = format::read_header(path, target)?;
    let Found::Batch(header) = &found else { return Ok(found) };
    match budget.checked_sub(header.bytes) {
        None => *budget = 0,
        Some(rest) => {
            *budget = rest;
            let lines = format::read_lines(&file, header)?;
            if header.batch(lines, SystemTime::now()).is_none() {
                return Ok(Found::Damaged(LINES));
            }
        }
    }
    Ok(found)
}

/// Where damaged files go, for people to look at; bounded on its own.
#[derive(Debug)]
pub(super) struct Quarantine {
    directory: PathBuf,
    max_size: u64,
}

impl Quarantine {
    pub(super) fn new(root: &Path, max_spool_size: u64) -> Self {
        Self { directory: root.join("corrupt"), max_size: max_spool_size / 10 }
    }

    /// Moves a file away, and returns false if it had to stay where it is.
    pub(super) fn take(&self, path: &Path, why: &str) -> bool {
        match self.move_in(path) {
            Ok(place) => {
                tracing::warn!(
                    target: "tower_influx",
                    file = %place.display(),
                    why,
                    "a spooled file is damaged and was moved here: its points are not sent; \
                     import by hand what is left of it, and look after the disk"
                );
                true
            }
            Err(error) => {
                tracing::warn!(
                    target: "tower_influx",
                    file = %path.display(),
                    why,
                    %error,
                    "a spooled file is damaged and could not be moved away: its points are not sent; \
                     move it by hand, and look after the disk"
                );
                false
            }
        }
    }

    fn move_in(&self, path: &Path) -> io::Result<PathBuf> {
        fs_ext::create_directory(&self.directory)?;
        let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?.to_string_lossy();
        // Renaming onto a name that exists would delete what is there.
        let free = (0..MAX_FILES as u32).map(|number| match number {
            0 => self.directory.join(&*name),
            number => self.directory.join(format!("{number}-{name}")),
        });
        let place = free.into_iter().find(|place| !place.exists()).ok_or(io::ErrorKind::AlreadyExists)?;
        fs_ext::rename(path, &place)?;
        self.bound();
        Ok(place)
    }

    /// Deletes the files that were written first.
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
            if count <= 1 || (count <= MAX_FILES && bytes <= self.max_size) {
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
