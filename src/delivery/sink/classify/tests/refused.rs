//! Answers to batches with refused points: which points, why, and what happened to the others.

use super::*;

fn refused(status: u16, body: &str) -> Refused {
    match kind(status, body) {
        // The proofs are tested in `proof`.
        WriteErrorKind::Refused(refused) => Refused { proof: Box::default(), ..refused },
        other => panic!("{status} {body} gives {other:?}"),
    }
}

#[test]
fn bad_lines_of_1_and_2_are_quoted() {
    let partial = v1(
        "partial write: unable to parse 'm,t= v=1': missing tag value\nunable to parse 'm2': no dropped=0",
    );
    assert_eq!(
        refused(400, &partial),
        Refused {
            resend_first: false,
            reason: RejectReason::Malformed,
            hint: Hint::Quoted(vec!["m,t= v=1".to_owned(), "m2".to_owned()]),
            ..Refused::default()
        }
    );
    let whole = v2("invalid", "unable to parse 'm,t= v=1': missing tag value");
    assert_eq!(
        refused(400, &whole),
        Refused {
            reason: RejectReason::Malformed,
            hint: Hint::Quoted(vec!["m,t= v=1".to_owned()]),
            ..Refused::default()
        }
    );
}

#[test]
fn type_conflicts_name_measurement_and_field() {
    let conflict = "field type conflict: input field \"f\" on measurement \"m\" is type integer, already exists as type float";
    let hint = Hint::Field { measurement: "m".to_owned(), field: "f".to_owned() };
    let reason = RejectReason::FieldType;
    let rest = Refused { reason, hint: hint.clone(), ..Refused::default() };
    assert_eq!(refused(400, &v1(&format!("partial write: {conflict} dropped=3"))), rest);
    let text = format!("failure writing points to database: partial write: {conflict} dropped=3");
    assert_eq!(refused(422, &v2("unprocessable entity", &text)), rest);
    // 1.x, for a conflict within the batch on a new field: nothing is written. When the batch is
    // sent again, the write is partial.
    assert_eq!(
        refused(400, &v1(conflict)),
        Refused { resend_first: true, reason, hint, ..Refused::default() }
    );
}

#[test]
fn retention_errors_give_the_bound_where_they_contain_it() {
    let v1 = v1("partial write: points beyond retention policy dropped=1");
    let reason = RejectReason::Retention;
    assert_eq!(refused(400, &v1), Refused { reason, hint: Hint::Unknown, ..Refused::default() });
    let v2 = v2(
        "unprocessable entity",
        "failure writing points to database: partial write: dropped 1 points outside retention policy of duration \
         2h0m0s - oldest point m,t=a at 2023-01-04T00:00:00Z dropped because it violates a Retention Policy Lower Bound \
         at 1970-01-01T00:00:01.5Z, newest point m,t=a at 2023-01-04T00:00:00Z dropped because it violates a Retention \
         Policy Lower Bound at 1970-01-01T00:00:01.5Z dropped=1 for database: 9f28 for retention policy: autogen",
    );
    assert_eq!(
        refused(422, &v2),
        Refused { reason, hint: Hint::OlderThan(1_500_000_000), ..Refused::default() }
    );
}

#[test]
fn version_3_numbers_the_lines() {
    let data = r#"[{"error_message":"invalid column type for column 'v', expected iox::column_type::field::float, got iox::column_type::field::string","line_number":3,"original_line":"m v=secret"}]"#;
    let partial = format!(r#"{{"error":"partial write of line protocol occurred","data":{data}}}"#);
    let lines = Refused { reason: RejectReason::FieldType, hint: Hint::Lines(vec![2]), ..Refused::default() };
    assert_eq!(refused(400, &partial), lines);
    assert!(!error(400, &partial).message().contains("secret"));
    for text in ["parsing failed for write_lp endpoint", "line protocol parsing error"] {
        let body = format!(
            r#"{{"error":"{text}","data":{{"original_line":"m","line_number":1,"error_message":"No fields were provided"}}}}"#
        );
        let reason = RejectReason::Malformed;
        assert_eq!(refused(400, &body), Refused { reason, hint: Hint::Lines(vec![0]), ..Refused::default() });
    }
    let v2_endpoint =
        v2("invalid", "write buffer error: line protocol parse failed: Expected tag value, got ` v=secret`");
    assert_eq!(refused(400, &v2_endpoint).reason, RejectReason::Malformed);
    assert!(!error(400, &v2_endpoint).message().contains("secret"));
}

#[test]
fn other_refusals_have_a_named_reason() {
    for (status, text, reason) in [
        (400, "partial write: max-series-per-database limit exceeded: (1) dropped=5", RejectReason::Limit),
        (
            422,
            "Update to schema would exceed number of columns per table limit of 500 columns",
            RejectReason::Limit,
        ),
        (400, "unable to parse 'm': max key length exceeded: 70000 > 65535", RejectReason::TooLarge),
        (
            400,
            "cannot read influx line protocol data: too long line: more than 262144 bytes",
            RejectReason::TooLarge,
        ),
        (400, "metric parse error: expected field at 2:5: \"m,t=secret\"", RejectReason::Malformed),
        (400, "incoming write was empty", RejectReason::Other),
        (406, "", RejectReason::Other),
        (409, "", RejectReason::Other),
        (414, "", RejectReason::Other),
        (417, "", RejectReason::Other),
    ] {
        assert_eq!(refused(status, text).reason, reason, "{text}");
        assert!(!error(status, text).message().contains("secret"), "{text}");
    }
    assert_eq!(
        refused(400, "metric parse error: expected field at 2:5: \"m,t=secret\"").hint,
        Hint::Lines(vec![1])
    );
}

#[test]
fn text_chosen_by_a_client_does_not_change_the_class() {
    for words in [
        "database is required",
        "error from wal",
        "HTTP request to an HTTPS server",
        "retention policy not found",
    ] {
        let body = v1(&format!("unable to parse 'm,t={words} ': {words}=': missing fields"));
        assert_eq!(refused(400, &body).reason, RejectReason::Malformed, "{words}");
    }
}

#[test]
fn the_number_of_dropped_points_is_reported() {
    let told = |text: &str| {
        let error = error(400, &v1(text));
        (error.status, error.reported_dropped)
    };
    assert_eq!(told("partial write: points beyond retention policy dropped=12"), (Some(400), 12));
    assert_eq!(told("partial write: unable to parse 'm v=\"dropped=9\" x': bad dropped=0"), (Some(400), 0));
    assert_eq!(told("unable to parse 'dropped=9': bad"), (Some(400), 0));
    assert_eq!(told("partial write: field type conflict dropped=99999999999999999999"), (Some(400), 0));
}

#[test]
fn one_sentence_of_influxdb_3_names_no_line() {
    let text = r#"{"error":"parsing for line protocol failed","data":null}"#;
    assert!(names_no_line(&answer(400, text)));
    assert!(!names_no_line(&answer(500, text)) && !names_no_line(&answer(400, "no")));
}
