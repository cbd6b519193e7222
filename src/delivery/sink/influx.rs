//! The part that all clients for InfluxDB share. It falls back from compression, reads a refused
//! token again, and keeps secrets out of messages. A [`Transport`] sends the bytes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use ::http::StatusCode;
use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tracing::warn;
use url::Url;

use super::{
    Sink, SinkFuture, WriteError, WriteErrorKind, Written,
    classify::{AnswerKind, ServerAnswer, classify, names_no_line},
    connection::SinkConnection,
    gzip, proxy,
    transport::{Transport, is_this_host},
};
use crate::stats::Blocked;
use crate::{delivery::batch::Batch, error::Error, settings::InfluxSettings};

/// Writes batches to InfluxDB, or to a server with the same write API.
pub(super) struct ServerSink<T> {
    settings: InfluxSettings,
    url: Url,
    connection: RwLock<Arc<SinkConnection<T>>>,
    compress: bool,
    /// Until when bodies are sent uncompressed, because the server did not decompress one.
    plain_until: Mutex<Option<Instant>>,
    /// Whether a warning about an unusual success status was logged.
    warned: AtomicBool,
    /// Whether a hint at the endpoint that names refused lines was logged.
    told_of_endpoint: AtomicBool,
}

impl<T: Transport> ServerSink<T> {
    /// Checks the URL and reads the token. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// Fails if this client does not support the URL, or if the token cannot be read or sent in a
    /// header.
    pub(super) fn new(settings: &InfluxSettings) -> Result<Self, Error> {
        let url = settings.checked_url()?;
        proxy::check(&url)?;
        let connection = Arc::new(SinkConnection::open(settings, &url)?);
        Ok(Self {
            compress: settings.gzip.unwrap_or_else(|| !is_this_host(&url)),
            settings: settings.clone(),
            url,
            connection: RwLock::new(connection),
            plain_until: Mutex::new(None),
            warned: AtomicBool::new(false),
            told_of_endpoint: AtomicBool::new(false),
        })
    }

    /// Sends the lines. Repeats the write at once if the server refused the credentials and a file
    /// with them has changed.
    async fn deliver(&self, lines: &Bytes) -> Result<Written, WriteError> {
        let mut connection = self.connection();
        if connection.is_worn_out() {
            connection = self.replace(connection, SinkConnection::successor).await.0;
        }
        let result = self.attempt(&connection, lines).await;
        connection.note(result.as_ref().err());
        let may_be_outdated = matches!(
            result.as_ref().map_err(|error| &error.kind),
            Err(WriteErrorKind::Blocked(Blocked::Authorization | Blocked::Configuration))
        );
        if !may_be_outdated || !self.has_files() {
            return result;
        }
        let (connection, replaced) = self.replace(connection, SinkConnection::successor_if_changed).await;
        if !replaced {
            return result;
        }
        let result = self.attempt(&connection, lines).await;
        connection.note(result.as_ref().err());
        result
    }

    fn has_files(&self) -> bool {
        self.settings.token_file.is_some() || self.settings.certificate_authority.is_some()
    }

    /// Replaces the connection by the one that `make` returns. Returns the connection to use, and
    /// whether it is a new one.
    async fn replace(
        &self,
        old: Arc<SinkConnection<T>>,
        make: fn(&SinkConnection<T>, &InfluxSettings, &Url) -> Option<SinkConnection<T>>,
    ) -> (Arc<SinkConnection<T>>, bool) {
        let (settings, url, before) = (self.settings.clone(), self.url.clone(), Arc::clone(&old));
        // Reads files, from a disk that may be slow or missing.
        let made = tokio::task::spawn_blocking(move || make(&before, &settings, &url)).await;
        let Some(made) = made.ok().flatten() else { return (old, false) };
        let made = Arc::new(made);
        *self.connection.write() = Arc::clone(&made);
        (made, true)
    }

    /// Sends the body compressed if configured, and repeats it uncompressed if the server did not
    /// decompress it.
    async fn attempt(&self, connection: &SinkConnection<T>, lines: &Bytes) -> Result<Written, WriteError> {
        let wanted = lines.len() >= gzip::MIN_BYTES && self.compresses_now();
        let packed = if wanted { gzip::compress(lines).await } else { None };
        let Some(packed) = packed else { return self.plain(connection, lines).await };
        if let Some(written) = self.exchange(connection, packed, true).await? {
            return Ok(written);
        }
        let result = self.plain(connection, lines).await;
        let understood = match &result {
            Ok(_) => true,
            Err(error) => matches!(error.kind, WriteErrorKind::Refused(_)),
        };
        // Otherwise the cause was another one, and compression stays on.
        if understood {
            self.stop_compressing();
        }
        result
    }

