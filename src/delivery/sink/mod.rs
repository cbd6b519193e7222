//! Where batches go: InfluxDB, files, memory, or whatever implements [`Sink`].

use std::{error, fmt, future::Future, pin::Pin, sync::Arc, time::Duration};

use crate::{
    error::Error,
    settings::{InfluxClient, InfluxSettings},
    stats::{Blocked, RejectReason},
};

#[cfg(any(feature = "influxdb2", feature = "http"))]
mod authorization;
#[cfg(any(feature = "influxdb2", feature = "http"))]
mod classify;
pub(crate) mod file;
#[cfg(any(feature = "influxdb2", feature = "http"))]
mod gzip;
#[cfg(feature = "http")]
mod http;
#[cfg(any(feature = "influxdb2", feature = "http"))]
mod influx;
#[cfg(feature = "influxdb2")]
mod influxdb2;
pub(crate) mod memory;
pub(crate) mod rejected;
mod rotation;
mod write_stats;

pub use crate::delivery::batch::Batch;
pub use memory::MemorySink;

/// What a [`Sink`] returns: boxed, so that the trait is object-safe. It is called once a batch, never on a request's path.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A destination of points.
///
/// The flusher calls [`write`](Sink::write) for one batch after the other, and decides by the error what becomes of the
/// batch. Writing a batch twice must be harmless, as it is in InfluxDB, where identical points are one point.
///
/// # Cancel safety
///
/// The future of `write` may be dropped at any await, at shutdown or when it takes longer than the flusher waits. The
/// batch then counts as not written and is written again.
///
/// # Panics
///
/// One that panics costs no point: the batch is tried again. One that blocks its thread holds up the flusher, and requests
/// never.
///
/// ```
/// use tower_influx::{Monitor, Settings, sink::{Batch, Sink, SinkFuture, WriteError, Written}};
///
/// /// Hands the lines to whatever listens on a channel.
/// struct Channel(tokio::sync::mpsc::Sender<String>);
///
/// impl Sink for Channel {
///     fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
///         Box::pin(async move {
///             let text = String::from_utf8_lossy(batch.bytes()).into_owned();
///             self.0.send(text).await.map_err(|_| WriteError::transient("nobody listens"))?;
///             Ok(Written::new(batch.bytes().len() as u64))
///         })
///     }
///
///     fn describe(&self) -> String {
///         "a channel".to_owned()
///     }
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), tower_influx::Error> {
/// # let (sender, _receiver) = tokio::sync::mpsc::channel(1);
/// let monitor = Monitor::builder(Settings::new("my-service")).sink(Channel(sender)).start()?;
/// # drop(monitor);
/// # Ok(())
/// # }
/// ```
pub trait Sink: Send + Sync + 'static {
    /// Writes one batch. `Ok` means that the destination has taken all of its points.
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>>;

    /// Asks whether the destination would take points, without writing any. Says yes by default.
    fn check(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async { Ok(()) })
    }

    /// What the destination is called in logs and on the live page, without secrets.
    fn describe(&self) -> String;

    /// A text that tells one destination from another, hashed into the names of spooled files so that these are never sent
    /// elsewhere. Defaults to [`describe`](Sink::describe).
    fn target(&self) -> String {
        self.describe()
    }
}

/// The sink that writes to the server of these settings, through the client that they choose.
///
/// # Errors
///
/// Settings that cannot work, a token file that cannot be read, or a client whose feature is off.
pub(crate) fn influx(settings: &InfluxSettings) -> Result<Arc<dyn Sink>, Error> {
    match settings.client {
        #[cfg(feature = "influxdb2")]
        InfluxClient::Influxdb2 => {
            Ok(Arc::new(influx::InfluxSink::<self::influxdb2::Influxdb2>::new(settings)?))
        }
        #[cfg(not(feature = "influxdb2"))]
        InfluxClient::Influxdb2 => Err(without_feature("influxdb2")),
        #[cfg(feature = "http")]
        InfluxClient::Http => Ok(Arc::new(influx::InfluxSink::<self::http::Http>::new(settings)?)),
        #[cfg(not(feature = "http"))]
        InfluxClient::Http => Err(without_feature("http")),
    }
}

