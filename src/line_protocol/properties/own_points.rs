//! The application's own points.

use proptest::prelude::*;

use super::{AnyPoint, any_point, any_text, small_limits};
use crate::{
    line_protocol::{
        Changes, EARLIEST, LATEST, StaticTags, encode_point,
        model::{assert_one_line, expected, read_by_influxdata, read_by_us},
        own_point::InvalidPoint,
        parse,
    },
    point::{DataPoint, Point, Value},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

fn encoded(point: &dyn Point, time: i64, limits: &Limits) -> Result<(String, Changes), InvalidPoint> {
    let mut out = b"before\n".to_vec();
    let (types, values) = (FieldTypes::default(), TagCardinality::new(0));
    let result = encode_point(point, time, &StaticTags::default(), limits, &types, &values, &mut out);
    let line = out.split_off(b"before\n".len());
    assert_eq!(out, b"before\n");
    if result.is_err() {
        assert!(line.is_empty(), "a refused point left bytes behind");
    }
    result.map(|changes| (String::from_utf8(line).expect("UTF-8"), changes))
}

fn judged(point: &AnyPoint, time: i64, limits: &Limits) {
    let expected = expected(point, time, limits);
    match encoded(point, time, limits) {
        Ok((line, changes)) => {
            assert_one_line(line.as_bytes());
            assert_eq!(Some(read_by_influxdata(line.as_bytes())), expected);
            assert_eq!(Some(read_by_us(line.as_bytes())), expected);
            let again = parse(line.as_bytes()).expect("read before");
            assert_eq!(encoded(&again, time, &Limits::default()), Ok((line, Changes::default())));
            let untouched = expected.is_some_and(|stored| {
                stored.measurement == point.measurement
                    && stored.tags.into_iter().eq(sorted(&point.tags))
                    && stored.fields.into_iter().eq(sorted(&point.fields))
            });
            // Changes are counted, and nothing else is. The exception is a duplicate name: changes
            // of the replaced value were counted.
            let once = sorted(&point.tags).len() == point.tags.len()
                && sorted(&point.fields).len() == point.fields.len();
            if !untouched {
                assert!(!changes.is_empty());
            } else if once {
                assert_eq!(changes, Changes::default());
            }
        }
        Err(_) => assert_eq!(expected, None),
    }
}

/// Returns the entries as they would be stored if nothing had to be changed. Unsigned integers have
/// no type of their own there.
fn sorted<T: Clone + Into<Value<'static>> + AsStored>(entries: &[(String, T)]) -> Vec<(String, T)> {
    let mut entries: Vec<(String, T)> =
        entries.iter().map(|(key, value)| (key.clone(), value.stored())).collect();
    entries.sort_by(|left, right| left.0.cmp(&right.0));
    let mut last: Vec<(String, T)> = Vec::new();
    for entry in entries {
        last.retain(|other| other.0 != entry.0);
        last.push(entry);
    }
    last
}

trait AsStored {
    fn stored(&self) -> Self;
}

impl AsStored for String {
    fn stored(&self) -> Self {
        self.clone()
    }
}

impl AsStored for Value<'static> {
    fn stored(&self) -> Self {
        match self {
            Value::Unsigned(number) => i64::try_from(*number).map_or(self.clone(), Value::Integer),
            other => other.clone(),
        }
    }
}

proptest! {
    #[test]
    fn any_point_is_one_line_with_its_values(point in any_point(), time in EARLIEST..=LATEST) {
        judged(&point, time, &Limits::default());
    }

    #[test]
    fn any_point_is_cut_to_the_limits(point in any_point(), time in EARLIEST..=LATEST) {
        judged(&point, time, &small_limits());
    }

    #[test]
    fn static_tags_are_added_where_the_name_is_free(point in any_point(), service in any_text(), zone in any_text()) {
        let limits = Limits { tag_bytes: 1024, ..Limits::default() };
        let further = [("zone".to_owned(), zone.clone())].into();
        let static_tags = StaticTags::new(&service, None, &further);
        let mut with_static_tags = point.clone();
        with_static_tags.tags.retain(|(key, value)| !value.is_empty() || !matches!(key.as_str(), "zone" | "service"));
        for (key, value) in [("service", service), ("zone", zone)] {
            if !with_static_tags.tags.iter().chain(&[]).any(|(other, _)| other == key) {
                with_static_tags.tags.push((key.to_owned(), value));
            }
        }
        let (types, values) = (FieldTypes::default(), TagCardinality::new(0));
        let mut line = Vec::new();
        let encoded = encode_point(&point, 1, &static_tags, &limits, &types, &values, &mut line);
        match expected(&with_static_tags, 1, &limits) {
            Some(expected) => prop_assert_eq!(read_by_influxdata(&line), expected),
            None => prop_assert!(encoded.is_err()),
        }
    }
}

#[test]
fn invalid_points_return_the_reason() {
    let point = DataPoint::new("jobs").with_field("a", 1);
    let limits = Limits::default();
    let invalid = |point: &dyn Point, time| encoded(point, time, &limits).expect_err("invalid");
    assert_eq!(invalid(&DataPoint::new("").with_field("a", 1), 0), InvalidPoint::EmptyMeasurement);
    assert_eq!(invalid(&DataPoint::new("jobs").with_tag("a", 1), 0), InvalidPoint::NoField);
    assert_eq!(invalid(&DataPoint::new("jobs").with_field("a", f64::NAN), 0), InvalidPoint::NoField);
    assert_eq!(invalid(&DataPoint::new("jobs").with_field("time", 1), 0), InvalidPoint::NoField);
    for time in [i64::MIN, EARLIEST - 1, i64::MAX] {
        assert_eq!(invalid(&point, time), InvalidPoint::TimeOutOfRange);
    }
    assert!(encoded(&point, EARLIEST, &limits).is_ok() && encoded(&point, LATEST, &limits).is_ok());
    let tags =
        (0..10_000).fold(DataPoint::new("jobs"), |point, number| point.with_tag(number.to_string(), "x"));
    let error = invalid(&tags.with_field("f".repeat(100), 1), 0);
    assert_eq!(error, InvalidPoint::LineTooLong);
    assert_eq!(error.to_string(), "its tags leave no room for a field");
}

#[test]
fn a_point_that_is_too_long_is_cut_to_one_line() {
    let mut point = DataPoint::new("#".repeat(1_000)).with_field("first", 1);
    for number in 0..1_000 {
        point = point
            .with_tag(format!("tag{number:04}"), "x")
            .with_field(format!("f{number:04}"), "\"".repeat(70_000));
    }
    let (line, changes) = encoded(&point, 0, &Limits::default()).expect("stored");
    assert_one_line(line.as_bytes());
    let stored = read_by_influxdata(line.as_bytes());
    assert_eq!((stored.tags.len(), &stored.measurement[..3], stored.measurement.len()), (1_000, "_##", 256));
    assert!(changes.excess > 900 && changes.truncated > 0, "{changes:?}");
    assert_eq!(stored.fields.len() as u32, 1_001 - changes.excess);
}