    async fn plain(&self, connection: &SinkConnection<T>, lines: &Bytes) -> Result<Written, WriteError> {
        let written = self.exchange(connection, lines.clone(), false).await?;
        written.ok_or_else(|| {
            WriteError::transient(
                "the server cannot decompress a body that was not compressed: check the proxies before it",
            )
        })
    }

    /// Sends one body. Returns `None` if the server did not decompress it.
    async fn exchange(
        &self,
        connection: &SinkConnection<T>,
        body: Bytes,
        compressed: bool,
    ) -> Result<Option<Written>, WriteError> {
        let written = Written::new(body.len() as u64);
        let secrets = &connection.secrets;
        let reply =
            connection.transport.send(body, compressed).await.map_err(|error| secrets.conceal_in(error))?;
        let answer = ServerAnswer {
            status: reply.status,
            // Secrets are redacted before the message is cut: a secret that is cut would not be
            // found.
            body: &secrets.conceal(&reply.body.text()),
            complete: reply.body.is_complete(),
            retry_after: reply.retry_after.as_deref(),
            api: reply.api,
            compressed,
            now: SystemTime::now(),
        };
        match classify(&answer) {
            AnswerKind::Written => Ok(Some(written)),
            AnswerKind::WrittenOddly => {
                self.warn_of_odd_answer(reply.status);
                Ok(Some(written))
            }
            AnswerKind::NotDecompressed => Ok(None),
            AnswerKind::Failed(error) => {
                if names_no_line(&answer) {
                    self.tell_of_endpoint();
                }
                Err(secrets.conceal_in(error))
            }
        }
    }

    fn connection(&self) -> Arc<SinkConnection<T>> {
        Arc::clone(&self.connection.read())
    }

    fn compresses_now(&self) -> bool {
        let plain_until = *self.plain_until.lock();
        self.compress && plain_until.is_none_or(|until| Instant::now() >= until)
    }

    fn stop_compressing(&self) {
        *self.plain_until.lock() = Some(Instant::now() + PLAIN_FOR);
        warn!(
            target: "tower_influx",
            server = %self.describe(),
            "compressed request body not understood by the server, which understood the same lines uncompressed: \
             gzip is off for 10 minutes, no point is lost; if a proxy in between cannot be changed, set `gzip = \
             false`"
        );
    }

    fn tell_of_endpoint(&self) {
        if !self.told_of_endpoint.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_influx",
                server = %self.describe(),
                "InfluxDB 3 rejects points on `/api/v2/write` without naming them: they are found by further \
                 requests; `/api/v3/write_lp` names each: set `client = \"reqwest\"` and leave out `api`"
            );
        }
    }

    fn warn_of_odd_answer(&self, status: StatusCode) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            warn!(
                target: "tower_influx",
                server = %self.describe(),
                %status,
                "unexpected answer to a write, where InfluxDB answers 204: an answer without a body counts as \
                 success, and the points as written; check that `url` leads to the database"
            );
        }
    }
}

impl<T: Transport> Sink for ServerSink<T> {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(self.deliver(batch.bytes()))
    }

    /// Sends an empty write, which passes every check that a write passes. InfluxDB 3 and some
    /// others refuse it as empty: that counts as success, too.
    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async {
            match self.deliver(&Bytes::new()).await {
                Ok(_) => Ok(()),
                Err(error) if matches!(error.kind, WriteErrorKind::Refused(_)) => Ok(()),
                Err(error) => Err(error),
            }
        })
    }

    fn describe(&self) -> String {
        format!("InfluxDB at {}, bucket `{}`", self.url, self.settings.bucket)
    }

    /// Returns the target. Client and endpoint are not part of it: a spooled batch may be sent by
    /// another client or endpoint.
    fn target(&self) -> String {
        let settings = &self.settings;
        let policy = settings.retention_policy.as_deref().unwrap_or_default();
        format!("influx\n{}\n{}\n{}\n{policy}", self.url, settings.organization, settings.bucket)
    }
}

const PLAIN_FOR: Duration = Duration::from_secs(10 * 60);
