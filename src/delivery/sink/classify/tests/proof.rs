//! What answers prove about the lines that they refuse.

use super::*;
use crate::line_protocol::ColumnKind;

fn proof(status: u16, body: &str) -> Proof {
    match kind(status, body) {
        WriteErrorKind::Refused(refused) => *refused.proof,
        other => panic!("{status} {body} gives {other:?}"),
    }
}

#[test]
fn partial_writes_count_what_they_refuse() {
    let conflict = "partial write: field type conflict: input field \"v\" on measurement \"m\" is type string, already \
                    exists as type float dropped=4";
    let expected =
        Proof { dropped: Some(4), certain: false, columns: vec![("v".to_owned(), Some(ColumnKind::String))] };
    assert_eq!(proof(400, &v1(conflict)), expected);
    let v2_conflict = v2("unprocessable entity", &format!("failure writing points to database: {conflict}"));
    assert_eq!(proof(422, &v2_conflict), expected);
    let retention = "partial write: points beyond retention policy dropped=7";
    assert_eq!(proof(400, &v1(retention)).dropped, Some(7));
    // 1.x writes nothing in this case, and counts nothing.
    let whole = "field type conflict: input field \"v\" on measurement \"m\" is type string, already exists as type float";
    assert_eq!(proof(400, &v1(whole)).dropped, None);
    // In these answers of 1.x the number is not exact: unparsable lines hide others, and a limit of
    // series is compared with all lines of the body.
    for text in [
        "partial write: unable to parse 'm,t= v=1': missing tag value dropped=0",
        "partial write: max-series-per-database limit exceeded: (1) dropped=50",
        "partial write: points beyond retention policy",
        "partial write: points beyond retention policy dropped=0",
    ] {
        assert_eq!(proof(400, &v1(text)).dropped, None, "{text}");
    }
}

#[test]
fn the_numbers_of_a_partial_write_of_version_3_are_certain() {
    let message = "invalid column type for column 'size', expected iox::column_type::field::string, got \
                   iox::column_type::field::integer";
    let data =
        format!(r#"{{"error_message":"{message}","line_number":2,"original_line":"requests,route=r,ser"}}"#);
    let columns = vec![("size".to_owned(), Some(ColumnKind::Integer))];
    let partial = format!(r#"{{"error":"partial write of line protocol occurred","data":[{data}]}}"#);
    assert_eq!(proof(400, &partial), Proof { dropped: None, certain: true, columns: columns.clone() });
    let whole = format!(r#"{{"error":"parsing failed for write_lp endpoint","data":{data}}}"#);
    assert_eq!(proof(400, &whole), Proof { dropped: None, certain: false, columns });
    let silent = v2("invalid", "write buffer error: parsing for line protocol failed");
    assert_eq!(proof(400, &silent), Proof::default());
}
