//! A plain HTTP client for tests.

use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time::{Instant, sleep, timeout};

/// A client that keeps its connections open; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    client: Client<HttpConnector, Body>,
}

/// A response whose body has been read completely.
#[derive(Clone, Debug)]
pub(crate) struct HttpAnswer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl HttpAnswer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Http {
    pub(crate) fn new() -> Self {
        Self { client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends a request. `Err` tells what failed before there was a complete response.
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<HttpAnswer, String> {
        let answer = async {
            let response = self.client.request(request).await.map_err(|error| format!("{error:?}"))?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.map_err(|error| format!("{error:?}"))?.to_bytes();
            Ok(HttpAnswer { status: head.status, headers: head.headers, body })
        };
        timeout(PATIENCE, answer).await.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))
    }

    pub(crate) async fn get(&self, url: &str) -> Result<HttpAnswer, String> {
        self.send(Request::get(url).body(Body::empty()).expect("a valid request")).await
    }

    pub(crate) async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Body>,
    ) -> Result<HttpAnswer, String> {
        let mut request = Request::builder().method(Method::POST).uri(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.send(request.body(body.into()).expect("a valid request")).await
    }

    /// Requests the URL repeatedly until the server answers with success. Fails the test if it does
    /// not.
    pub(crate) async fn wait_for(&self, url: &str) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = self.get(url).await;
            if answer.as_ref().is_ok_and(|answer| answer.status.is_success()) {
                return;
            }
            assert!(Instant::now() < deadline, "{url} is not ready after {PATIENCE:?}: {answer:?}");
            sleep(Duration::from_millis(10)).await;
        }
    }
}

/// Encodes pairs as `name=value&…`, with every character escaped that may need it.
pub(crate) fn query(pairs: &[(&str, &str)]) -> String {
    url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

/// Returns the header `Authorization` for an InfluxDB token: its name and value.
pub(crate) fn token(token: &str) -> (&'static str, String) {
    (header::AUTHORIZATION.as_str(), format!("Token {token}"))
}

const PATIENCE: Duration = Duration::from_secs(60);
