//! The phrases in the servers' answers, word for word, and the remedies that an error names.

pub(super) const AUTHORIZATION_REMEDY: &str =
    "check `token` or `token_file`, or `username` and `password`, and that they may write to `bucket`";
pub(super) const PROXY_REMEDY: &str = "the answer is from a proxy, not from the server: put user and password for the proxy into \
                            its URL in `HTTP_PROXY` or `HTTPS_PROXY`, or name the server in `NO_PROXY`";
pub(super) const TARGET_REMEDY: &str =
    "create it at the server, or correct `bucket`, `organization` or `retention_policy`";
pub(super) const BAD_AUTHORIZATION: &[&str] =
    &["Authorization header was malformed", "uthorization header is malformed"];
/// The answers of Go's server, of InfluxDB 3, and of InfluxDB 2 built without its UI. Many proxies
/// send an empty body.
pub(super) const NO_SUCH_PATH: &[&str] =
    &["", "404 page not found", "not found", "no assets included in binary"];
/// The answers of Go's server to a request that is not HTTP, and of VictoriaMetrics to an unknown
/// path.
pub(super) const NOT_FOR_US: &[&str] = &[
    "unsupported path requested",
    "HTTP request to an HTTPS server",
    "400 Bad Request",
    "missing required Host",
];
pub(super) const BAD_TARGET: &[&str] = &[
    "database is required",
    "database name",
    "db name",
    "soft-deleted database",
    "Adding a new database would exceed",
    "Please provide either orgID or org",
    "missing bucket value",
    "missing field `…`",
    "namespace name",
    "invalid character in database or rp name",
];
pub(super) const PASSING_FAULT_OF_V3: &[&str] = &[
    "error from wal",
    "error from persister",
    "catalog update error: object store",
    "wal is shutdown",
    "write buffer error: error:",
];
pub(super) const FIELD_TYPE: &[&str] =
    &["field type conflict", "invalid column type", "invalid field value", "already exists as type"];
pub(super) const RETENTION: &[&str] =
    &["beyond retention policy", "outside retention policy", "Retention Policy"];
pub(super) const TOO_LARGE: &[&str] = &["max key length exceeded", "too long", "too large"];
pub(super) const LIMIT: &[&str] = &["limit", "would exceed", "max-series", "max-values"];
/// The one sentence with which `/api/v2/write` of InfluxDB 3 answers a wrong type, a column limit
/// and a malformed line alike.
pub(super) const SAYS_NO_REASON: &[&str] = &["parsing for line protocol failed"];
pub(super) const MALFORMED: &[&str] = &[
    "pars",
    "No fields",
    "tag",
    "reserved",
    "timestamp",
    "duplicate",
    "multiple instances",
    "trailing content",
    "incorrect influx line",
];

pub(super) const CERTIFICATE: &[&str] = &["certificate", "unknownissuer"];
/// The messages of the clients about a 407 to their `CONNECT`.
pub(super) const PROXY_REFUSES: &[&str] = &["proxy authorization required", "proxy authentication required"];
pub(super) const NOT_HTTP: &[&str] = &[
    "fatal alert",
    "corrupt message",
    "wrong version number",
    "handshake failure",
    "invalid http",
    "scheme is not http",
    "invalid url",
];
