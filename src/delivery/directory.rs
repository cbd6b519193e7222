//! Directories that settings name: creates and checks them, or refuses them with a remedy.

use std::{fs, io, path::Path};

use crate::{error::Error, fs_ext};

/// Creates the directory, checks who may write in it, and tries to create a file.
///
/// Returns the error of a full disk, which does not prevent a start: there may be space later.
///
/// # Errors
///
/// Fails if the directory cannot be used, with the setting, its value and a remedy.
pub(crate) fn prepare(setting: &str, path: &Path) -> Result<Option<io::Error>, Error> {
    match create(path).and_then(|()| fs_ext::probe(path)) {
        Ok(()) => Ok(None),
        Err(error) if is_full(&error) => Ok(Some(error)),
        Err(error) => Err(unusable(setting, path, error)),
    }
}

/// Creates the directory if it is missing.
///
/// # Errors
///
/// Fails if it is a link, or if other users may write in it. They could replace files by links and
/// pipes, and read or delete what is written.
pub(crate) fn create(path: &Path) -> io::Result<()> {
    fs_ext::create_directory(path)?;
    let found = fs::symlink_metadata(path)?;
    if found.is_symlink() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, LINK));
    }
    #[cfg(unix)]
    if std::os::unix::fs::MetadataExt::mode(&found) & 0o002 != 0 {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, WRITABLE));
    }
    Ok(())
}

/// Returns whether free space on the disk could resolve this error.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Creates an error that names the setting and the remedy.
pub(crate) fn unusable(setting: &str, path: &Path, error: io::Error) -> Error {
    let remedy = match error.kind() {
        io::ErrorKind::Unsupported => {
            "name a directory on a file system that has file locks, such as a local disk"
        }
        // Only `create` returns this kind: no file system operation does.
        io::ErrorKind::InvalidInput => {
            "name a directory that only this user may write to; a directory that does not exist yet is created with these permissions"
        }
        _ => "name a directory that this user may write to, or change its permissions",
    };
    let what = format!("setting `{setting}` is `{}`, which cannot be used: {remedy}", path.display());
    Error::io(what, error)
}

const LINK: &str = "it is a symbolic link";
const WRITABLE: &str = "every user may write in it";
