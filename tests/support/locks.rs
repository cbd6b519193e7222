//! The locks of directories in a spool.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::Duration,
};

/// Returns the directories of all processes, below the spool of each destination.
pub(crate) fn directories(spool: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(spool).expect("a directory") {
        let path = entry.expect("readable").path();
        if path.join("lock").exists() {
            found.push(path);
        } else if path.is_dir() {
            found.extend(directories(&path));
        }
    }
    found.sort();
    found
}

/// Waits until no monitor has this directory. After the end of one, files may still be deleted and
/// searched in the background.
pub(crate) async fn wait_until_free(directory: &Path) {
    let directory = File::open(directory).expect("a directory");
    for _ in 0..1_000 {
        if directory.try_lock().is_ok() {
            // Also for copies of the handle in processes that other tests start just now.
            return directory.unlock().expect("it is ours");
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("the directory stays locked");
}
