//! Ownership of the rotating files in a shared directory.
//!
//! The name of a file ends with a label: a hash of the service's name and a number. It is the
//! smallest number that no living process of the service had when the file was created. A lock file
//! for each label, in the directory `.locks`, shows that its process is alive. After a restart the
//! number is usually the same, so a process also counts and deletes what it wrote before.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{delivery::lock::LockFile, fs_ext};

/// The label of this process, which it holds as long as this value lives.
#[derive(Debug)]
pub(super) struct Owner {
    locks: PathBuf,
    prefix: &'static str,
    service: u32,
    number: u32,
    /// `None` on a file system without locks. All files of the service then count as ours.
    lock: Option<LockFile>,
}

/// The owner that the name of a file states.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Label {
    pub(super) service: u32,
    pub(super) number: u32,
}

impl Owner {
    /// Claims the smallest number that no living process of the service holds.
    pub(super) fn claim(directory: &Path, prefix: &'static str, service: u32) -> io::Result<Self> {
        let locks = directory.join(LOCKS);
        fs_ext::create_directory(&locks)?;
        for number in 0..MAX_PROCESSES {
            let lock = match LockFile::acquire(&lock_path(&locks, prefix, Label { service, number })) {
                Ok(Some(lock)) => Some(lock),
                Err(error) if error.kind() == io::ErrorKind::Unsupported => None,
                // It belongs to another process or user, or is not a lock file.
                Ok(None) => continue,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidData
                    ) =>
                {
                    continue;
                }
                Err(error) => return Err(error),
            };
            return Ok(Self { locks, prefix, service, number, lock });
        }
        Err(io::Error::other("each of its 1,024 lock files is held by another process or cannot be used"))
    }

    pub(super) fn label(&self) -> Label {
        Label { service: self.service, number: self.number }
    }

    /// Returns whether the path still leads to the lock file that we hold.
    pub(super) fn is_intact(&self) -> bool {
        self.lock.as_ref().is_none_or(LockFile::is_intact)
    }

    /// Returns whether this process may delete files with this label. It may delete its own, and
    /// those of an ended process of the same service. The returned lock keeps others from claiming
    /// the label.
    pub(super) fn owns(&self, label: Label) -> (bool, Option<LockFile>) {
        if label.service != self.service {
            return (false, None);
        }
        if label.number == self.number || self.lock.is_none() {
            return (true, None);
        }
        match LockFile::acquire(&lock_path(&self.locks, self.prefix, label)) {
            Ok(Some(lock)) => (true, Some(lock)),
            Ok(None) | Err(_) => (false, None),
        }
    }
}

impl Label {
    /// Parses the label at the end of a file's name.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (service, number) = text.split_once('-')?;
        let label = Self { service: u32::from_str_radix(service, 16).ok()?, number: number.parse().ok()? };
        (label.to_string() == text).then_some(label)
    }
}

impl std::fmt::Display for Label {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:08x}-{}", self.service, self.number)
    }
}

/// Returns the hash in the names of a service's files. It must never change.
pub(super) fn hash(service: &str) -> u32 {
    crc32fast::hash(service.as_bytes())
}

fn lock_path(locks: &Path, prefix: &str, label: Label) -> PathBuf {
    locks.join(format!("{prefix}-{label}"))
}

const LOCKS: &str = ".locks";
const MAX_PROCESSES: u32 = 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs_ext::faults;

    #[test]
    fn only_a_label_as_it_was_written_is_parsed() {
        let label = Label { service: hash("shop"), number: 12 };
        assert_eq!(Label::parse(&label.to_string()), Some(label));
        for other in ["", "-", "0000000a", "0000000A-0", "a-0", "0000000a-00", "0000000a-+1", "0000000a-0-1"]
        {
            assert_eq!(Label::parse(other), None, "{other}");
        }
    }

    #[test]
    fn living_processes_keep_their_labels_and_those_of_dead_ones_are_free() {
        let directory = tempfile::tempdir().expect("a directory");
        let claim = |service| Owner::claim(directory.path(), "points", service).expect("claims");
        let (first, second, other) = (claim(1), claim(1), claim(2));
        assert_eq!([&first, &second, &other].map(|owner| owner.label().number), [0, 1, 0]);
        assert!(first.owns(first.label()).0);
        assert!(!first.owns(second.label()).0 && !first.owns(other.label()).0);
        let (left, foreign) = (second.label(), other.label());
        drop((second, other));
        assert!(first.owns(left).0, "its process has ended");
        assert!(!first.owns(foreign).0, "another service's, for good");
    }

    #[cfg(unix)]
    #[test]
    fn other_files_with_the_name_of_a_lock_are_skipped() {
        let directory = tempfile::tempdir().expect("a directory");
        let locks = directory.path().join(LOCKS);
        std::fs::create_dir(&locks).expect("creates");
        crate::delivery::hostile::put_each(|number| {
            lock_path(&locks, "points", Label { service: 1, number })
        });
        let owner = Owner::claim(directory.path(), "points", 1).expect("claims");
        assert_eq!(owner.label().number, crate::delivery::hostile::KINDS);
    }

    #[test]
    fn without_locks_all_files_of_the_service_count_as_ours() {
        for code in [22, 37, 95] {
            let directory = tempfile::tempdir().expect("a directory");
            let _fault = faults::inject(directory.path(), faults::Operation::Lock, code);
            let owner = Owner::claim(directory.path(), "points", 1).expect("claims");
            assert!(owner.owns(Label { service: 1, number: 7 }).0);
            assert!(!owner.owns(Label { service: 2, number: 0 }).0);
        }
    }
}
