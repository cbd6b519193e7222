//! Every message about the server, credentials and files: what is wrong, with which value, and what
//! would be right.

use std::fs;

use super::{assert_messages, parsed, refused};

#[test]
fn urls() {
    let queries = "must not contain `?` or `#`; bucket and credentials have keys of their own";
    let path = "client `influxdb2` drops the path and would write somewhere else; set `client = \"reqwest\"` (feature `reqwest`), \
                which serves base paths, or leave the path out";
    let user = "holds a user or a password, which would appear in logs; write `token` or `token_file`, or `username` and \
                `password` with `client = \"reqwest\"`";
    assert_messages(
        "service = 'shop'\nbucket = 'b'",
        &[
            ("url = ''", "setting `url` is ``: empty; write `http://localhost:8086`, for instance"),
            (
                "url = 'localhost:8086'",
                "setting `url` is `localhost:8086`: no scheme; write `http://localhost:8086`",
            ),
            (
                "url = 'influx.example.com:8086'",
                "setting `url` is `influx.example.com:8086`: no scheme; write `http://influx.example.com:8086`",
            ),
            ("url = '127.0.0.1'", "setting `url` is `127.0.0.1`: no scheme; write `http://127.0.0.1`"),
            (
                "url = 'ftp://a'",
                "setting `url` is `ftp://a`: only `http://`, `https://` and `unix://` are supported; write one of them",
            ),
            (
                "url = 'http://'",
                "setting `url` is `http://`: not a URL (empty host); write `http://localhost:8086`, for instance",
            ),
            (
                "url = 'http://a:99999'",
                "setting `url` is `http://a:99999`: not a URL (invalid port number); write `http://localhost:8086`, for instance",
            ),
            ("url = 'http://a:0'", "setting `url` is `http://a:0`: port 0 is invalid; write 1 to 65535"),
            ("url = 'http://me:hunter2@a'", &format!("setting `url` is `[redacted]`: {user}")),
            (
                "url = 'me:hunter2@a'",
                "setting `url` is `[redacted]`: only `http://`, `https://` and `unix://` are supported; write one of them",
            ),
            ("url = 'http://a?u=me&p=hunter2'", &format!("setting `url` is `http://a…`: {queries}")),
            ("url = 'http://a#b'", &format!("setting `url` is `http://a…`: {queries}")),
            ("url = 'http://a/influx'", &format!("setting `url` is `http://a/influx`: {path}")),
            (
                "url = 'http://a/api/v2/write/'",
                "setting `url` is `http://a/api/v2/write/`: leave out `/api/v2/write`; the client adds it",
            ),
        ],
    );
    for good in ["http://a", "http://a/", "HTTP://a:1", "http://[::1]:8086", "http://10.0.0.7"] {
        parsed(&format!("service = 'shop'\nbucket = 'b'\nurl = '{good}'")).validate().expect(good);
    }
    for good in ["http://a/influx", "http://a/influx/", "https://a"] {
        let start = "service = 'shop'\nbucket = 'b'\nclient = 'http'";
        parsed(&format!("{start}\nurl = '{good}'")).validate().expect(good);
    }
}

