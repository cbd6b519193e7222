//! Our parser with arbitrary input: it never panics, and reads every line that this crate writes
//! completely.

use crate::{
    line_protocol::{
        Changes, StaticTags, encode_point,
        model::{read_by_influxdata, read_by_us},
        parse,
    },
    point::{DataPoint, Point},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

/// Reads any bytes as a line.
pub fn parser(bytes: &[u8]) {
    let Some(point) = parse(bytes) else { return };
    // It also accepts numbers and names in forms that this crate never writes, and that others may
    // read differently.
    if let Some((line, changes)) = encoded(&point)
        && changes.is_empty()
    {
        assert_eq!(parse(&line), Some(point));
        assert_eq!(read_by_us(&line), read_by_influxdata(&line));
    }
}

fn encoded(point: &DataPoint) -> Option<(Vec<u8>, Changes)> {
    let mut out = Vec::new();
    let (types, values) = (FieldTypes::default(), TagCardinality::new(0));
    let time = point.time()?.as_nanos();
    let changes =
        encode_point(point, time, &StaticTags::default(), &Limits::default(), &types, &values, &mut out)
            .ok()?;
    Some((out, changes))
}
