//! Settings of the connection to InfluxDB.

use std::{collections::BTreeMap, fmt, path::PathBuf, time::Duration};

use super::{
    defaults::{CONNECT_TIMEOUT, TIMEOUT, URL},
    printable_url::printable_url,
};
use crate::settings::Token;

/// Settings of an InfluxDB server, for [`Storage::Influx`](crate::settings::Storage::Influx).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct InfluxSettings {
    /// The address: `http://` or `https://`, host and port. Defaults to `http://localhost:8086`.
    /// [`InfluxClient::Reqwest`] also supports a path, and a Unix socket such as
    /// `unix:///run/telegraf.sock`.
    pub url: String,
    /// The organization. InfluxDB 2 requires it; other servers ignore it. Defaults to none.
    pub organization: String,
    /// The bucket, which InfluxDB 1 and 3 call the database. Required for
    /// [`Storage::Influx`](crate::settings::Storage::Influx).
    pub bucket: String,
    /// `Authorization: Token …`, the scheme of InfluxData.
    pub token: Token,
    /// A file that contains only the token. It is read at start, when the server rejects the token,
    /// and every five minutes. A pipe is read once. Defaults to none. Not together with `token`.
    pub token_file: Option<PathBuf>,
    /// The HTTP client. Defaults to [`InfluxClient::Influxdb2`], or to [`InfluxClient::Reqwest`] if
    /// only that feature is on.
    pub client: InfluxClient,
    /// The write endpoint. Defaults to [`InfluxApi::Auto`]. [`InfluxApi::V1`] and [`InfluxApi::V3`]
    /// need [`InfluxClient::Reqwest`].
    pub api: InfluxApi,
    /// The user, with [`InfluxClient::Reqwest`] and either [`InfluxApi::V1`] or
    /// [`InfluxAuthorization::Basic`]. Defaults to none. Not together with a token.
    pub username: String,
    /// The password of `username`. Defaults to none.
    pub password: Token,
    /// How the token is sent. Defaults to [`InfluxAuthorization::Token`]. Other values need
    /// [`InfluxClient::Reqwest`].
    pub authorization: InfluxAuthorization,
    /// The retention policy, with [`InfluxApi::V1`]. Defaults to none: the database's own default.
    pub retention_policy: Option<String>,
    /// Whether the valid lines of a batch are written if others are invalid, with
    /// [`InfluxApi::V3`]. Defaults to true.
    pub accept_partial: bool,
    /// Whether the server answers before the points are durable, with [`InfluxApi::V3`]. Defaults
    /// to false.
    pub no_sync: bool,
    /// Further headers of every request, with [`InfluxClient::Reqwest`]. Values are treated as
    /// secrets. Defaults to none.
    pub headers: BTreeMap<String, Token>,
    /// A file of PEM certificates to trust in addition to those of the system, with
    /// [`InfluxClient::Reqwest`]. Defaults to none.
    pub certificate_authority: Option<PathBuf>,
    /// Whether bodies of 1 KiB and more are compressed. Defaults to none: only if the server is on
    /// another host.
    pub gzip: Option<bool>,
    /// The timeout for connecting, 10 ms to 1 hour. Defaults to 5 seconds.
    pub connect_timeout: Duration,
    /// The timeout for a whole write, 10 ms to 1 hour. Defaults to 30 seconds.
    pub timeout: Duration,
}

/// The HTTP client for InfluxDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfluxClient {
    /// The crate `influxdb2`, with the feature `influxdb2`.
    Influxdb2,
    /// The crate `reqwest` with rustls, with the feature `reqwest`. Version 0.1 called it `Http`.
    Reqwest,
}

/// The write endpoint of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InfluxApi {
    /// The best endpoint for the server, selected by its answer to `/ping`. This needs
    /// [`InfluxClient::Reqwest`]. With the other client, `Auto` is the same as [`V2`](Self::V2).
    #[default]
    Auto,
    /// `/write?db=` of InfluxDB 1.x.
    V1,
    /// `/api/v2/write` of InfluxDB 2.x. InfluxDB 1.8 and 3.x, VictoriaMetrics and Telegraf support
    /// it, too.
    V2,
    /// `/api/v3/write_lp` of InfluxDB 3.x.
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
    /// `Authorization: Basic …`, with `username` and `password`.
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
            // Before validation, a URL may contain a user and a password.
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