#[cfg(all(unix, feature = "reqwest"))]
#[test]
fn sockets() {
    let most = if cfg!(target_os = "macos") { 103 } else { 107 };
    let long = format!("unix:///{}", "x".repeat(most));
    let path = "the path of the socket must be absolute; write `unix:///run/telegraf.sock`, for instance";
    let other =
        "client `influxdb2` does not support Unix sockets; set `client = \"reqwest\"` (feature `reqwest`)";
    let queries = "must not contain `?` or `#`; bucket and credentials have keys of their own";
    assert_messages(
        "service = 'shop'\nbucket = 'b'\nclient = 'reqwest'",
        &[
            ("url = 'unix://run/a.sock'", &format!("setting `url` is `unix://run/a.sock`: {path}")),
            ("url = 'unix:/run/a.sock'", &format!("setting `url` is `unix:/run/a.sock`: {path}")),
            ("url = 'unix:run'", &format!("setting `url` is `unix:run`: {path}")),
            ("url = 'unix://'", &format!("setting `url` is `unix://`: {path}")),
            ("url = 'unix:///run/'", &format!("setting `url` is `unix:///run/`: {path}")),
            (
                "url = 'unix:///run/a%00b'",
                "setting `url` is `unix:///run/a%00b`: not the path of a file; write `unix:///run/telegraf.sock`, for instance",
            ),
            ("url = 'unix:///run/a?b'", &format!("setting `url` is `unix:///run/a…`: {queries}")),
            (
                &format!("url = '{long}'"),
                &format!(
                    "setting `url` is `{}…`: the path has more than {most} bytes, which no socket can have; use a shorter one",
                    &long[..100]
                ),
            ),
        ],
    );
    assert_messages(
        "service = 'shop'\nbucket = 'b'",
        &[("url = 'unix:///run/a'", &format!("setting `url` is `unix:///run/a`: {other}"))],
    );
    for (good, path) in [
        ("unix:///run/telegraf.sock", "/run/telegraf.sock"),
        ("unix:///a%20b", "/a b"),
        ("UNIX:///run/a", "/run/a"),
        (&format!("unix:///{}", "x".repeat(106)), &format!("/{}", "x".repeat(106))),
    ] {
        let settings = parsed(&format!("service = 'shop'\nbucket = 'b'\nclient = 'reqwest'\nurl = '{good}'"));
        settings.validate().expect(good);
        let url = settings.influx.checked_url().expect(good);
        assert_eq!(crate::settings::socket_path(&url).expect(good).to_str(), Some(path));
    }
}

#[test]
#[cfg(not(any(feature = "native-tls", feature = "rustls-tls")))]
fn tls_without_a_feature_for_it() {
    assert_eq!(
        refused("service = 'shop'\nbucket = 'b'\nurl = 'https://a'"),
        "setting `url` is `https://a`: `https` needs a feature of the crate `tower-influx`; turn on `tls-ring` (or \
         `tls`, where the application installs a provider for rustls) and set `client = \"reqwest\"`, or turn on \
         `rustls-tls` or `native-tls`"
    );
}

#[test]
fn clients_and_endpoints() {
    let http_only =
        "only `client = \"reqwest\"` (feature `reqwest`) serves this; set it, or leave this key out";
    assert_messages(
        "service = 'shop'\nstorage = 'influx'",
        &[
            ("", "setting `bucket`: missing; name the bucket, which InfluxDB 1.x and 3.x call the database"),
            (
                "bucket = \"a\\nb\"",
                "setting `bucket` is `a\\nb`: holds a line break or another control character; remove it",
            ),
            (
                "bucket = 'b'\norg = \"\\t\"",
                "setting `organization` is `\\t`: holds a line break or another control character; remove it",
            ),
            ("bucket = 'b'\napi = 'v1'", &format!("setting `api` is `v1`: {http_only}")),
            (
                "bucket = 'b'\nauthorization = 'bearer'",
                &format!("setting `authorization` is `bearer`: {http_only}"),
            ),
            ("bucket = 'b'\nheaders.X-A = 'a'", &format!("setting `headers`: {http_only}")),
            (
                "bucket = 'b'\ncertificate_authority = 'a'",
                &format!("setting `certificate_authority`: {http_only}"),
            ),
            (
                "bucket = 'b'\nretention_policy = 'a'",
                "setting `retention_policy` is `a`: only `api = \"v1\"` has retention policies, and `api` is `auto`; leave it out",
            ),
            (
                "bucket = 'b'\naccept_partial = false",
                "setting `accept_partial` is `false`: only `api = \"v3\"` supports it, and `api` is `auto`; leave it out",
            ),
            (
                "bucket = 'b'\nno_sync = true",
                "setting `no_sync` is `true`: only `api = \"v3\"` supports it, and `api` is `auto`; leave it out",
            ),
            ("bucket = 'b'\nconnect_timeout = 0", "setting `connect_timeout` is `0s`: write 10ms to 1h"),
            ("bucket = 'b'\ntimeout = '2h'", "setting `timeout` is `2h`: write 10ms to 1h"),
        ],
    );
    assert_messages(
        "service = 'shop'\nbucket = 'b'\nclient = 'http'",
        &[
            (
                "headers.'a b' = 'a'",
                "setting `headers.a b`: not a valid header name; write letters, digits and dashes",
            ),
            (
                "headers.Authorization = 'a'",
                "setting `headers.Authorization`: built from `token`, or from `username` and `password`; set these instead",
            ),
            (
                "headers.Content-Type = 'a'",
                "setting `headers.Content-Type`: the client sets it for every request; leave it out",
            ),
            (
                "headers.X-A = \"hunter2\\n\"",
                "setting `headers.X-A`: HTTP headers do not allow this value; write one line of ASCII characters",
            ),
            (
                "headers = { X-A = 'a', x-a = 'b' }",
                "setting `headers.x-a`: given twice in different case; leave one of them out",
            ),
        ],
    );
}

