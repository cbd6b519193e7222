//! Destinations of batches: InfluxDB, files, memory, and any type that implements [`Sink`].

use std::{future::Future, pin::Pin, sync::Arc};

#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod authorization;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod classify;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod connection;
mod error;
pub(crate) mod file;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod gzip;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod influx;
mod influx_sink;
#[cfg(feature = "influxdb2")]
mod influxdb2;
pub(crate) mod memory;
pub(crate) mod none;
mod owner;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod proxy;
pub(crate) mod rejected;
#[cfg(feature = "reqwest")]
mod reqwest;
mod rotation;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod transport;
mod write_stats;

pub use crate::delivery::batch::Batch;
#[cfg(test)]
pub(crate) use error::Proof;
pub use error::{Hint, Refused, WriteError, WriteErrorKind, Written};
pub use file::FileSink;
pub use influx_sink::InfluxSink;
pub use memory::MemorySink;

/// The future that a [`Sink`] returns. It is boxed, so that the trait is object-safe. The cost is
/// one allocation for each batch, never for a request.
pub type SinkFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A destination of points.
///
/// The flusher calls [`write`](Sink::write) for each batch. The [kind](WriteError::kind) of an
/// error decides whether the batch is sent again, divided or rejected. Writing a batch twice must
/// be harmless, as in InfluxDB, where a repeated point replaces itself.
///
/// # Cancel safety
///
/// The future of `write` can be dropped at any await: at shutdown, or when the write takes longer
/// than the flusher waits. The batch then counts as not written, and is written again.
///
/// # End
///
/// A monitor drops its sinks at the end of a shutdown, before it reports that end, on the thread or
/// runtime of delivery. So files and locks of a sink are free for the next monitor, even if handles
/// of the monitor are still alive.
///
/// # Panics
///
/// A sink that panics loses no point: the batch is sent again. A sink that blocks its thread delays
/// delivery, but never requests.
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
    /// Writes one batch. `Ok` means that the destination has accepted all of its points.
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>>;

    /// Checks whether the destination would accept points, without writing any. The default
    /// implementation returns `Ok`.
    ///
    /// Called at start and by [`Monitor::probe`](crate::Monitor::probe). While delivery is blocked,
    /// it is called every 30 seconds to 5 minutes, instead of sending a whole batch.
    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async { Ok(()) })
    }

    /// Returns the name of the destination for logs and the live page, without secrets.
    fn describe(&self) -> String;

    /// Returns a text that identifies the destination. Spooled files contain its hash in their
    /// names, so that they are only sent to the same destination. Defaults to
    /// [`describe`](Sink::describe).
    fn target(&self) -> String {
        self.describe()
    }
}

macro_rules! forward_to_the_sink_inside {
    ($($pointer:ty),*) => {$(
        impl<S: Sink + ?Sized> Sink for $pointer {
            fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
                (**self).write(batch)
            }

            fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
                (**self).probe()
            }

            fn describe(&self) -> String {
                (**self).describe()
            }

            fn target(&self) -> String {
                (**self).target()
            }
        }
    )*};
}

forward_to_the_sink_inside!(Arc<S>, Box<S>);

#[cfg(all(test, any(feature = "influxdb2", feature = "reqwest")))]
mod tests;

/// Classifies an answer for fakes that repeat the words of real servers. Returns `None` for a
/// successful write.
#[cfg(all(test, any(feature = "influxdb2", feature = "reqwest")))]
pub(crate) fn judge(status: u16, body: &str) -> Option<WriteError> {
    let answer = classify::ServerAnswer {
        status: ::http::StatusCode::from_u16(status).expect("a status"),
        body,
        complete: true,
        retry_after: None,
        api: crate::settings::InfluxApi::V2,
        compressed: false,
        now: std::time::SystemTime::UNIX_EPOCH,
    };
    match classify::classify(&answer) {
        classify::AnswerKind::Failed(error) => Some(error),
        _ => None,
    }
}
