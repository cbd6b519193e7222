//! One test suite for all clients, against servers that fail in every known way.

mod answers;
mod compression;
mod connections;
mod credentials;
mod live;
#[cfg(target_os = "linux")]
mod moves;
mod proxies;
#[cfg(feature = "reqwest")]
mod reqwest_only;
mod side_by_side;
#[path = "../../../../tests/support/mod.rs"]
mod support;
#[cfg(feature = "tls-ring")]
mod tls;

use std::{sync::Arc, time::SystemTime};

use bytes::Bytes;

use self::support::fault_server;
use crate::stats::Blocked;

use super::{InfluxSink, Sink, WriteError, WriteErrorKind, Written};
use crate::{
    delivery::batch::Batch,
    error::Error,
    settings::{InfluxApi, InfluxClient, InfluxSettings},
};

/// Turns async functions that take an [`InfluxClient`] into one test for each client.
macro_rules! for_each_client {
    ($($name:ident),* $(,)?) => {
        #[cfg(feature = "influxdb2")]
        mod influxdb2 {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::InfluxClient::Influxdb2).await;
            })*
        }

        #[cfg(feature = "reqwest")]
        mod reqwest {
            $(#[tokio::test]
            async fn $name() {
                super::$name(super::InfluxClient::Reqwest).await;
            })*
        }
    };
}
use for_each_client;

fn settings(client: InfluxClient, url: &str) -> InfluxSettings {
    InfluxSettings {
        url: url.to_owned(),
        client,
        organization: "o rg".to_owned(),
        bucket: "b&cket".to_owned(),
        token: "hunter2-secret".into(),
        // `auto` would send a `/ping` first. It has tests of its own.
        api: InfluxApi::V2,
        ..InfluxSettings::default()
    }
}

fn influx(settings: &InfluxSettings) -> Result<Arc<dyn Sink>, Error> {
    InfluxSink::new(settings).map(|sink| Arc::new(sink) as Arc<dyn Sink>)
}

fn sink(client: InfluxClient, url: &str) -> Arc<dyn Sink> {
    influx(&settings(client, url)).expect("settings that work")
}

fn batch(lines: usize) -> Batch {
    let text: String = (0..lines)
        .map(|number| {
            format!("requests,route=GET:/version execution_time=0.5,request_id=\"{number}\" {number}\n")
        })
        .collect();
    Batch::new(Bytes::from(text), lines, 1, SystemTime::UNIX_EPOCH)
}

async fn write(sink: &Arc<dyn Sink>, lines: usize) -> Result<Written, WriteError> {
    sink.write(&batch(lines)).await
}

async fn kind(sink: &Arc<dyn Sink>, lines: usize) -> WriteErrorKind {
    write(sink, lines).await.expect_err("a server that fails").kind
}

const AUTHORIZATION: WriteErrorKind = WriteErrorKind::Blocked(Blocked::Authorization);
const TARGET: WriteErrorKind = WriteErrorKind::Blocked(Blocked::Target);
const CONFIGURATION: WriteErrorKind = WriteErrorKind::Blocked(Blocked::Configuration);
