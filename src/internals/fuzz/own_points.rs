//! The application's own points: any point becomes one line with the documented values, for
//! InfluxData's parser and for ours.

use arbitrary::{Arbitrary, Unstructured};

use super::values::{ArbitraryText, ArbitraryValue};
use crate::{
    line_protocol::{
        Changes, EARLIEST, LATEST, StaticTags, encode_point,
        model::{assert_one_line, expected, read_by_influxdata, read_by_us},
        parse,
    },
    point::{Point, Value},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

#[derive(Arbitrary, Debug)]
struct ArbitraryOwnPoint {
    point: ArbitraryPoint,
    time: i64,
    service: ArbitraryText,
    zone: ArbitraryText,
    small: bool,
}

#[derive(Arbitrary, Debug)]
struct ArbitraryPoint {
    measurement: ArbitraryText,
    tags: Vec<(ArbitraryText, ArbitraryText)>,
    fields: Vec<(ArbitraryText, ArbitraryValue)>,
}

/// Encodes a point and reads it back, by InfluxData's parser and by ours.
pub fn own_points(bytes: &[u8]) {
    let Ok(ArbitraryOwnPoint { point, time, service, zone, small }) =
        ArbitraryOwnPoint::arbitrary(&mut Unstructured::new(bytes))
    else {
        return;
    };
    let point = BuiltPoint::from(&point);
    let limits = match small {
        true => Limits { tag_bytes: 24, field_bytes: 32, extras: 6, tag_values: 0, rollup_keys: 1_000 },
        false => Limits::default(),
    };
    let expected = expected(&point, time, &limits).filter(|_| (EARLIEST..=LATEST).contains(&time));
    match encoded(&point, time, &StaticTags::default(), &limits) {
        Some((line, changes)) => {
            assert_one_line(&line);
            let stored = read_by_influxdata(&line);
            assert_eq!(stored, read_by_us(&line));
            // What has no room in one line is left out, which the model does not do.
            if changes.excess == 0 {
                assert_eq!(Some(stored), expected);
            }
            let again = parse(&line).expect("read before");
            let again = encoded(&again, time, &StaticTags::default(), &Limits::default());
            assert_eq!(again, Some((line, Changes::default())));
        }
        None => assert!(expected.is_none() || point.tags.len() > 2, "refused for nothing"),
    }
    let further = [("zone".to_owned(), zone.text())].into();
    let static_tags = StaticTags::new(&service.text(), None, &further);
    if let Some((line, _)) = encoded(&point, time, &static_tags, &limits) {
        assert_one_line(&line);
        assert_eq!(read_by_influxdata(&line), read_by_us(&line));
    }
}

fn encoded(
    point: &dyn Point,
    time: i64,
    static_tags: &StaticTags,
    limits: &Limits,
) -> Option<(Vec<u8>, Changes)> {
    let mut out = b"before\n".to_vec();
    let (types, values) = (FieldTypes::default(), TagCardinality::new(0));
    let result = encode_point(point, time, static_tags, limits, &types, &values, &mut out);
    let line = out.split_off(b"before\n".len());
    assert_eq!(out, b"before\n");
    assert_eq!(line.is_empty(), result.is_err(), "a refused point leaves nothing behind");
    result.ok().map(|changes| (line, changes))
}

/// Texts of the input, built once, since a point lends its measurement.
struct BuiltPoint {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value<'static>)>,
}

impl From<&ArbitraryPoint> for BuiltPoint {
    fn from(point: &ArbitraryPoint) -> Self {
        Self {
            measurement: point.measurement.text(),
            tags: point.tags.iter().map(|(key, value)| (key.text(), value.text())).collect(),
            fields: point.fields.iter().map(|(key, value)| (key.text(), value.value())).collect(),
        }
    }
}

impl Point for BuiltPoint {
    fn measurement(&self) -> &str {
        &self.measurement
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.tags.iter().for_each(|(key, value)| visit(key, value));
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.fields.iter().for_each(|(key, value)| visit(key, value.clone()));
    }
}
