//! Captures what this crate logs on a test's thread.

use std::{
    io,
    sync::{Arc, LazyLock, Mutex, PoisonError},
};

use tracing::{Dispatch, Level, subscriber::DefaultGuard};
use tracing_subscriber::fmt::MakeWriter;

/// The log of this thread, captured until this is dropped.
pub(crate) struct Log {
    text: LogText,
    _guard: DefaultGuard,
}

/// With fewer than two subscribers, `tracing` asks only that of the thread that reaches a log line
/// first. If a test without one does, the line would be off in the whole process.
static INTERESTED: LazyLock<[Dispatch; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| {
        let subscriber = tracing_subscriber::fmt().with_max_level(Level::TRACE).with_writer(io::sink);
        Dispatch::new(subscriber.finish())
    })
});

#[derive(Clone, Default)]
pub(crate) struct LogText(Arc<Mutex<Vec<u8>>>);

impl Log {
    pub(crate) fn capture() -> Self {
        LazyLock::force(&INTERESTED);
        let text = LogText::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(Level::WARN)
            .with_ansi(false)
            .with_writer(text.clone())
            .finish();
        Self { text, _guard: tracing::subscriber::set_default(subscriber) }
    }

    /// Returns how often the log contains this text.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.to_string().matches(what).count()
    }
}

impl std::fmt::Display for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = self.text.0.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.write_str(&String::from_utf8_lossy(&text))
    }
}

impl io::Write for LogText {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogText {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
