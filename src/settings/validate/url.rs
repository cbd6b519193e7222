//! Checks of the server's URL. They refuse URLs on which a client would panic, ignore a part, or
//! fail at each write.

use std::path::PathBuf;

use url::Url;

use super::super::{
    InfluxClient, InfluxSettings,
    printable_url::{is_printable, printable_url},
};
use crate::error::Error;

impl InfluxSettings {
    /// Parses the URL and checks that writes can use it.
    ///
    /// # Errors
    ///
    /// Fails on a URL without scheme or host, with a scheme other than `http`, `https` and `unix`,
    /// or with user, query or fragment. Also fails on a path that the client does not support, and
    /// on `https` without a feature for it.
    pub(crate) fn checked_url(&self) -> Result<Url, Error> {
        let refuse = |remedy: &str| refuse(&self.url, remedy);
        if self.url.is_empty() {
            return Err(refuse("empty; write `http://localhost:8086`, for instance"));
        }
        let Some(url) = Url::parse(&self.url).ok().filter(|url| SCHEMES.contains(&url.scheme())) else {
            return Err(self.refuse_unparsed());
        };
        if !url.username().is_empty() || url.password().is_some() {
            let remedy = "holds a user or a password, which would appear in logs; write `token` or `token_file`, or \
                          `username` and `password` with `client = \"reqwest\"`";
            return Err(refuse(remedy));
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err(refuse("must not contain `?` or `#`; bucket and credentials have keys of their own"));
        }
        if url.scheme() == UNIX {
            return self.validate_socket(&url).map(|()| url);
        }
        if url.port() == Some(0) {
            return Err(refuse("port 0 is invalid; write 1 to 65535"));
        }
        self.validate_path(&url)?;
        self.validate_tls(&url)?;
        Ok(url)
    }

    fn refuse_unparsed(&self) -> Error {
        if !self.url.contains("://") {
            let with_scheme = format!("http://{}", self.url);
            if Url::parse(&with_scheme).is_ok() && is_printable(&self.url) {
                let remedy = format!("no scheme; write `{}`", printable_url(&with_scheme));
                return refuse(&self.url, &remedy);
            }
        }
        match Url::parse(&self.url) {
            Ok(_) => {
                refuse(&self.url, "only `http://`, `https://` and `unix://` are supported; write one of them")
            }
            Err(error) => refuse(
                &self.url,
                &format!("not a URL ({error}); write `http://localhost:8086`, for instance"),
            ),
        }
    }

    /// Checks the path of a socket, such as `unix:///run/telegraf.sock`.
    fn validate_socket(&self, url: &Url) -> Result<(), Error> {
        let refuse = |remedy: &str| Err(refuse(&self.url, remedy));
        if self.client != InfluxClient::Reqwest {
            return refuse(
                "client `influxdb2` does not support Unix sockets; set `client = \"reqwest\"` (feature `reqwest`)",
            );
        }
        if !cfg!(unix) {
            return refuse("this system has no Unix sockets; write `http://` and a host");
        }
        if !self.url.get(UNIX.len()..).is_some_and(|rest| rest.starts_with(":///"))
            || url.host().is_some()
            || url.path().ends_with('/')
        {
            return refuse(
                "the path of the socket must be absolute; write `unix:///run/telegraf.sock`, for instance",
            );
        }
        match socket_path(url) {
            Some(path) if path.as_os_str().len() <= SOCKET_PATH => Ok(()),
            Some(_) => refuse(&format!(
                "the path has more than {SOCKET_PATH} bytes, which no socket can have; use a shorter one"
            )),
            None => refuse("not the path of a file; write `unix:///run/telegraf.sock`, for instance"),
        }
    }

    fn validate_path(&self, url: &Url) -> Result<(), Error> {
        let path = url.path();
        if let Some(endpoint) =
            ENDPOINTS.into_iter().find(|endpoint| path.trim_end_matches('/').ends_with(endpoint))
        {
            return Err(refuse(&self.url, &format!("leave out `{endpoint}`; the client adds it")));
        }
        if path == "/" || self.client == InfluxClient::Reqwest {
            return Ok(());
        }
        let remedy = "client `influxdb2` drops the path and would write somewhere else; set `client = \"reqwest\"` (feature \
                      `reqwest`), which serves base paths, or leave the path out";
        Err(refuse(&self.url, remedy))
    }

    fn validate_tls(&self, url: &Url) -> Result<(), Error> {
        let spoken = match self.client {
            InfluxClient::Influxdb2 => cfg!(any(feature = "native-tls", feature = "rustls-tls")),
            InfluxClient::Reqwest => cfg!(feature = "tls"),
        };
        if url.scheme() != "https" || spoken {
            return Ok(());
        }
        let remedy = "`https` needs a feature of the crate `tower-influx`; turn on `tls-ring` (or `tls`, where the application \
                      installs a provider for rustls) and set `client = \"reqwest\"`, or turn on `rustls-tls` or `native-tls`";
        Err(refuse(&self.url, remedy))
    }
}

/// Returns the path of the socket in a URL, or `None` for other URLs.
pub(crate) fn socket_path(url: &Url) -> Option<PathBuf> {
    // The path may contain `%20`, and `%00`, which no file has in its name.
    let path = (url.scheme() == UNIX).then(|| url.to_file_path().ok()).flatten()?;
    (!path.as_os_str().as_encoded_bytes().contains(&0)).then_some(path)
}

fn refuse(url: &str, remedy: &str) -> Error {
    Error::setting("url", printable_url(url), remedy)
}

const SCHEMES: [&str; 3] = ["http", "https", UNIX];
const UNIX: &str = "unix";
/// The limit of Linux; the one of BSD and macOS is 103.
const SOCKET_PATH: usize = if cfg!(any(
    target_vendor = "apple",
    target_os = "dragonfly",
    target_os = "freebsd",
    target_os = "netbsd",
    target_os = "openbsd"
)) {
    103
} else {
    107
};
const ENDPOINTS: [&str; 3] = ["/api/v2/write", "/api/v3/write_lp", "/write"];
