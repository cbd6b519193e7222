//! Tests `docs/schema.md` against the code.

use std::collections::BTreeSet;

use crate::{
    line_protocol::{EARLIEST, EXTRAS_BYTES, LATEST, LINE_BYTES, NAME_BYTES, STANDARD_BYTES},
    point::schema::{
        BODY_COMPLETE, BODY_DROPPED, BODY_ERROR, BODY_UNFINISHED, COLUMNS, ColumnType, OVERFLOW,
        RESERVED_BY_INFLUXDB, RESERVED_BY_REQUESTS,
    },
};

const DOCUMENT: &str = include_str!("../../docs/schema.md");

/// Returns the text below a heading, up to the next heading of the same or a higher level.
fn section(heading: &str) -> &'static str {
    let level = heading.bytes().take_while(|byte| *byte == b'#').count();
    let after =
        DOCUMENT.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no heading `{heading}`")).1;
    let is_next = |line: &str| {
        let depth = line.bytes().take_while(|byte| *byte == b'#').count();
        (1..=level).contains(&depth)
    };
    let end = after.lines().take_while(|line| !is_next(line)).map(|line| line.len() + 1).sum();
    after.get(..end).unwrap_or(after)
}

/// Returns the cells of a section's tables, without their headers.
fn rows(section: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    let is_content = |cells: &Vec<&str>| !cells[0].starts_with("--") && cells[0] != "kind";
    section.lines().filter(|line| line.starts_with('|')).map(cells).filter(is_content)
}

/// Returns everything in backticks.
fn quoted(text: &str) -> BTreeSet<&str> {
    text.split('`').skip(1).step_by(2).collect()
}

/// Formats a number as the document does.
fn with_commas(number: i128) -> String {
    let digits = number.unsigned_abs().to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).expect("ASCII")).collect();
    format!("{}{}", if number < 0 { "-" } else { "" }, groups.join(","))
}

#[test]
fn every_column_is_documented_with_its_type_and_no_other() {
    for measurement in ["requests", "errors", "client_requests", "client_errors", "connections", "licensing"]
    {
        let documented: BTreeSet<(String, String, String)> = rows(section(&format!("## `{measurement}`")))
            .map(|cells| (cells[0].to_owned(), cells[1].trim_matches('`').to_owned(), cells[2].to_owned()))
            .collect();
        let written =
            COLUMNS.iter().filter(|(of, ..)| *of == measurement).map(|(_, key, column)| match column {
                ColumnType::Tag => ("tag".to_owned(), (*key).to_owned(), "text".to_owned()),
                ColumnType::Field(field_type) => {
                    ("field".to_owned(), (*key).to_owned(), field_type.name().to_owned())
                }
            });
        assert_eq!(documented, written.collect(), "measurement {measurement}");
    }
}

#[test]
fn reserved_names_are_documented() {
    let section = section("### Reserved names");
    let (_, lists) = section.split_once("\n- ").expect("two lists");
    let (by_influxdb, by_requests) = lists.split_once("\n- ").expect("two lists");
    let (by_requests, _) = by_requests.split_once("\n\n").expect("text follows");
    assert_eq!(quoted(by_influxdb), RESERVED_BY_INFLUXDB.into());
    assert_eq!(quoted(by_requests), RESERVED_BY_REQUESTS.into());
}

#[test]
fn words_and_sizes_are_documented() {
    assert!(quoted(section("## Tag cardinality is bounded")).contains(OVERFLOW));
    let body_end = rows(section("## `requests`")).find(|cells| cells[1] == "`body_end`").expect("documented");
    assert_eq!(quoted(body_end[5]), [BODY_COMPLETE, BODY_ERROR, BODY_DROPPED, BODY_UNFINISHED].into());
    let text = section("## Names and values");
    for size in [LINE_BYTES, NAME_BYTES, STANDARD_BYTES, EXTRAS_BYTES] {
        let cell = with_commas(size as i128);
        assert!(rows(text).any(|cells| cells[1] == cell), "{cell} bytes");
    }
    assert!(text.contains(&format!(
        "{} to {} nanoseconds",
        with_commas(EARLIEST.into()),
        with_commas(LATEST.into())
    )));
    assert!(section("## One field, one type").contains(&with_commas(i64::MAX.into())));
}