/// A batch was taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Written {
    /// Bytes that went out for it, compressed as they were sent.
    pub wire_bytes: u64,
}

impl Written {
    /// A batch that took this many bytes on its way.
    pub fn new(wire_bytes: u64) -> Self {
        Self { wire_bytes }
    }
}

/// Why a batch was not taken, and by that what the flusher does next.
#[derive(Clone, Debug)]
pub struct WriteError {
    pub(crate) kind: WriteErrorKind,
    message: String,
    /// The HTTP status, where there was one.
    pub(crate) status: Option<u16>,
    /// How many points the server says it has dropped. Told in statistics only: servers count wrongly.
    pub(crate) reported_dropped: u64,
}

/// The classes of outcomes; each has one way of being handled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum WriteErrorKind {
    /// Nothing will be taken until somebody changes something: keep everything and probe slowly.
    Blocked(Blocked),
    /// The server asks for patience.
    Throttled { retry_after: Option<Duration> },
    /// Unreachable, a server error: try again later.
    Transient,
    /// The connection ended while the body or its answer was under way: try again later. Somebody on the way may have
    /// hung up on a body that is too large for them, and the answer that says so was lost with the connection.
    Broken,
    /// No answer in time; the batch may or may not be written.
    Timeout,
    /// The body is larger than the server takes: split.
    TooLarge,
    /// The server will not take some of these points, now or ever: find them.
    Refused(Refused),
}

/// What is known of a batch of which the server refused something.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refused {
    /// The same body, sent again as it is, may meet another answer (1.x: a conflict inside one batch).
    pub(crate) resend_first: bool,
    /// Why, as one word for counters and logs.
    pub(crate) reason: RejectReason,
    /// Which of the points, as far as the server tells.
    pub(crate) hint: Hint,
}

/// Which points of a batch the server objects to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Hint {
    /// It does not say.
    #[default]
    Unknown,
    /// These lines, counted from 0.
    Lines(Vec<usize>),
    /// The lines that read like this, as far as the server quotes them.
    Quoted(Vec<String>),
    /// Points of this measurement with this field.
    Field { measurement: String, field: String },
    /// Points older than this many nanoseconds since the epoch.
    OlderThan(i64),
}

impl WriteError {
    /// Nothing will be taken until somebody changes something. The batch is kept, and one small probe is sent now and then.
    pub fn blocked(by: Blocked, message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Blocked(by), message)
    }

    /// The destination asks for patience; `retry_after` is how long, where it says so.
    pub fn throttled(retry_after: Option<Duration>, message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Throttled { retry_after }, message)
    }

    /// Try again later, with growing pauses.
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Transient, message)
    }

    /// No answer in time: the batch may have been written, and will be written again.
    pub fn timeout(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Timeout, message)
    }

    /// The batch is larger than the destination takes. It is split; a single line that is too large is rejected.
    pub fn too_large(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::TooLarge, message)
    }

    /// At least one point will never be taken, and nothing of the batch was written. The flusher finds the point by halves.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(WriteErrorKind::Refused(Refused::default()), message)
    }

    /// The message must hold no secret and no line of the batch: it is logged, and shown on the live page. It is cut at 1 KiB.
    pub(crate) fn new(kind: WriteErrorKind, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if message.len() > MAX_MESSAGE {
            let end = (0..=MAX_MESSAGE).rev().find(|end| message.is_char_boundary(*end)).unwrap_or(0);
            message.truncate(end);
            message.push('…');
        }
        Self { kind, message, status: None, reported_dropped: 0 }
    }

    pub(crate) fn with_answer(self, status: Option<u16>, reported_dropped: u64) -> Self {
        Self { status, reported_dropped, ..self }
    }

    /// What happened, in words.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for WriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl error::Error for WriteError {}

#[cfg(not(all(feature = "influxdb2", feature = "http")))]
fn without_feature(client: &str) -> Error {
    let remedy =
        format!("turn on feature `{client}` of the crate `tower-influx`, or choose the other client");
    Error::setting("client", client, remedy)
}

const MAX_MESSAGE: usize = 1024;

#[cfg(all(test, any(feature = "influxdb2", feature = "http")))]
mod tests;
