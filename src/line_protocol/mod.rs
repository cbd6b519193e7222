//! Line protocol. The encoder writes each point as one line that InfluxDB 1.x, 2.x, 3.x and
//! VictoriaMetrics accept. The parser reads what the encoder writes.
//!
//! # Rules
//!
//! One point is exactly one line, whatever its names and values contain:
//!
//! ```text
//! measurement,tag=value,… field=1.5,field=2i,field="text",field=true 1700000000000000000⏎
//! ```
//!
//! - *Names and tag values*: control characters become `_`. A comma, a space and (except in the
//!   measurement) an equals sign are escaped, nothing else is. A backslash is kept unless it could
//!   be read as an escape: at the end and before a backslash, comma, equals sign, space or quote it
//!   becomes `/`. A measurement that starts with `#` gets a `_` before it. In a field's name each
//!   of several consecutive colons becomes `_`, and so does a quote, where VictoriaMetrics would
//!   begin a string.
//! - *Tags* are sorted by their encoded names, each name once. Empty ones are left out.
//! - *Fields* are sorted likewise, except that those of the layer come last. Floats are finite,
//!   with a digit on both sides of a point. Integers end in `i`; unsigned ones saturate. Strings
//!   escape `"` and `\`. Instead of line breaks they contain
//!   `\n` and `\r`, as two characters each.
//! - *The timestamp* is always present, in nanoseconds.
//! - *Sizes*: a line has at most [`LINE_BYTES`]. Names are cut at [`NAME_BYTES`], standard values
//!   at [`STANDARD_BYTES`], others at the sizes of the settings. Tags and fields that still exceed
//!   the line are left out, but never standard ones.
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
pub(crate) use rollup::{RollupTagNames, RollupTags, rollup_end, rollup_head, stored_resource, stored_value};
pub(crate) use static_tags::StaticTags;

use crate::point::number_format;

/// Appends a space, the timestamp and the end of the line.
#[inline]
fn stamp(out: &mut Vec<u8>, stamp: i64) {
    number_format::timestamp(out, stamp.clamp(EARLIEST, LATEST));
}

/// The maximum length of a line. InfluxDB applies this bound to measurement, tags and a field's
/// name together.
pub(crate) const LINE_BYTES: usize = 65_535;

/// The earliest and the latest timestamp that InfluxDB stores.
pub(crate) const EARLIEST: i64 = i64::MIN + 2;
pub(crate) const LATEST: i64 = i64::MAX - 1;

/// Maximum bytes of a measurement's name, a tag's key or a field's key.
const NAME_BYTES: usize = 256;
/// Maximum bytes of the value of a standard tag or field: route, service, error code, request id.
pub(crate) const STANDARD_BYTES: usize = 1024;
/// Maximum bytes of any other value, whatever the settings are.
pub(crate) const VALUE_BYTES: usize = 20 * 1024;

// A value takes at most twice its bytes when it is escaped. The parts of a request's line fit
// together even if each has its maximum size: five standard values, the static tags, the extras,
// and the constant parts.

/// Maximum encoded bytes of the further static tags of the settings.
const STATIC_BYTES: usize = 6 * 1024;
/// Maximum encoded bytes of the extra tags and fields of one request.
const EXTRAS_BYTES: usize = 45 * 1024;
const CONSTANT_BYTES: usize = 1024;
const _: () = assert!(2 * 5 * STANDARD_BYTES + STATIC_BYTES + EXTRAS_BYTES + CONSTANT_BYTES <= LINE_BYTES);
const _: () = assert!(2 * (NAME_BYTES + VALUE_BYTES) + 16 <= EXTRAS_BYTES);
