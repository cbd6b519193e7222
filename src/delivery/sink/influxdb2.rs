//! The `influxdb2` crate as transport: `/api/v2/write` of InfluxDB 2.x, 3.x, 1.8, VictoriaMetrics and Telegraf.
//!
//! Only its call for ready-made lines is used. It shows neither headers nor redirects of an answer and reads error bodies
//! whole; how that is lived with is said where it matters.

use bytes::Bytes;
use influxdb2::{Client, ClientBuilder, RequestError, api::write::TimestampPrecision};
use reqwest_for_influxdb2::{
    self as reqwest,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue},
    redirect::Policy,
};
use url::Url;

use super::{
    WriteError,
    classify::{Phase, no_answer},
    error::with_causes,
    influx::{self, Reply, Transport},
};
use crate::{
    error::Error,
    settings::{InfluxSettings, Token},
};

/// Two clients, since this crate has no way of giving a header to one request only.
pub(super) struct Influxdb2 {
    plain: Client,
    compressed: Client,
    organization: String,
    bucket: String,
}

impl Transport for Influxdb2 {
    fn new(settings: &InfluxSettings, url: &Url, authorization: Option<&Token>) -> Result<Self, Error> {
        let client = |compressed| client(settings, url, authorization, compressed);
        Ok(Self {
            plain: client(false)?,
            compressed: client(true)?,
            organization: settings.organization.clone(),
            bucket: settings.bucket.clone(),
        })
    }

    async fn send(&self, body: Bytes, compressed: bool) -> Result<Reply, WriteError> {
        let client = if compressed { &self.compressed } else { &self.plain };
        let result = client
            .write_line_protocol_with_precision(
                &self.organization,
                &self.bucket,
                body,
                TimestampPrecision::Nanoseconds,
            )
            .await;
        let (status, body) = match result {
            Ok(()) => (204, String::new()),
            Err(RequestError::Http { status, text }) => (status.as_u16(), text),
            Err(RequestError::ReqwestProcessing { source }) => return Err(unanswered(source)),
            Err(other) => return Err(WriteError::transient(with_causes(&other))),
        };
        let status = http::StatusCode::from_u16(status)
            .map_err(|_| WriteError::transient(format!("the server answered with status {status}")))?;
        Ok(Reply { status, body, retry_after: None })
    }
}

fn client(
    settings: &InfluxSettings,
    url: &Url,
    authorization: Option<&Token>,
    compressed: bool,
) -> Result<Client, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(influx::CONTENT_TYPE));
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(authorization.expose())
            .map_err(|_| Error::setting_without_value("token", "no header can carry it; copy it anew"))?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .user_agent(influx::USER_AGENT)
        // A redirected POST becomes a GET without body, whose 204 would count as written.
        .redirect(Policy::none())
        // The HTTP/2 of this line of hyper has open advisories.
        .http1_only()
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(influx::POOL_IDLE_TIMEOUT)
        .tcp_keepalive(influx::TCP_KEEPALIVE);
    if influx::is_this_host(url) {
        builder = builder.no_proxy();
    }
    // The token goes into the headers above: the crate would send it unmarked, so that it shows in debug output. The address
    // was parsed, else this would panic.
    ClientBuilder::with_builder(builder, url.as_str(), settings.organization.as_str(), "").build().map_err(
        |error| {
            Error::setting("client", "influxdb2", format_args!("it cannot be made: {}", with_causes(&error)))
        },
    )
}

/// An error of the connection. A body that is cut hides its status here, so that too is only tried again.
fn unanswered(error: reqwest::Error) -> WriteError {
    let phase = if error.is_builder() {
        Phase::Building
    } else if error.is_connect() {
        Phase::Connecting
    } else if error.is_timeout() {
        Phase::TimedOut
    } else {
        Phase::Exchanging
    };
    no_answer(&with_causes(&error.without_url()), phase)
}
