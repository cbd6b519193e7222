//! Tests of each row of the table, with the texts of the servers.

mod linear;
mod proof;
mod real;
mod refused;

use std::time::Duration;

use proptest::prelude::*;

use super::*;

fn answer(status: u16, body: &str) -> ServerAnswer<'_> {
    ServerAnswer {
        status: StatusCode::from_u16(status).expect("a status"),
        body,
        complete: true,
        retry_after: None,
        api: InfluxApi::V2,
        compressed: false,
        now: SystemTime::UNIX_EPOCH,
    }
}

fn error(status: u16, body: &str) -> WriteError {
    match classify(&answer(status, body)) {
        AnswerKind::Failed(error) => error,
        other => panic!("{status} {body} gives {other:?}"),
    }
}

fn kind(status: u16, body: &str) -> WriteErrorKind {
    error(status, body).kind
}

fn v1(text: &str) -> String {
    serde_json::json!({ "error": text }).to_string()
}

fn v2(code: &str, text: &str) -> String {
    serde_json::json!({ "code": code, "message": text }).to_string()
}

const NGINX: &str = "<html>\r\n<head><title>STATUS</title></head>\r\n<body>\r\n<center><h1>STATUS</h1></center>\r\n\
                     <hr><center>nginx/1.22.1</center>\r\n</body>\r\n</html>\r\n";

#[test]
fn successful_answers_count_as_written() {
    assert!(matches!(classify(&answer(204, "")), AnswerKind::Written));
    for status in [200, 201, 202] {
        assert!(matches!(classify(&answer(status, " \n")), AnswerKind::WrittenOddly));
    }
}

#[test]
fn servers_other_than_influxdb_block_by_configuration() {
    let configuration = WriteErrorKind::Blocked(Blocked::Configuration);
    for (status, body) in [
        (200, "<html><title>Welcome to the hotel</title></html>"),
        (200, "{\"results\":[]}"),
        (203, ""),
        (206, ""),
        (301, ""),
        (302, "<html>moved</html>"),
        (307, ""),
        (308, ""),
        (404, "404 page not found\n"),
        (404, ""),
        (404, NGINX),
        (400, NGINX),
        (400, "Client sent an HTTP request to an HTTPS server.\n"),
        (400, "400 Bad Request: missing required Host header"),
        (
            400,
            "remoteAddr: \"127.0.0.1:5\"; requestURI: /foo/write; unsupported path requested: \"/foo/write\"\n",
        ),
        (405, ""),
        (410, ""),
        (411, ""),
        (415, ""),
        (426, ""),
        (431, ""),
        (501, ""),
        (505, ""),
        (511, ""),
        (412, ""),
        (418, ""),
        (421, ""),
        (451, ""),
    ] {
        assert_eq!(kind(status, body), configuration, "{status} {body}");
    }
}

