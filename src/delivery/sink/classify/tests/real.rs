//! Answers of real servers, word for word: InfluxDB 2.9.1 and 3.7, Telegraf 1.39.3, VictoriaMetrics
//! 1.150.0, and InfluxDB 2.0 where it differs. `T` stands for a timestamp.

use super::*;

/// The expected class of an answer, and the reason and hint of a refusal.
enum Expected {
    Blocked(Blocked),
    TooLarge,
    Transient,
    Refused(RejectReason, Hint),
}
use Expected::{Refused, TooLarge, Transient};

const TARGET: Expected = Expected::Blocked(Blocked::Target);
const CONFIGURATION: Expected = Expected::Blocked(Blocked::Configuration);
const AUTHORIZATION: Expected = Expected::Blocked(Blocked::Authorization);

fn check(answers: impl IntoIterator<Item = (u16, &'static str, Expected)>) {
    for (status, body, expected) in answers {
        let error = error(status, body);
        match (&error.kind, &expected) {
            (WriteErrorKind::Blocked(by), Expected::Blocked(expected)) => assert_eq!(by, expected, "{body}"),
            (WriteErrorKind::TooLarge, TooLarge) | (WriteErrorKind::Transient, Transient) => {}
            (WriteErrorKind::Refused(refused), Refused(reason, hint)) => {
                assert_eq!((refused.reason, &refused.hint), (*reason, hint), "{body}");
            }
            (other, _) => panic!("{status} {body} gives {other:?}"),
        }
        assert!(!error.message().contains("a=1"), "a line is quoted: {error}");
    }
}

fn quoted(lines: &[&str]) -> Hint {
    Hint::Quoted(lines.iter().map(|line| (*line).to_owned()).collect())
}

fn field(measurement: &str, field: &str) -> Hint {
    Hint::Field { measurement: measurement.to_owned(), field: field.to_owned() }
}

#[test]
fn influxdb_2() {
    use RejectReason::{FieldType, Malformed, Other, Retention, TooLarge};
    check([
        (
            400,
            r#"{"code":"invalid","message":"unable to parse 'm,a=1 v= T': missing field value"}"#,
            Refused(Malformed, quoted(&["m,a=1 v= T"])),
        ),
        (
            400,
            r#"{"code":"invalid","message":"unable to parse 'm,a=1 v= T': missing field value\nunable to parse 'm,a=1 w T': invalid field format"}"#,
            Refused(Malformed, quoted(&["m,a=1 v= T", "m,a=1 w T"])),
        ),
        (
            422,
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float dropped=1"}"#,
            Refused(FieldType, field("m", "v")),
        ),
        (
            400,
            r#"{"code":"invalid","message":"unable to parse 'm v=9223372036854775808i T': unable to parse integer 9223372036854775808: strconv.ParseInt: parsing \"9223372036854775808\": value out of range"}"#,
            Refused(Malformed, quoted(&["m v=9223372036854775808i T"])),
        ),
        (
            400,
            r#"{"code":"invalid","message":"unable to parse 'm v=1 9223372036854775807': time outside range -9223372036854775806 - 9223372036854775806"}"#,
            Refused(Malformed, quoted(&["m v=1 9223372036854775807"])),
        ),
        (
            422,
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: invalid field name: input field \"time\" on measurement \"m\" is invalid dropped=1"}"#,
            Refused(Other, field("m", "time")),
        ),
        (
            400,
            r#"{"code":"invalid","message":"unable to parse 'm,time=1 v=1 T': cannot use reserved tag key \"time\""}"#,
            Refused(Malformed, quoted(&["m,time=1 v=1 T"])),
        ),
        (
            422,
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: input field \"s\" on measurement \"m\" is too long, 1100000 \u003e 1048576 dropped=1"}"#,
            Refused(TooLarge, Hint::Unknown),
        ),
        (404, r#"{"code":"not found","message":"bucket \"nowhere\" not found"}"#, TARGET),
        (404, r#"{"code":"not found","message":"organization name \"nobody\" not found"}"#, TARGET),
        (400, r#"{"code":"invalid","message":"Please provide either orgID or org"}"#, TARGET),
        (404, r#"{"code":"not found","message":"bucket not found"}"#, TARGET),
        (404, r#"{"code":"not found","message":"no dbrp mapping found"}"#, TARGET),
        (404, "no assets included in binary\n", CONFIGURATION),
        (401, r#"{"code":"unauthorized","message":"unauthorized access"}"#, AUTHORIZATION),
        (403, r#"{"code":"forbidden","message":"insufficient permissions for write"}"#, AUTHORIZATION),
        (
            500,
            r#"{"code":"internal error","message":"An internal error has occurred - check server logs"}"#,
            Transient,
        ),
        (
            422,
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 2 points outside retention policy of duration 1h0m0s - oldest point m,a=1 at 2026-11-27T22:55:36.441513351Z dropped because it violates a Retention Policy Lower Bound at 2026-11-27T23:57:16.824910878Z, newest point m,a=1 at 2026-11-27T22:57:16.441513351Z dropped because it violates a Retention Policy Lower Bound at 2026-11-27T23:57:16.824910878Z dropped=2 for database: 4077284953631021 for retention policy: autogen"}"#,
            Refused(Retention, Hint::OlderThan(1_795_823_836_824_910_878)),
        ),
        // 2.0 has no separate status for this yet.
        (
            500,
            r#"{"code":"internal error","message":"unexpected error writing points to database: partial write: points beyond retention policy dropped=3"}"#,
            Refused(Retention, Hint::Unknown),
        ),
    ]);
}

#[test]
fn influxdb_2_reports_how_many_points_it_dropped() {
    let dropped = |body| error(422, body).reported_dropped;
    assert_eq!(
        dropped(
            r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float dropped=4"}"#
        ),
        4
    );
    let retention = r#"{"code":"unprocessable entity","message":"failure writing points to database: partial write: dropped 2 points outside retention policy of duration 1h0m0s - oldest point m,a=q at T dropped because it violates a Retention Policy Lower Bound at T, newest point m,a=q at T dropped because it violates a Retention Policy Lower Bound at T dropped=2 for database: 4077284953631021 for retention policy: autogen"}"#;
    assert_eq!(dropped(retention), 2);
    let answer = answer(422, retention);
    let AnswerKind::Failed(cut) = classify(&ServerAnswer { complete: false, ..answer }) else { panic!() };
    assert_eq!(cut.reported_dropped, 0, "the end of a cut answer may be a line of ours");
}

#[test]
fn influxdb_3() {
    use RejectReason::{FieldType, Limit, Malformed, Other};
    let first = || Hint::Lines(vec![0]);
    let second = || Hint::Lines(vec![1]);
    check([
        // The answer to a wrong type, a column limit and a malformed line alike.
        (
            400,
            r#"{"code":"invalid","message":"write buffer error: parsing for line protocol failed"}"#,
            Refused(Other, Hint::Unknown),
        ),
        (
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"invalid column type for column 'size', expected iox::column_type::field::string, got iox::column_type::field::integer","line_number":2,"original_line":"requests,a=1"}]}"#,
            Refused(FieldType, second()),
        ),
        (
            400,
            r#"{"error":"parsing failed for write_lp endpoint","data":{"error_message":"invalid column type for column 'size', expected iox::column_type::field::string, got iox::column_type::field::integer","line_number":2,"original_line":"requests,a=1"}}"#,
            Refused(FieldType, second()),
        ),
        (
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"No fields were provided","line_number":2,"original_line":"requests,a=1"}]}"#,
            Refused(Malformed, second()),
        ),
        (
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"Unable to parse timestamp value '99999999999999999999'","line_number":1,"original_line":"requests,a=1"}]}"#,
            Refused(Malformed, first()),
        ),
        (
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"invalid line protocol - multiple instances of 'a' field found","line_number":1,"original_line":"requests,a=1"}]}"#,
            Refused(Malformed, first()),
        ),
        (
            400,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"Could not parse entire line. Found trailing content: '\r'","line_number":1,"original_line":"a=1"}]}"#,
            Refused(Malformed, first()),
        ),
        (
            422,
            r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"Update to schema would exceed number of columns per table limit of 500 columns","line_number":1,"original_line":"cols a=1"}]}"#,
            Refused(Limit, first()),
        ),
        (
            400,
            r#"{"error":"parsing failed for write_lp endpoint","data":{"error_message":"Update to schema would exceed number of columns per table limit of 500 columns","line_number":1,"original_line":"cols a=1"}}"#,
            Refused(Limit, first()),
        ),
        (400, r#"{"code":"invalid","message":"missing bucket value"}"#, TARGET),
        (400, "serde error: missing field `db`", TARGET),
        (400, r#"{"error":"failed to deserialize db/rp/precision in request: missing field `db`"}"#, TARGET),
        (
            400,
            r#"{"code":"invalid","message":"namespace name 'a b/c' contains invalid character, character number 1 is not whitelisted"}"#,
            TARGET,
        ),
        (
            400,
            r#"{"error":"invalid character in database or rp name: must be ASCII, containing only letters, numbers, underscores, or hyphens"}"#,
            TARGET,
        ),
        (400, r#"{"error":"db name did not start with a number or letter"}"#, TARGET),
        (404, "not found", CONFIGURATION),
        (
            413,
            r#"{"code":"request too large","message":"max request size (10485760 bytes) exceeded"}"#,
            TooLarge,
        ),
        (500, "max request size (10485760 bytes) exceeded", TooLarge),
        (500, "error decoding gzip stream: invalid gzip header", Transient),
        (500, "body content is not valid utf8: invalid utf-8 sequence of 1 bytes from index 15", Transient),
    ]);
}

