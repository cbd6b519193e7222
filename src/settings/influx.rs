//! How to reach InfluxDB.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{
    defaults::{CONNECT_TIMEOUT, TIMEOUT, URL},
    printable_url::printable_url,
};
use crate::settings::Token;

/// How to reach InfluxDB.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct InfluxSettings {
    /// `http://` or `https://`, host and port. Defaults to `http://localhost:8086`. Set this or
    /// `host`, `port` and `ssl`.
    pub url: String,
    /// The organization, for 2.x. Defaults to none.
    pub organization: String,
    /// The bucket, which 1.x and 3.x call the database. Required for
    /// [`Storage::Influx`](crate::settings::Storage::Influx).
    pub bucket: String,
    /// The token. Defaults to none. Set this or `token_file`.
    pub token: Token,
    /// A file that holds the token, read at start and again when the server refuses it. Defaults to
    /// none.
    pub token_file: Option<PathBuf>,
    /// Which client sends. Defaults to [`InfluxClient::Influxdb2`] where that feature is on.
    pub client: InfluxClient,
    /// Which endpoint is spoken, with [`InfluxClient::Reqwest`]. Defaults to [`InfluxApi::Auto`].
    pub api: InfluxApi,
    /// User and password, for 1.x with [`InfluxClient::Reqwest`]. Default to none.
    pub username: String,
    /// See `username`.
    pub password: Token,
    /// How the token is sent, with [`InfluxClient::Reqwest`]: defaults to
    /// [`InfluxAuthorization::Token`].
    pub authorization: InfluxAuthorization,
    /// Retention policy, for [`InfluxApi::V1`]. Defaults to the database's own default.
    pub retention_policy: Option<String>,
    /// [`InfluxApi::V3`]: whether good lines of a batch with bad ones are written. Defaults to true.
    pub accept_partial: bool,
    /// [`InfluxApi::V3`]: whether the server answers before the points are durable. Defaults to false.
    pub no_sync: bool,
    /// Further headers of every request, with [`InfluxClient::Reqwest`]. Default to none. Values
    /// are treated as secrets.
    pub headers: BTreeMap<String, Token>,
    /// A file of PEM certificates that are trusted beside the usual ones, with
    /// [`InfluxClient::Reqwest`]. Defaults to none.
    pub certificate_authority: Option<PathBuf>,
    /// Whether bodies of 1 KiB and more are compressed. Defaults to true, except towards this very
    /// host.
    pub gzip: Option<bool>,
    /// How long connecting may take. Defaults to 5 seconds.
    pub connect_timeout: Duration,
    /// How long a whole write may take. Defaults to 30 seconds.
    pub timeout: Duration,
}

/// Which client sends to InfluxDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfluxClient {
    /// The `influxdb2` crate, feature `influxdb2`.
    Influxdb2,
    /// The `reqwest` crate with rustls, feature `reqwest`. In 0.1 it was called `Http`.
    Reqwest,
}

/// Which write endpoint is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfluxApi {
    /// The one that the server knows best, found out by its answer to `/ping`: with
    /// [`InfluxClient::Reqwest`]. With the other client this is [`V2`](Self::V2).
    #[default]
    Auto,
    /// `/write?db=`, InfluxDB 1.x.
    V1,
    /// `/api/v2/write`, InfluxDB 2.x, also spoken by 1.8, 3.x, VictoriaMetrics and Telegraf.
    V2,
    /// `/api/v3/write_lp`, InfluxDB 3.x.
    V3,
}

/// How the token is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfluxAuthorization {
    /// `Authorization: Token …`, InfluxData's own.
    #[default]
    Token,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, made of `username` and `password`.
    Basic,
}

impl Default for InfluxSettings {
    fn default() -> Self {
        Self {
            url: URL.to_owned(),
            organization: String::new(),
            bucket: String::new(),
            token: Token::default(),
            token_file: None,
            client: InfluxClient::default(),
            api: InfluxApi::default(),
            username: String::new(),
            password: Token::default(),
            authorization: InfluxAuthorization::default(),
            retention_policy: None,
            accept_partial: true,
            no_sync: false,
            headers: BTreeMap::new(),
            certificate_authority: None,
            gzip: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
        }
    }
}

impl Default for InfluxClient {
    fn default() -> Self {
        if cfg!(feature = "reqwest") && !cfg!(feature = "influxdb2") {
            Self::Reqwest
        } else {
            Self::Influxdb2
        }
    }
}

impl fmt::Debug for InfluxSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("InfluxSettings")
            // Before it is checked, a URL may hold a user and a password.
            .field("url", &printable_url(&self.url))
            .field("organization", &self.organization)
            .field("bucket", &self.bucket)
            .field("token", &self.token)
            .field("token_file", &self.token_file)
            .field("client", &self.client)
            .field("api", &self.api)
            .field("username", &self.username)
            .field("password", &self.password)
            .field("authorization", &self.authorization)
            .field("retention_policy", &self.retention_policy)
            .field("accept_partial", &self.accept_partial)
            .field("no_sync", &self.no_sync)
            .field("headers", &self.headers)
            .field("certificate_authority", &self.certificate_authority)
            .field("gzip", &self.gzip)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeout", &self.timeout)
            .finish()
    }
}
