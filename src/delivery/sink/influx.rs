//! What all ways to InfluxDB have in common: compression with its fallback, a token that is read
//! again when it is refused, secrets kept out of messages. How the bytes get there is a
//! [`Transport`].

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

/// Writes batches to InfluxDB, or to what speaks its write API.
pub(super) struct ServerSink<T> {
    settings: InfluxSettings,
    url: Url,
    connection: RwLock<Arc<SinkConnection<T>>>,
    compress: bool,
    /// Until when bodies are sent plain, because the server did not decompress one.
    plain_until: Mutex<Option<Instant>>,
    /// Whether it was said already that the server has an odd way of saying yes.
    warned: AtomicBool,
    /// Whether it was said already that another endpoint would name refused lines.
    told_of_endpoint: AtomicBool,
}

impl<T: Transport> ServerSink<T> {
    /// Checks the address and reads the token. Sends nothing yet.
    ///
    /// # Errors
    ///
    /// A URL that this client cannot serve, or a token that cannot be read or that no header can
    /// carry.
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

    /// Sends the lines, and at once again where what rotates on the disk may be what was missing.
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

    /// Puts what `make` makes in the place of the connection. Returns the one to use, and whether
    /// it is another one.
    async fn replace(
        &self,
        old: Arc<SinkConnection<T>>,
        make: fn(&SinkConnection<T>, &InfluxSettings, &Url) -> Option<SinkConnection<T>>,
    ) -> (Arc<SinkConnection<T>>, bool) {
        let (settings, url, before) = (self.settings.clone(), self.url.clone(), Arc::clone(&old));
        // Files are read, of a disk that may be slow or away.
        let made = tokio::task::spawn_blocking(move || make(&before, &settings, &url)).await;
        let Some(made) = made.ok().flatten() else { return (old, false) };
        let made = Arc::new(made);
        *self.connection.write() = Arc::clone(&made);
        (made, true)
    }

    /// Sends compressed where that is wanted, and once more plain where the server did not
    /// decompress.
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
        // Else the trouble was another one, and compression is not to blame.
        if understood {
            self.stop_compressing();
        }
        result
    }

    async fn plain(&self, connection: &SinkConnection<T>, lines: &Bytes) -> Result<Written, WriteError> {
        let written = self.exchange(connection, lines.clone(), false).await?;
        written
            .ok_or_else(|| WriteError::transient("the server says that it cannot decompress a body that was plain: look at what stands before it"))
    }

    /// Sends one body. `None` means that the server did not decompress it.
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
            // Now, since a secret that is cut with the message would not be found again.
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

    /// Writes nothing, which passes every check that a write passes. InfluxDB 3 and some others
    /// complain that nothing came: that is a yes as well.
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

    /// Returns the target. Neither client nor endpoint belong to it: what one could not write, the
    /// other may.
    fn target(&self) -> String {
        let settings = &self.settings;
        let policy = settings.retention_policy.as_deref().unwrap_or_default();
        format!("influx\n{}\n{}\n{}\n{policy}", self.url, settings.organization, settings.bucket)
    }
}

const PLAIN_FOR: Duration = Duration::from_secs(10 * 60);
