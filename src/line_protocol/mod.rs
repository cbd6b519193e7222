//! Points as line protocol: an encoder whose every line is one point for InfluxDB 1.x, 2.x, 3.x and
//! VictoriaMetrics, and a parser of what it writes.
//!
//! # Rules
//!
//! One point is exactly one line, whatever its names and values hold:
//!
//! ```text
//! measurement,tag=value,… field=1.5,field=2i,field="text",field=true 1700000000000000000⏎
//! ```
//!
//! - *Names and tag values*: control characters become `_`; a comma, a space and (but for the
//!   measurement) an equals sign are escaped, nothing else is. A backslash stays where it cannot be
//!   read as an escape, which is anywhere but at the end and before a backslash, comma, equals
//!   sign, space or quote; there it becomes `/`. A measurement that starts with `#` gets a `_`
//!   before it; of a run of colons in a field's name each becomes `_`, and so does a quote there,
//!   where VictoriaMetrics would begin a string.
//! - *Tags* are sorted by their encoded names, each name once; empty ones are left out.
//! - *Fields*, sorted likewise but for those that the layer adds, which come last: floats are
//!   finite, with a digit on both sides of a point; integers end in `i`, unsigned ones saturate;
//!   strings escape `"` and `\`, and hold `\n` and `\r` as two characters each instead of line
//!   breaks.
//! - *The timestamp* is always there, in nanoseconds.
//! - *Sizes*: a line has at most [`LINE_BYTES`]. Names are cut at [`NAME_BYTES`], standard values
//!   at [`STANDARD_BYTES`], others as the settings say; what still has no room is left out, and
//!   never a standard tag or field.
//!
//! Every change is counted, in [`Changes`].

mod added;
mod changes;
mod columns;
mod cursor;
#[cfg(test)]
mod documentation;
mod entries;
mod escape;
mod extras;
mod fields;
#[cfg(any(test, tower_influx_internals))]
pub(crate) mod model;
mod own_point;
mod parse;
mod plain_entries;
mod plain_keys;
#[cfg(test)]
mod properties;
mod request;
mod rollup;
mod segment;
mod settle;
mod static_tags;

pub(crate) use added::AddedFields;
pub(crate) use changes::Changes;
pub(crate) use columns::{Column, ColumnKind, Columns, timestamp, without};
pub(crate) use extras::Extras;
pub(crate) use own_point::{InvalidPoint, encode_point};
pub(crate) use parse::parse;
pub(crate) use request::{BodyFields, LineHead, RequestIdText, RequestLine, RequestTemplate};
pub(crate) use rollup::{RollupTagNames, RollupTags, rollup_end, rollup_head};
pub(crate) use static_tags::StaticTags;

use crate::point::number_format;

/// Appends a space, the timestamp and the end of the line.
#[inline]
fn stamp(out: &mut Vec<u8>, stamp: i64) {
    number_format::timestamp(out, stamp.clamp(EARLIEST, LATEST));
}

/// The longest line: InfluxDB bounds measurement, tags and a field's name together by as much.
pub(crate) const LINE_BYTES: usize = 65_535;

/// The earliest and the latest timestamp that InfluxDB stores.
pub(crate) const EARLIEST: i64 = i64::MIN + 2;
pub(crate) const LATEST: i64 = i64::MAX - 1;

/// Bytes of a measurement's name, a tag's key or a field's key.
const NAME_BYTES: usize = 256;
/// Bytes of the value of a standard tag or field: route, service, error code, request id.
pub(crate) const STANDARD_BYTES: usize = 1024;
/// Bytes of any other value, whatever the settings say.
pub(crate) const VALUE_BYTES: usize = 20 * 1024;

// A value takes at most twice its bytes, once escaped. The parts of a request's line, each at its
// largest, fit together: five standard values, the static tags, the extras, and what is constant.

/// Encoded bytes of the further static tags of the settings.
const STATIC_BYTES: usize = 6 * 1024;
/// Encoded bytes of the extra tags and fields of one request.
const EXTRAS_BYTES: usize = 45 * 1024;
const CONSTANT_BYTES: usize = 1024;
const _: () = assert!(2 * 5 * STANDARD_BYTES + STATIC_BYTES + EXTRAS_BYTES + CONSTANT_BYTES <= LINE_BYTES);
const _: () = assert!(2 * (NAME_BYTES + VALUE_BYTES) + 16 <= EXTRAS_BYTES);
