//! Where and how long batches wait on disk.

use std::{path::PathBuf, time::Duration};

use super::defaults::{SPOOL_MAX_AGE, SPOOL_MAX_FILES, SPOOL_MAX_SIZE};

/// Batches that wait on disk.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpoolSettings {
    /// Where they wait. Required.
    pub directory: PathBuf,
    /// When they go there. Defaults to [`SpoolMode::OnFailure`].
    pub mode: SpoolMode,
    /// Bytes of all files. Defaults to 1 GiB.
    pub max_size: u64,
    /// Number of files. Defaults to 100,000.
    pub max_files: usize,
    /// How long a batch may wait. Defaults to 7 days.
    pub max_age: Duration,
}

/// When batches go to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolMode {
    /// When they could not be written: a crash loses what is in memory.
    #[default]
    OnFailure,
    /// Before they are sent: a crash loses what came since the last batch was stored.
    Ahead,
}

impl SpoolSettings {
    /// Creates the default settings with this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            mode: SpoolMode::default(),
            max_size: SPOOL_MAX_SIZE,
            max_files: SPOOL_MAX_FILES,
            max_age: SPOOL_MAX_AGE,
        }
    }
}
