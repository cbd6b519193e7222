//! Property tests of the encoder with arbitrary points, checked by InfluxData's own parser and by a
//! simple model of the rules.

use proptest::{collection::vec, prelude::*, sample::select};

use crate::{
    point::{Point, Value},
    settings::Limits,
};

mod own_points;
mod requests;

/// A point with arbitrary parts.
#[derive(Clone, Debug)]
pub(super) struct AnyPoint {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value<'static>)>,
}

impl Point for AnyPoint {
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

/// Returns limits so small that texts are often cut.
fn small_limits() -> Limits {
    Limits { tag_bytes: 24, field_bytes: 32, extras: 6, tag_values: 0, rollup_keys: 1_000 }
}

/// Generates mostly short texts of characters with a meaning in line protocol, and sometimes a huge
/// one.
fn any_text() -> impl Strategy<Value = String> {
    let nasty = select(vec![
        '\\', ',', '=', ' ', '"', '#', ':', '\n', '\r', '\t', '\0', '\u{1}', '\u{7f}', '\u{85}', '\u{9f}',
        '\u{2028}', '\u{feff}', '\u{fffd}', 'a', 'b', 'i', 'n', '1', 'é', '😀', '_', '.', '/',
    ]);
    let short = vec(prop_oneof![4 => nasty.clone(), 1 => any::<char>()], 0..24);
    let huge = (vec(nasty, 1..6), 200..3_000_usize)
        .prop_map(|(piece, times)| piece.iter().copied().cycle().take(times).collect());
    prop_oneof![
        40 => short.prop_map(|characters| characters.into_iter().collect()),
        4 => select(vec!["time", "_field", "_measurement", "__chunk_order", "route", "status_code", "requests"])
            .prop_map(str::to_owned),
        1 => huge,
    ]
}

/// Generates few different keys, so that they collide.
fn any_key() -> impl Strategy<Value = String> {
    prop_oneof![3 => any_text(), 2 => select(vec!["a", "b", "a b", "a,b", "a=b", "c\\d", "x::y"]).prop_map(str::to_owned)]
}

fn any_value() -> impl Strategy<Value = Value<'static>> {
    let edges = vec![
        0.0,
        -0.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::MIN_POSITIVE,
        f64::MAX,
        5e-324,
        1e21,
        1e-7,
        0.1,
    ];
    prop_oneof![
        3 => any_text().prop_map(Value::from),
        1 => any::<u64>().prop_map(|bits| Value::Float(f64::from_bits(bits))),
        1 => select(edges).prop_map(Value::Float),
        1 => any::<i64>().prop_map(Value::Integer),
        1 => select(vec![i64::MIN, i64::MAX, 0, -1]).prop_map(Value::Integer),
        1 => any::<u64>().prop_map(Value::Unsigned),
        1 => any::<bool>().prop_map(Value::Boolean),
    ]
}

fn any_point() -> impl Strategy<Value = AnyPoint> {
    let tags = vec((any_key(), any_text()), 0..6);
    let fields = vec((any_key(), any_value()), 0..6);
    (any_text(), tags, fields).prop_map(|(measurement, tags, fields)| AnyPoint { measurement, tags, fields })
}