#[test]
fn credentials() {
    let server = "service = 'shop'\nbucket = 'b'";
    assert_messages(
        server,
        &[
            (
                "token = 'hunter2'\ntoken_file = '/run/token'",
                "setting `token_file`: cannot be combined with `token`; leave one of them out",
            ),
            ("token = ' hunter2'", "setting `token`: begins or ends with white space; remove it"),
            (
                "token = \"hun\\nter2\"",
                "setting `token`: holds a line break or a character that is not ASCII, which HTTP headers do not allow; copy it again",
            ),
            (
                "token = 'Token hunter2'",
                "setting `token`: begins with a scheme such as `Token`; write the token alone, the client adds the scheme",
            ),
            (
                "username = 'me'",
                "setting `username`: used by `client = \"reqwest\"` only, with `api = \"v1\"` or `authorization = \"basic\"`; set these, or give a `token` instead",
            ),
            ("password = 'hunter2'", "setting `password`: given without `username`; give both, or a `token`"),
        ],
    );
    assert_messages(
        &format!("{server}\nclient = 'http'\nauthorization = 'basic'"),
        &[
            ("", "setting `username`: missing; `authorization = \"basic\"` needs `username` and `password`"),
            (
                "username = 'me'\ntoken = 'hunter2'",
                "setting `username`: cannot be combined with `token` or `token_file`; leave one of them out",
            ),
            (
                "username = 'm:e'",
                "setting `username`: contains a colon or a control character, which a user name cannot have; copy it again",
            ),
        ],
    );
    parsed(&format!("{server}\nclient = 'http'\napi = 'v1'\nusername = 'me'\npassword = 'hunter2'"))
        .validate()
        .expect("1.x");
}

#[test]
fn files() {
    let directory = tempfile::tempdir().expect("a directory");
    let at = |name: &str| directory.path().join(name).display().to_string();
    fs::write(at("empty"), " \n").expect("written");
    fs::write(at("token"), "hunter2\n").expect("written");
    let server = "service = 'shop'\nbucket = 'b'";

    let message = refused(&format!("{server}\ntoken_file = '{}'", at("none")));
    let start = format!(
        "setting `token_file` is `{}`, but must be a readable file that holds the token: ",
        at("none")
    );
    assert!(message.starts_with(&start), "{message}");
    assert_eq!(
        refused(&format!("{server}\ntoken_file = '{}'", at("empty"))),
        format!("setting `token_file` is `{}`: the file is empty; write the token into it", at("empty"))
    );
    let settings = parsed(&format!("{server}\ntoken_file = '{}'", at("token")));
    settings.validate().expect("a good file");
    assert_eq!(settings.influx.current_token().expect("a good file").expose(), "hunter2");

    let http = format!("{server}\nclient = 'http'");
    let message = refused(&format!("{http}\ncertificate_authority = '{}'", at("none")));
    assert!(message.contains("but must be a readable file of PEM certificates: "), "{message}");
    assert_eq!(
        refused(&format!("{http}\ncertificate_authority = '{}'", at("token"))),
        format!(
            "setting `certificate_authority` is `{}`: the file holds no `-----BEGIN CERTIFICATE-----`; name a file of PEM certificates",
            at("token")
        )
    );

    assert_eq!(refused("service = 'shop'\ndirectory = ''"), "setting `directory`: empty; name a directory");
    assert_eq!(
        refused(&format!("service = 'shop'\ndirectory = '{}/below'", at("token"))),
        format!(
            "setting `directory` is `{0}/below`: `{0}` is not a directory; name another place",
            at("token")
        )
    );
    assert_eq!(
        refused("service = 'shop'\ndirectory = 'a'\nspool.directory = 'a'"),
        "setting `spool.directory` is `a`: `directory` is the same directory; name another one"
    );
}
