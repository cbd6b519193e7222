//! Where points go without a database.

use std::path::PathBuf;

use super::defaults::{DIRECTORY, MAX_FILE_SIZE, MAX_TOTAL_SIZE};

/// Line-protocol files.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FileSettings {
    /// Where the files are. Defaults to `monitoring-data` under the working directory.
    pub directory: PathBuf,
    /// Bytes after which a new file is begun; one is begun each day as well. Defaults to 64 MiB.
    pub max_file_size: u64,
    /// Bytes of all files together; the oldest go first. Defaults to 1 GiB.
    pub max_total_size: u64,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { directory: DIRECTORY.into(), max_file_size: MAX_FILE_SIZE, max_total_size: MAX_TOTAL_SIZE }
    }
}
