//! The HTTP stack of the `influxdb2` crate as a transport for `/api/v2/write`. InfluxDB 2.x, 3.x
//! and 1.8, VictoriaMetrics and Telegraf have that endpoint.
//!
//! The request is built here, in the same way as the crate's call for raw lines builds it. That
//! call reads the body of an error whole, however long it is. It also gives no access to the inner
//! client or to the headers of an answer. So only the crate's HTTP stack, reqwest 0.11, and its
//! error type are used.

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

/// A client whose connections are shared by all writes.
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
        // An incomplete body is not a valid answer: for a 400, only the text says whether a retry
        // can succeed.
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
        // A redirected POST becomes a GET without a body, whose 204 would count as written.
        .redirect(Policy::none())
        // HTTP/2 in this version of hyper has open security advisories.
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
