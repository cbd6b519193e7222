//! The HTTP stack of the `influxdb2` crate as transport: `/api/v2/write` of InfluxDB 2.x, 3.x, 1.8,
//! VictoriaMetrics and Telegraf.
//!
//! The request is made here, as the crate's own call for ready-made lines makes it. That call reads
//! the body of an error whole, however long it is, and gives no access to the client inside or to
//! the headers of an answer. What is left of the crate is its stack, reqwest 0.11, and its error.

use bytes::Bytes;
use influxdb2::RequestError;
use reqwest_for_influxdb2::{
    self as reqwest, Client,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER},
    redirect::Policy,
};
use url::Url;

use super::{
    WriteError,
    classify::{RequestPhase, no_answer},
    error::with_causes,
    transport::{self, AnswerBody, Reply, Transport},
};
use crate::{
    error::Error,
    settings::{InfluxApi, InfluxSettings, Token},
};

/// One client, whose connections all writes share.
pub(super) struct Influxdb2 {
    client: Client,
    endpoint: Url,
}

impl Transport for Influxdb2 {
    fn new(
        settings: &InfluxSettings,
        url: &Url,
        authorization: Option<&Token>,
        _authority: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let mut endpoint = url.clone();
        endpoint.set_path("/api/v2/write");
        endpoint
            .query_pairs_mut()
            .append_pair("bucket", &settings.bucket)
            .append_pair("org", &settings.organization)
            .append_pair("precision", "ns");
        Ok(Self { client: client(settings, url, authorization)?, endpoint })
    }

    async fn send(&self, body: Bytes, compressed: bool) -> Result<Reply, WriteError> {
        self.exchange(body, compressed).await.map_err(|error| match error {
            RequestError::ReqwestProcessing { source } => unanswered(source),
            other => WriteError::transient(with_causes(&other)),
        })
    }
}

impl Influxdb2 {
    async fn exchange(&self, body: Bytes, compressed: bool) -> Result<Reply, RequestError> {
        let failed = |source| RequestError::ReqwestProcessing { source };
        let mut request = self.client.post(self.endpoint.clone()).body(body);
        if compressed {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let mut response = request.send().await.map_err(failed)?;
        let status = http::StatusCode::from_u16(response.status().as_u16())
            .map_err(|error| RequestError::Deserializing { text: error.to_string() })?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = retry_after.map(str::to_owned);
        let mut body = AnswerBody::default();
        // A cut body is no answer: of a 400 only the text tells whether it will pass.
        while let Some(piece) = response.chunk().await.map_err(failed)? {
            if !body.add(&piece) {
                break;
            }
        }
        Ok(Reply { status, api: InfluxApi::V2, body, retry_after })
    }
}

fn client(settings: &InfluxSettings, url: &Url, authorization: Option<&Token>) -> Result<Client, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(transport::CONTENT_TYPE));
    if let Some(authorization) = authorization {
        let mut value = HeaderValue::from_str(authorization.expose()).map_err(|_| {
            Error::setting_without_value(
                "token",
                "holds a character that HTTP headers do not allow; copy it again",
            )
        })?;
        value.set_sensitive(true);
        headers.insert(AUTHORIZATION, value);
    }
    let mut builder = reqwest::Client::builder()
        .default_headers(headers)
        .user_agent(transport::USER_AGENT)
        // A redirected POST becomes a GET without body, whose 204 would count as written.
        .redirect(Policy::none())
        // The HTTP/2 of this line of hyper has open advisories.
        .http1_only()
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.timeout)
        .pool_idle_timeout(transport::POOL_IDLE_TIMEOUT)
        .tcp_keepalive(transport::TCP_KEEPALIVE);
    if transport::is_this_host(url) {
        builder = builder.no_proxy();
    }
    builder.build().map_err(|error| {
        Error::setting("client", "influxdb2", format_args!("it cannot be created: {}", with_causes(&error)))
    })
}

fn unanswered(error: reqwest::Error) -> WriteError {
    let phase = if error.is_builder() {
        RequestPhase::Building
    } else if error.is_connect() {
        RequestPhase::Connecting
    } else if error.is_timeout() {
        RequestPhase::TimedOut
    } else {
        RequestPhase::Exchanging
    };
    no_answer(&with_causes(&error.without_url()), phase)
}
