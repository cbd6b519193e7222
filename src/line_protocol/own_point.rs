//! The line of one of the application's own points.

use std::fmt;

use crate::{
    line_protocol::{
        Changes, EARLIEST, LATEST, LINE_BYTES, NAME_BYTES, StaticTags,
        entries::{Entries, EntryLimits},
        escape::{self, EscapeContext},
    },
    point::{Point, schema},
    schema::{cardinality::TagCardinality, field_types::FieldTypes},
    settings::Limits,
};

/// Why a point cannot be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InvalidPoint {
    /// The measurement has no name.
    EmptyMeasurement,
    /// No field that can be stored is left.
    NoField,
    /// The tags alone fill the line.
    LineTooLong,
    /// The time is outside the range that InfluxDB stores.
    TimeOutOfRange,
}

/// Appends the line of one of the application's own points. A static tag is added unless the point
/// has a tag or field of this name. `stamp` is the point's own time, or a unique one.
pub(crate) fn encode_point(
    point: &dyn Point,
    stamp: i64,
    static_tags: &StaticTags,
    limits: &Limits,
    types: &FieldTypes,
    values: &TagCardinality,
    out: &mut Vec<u8>,
) -> Result<Changes, InvalidPoint> {
    let measurement = point.measurement();
    if measurement.is_empty() {
        return Err(InvalidPoint::EmptyMeasurement);
    }
    if !(EARLIEST..=LATEST).contains(&stamp) {
        return Err(InvalidPoint::TimeOutOfRange);
    }
    let start = out.len();
    let mut changes = Changes::default();
    escape::text(out, measurement, EscapeContext::Measurement, NAME_BYTES, &mut changes);

    let measurement_end = out.len();
    let taken = measurement_end - start + static_tags.iter().map(|tag| tag.text().len()).sum::<usize>();
    let bytes = LINE_BYTES.saturating_sub(taken + STAMP_BYTES);
    let room = EntryLimits { limits, count: usize::MAX, bytes, reserved: schema::is_reserved_by_influxdb };
    let mut entries = Entries::default();
    point.visit_tags(&mut |key, value| entries.tag(key, &value.into(), room, &mut changes));
    point.visit_fields(&mut |key, value| entries.field(key, &value, room, &mut changes));
    entries.settle(&out[start..measurement_end], types, values, &mut changes);
    if !entries.has_fields() {
        out.truncate(start);
        return Err(if changes.excess > 0 { InvalidPoint::LineTooLong } else { InvalidPoint::NoField });
    }

    let mut tags = entries.tags();
    for static_tag in static_tags.iter() {
        while let Some(tag) = tags.before(static_tag.key()) {
            out.push(b',');
            out.extend_from_slice(tag);
        }
        if entries.has(static_tag.key()) {
            continue;
        }
        if types.admits_tag(&out[start..measurement_end], static_tag.key()) {
            out.extend_from_slice(static_tag.text());
        } else {
            changes.conflicts += 1;
        }
    }
    for tag in tags {
        out.push(b',');
        out.extend_from_slice(tag);
    }
    let mut separator = b' ';
    for field in entries.fields() {
        out.push(separator);
        out.extend_from_slice(field);
        separator = b',';
    }
    super::stamp(out, stamp);
    Ok(changes)
}

impl fmt::Display for InvalidPoint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::EmptyMeasurement => "its measurement has no name",
            Self::NoField => "it has no field that can be stored",
            Self::LineTooLong => "its tags leave no room for a field",
            Self::TimeOutOfRange => "its time is before 1677 or after 2262, which InfluxDB cannot store",
        })
    }
}

/// A space, the longest number and a line break.
const STAMP_BYTES: usize = 22;
