//! Settings of the storage in files.

use std::path::PathBuf;

use super::defaults::{DIRECTORY, MAX_FILE_SIZE, MAX_TOTAL_SIZE};

/// Settings of line-protocol files, for [`Storage::File`](crate::settings::Storage::File).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FileSettings {
    /// The directory of the files. Defaults to `monitoring-data` in the working directory. Created
    /// if it does not exist.
    pub directory: PathBuf,
    /// The size in bytes at which the next file is started, 64 KiB or more. Defaults to 64 MiB.
    /// Each day also starts a new file.
    pub max_file_size: u64,
    /// The maximum size in bytes of all files of this process and of ended processes of this
    /// service, at least `max_file_size`. The oldest files are deleted first. Defaults to 1 GiB.
    pub max_total_size: u64,
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { directory: DIRECTORY.into(), max_file_size: MAX_FILE_SIZE, max_total_size: MAX_TOTAL_SIZE }
    }
}