#[test]
fn telegraf() {
    use RejectReason::Malformed;
    let second = || Hint::Lines(vec![1]);
    check([
        (
            400,
            r#"{"code":"invalid","err":"metric parse error: expected field at 2:9: \"m,a=1 v= T\"","message":"metric parse error: expected field at 2:9: \"m,a=1 v= T\"","op":""}"#,
            Refused(Malformed, second()),
        ),
        (
            400,
            r#"{"error":"metric parse error: expected field at 2:9: \"m,a=1 v=\""}"#,
            Refused(Malformed, second()),
        ),
        (
            400,
            r#"{"error":"metric parse error: expected field at 2:9: \"m,a=1 v=\" (and 1 other parse error)"}"#,
            Refused(Malformed, second()),
        ),
        (
            400,
            r#"{"error":"metric parse error: field value has unrecognized type at 2:9"}"#,
            Refused(Malformed, second()),
        ),
        (
            400,
            r#"{"error":"metric parse error: field value has unrecognized type at 2:9 (and 1 other parse error)"}"#,
            Refused(Malformed, second()),
        ),
        (401, "Unauthorized\n", AUTHORIZATION),
        (413, r#"{"code":"invalid","maxLength":"30000","message":"http: request body too large"}"#, TooLarge),
        (413, r#"{"error":"http: request body too large"}"#, TooLarge),
    ]);
}

#[test]
fn victoria_metrics() {
    check([
        (
            400,
            "cannot process influx line protocol data: incorrect influx line \"m,a=1 v= T\\nm,a=1 v=3 T\": cannot parse field value for \"v\": field value cannot be empty; see https://docs.victoriametrics.com/victoriametrics/integrations/influxdb/\n",
            Refused(RejectReason::Malformed, quoted(&["m,a=1 v= T"])),
        ),
        (400, "unsupported path requested: \"/api/v3/write_lp\"\n", CONFIGURATION),
    ]);
}

#[test]
fn a_proxy_that_requires_a_password_is_named() {
    for error in [
        error(407, &NGINX.replace("STATUS", "407 Proxy Authentication Required")),
        no_answer(
            "client error (Connect): tunnel error: proxy authorization required",
            RequestPhase::Connecting,
        ),
        no_answer("error trying to connect: proxy authentication required", RequestPhase::Connecting),
    ] {
        assert_eq!(error.kind, WriteErrorKind::Blocked(Blocked::Configuration), "{error}");
        assert!(error.message().contains("proxy") && !error.message().contains("token"), "{error}");
    }
}

#[test]
fn compressed_bodies_that_were_not_decompressed() {
    for (status, body) in [
        (400, r#"{"code":"invalid","message":"error decoding gzip stream: invalid gzip header"}"#),
        (500, "error decoding gzip stream: invalid gzip header"),
        (500, "body content is not valid utf8: invalid utf-8 sequence of 1 bytes from index 15"),
        (500, r#"{"code":"internal error","message":"An internal error has occurred - check server logs"}"#),
        (400, r#"{"code":"invalid","err":"gzip: invalid header","message":"gzip: invalid header","op":""}"#),
        (
            400,
            "cannot process influx line protocol data: gzip: invalid header; see https://docs.victoriametrics.com/victoriametrics/integrations/influxdb/\n",
        ),
    ] {
        let answer = ServerAnswer { compressed: true, ..answer(status, body) };
        assert!(matches!(classify(&answer), AnswerKind::NotDecompressed), "{status} {body}");
    }
}
