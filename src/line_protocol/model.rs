//! A simple model of the documented rules for stored points, and a reader that uses InfluxData's
//! parser.

use std::collections::BTreeMap;

use influxdb_line_protocol::{FieldValue, parse_lines};

use crate::{
    line_protocol::{LINE_BYTES, parse},
    point::{
        Point, Value,
        schema::{COLUMNS, ColumnType},
    },
    settings::Limits,
};

/// A stored point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelPoint {
    pub(crate) measurement: String,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, Value<'static>>,
    pub(crate) time: i64,
}

/// Returns the point that must be stored, or `None` if nothing can be stored.
pub(crate) fn expected(point: &dyn Point, time: i64, limits: &Limits) -> Option<ModelPoint> {
    let measurement = match point.measurement() {
        comment if comment.starts_with('#') => format!("_{}", name(cut(comment, 255), false)),
        measurement => name(cut(measurement, 256), false),
    };
    let mut tags = BTreeMap::new();
    point.visit_tags(&mut |key, value| {
        let key = name(cut(key, 256), false);
        if !reserved(&key) && !value.is_empty() {
            tags.insert(key, name(cut(value, limits.tag_bytes), false));
        }
    });
    let mut fields = BTreeMap::new();
    point.visit_fields(&mut |key, value| {
        let key = name(cut(key, 256), true);
        let value = match value {
            Value::String(text) => Value::from(string(&text, limits.field_bytes)),
            Value::Float(number) if !number.is_finite() => return,
            Value::Unsigned(number) => Value::Integer(i64::try_from(number).unwrap_or(i64::MAX)),
            other => other.into_owned(),
        };
        // The tags of a measurement of our own cannot be fields.
        let is_tag = COLUMNS.contains(&(measurement.as_str(), key.as_str(), ColumnType::Tag));
        if !reserved(&key) && !tags.contains_key(&key) && !is_tag {
            fields.insert(key, value);
        }
    });
    (!measurement.is_empty() && !fields.is_empty()).then_some(ModelPoint { measurement, tags, fields, time })
}

/// Parses a line, which must contain exactly one point, with InfluxData's parser.
pub(crate) fn read_by_influxdata(line: &[u8]) -> ModelPoint {
    let text = std::str::from_utf8(line).expect("line protocol is UTF-8");
    let mut lines = parse_lines(text);
    let point = lines.next().expect("a point").unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(lines.next().is_none(), "more than one point: {text}");
    let mut tags = BTreeMap::new();
    for (key, value) in point.series.tag_set.into_iter().flatten() {
        assert!(tags.insert(key.to_string(), value.to_string()).is_none(), "a tag twice: {text}");
    }
    let mut fields = BTreeMap::new();
    for (key, value) in point.field_set {
        let value = match value {
            FieldValue::I64(number) => Value::Integer(number),
            FieldValue::U64(number) => Value::Unsigned(number),
            FieldValue::F64(number) => Value::Float(number),
            FieldValue::String(text) => Value::from(text.to_string()),
            FieldValue::Boolean(truth) => Value::Boolean(truth),
        };
        assert!(fields.insert(key.to_string(), value).is_none(), "a field twice: {text}");
    }
    ModelPoint {
        measurement: point.series.measurement.to_string(),
        tags,
        fields,
        time: point.timestamp.expect("always a timestamp"),
    }
}

/// Parses a line with our own parser.
pub(crate) fn read_by_us(line: &[u8]) -> ModelPoint {
    let point = parse(line).unwrap_or_else(|| panic!("not read: {}", String::from_utf8_lossy(line)));
    ModelPoint {
        measurement: point.measurement().to_owned(),
        tags: point.tags().map(|(key, value)| (key.to_owned(), value.to_owned())).collect(),
        fields: point.fields().map(|(key, value)| (key.to_owned(), value.clone())).collect(),
        time: point.time().expect("always a timestamp").as_nanos(),
    }
}

/// Asserts what holds for the bytes of every line.
pub(crate) fn assert_one_line(line: &[u8]) {
    assert!(line.len() <= LINE_BYTES, "{} bytes", line.len());
    assert_eq!(line.iter().filter(|byte| **byte == b'\n').count(), 1, "one line break");
    assert!(line.ends_with(b"\n") && !line.contains(&b'\r') && !line.starts_with(b"#"));
}

fn reserved(key: &str) -> bool {
    matches!(key, "" | "time" | "_field" | "_measurement" | "__chunk_order")
}

/// Returns a string whose line breaks are replaced, cut at whole characters.
pub(crate) fn string(text: &str, limit: usize) -> String {
    let mut kept = String::new();
    for character in text.chars() {
        let piece = match character {
            '\n' => "\\n".to_owned(),
            '\r' => "\\r".to_owned(),
            other => other.to_string(),
        };
        if kept.len() + piece.len() > limit {
            break;
        }
        kept += &piece;
    }
    kept
}

pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// Returns a name or tag value without forbidden characters.
pub(crate) fn name(text: &str, is_field: bool) -> String {
    let characters: Vec<char> = text.chars().collect();
    let at = |index: Option<usize>| index.and_then(|index| characters.get(index).copied());
    let sanitized = |(index, character): (usize, &char)| {
        let (before, after) = (at(index.checked_sub(1)), at(Some(index + 1)));
        match character {
            '\0'..='\x1f' | '\x7f'..='\u{9f}' => '_',
            '\\' if after.is_none_or(|after| "\\,= \"".contains(after)) => '/',
            '"' if is_field => '_',
            ':' if is_field && (before == Some(':') || after == Some(':')) => '_',
            other => *other,
        }
    };
    characters.iter().enumerate().map(sanitized).collect()
}
