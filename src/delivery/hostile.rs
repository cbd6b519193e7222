//! Objects that an attacker may put in the place of files and directories.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

/// How many kinds of objects [`put_each`] creates.
pub(crate) const KINDS: u32 = 5;

/// Creates a pipe, a directory, a dangling link, a link to a file and a link to a directory at
/// these paths.
pub(crate) fn put_each(path: impl Fn(u32) -> PathBuf) {
    let made = Command::new("mkfifo").arg(path(0)).status().expect("coreutils are there");
    assert!(made.success());
    fs::create_dir(path(1)).expect("creates");
    symlink("nowhere", path(2)).expect("links");
    symlink("/etc/hostname", path(3)).expect("links");
    symlink("/tmp", path(4)).expect("links");
}
