//! Checks of the server's settings: bucket, client and endpoint, headers and certificates.

use std::{collections::HashSet, fs};

use http::{HeaderName, HeaderValue, header};

use super::{
    super::{InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings, value::shown},
    HOUR, SHORTEST,
    credentials::is_pipe,
    durations,
};
use crate::error::Error;

impl InfluxSettings {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        self.validate_features()?;
        self.checked_url()?;
        if self.bucket.is_empty() {
            let remedy = "missing; name the bucket, which InfluxDB 1.x and 3.x call the database";
            return Err(Error::setting_without_value("bucket", remedy));
        }
        for (name, value) in [("bucket", &self.bucket), ("organization", &self.organization)] {
            if value.chars().any(char::is_control) {
                let remedy = "holds a line break or another control character; remove it";
                return Err(Error::setting(name, shown(value), remedy));
            }
        }
        self.validate_api()?;
        self.validate_credentials()?;
        self.validate_headers()?;
        self.validate_certificate_authority()?;
        durations("connect_timeout", self.connect_timeout, SHORTEST, HOUR)?;
        durations("timeout", self.timeout, SHORTEST, HOUR)
    }

    fn validate_features(&self) -> Result<(), Error> {
        if !cfg!(any(feature = "influxdb2", feature = "reqwest")) {
            let remedy = "needs a client; turn on feature `influxdb2` or `reqwest` of the crate `tower-influx`, or write `file`";
            return Err(Error::setting("storage", "influx", remedy));
        }
        let (compiled, name) = match self.client {
            InfluxClient::Influxdb2 => (cfg!(feature = "influxdb2"), "influxdb2"),
            InfluxClient::Reqwest => (cfg!(feature = "reqwest"), "reqwest"),
        };
        if compiled {
            return Ok(());
        }
        let remedy =
            format!("turn on feature `{name}` of the crate `tower-influx`, or choose the other client");
        Err(Error::setting("client", name, remedy))
    }

    /// Refuses settings that the chosen client or endpoint would silently ignore.
    fn validate_api(&self) -> Result<(), Error> {
        let api = match self.api {
            InfluxApi::Auto => "auto",
            InfluxApi::V1 => "v1",
            InfluxApi::V2 => "v2",
            InfluxApi::V3 => "v3",
        };
        let http_only =
            "only `client = \"reqwest\"` (feature `reqwest`) serves this; set it, or leave this key out";
        if self.client == InfluxClient::Influxdb2 {
            if !matches!(self.api, InfluxApi::Auto | InfluxApi::V2) {
                return Err(Error::setting("api", api, http_only));
            }
            if self.authorization != InfluxAuthorization::Token {
                return Err(Error::setting("authorization", self.authorization.word(), http_only));
            }
            if !self.headers.is_empty() {
                return Err(Error::setting_without_value("headers", http_only));
            }
            if self.certificate_authority.is_some() {
                return Err(Error::setting_without_value("certificate_authority", http_only));
            }
        }
        if self.api != InfluxApi::V1
            && let Some(policy) = &self.retention_policy
        {
            let remedy =
                format!("only `api = \"v1\"` has retention policies, and `api` is `{api}`; leave it out");
            return Err(Error::setting("retention_policy", shown(policy), remedy));
        }
        if self.api != InfluxApi::V3 {
            let remedy = format!("only `api = \"v3\"` supports it, and `api` is `{api}`; leave it out");
            if !self.accept_partial {
                return Err(Error::setting("accept_partial", false, remedy));
            }
            if self.no_sync {
                return Err(Error::setting("no_sync", true, remedy));
            }
        }
        Ok(())
    }

    fn validate_headers(&self) -> Result<(), Error> {
        let mut names = HashSet::new();
        for (name, value) in &self.headers {
            let refuse =
                |remedy: &str| Err(Error::setting_without_value(&format!("headers.{}", shown(name)), remedy));
            let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else {
                return refuse("not a valid header name; write letters, digits and dashes");
            };
            if parsed == header::AUTHORIZATION {
                return refuse("built from `token`, or from `username` and `password`; set these instead");
            }
            if SET_BY_CLIENTS.contains(&parsed) {
                return refuse("the client sets it for every request; leave it out");
            }
            if !value.expose().is_ascii() || HeaderValue::from_str(value.expose()).is_err() {
                return refuse("HTTP headers do not allow this value; write one line of ASCII characters");
            }
            if !names.insert(parsed) {
                return refuse("given twice in different case; leave one of them out");
            }
        }
        Ok(())
    }

    fn validate_certificate_authority(&self) -> Result<(), Error> {
        let Some(path) = self.certificate_authority.as_ref().filter(|path| !is_pipe(path)) else {
            return Ok(());
        };
        let content = fs::read(path).map_err(|error| {
            let what = format!(
                "setting `certificate_authority` is `{}`, but must be a readable file of PEM certificates",
                path.display()
            );
            Error::io(what, error)
        })?;
        if content.windows(PEM.len()).any(|window| window == PEM) {
            return Ok(());
        }
        let remedy = "the file holds no `-----BEGIN CERTIFICATE-----`; name a file of PEM certificates";
        Err(Error::setting("certificate_authority", path.display(), remedy))
    }
}

impl InfluxAuthorization {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Bearer => "bearer",
            Self::Basic => "basic",
        }
    }
}

const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";
const SET_BY_CLIENTS: [HeaderName; 6] = [
    header::CONNECTION,
    header::CONTENT_ENCODING,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::HOST,
    header::TRANSFER_ENCODING,
];
