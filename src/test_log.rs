//! Captures what a test logs.

use std::{
    fs::File,
    io::{Read, Seek},
    sync::{Arc, LazyLock},
};

use tracing::{Dispatch, Level, Subscriber, instrument::WithSubscriber};

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
    LazyLock::force(&INTERESTED);
    let log = Arc::new(tempfile::tempfile().expect("a temporary file"));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&log));
    (log, subscriber.finish())
}

/// With fewer than two subscribers, `tracing` asks only that of the thread that reaches a log line
/// first. If a test without one does, the line would be off in the whole process.
static INTERESTED: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(std::io::sink);
        Dispatch::new(subscriber.finish())
    })
});

fn text(mut log: &File) -> String {
    let mut text = String::new();
    log.rewind().and_then(|()| log.read_to_string(&mut text)).expect("the log");
    text
}
