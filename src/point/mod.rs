//! Points: one event each, with a measurement, tags, fields and a time.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use serde::Serialize;

mod data;
pub(crate) mod error_code;
pub(crate) mod generated_id;
pub(crate) mod number_format;
mod request;
pub(crate) mod schema;
mod serialize;
pub(crate) mod value;

pub use data::DataPoint;
pub use request::{RequestErrorPoint, RequestPoint, route};
pub use value::Value;

/// One event to be stored: a measurement, tags, fields and a time.
///
/// Implement it for a type of the application's own, or use [`DataPoint`]. Whatever names and values hold, the point becomes
/// exactly one point in the database; what InfluxDB cannot take is changed or left out, and counted. Of a name that comes
/// twice, the last value counts; of one that is a tag and a field, the tag.
///
/// `dyn Point` implements [`serde::Serialize`], as a map of exactly `time` (nanoseconds, or none), `measurement`, `tags` (all
/// text) and `fields` (typed).
///
/// # Cardinality
///
/// Each different set of tags is a series of its own in the database. Put what has no bound, such as an id, into a field.
pub trait Point {
    /// The measurement that the point belongs to, InfluxDB's word for a table.
    fn measurement(&self) -> Cow<'_, str>;

    /// The tags: indexed, always text. An empty value is left out, since no InfluxDB takes one.
    fn tags(&self) -> Vec<Tag<'_>>;

    /// The fields: not indexed, typed. A point without a single field that can be stored is refused and counted.
    fn fields(&self) -> Vec<Field<'_>>;

    /// When the event happened. `None`, the default, takes the moment of recording and makes the stamp unique; an explicit
    /// time is stored as it is, so two points of one measurement with the same tags and time overwrite each other.
    fn time(&self) -> Option<Timestamp> {
        None
    }
}

/// A tag of a point.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag<'a> {
    /// The name of the tag.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Cow<'a, str>,
}

impl<'a> Tag<'a> {
    /// A tag from anything that is text.
    pub fn new(key: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, str>>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// A field of a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Field<'a> {
    /// The name of the field.
    pub key: Cow<'a, str>,
    /// Its value.
    pub value: Value<'a>,
}

impl<'a> Field<'a> {
    /// A field from anything that is text and anything that is a value.
    pub fn new(key: impl Into<Cow<'a, str>>, value: impl Into<Value<'a>>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Nanoseconds since the Unix epoch, InfluxDB's finest precision.
///
/// InfluxDB stores times from 1677 to 2262, which is all of `i64` but its two least values and its greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The nanoseconds since the Unix epoch, negative before it.
    pub fn as_nanos(self) -> i64 {
        self.0
    }
}

impl From<i64> for Timestamp {
    fn from(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }
}

impl From<SystemTime> for Timestamp {
    /// Saturates at the years 1677 and 2262, the ends of what 64 bits of nanoseconds hold.
    fn from(time: SystemTime) -> Self {
        let nanoseconds = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        })
    }
}
