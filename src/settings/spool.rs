//! Settings of the spool.

use std::{path::PathBuf, time::Duration};

use super::defaults::{SPOOL_MAX_AGE, SPOOL_MAX_FILES, SPOOL_MAX_SIZE};

/// Settings of the spool, which stores waiting batches on disk.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpoolSettings {
    /// The directory of the spool. Required. Created if it does not exist.
    pub directory: PathBuf,
    /// When batches are stored. Defaults to [`SpoolMode::OnFailure`].
    pub mode: SpoolMode,
    /// The maximum size of all files in bytes. The oldest batches are dropped first and counted. At
    /// least twice `batch_bytes` if that is set, otherwise 1536 KiB. Defaults to 1 GiB.
    pub max_size: u64,
    /// The maximum number of files, 1 to 10,000,000. Defaults to 100,000.
    pub max_files: usize,
    /// How long a batch may wait before it is dropped and counted, 1 second to 365 days. Defaults
    /// to 7 days.
    pub max_age: Duration,
}

/// When batches are stored on disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolMode {
    /// After a failed write. A crash loses the points that are in memory.
    #[default]
    OnFailure,
    /// Before they are sent. A crash loses the points that came after the last batch was stored.
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
