//! A client of the server with the secrets that it sends, and its replacement.
//!
//! A pooled connection stays open as long as it works, at the address that the name resolved to
//! when it was opened. So the whole client is replaced every few minutes and after repeated
//! failures. The name is then resolved again, and the token and certificate files are read again.

use std::{
    fs::File,
    io::Read,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use tokio::time::Instant;
use tracing::{info, warn};
use url::Url;

use super::{
    WriteError, WriteErrorKind,
    authorization::{self, Secrets},
    error::with_causes,
    proxy,
    transport::Transport,
};
use crate::{
    error::Error,
    settings::{InfluxSettings, Token},
};

/// A transport and what it was made from. Always replaced as a whole.
pub(super) struct SinkConnection<T> {
    pub(super) transport: T,
    pub(super) secrets: Secrets,
    files: CredentialFiles,
    since: Instant,
    /// Consecutive failures that say nothing about the points.
    failures: AtomicU32,
}

/// The files that may be rotated on disk.
#[derive(Clone, PartialEq)]
struct CredentialFiles {
    token: Token,
    /// The certificates of `certificate_authority`.
    authority: Option<Vec<u8>>,
}

impl<T: Transport> SinkConnection<T> {
    /// Reads the files and creates a client. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// Fails if a file cannot be read, or if the client does not support the settings.
    pub(super) fn open(settings: &InfluxSettings, url: &Url) -> Result<Self, Error> {
        let authority = settings.certificate_authority.as_deref().map(read_authority).transpose()?;
        Self::new(settings, url, CredentialFiles { token: settings.current_token()?, authority })
    }

    fn new(settings: &InfluxSettings, url: &Url, files: CredentialFiles) -> Result<Self, Error> {
        let header = authorization::header(settings, &files.token);
        let mut secrets = Secrets::new(settings, &files.token, header.as_ref());
        secrets.extend(proxy::passwords(url));
        let transport = T::new(settings, url, header.as_ref(), files.authority.as_deref())?;
        Ok(Self { transport, secrets, files, since: Instant::now(), failures: AtomicU32::new(0) })
    }

    /// Counts the result of a request.
    pub(super) fn note(&self, error: Option<&WriteError>) {
        match error.map(|error| &error.kind) {
            None | Some(WriteErrorKind::Refused(_) | WriteErrorKind::TooLarge) => {
                self.failures.store(0, Ordering::Relaxed);
            }
            Some(_) => _ = self.failures.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// Returns whether this client should be replaced before the next request.
    pub(super) fn is_worn_out(&self) -> bool {
        self.since.elapsed() >= LONGEST_USE || self.failures.load(Ordering::Relaxed) >= MOST_FAILURES
    }

    /// Creates a client that replaces this one. If a file cannot be read, its last content is used.
    ///
    /// Returns `None` if the client cannot be created.
    pub(super) fn successor(&self, settings: &InfluxSettings, url: &Url) -> Option<Self> {
        Self::new(settings, url, self.read_again(settings)).inspect_err(warn_of_old).ok()
    }

    /// Creates a client like [`successor`](Self::successor), but only if the content of a file has
    /// changed.
    pub(super) fn successor_if_changed(&self, settings: &InfluxSettings, url: &Url) -> Option<Self> {
        let files = self.read_again(settings);
        if files == self.files {
            return None;
        }
        info!(
            target: "tower_influx",
            "`token_file` or `certificate_authority` has changed: the write is repeated with the new content"
        );
        Self::new(settings, url, files).inspect_err(warn_of_old).ok()
    }

    fn read_again(&self, settings: &InfluxSettings) -> CredentialFiles {
        let keep = |error: &Error| {
            warn!(
                target: "tower_influx",
                error = %with_causes(error),
                "`token_file` or `certificate_authority` cannot be read again: the previous content stays in \
                 use, and points are kept while the server refuses it; correct the file"
            );
        };
        let mut files = self.files.clone();
        if settings.token_file.as_deref().is_some_and(can_be_read_again) {
            match settings.current_token() {
                Ok(token) => files.token = token,
                Err(error) => keep(&error),
            }
        }
        if let Some(path) = settings.certificate_authority.as_deref().filter(|path| can_be_read_again(path)) {
            match read_authority(path) {
                Ok(authority) => files.authority = Some(authority),
                Err(error) => keep(&error),
            }
        }
        files
    }
}

fn warn_of_old(error: &Error) {
    warn!(
        target: "tower_influx",
        error = %with_causes(error),
        "HTTP client cannot be rebuilt: the current client stays in use, and points are kept while the server \
         refuses it; correct `token_file` or `certificate_authority`"
    );
}

/// Returns whether the file can be read repeatedly. A pipe returns its content once, and then
/// blocks.
fn can_be_read_again(path: &Path) -> bool {
    path.metadata().map_or(true, |metadata| metadata.is_file())
}

fn read_authority(path: &Path) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    File::open(path).and_then(|file| file.take(MAX_AUTHORITY).read_to_end(&mut content)).map_err(
        |error| {
            let what = format!(
                "setting `certificate_authority` is `{}`, but must be a readable file of PEM certificates",
                path.display()
            );
            Error::io(what, error)
        },
    )?;
    Ok(content)
}

/// The maximum age of a client. A name that moves is found after this time even while the old
/// server still answers.
const LONGEST_USE: Duration = Duration::from_secs(5 * 60);
/// The number of consecutive failures after which a client is replaced.
const MOST_FAILURES: u32 = 3;
/// The maximum size of the file. It is larger than any list of certificates, and keeps an endless
/// file from filling the memory.
const MAX_AUTHORITY: u64 = 4 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::{super::transport::Reply, *};
    use crate::test_log::logged;

    /// Sends nothing, and cannot be created with bad certificates.
    struct Nowhere;

    impl Transport for Nowhere {
        fn new(
            _: &InfluxSettings,
            _: &Url,
            _: Option<&Token>,
            authority: Option<&[u8]>,
        ) -> Result<Self, Error> {
            match authority {
                Some(b"bad") => Err(Error::setting("client", "test", "bad certificates")),
                _ => Ok(Self),
            }
        }

        async fn send(&self, _: Bytes, _: bool) -> Result<Reply, WriteError> {
            Err(WriteError::transient("nowhere"))
        }
    }

    fn connection() -> SinkConnection<Nowhere> {
        let settings = InfluxSettings::default();
        let url = Url::parse(&settings.url).expect("a URL");
        SinkConnection::open(&settings, &url).expect("no file to read")
    }

    #[tokio::test(start_paused = true)]
    async fn a_working_client_is_replaced_after_some_minutes() {
        let connection = connection();
        tokio::time::advance(LONGEST_USE - Duration::from_secs(1)).await;
        connection.note(None);
        assert!(!connection.is_worn_out());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(connection.is_worn_out());
    }

    #[tokio::test]
    async fn a_client_is_replaced_after_failures_in_a_row() {
        let connection = connection();
        let failure = WriteError::throttled(None, "503");
        for judgement in [None, Some(WriteError::refused("400")), Some(WriteError::too_large("413"))] {
            connection.note(Some(&failure));
            connection.note(Some(&failure));
            assert!(!connection.is_worn_out());
            connection.note(judgement.as_ref());
        }
        for _ in 0..3 {
            connection.note(Some(&failure));
        }
        assert!(connection.is_worn_out());
    }

    #[test]
    fn a_client_that_cannot_be_created_again_is_logged_and_the_old_one_stays() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let put = |content: &str| std::fs::write(file.path(), content).expect("writes");
        put("good");
        let settings = InfluxSettings {
            certificate_authority: Some(file.path().to_owned()),
            ..InfluxSettings::default()
        };
        let url = Url::parse(&settings.url).expect("a URL");
        let connection = SinkConnection::<Nowhere>::open(&settings, &url).expect("good certificates");
        for (content, changed, made) in [("good", false, true), ("bad", true, false), ("better", true, true)]
        {
            put(content);
            let (mut successor, mut when_changed) = (None, None);
            let log = logged(|| successor = connection.successor(&settings, &url));
            assert_eq!((successor.is_some(), log.contains("cannot be rebuilt")), (made, !made), "{log}");
            let log = logged(|| when_changed = connection.successor_if_changed(&settings, &url));
            assert_eq!(when_changed.is_some(), changed && made, "{content}");
            assert_eq!(log.contains("has changed"), changed, "{log}");
            assert_eq!(log.contains("cannot be rebuilt"), !made, "{log}");
        }
    }
}
