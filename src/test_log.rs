//! Captures what a test logs.

use std::{
    fs::File,
    io::{Read, Seek},
    sync::Arc,
};

use tracing::{Subscriber, instrument::WithSubscriber};

/// Runs a function, and returns the lines that it logs on this thread.
pub(crate) fn logged(run: impl FnOnce()) -> String {
    let (log, subscriber) = subscriber();
    tracing::subscriber::with_default(subscriber, run);
    text(&log)
}

/// Awaits a future, and returns the lines that it logs itself, without those of other tasks.
pub(crate) async fn logged_by(future: impl Future<Output = ()>) -> String {
    let (log, subscriber) = subscriber();
    future.with_subscriber(subscriber).await;
    text(&log)
}

fn subscriber() -> (Arc<File>, impl Subscriber + Send + Sync) {
    let log = Arc::new(tempfile::tempfile().expect("a temporary file"));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&log));
    (log, subscriber.finish())
}

fn text(mut log: &File) -> String {
    let mut text = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut text)).expect("the log");
    text
}