#[test]
fn credentials_block_by_authorization() {
    for (status, body) in [
        (401, v1("authorization failed")),
        (401, v2("unauthorized", "unauthorized access")),
        (401, r#"{"error":"the request was not authenticated"}"#.to_owned()),
        (400, r#"{"error":"Authorization header was malformed"}"#.to_owned()),
        (402, String::new()),
        (403, v1("\"u\" user is not authorized to write to database \"d\"")),
        (403, v2("forbidden", "insufficient permissions for write")),
    ] {
        assert_eq!(kind(status, &body), WriteErrorKind::Blocked(Blocked::Authorization), "{status} {body}");
    }
}

#[test]
fn a_missing_bucket_blocks_by_target() {
    for (status, body) in [
        (404, v1("database not found: \"x\"")),
        (404, v2("not found", "bucket \"x\" not found")),
        (404, v2("not found", "organization name \"x\" not found")),
        (500, v1("retention policy not found: x")),
        (400, v1("database is required")),
        (400, v1("invalid database name")),
        (400, v2("invalid", "db name did not start with a number or letter")),
        (400, v1("cannot write to soft-deleted database")),
        (400, v1("Adding a new database would exceed limit of 5 databases")),
    ] {
        assert_eq!(kind(status, &body), WriteErrorKind::Blocked(Blocked::Target), "{status} {body}");
    }
}

#[test]
fn transient_faults_are_retried() {
    for (status, body) in [
        (400, v2("invalid", "write buffer error: error from wal: wal buffer full with 100000 ops")),
        (400, v2("invalid", "write buffer error: error from persister: timeout of gzip store")),
        (400, v2("invalid", "write buffer error: catalog update error: object store error")),
        (400, v2("invalid", "write buffer error: wal is shutdown")),
        (400, v2("invalid", "write buffer error: error: other")),
        (500, v1("timeout")),
        (500, v1("engine: cache-max-memory-size exceeded: (1/1)")),
        (500, v2("internal error", "An internal error has occurred - check server logs")),
        (506, String::new()),
        (530, String::new()),
    ] {
        assert_eq!(kind(status, &body), WriteErrorKind::Transient, "{status} {body}");
        // These faults have nothing to do with compression.
        if status == 400 {
            assert!(matches!(
                classify(&ServerAnswer { compressed: true, ..answer(status, &body) }),
                AnswerKind::Failed(_)
            ));
        }
    }
}

#[test]
fn overload_throttles() {
    let throttled = |retry_after| WriteErrorKind::Throttled { retry_after };
    for status in [408, 425, 429, 499, 502, 503, 504, 507, 520, 521, 522, 523, 524, 525, 526, 527] {
        assert_eq!(kind(status, ""), throttled(None), "{status}");
    }
    assert_eq!(kind(503, "request throttled, queue full"), throttled(None));
    for (header, wait) in [("7", Some(7)), ("Thu, 01 Jan 1970 00:01:00 GMT", Some(60)), ("soon", None)] {
        let answer = ServerAnswer { retry_after: Some(header), ..answer(429, "") };
        let AnswerKind::Failed(error) = classify(&answer) else { panic!("429 is an error") };
        assert_eq!(error.kind, throttled(wait.map(Duration::from_secs)), "{header}");
    }
}

#[test]
fn a_body_that_was_not_decompressed_is_recognized() {
    for (status, body) in [
        (400, v1("gzip: invalid header")),
        (400, v1("gzip: invalid checksum")),
        (400, v1("flate: corrupt input before offset 17")),
        (400, v1("unexpected EOF")),
        (400, v1("unable to parse '\u{1f}\u{fffd}\u{8}': missing fields")),
        (400, v2("invalid", "unable to parse '\u{1f}\u{fffd}\u{8}\u{0}': missing fields")),
        (400, "remoteAddr: \"127.0.0.1:5\"; requestURI: /api/v2/write; cannot read gzipped influx line protocol data: unexpected EOF".to_owned()),
        (400, r#"{"error":"error decoding gzip stream: invalid gzip header"}"#.to_owned()),
        (415, String::new()),
        (500, v2("internal error", "An internal error has occurred - check server logs")),
    ] {
        let compressed = ServerAnswer { compressed: true, ..answer(status, &body) };
        assert!(matches!(classify(&compressed), AnswerKind::NotDecompressed), "{status} {body}");
        assert!(matches!(classify(&answer(status, &body)), AnswerKind::Failed(_)), "{status} {body}");
    }
    let bad = v1("unable to parse 'm,route=/gzip v=': missing field value");
    assert!(matches!(
        classify(&ServerAnswer { compressed: true, ..answer(400, &bad) }),
        AnswerKind::Failed(_)
    ));
}

#[test]
fn a_large_body_is_split() {
    for body in [
        v1("Request Entity Too Large"),
        NGINX.replace("STATUS", "413 Request Entity Too Large"),
        String::new(),
    ] {
        assert_eq!(kind(413, &body), WriteErrorKind::TooLarge);
    }
}

#[test]
fn messages_contain_the_words_of_the_server() {
    assert_eq!(
        error(503, &NGINX.replace("STATUS", "503 Service Unavailable")).message(),
        "503 Service Unavailable"
    );
    assert_eq!(error(500, &v1("timeout")).message(), "500 Internal Server Error: timeout");
    assert!(
        error(404, &v2("not found", "bucket \"x\" not found"))
            .message()
            .contains("bucket \"x\" not found; create it")
    );
    assert!(error(500, &v1("a\n\u{1b}[31mb")).message().contains("a;  [31mb"));
    assert!(error(500, &"long ".repeat(10_000)).message().len() <= 1024);
    let no_v2 = error(404, "404 page not found\n");
    assert!(no_v2.message().contains("`api = \"v1\"`"), "{no_v2}");
}

#[test]
fn servers_other_than_influxdb_are_reported_with_a_remedy() {
    for (status, remedy) in [
        (200, "something other than InfluxDB answers at `url`"),
        (302, "redirects are not followed"),
        (418, "InfluxDB does not use this status"),
        (501, "something other than InfluxDB answers at `url`"),
    ] {
        let error = error(status, "hello");
        assert!(error.message().contains(remedy), "{status}: {error}");
    }
}

#[test]
fn failures_of_the_connection_are_distinguished() {
    let kind = |text, phase| no_answer(text, phase).kind;
    let configuration = WriteErrorKind::Blocked(Blocked::Configuration);
    assert_eq!(
        kind("tcp connect error: Connection refused", RequestPhase::Connecting),
        WriteErrorKind::Transient
    );
    assert_eq!(
        kind("dns error: failed to lookup address", RequestPhase::Connecting),
        WriteErrorKind::Transient
    );
    assert_eq!(kind("operation timed out", RequestPhase::Connecting), WriteErrorKind::Transient);
    assert_eq!(kind("operation timed out", RequestPhase::TimedOut), WriteErrorKind::Timeout);
    assert_eq!(
        kind("connection closed before message completed", RequestPhase::Exchanging),
        WriteErrorKind::Broken
    );
    assert_eq!(kind("invalid peer certificate: UnknownIssuer", RequestPhase::Connecting), configuration);
    assert_eq!(kind("error:0A000086:certificate verify failed", RequestPhase::Connecting), configuration);
    assert_eq!(
        kind("received corrupt message of type InvalidContentType", RequestPhase::Connecting),
        configuration
    );
    assert_eq!(kind("invalid HTTP version parsed", RequestPhase::Exchanging), configuration);
    assert_eq!(kind("builder error", RequestPhase::Building), configuration);
}

proptest! {
    #[test]
    fn every_answer_is_classified_and_no_quoted_line_is_printed(
        status in 200_u16..600,
        before in "(partial write: )?",
        compressed: bool,
    ) {
        let body = v1(&format!("{before}unable to parse 'm,t=secret v=\"it's secret\" 1': missing fields dropped=0"));
        let answer = ServerAnswer { compressed, ..answer(status, &body) };
        if let AnswerKind::Failed(error) = classify(&answer) {
            prop_assert!(!error.message().contains("secret"));
            prop_assert!(error.message().len() <= 1024);
        }
    }

    #[test]
    fn no_body_causes_a_panic(status in 200_u16..600, body in "\\PC{0,200}", compressed: bool) {
        classify(&ServerAnswer { compressed, ..answer(status, &body) });
    }
}
