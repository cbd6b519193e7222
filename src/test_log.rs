//! What a test has logged.

use std::{
    io::{Read, Seek},
    sync::Arc,
};

/// Runs a function and returns the lines that it logs on this thread.
pub(crate) fn logged(run: impl FnOnce()) -> String {
    let file = Arc::new(tempfile::tempfile().expect("a temporary file"));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&file)).finish();
    tracing::subscriber::with_default(subscriber, run);
    let mut log = String::new();
    let mut file = &*file;
    file.rewind().and_then(|()| file.read_to_string(&mut log)).expect("the log");
    log
}
