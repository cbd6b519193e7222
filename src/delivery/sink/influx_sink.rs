//! The sink for the storage `influx`, for every client.

use std::{fmt, sync::Arc};

use super::{Sink, SinkFuture, WriteError, Written};
use crate::{
    delivery::batch::Batch,
    error::Error,
    settings::{InfluxClient, InfluxSettings},
};

/// Writes to InfluxDB, or to another server with its write API: the sink of
/// [`Storage::Influx`](crate::settings::Storage::Influx).
///
/// Create one for a [further destination](crate::MonitorBuilder::add_sink), or to wrap it in a sink
/// of the application. The flusher waits for a write as long as the `connect_timeout` and `timeout`
/// of the monitor's own settings together, and 5 seconds more. Longer timeouts in these settings
/// have no effect.
///
/// ```
/// use tower_influx::{settings::InfluxSettings, sink::InfluxSink};
///
/// # fn main() -> Result<(), tower_influx::Error> {
/// let mut settings = InfluxSettings::default();
/// settings.url = "http://archive.internal:8086".to_owned();
/// settings.bucket = "monitoring".to_owned();
/// let archive = InfluxSink::new(&settings)?;
/// # drop(archive);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct InfluxSink(Arc<dyn Sink>);

impl InfluxSink {
    /// Checks the settings, and reads the files that they name. Sends nothing.
    ///
    /// # Errors
    ///
    /// - A setting is invalid, for example a client whose feature is off ([`Error::is_setting`]).
    /// - A file cannot be read ([`Error::is_io`]).
    pub fn new(settings: &InfluxSettings) -> Result<Self, Error> {
        settings.validate()?;
        match settings.client {
            #[cfg(feature = "influxdb2")]
            InfluxClient::Influxdb2 => {
                Ok(Self(Arc::new(super::influx::ServerSink::<super::influxdb2::Influxdb2>::new(settings)?)))
            }
            #[cfg(not(feature = "influxdb2"))]
            InfluxClient::Influxdb2 => Err(without_feature("influxdb2")),
            #[cfg(feature = "reqwest")]
            InfluxClient::Reqwest => {
                Ok(Self(Arc::new(super::influx::ServerSink::<super::reqwest::Reqwest>::new(settings)?)))
            }
            #[cfg(not(feature = "reqwest"))]
            InfluxClient::Reqwest => Err(without_feature("reqwest")),
        }
    }
}

impl Sink for InfluxSink {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        self.0.write(batch)
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        self.0.probe()
    }

    fn describe(&self) -> String {
        self.0.describe()
    }

    fn target(&self) -> String {
        self.0.target()
    }
}

impl fmt::Debug for InfluxSink {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("InfluxSink").field(&self.describe()).finish()
    }
}

#[cfg(not(all(feature = "influxdb2", feature = "reqwest")))]
fn without_feature(client: &str) -> Error {
    let remedy =
        format!("turn on feature `{client}` of the crate `tower-influx`, or choose the other client");
    Error::setting("client", client, remedy)
}
