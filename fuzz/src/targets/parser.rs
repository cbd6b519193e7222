//! Our parser, given anything: it never panics, and of what it reads it misses nothing that we write ourselves.

use crate::{
    DataPoint, Limits,
    field_types::FieldTypes,
    line_protocol::{Changes, StaticTags, encode_point, parse},
    model::{read_by_influxdata, read_by_us},
    tag_values::TagValues,
};

pub fn parser(bytes: &[u8]) {
    let Some(point) = parse(bytes) else { return };
    // It also reads numbers and names in forms that we never write, and that others may read otherwise.
    if let Some((line, changes)) = encoded(&point)
        && changes.is_empty()
    {
        assert_eq!(parse(&line), Some(point));
        assert_eq!(read_by_us(&line), read_by_influxdata(&line));
    }
}

fn encoded(point: &DataPoint) -> Option<(Vec<u8>, Changes)> {
    let mut out = Vec::new();
    let (types, values) = (FieldTypes::default(), TagValues::new(0));
    let time = point.time()?.as_nanos();
    let changes =
        encode_point(point, time, &StaticTags::default(), &Limits::default(), &types, &values, &mut out)
            .ok()?;
    Some((out, changes))
}
