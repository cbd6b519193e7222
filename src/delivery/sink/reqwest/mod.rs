//! The `reqwest` crate as a transport: every write endpoint, base paths, `Retry-After`, TLS,
//! proxies.

mod endpoint;
mod server;
#[cfg(feature = "tls")]
mod tls;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, USER_AGENT},
};
use parking_lot::Mutex;
use reqwest::{Client, Response, redirect::Policy};
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
pub(super) struct Reqwest {
    client: Client,
    settings: InfluxSettings,
    url: Url,
    /// With `api = "auto"`, the endpoint that was found. It is forgotten with the client, and when
    /// the endpoint no longer exists.
    found: Mutex<Option<InfluxApi>>,
}

impl Transport for Reqwest {
    fn new(
        settings: &InfluxSettings,
        url: &Url,
        authorization: Option<&Token>,
        authority: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let mut builder = Client::builder()
            .default_headers(headers(settings, authorization)?)
            // A redirected POST becomes a GET without a body, whose 204 would count as written.
            .redirect(Policy::none())
            // HTTP/2 gains nothing for one write at a time, and proxies differ most there.
            .http1_only()
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.timeout)
            .pool_idle_timeout(transport::POOL_IDLE_TIMEOUT)
            .tcp_keepalive(transport::TCP_KEEPALIVE);
        #[cfg(feature = "tls")]
        {
            builder = builder.tls_backend_preconfigured(tls::configuration(settings, url, authority)?);
        }
        #[cfg(not(feature = "tls"))]
        let _ = authority;
        if transport::is_this_host(url) {
            builder = builder.no_proxy();
        }
        #[cfg(unix)]
        let url = match crate::settings::socket_path(url) {
            Some(path) => {
                builder = builder.unix_socket(path);
                // The value of the `Host` header.
                &Url::parse("http://localhost")
                    .map_err(|_| Error::setting_without_value("url", "no address"))?
            }
            None => url,
        };
        let client = builder.build().map_err(|error| {
            Error::setting("client", "reqwest", format_args!("it cannot be created: {}", with_causes(&error)))
        })?;
        Ok(Self { client, settings: settings.clone(), url: url.clone(), found: Mutex::new(None) })
    }

    async fn send(&self, body: Bytes, compressed: bool) -> Result<Reply, WriteError> {
        let api = self.api().await?;
        let mut request = self.client.post(endpoint::of(&self.settings, &self.url, api)).body(body);
        if compressed {
            request = request.header(CONTENT_ENCODING, "gzip");
        }
        let mut response = request.send().await.map_err(unanswered)?;
        let retry_after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let status = response.status();
        if server::is_elsewhere(status) {
            *self.found.lock() = None;
        }
        Ok(Reply {
            status,
            api,
            retry_after: retry_after.map(str::to_owned),
            // An incomplete body is not a valid answer: for a 400, only the text says whether a
            // retry can succeed.
            body: body_of(&mut response).await.map_err(unanswered)?,
        })
    }
}

impl Reqwest {
    /// Returns the endpoint to write to. Detects it if the settings leave it to the server.
    async fn api(&self) -> Result<InfluxApi, WriteError> {
        if self.settings.api != InfluxApi::Auto {
            return Ok(self.settings.api);
        }
        let found = *self.found.lock();
        if let Some(api) = found {
            return Ok(api);
        }
        // Most servers have this endpoint.
        let api = match server::ask(&self.client, &self.url).await.map_err(unanswered)? {
            // For 1.8, `database/policy` is a bucket. The endpoint of 1.x would use it as the name
            // of a database.
            Some(InfluxApi::V1) if self.settings.bucket.contains('/') => InfluxApi::V2,
            Some(api) => api,
            None => InfluxApi::V2,
        };
        *self.found.lock() = Some(api);
        Ok(api)
    }
}

fn headers(settings: &InfluxSettings, authorization: Option<&Token>) -> Result<HeaderMap, Error> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(transport::CONTENT_TYPE));
    // Not set by the builder, which would overwrite the header of the settings.
    headers.insert(USER_AGENT, HeaderValue::from_static(transport::USER_AGENT));
    if let Some(authorization) = authorization {
        headers.insert(AUTHORIZATION, secret_value("token", authorization)?);
    }
    for (name, value) in &settings.headers {
        let setting = format!("headers.{name}");
        let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| {
            Error::setting_without_value(
                &setting,
                "not a valid header name; write letters, digits and dashes",
            )
        })?;
        headers.insert(name, secret_value(&setting, value)?);
    }
    Ok(headers)
}

fn secret_value(setting: &str, secret: &Token) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::from_str(secret.expose()).map_err(|_| {
        Error::setting_without_value(
            setting,
            "holds a character that HTTP headers do not allow; copy it again",
        )
    })?;
    value.set_sensitive(true);
    Ok(value)
}

async fn body_of(response: &mut Response) -> Result<AnswerBody, reqwest::Error> {
    let mut body = AnswerBody::default();
    while let Some(piece) = response.chunk().await? {
        if !body.add(&piece) {
            break;
        }
    }
    Ok(body)
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
