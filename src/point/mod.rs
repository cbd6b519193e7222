//! Points: single events, each with a measurement, tags, fields and a time.

use std::time::{Duration, SystemTime};

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
/// Implement it for a type of the application, or use [`DataPoint`]. Whatever names and values it
/// contains, a point becomes exactly one point in the database. Names and values that InfluxDB does
/// not accept are changed or left out, and counted. If a name occurs twice, the last value is used.
/// If a name is both a tag and a field, the tag is used.
///
/// `dyn Point` implements [`serde::Serialize`], as a map of `time` (nanoseconds, or none),
/// `measurement`, `tags` (all text) and `fields` (typed).
///
/// # Cardinality
///
/// Each distinct set of tags is a series in the database. Put values without a bound, such as an
/// id, into fields.
///
/// ```
/// use tower_influx::{Point, point::Value};
///
/// struct Job {
///     queue: String,
///     seconds: f64,
/// }
///
/// impl Point for Job {
///     fn measurement(&self) -> &str {
///         "jobs"
///     }
///
///     fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
///         visit("queue", &self.queue);
///     }
///
///     fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
///         visit("seconds", self.seconds.into());
///     }
/// }
/// ```
pub trait Point {
    /// Returns the measurement of the point, which is InfluxDB's term for a table.
    fn measurement(&self) -> &str;

    /// Calls `visit` with the key and value of each tag. Tags are indexed and always text. A tag
    /// with an empty value is left out, since InfluxDB does not accept it. The default
    /// implementation has no tags.
    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        let _ = visit;
    }

    /// Calls `visit` with the key and value of each field. Fields are not indexed, and have a type.
    /// A point without any field that can be stored is refused and counted.
    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>));

    /// Returns when the event happened. With `None`, the default, the point gets the time at which
    /// it is recorded, made unique. An explicit time is stored unchanged. So two points of one
    /// measurement with the same tags and time overwrite each other.
    fn time(&self) -> Option<Timestamp> {
        None
    }
}

/// The id of a trace as text: 32 hexadecimal digits.
pub(crate) type TraceId = [u8; 32];

/// Nanoseconds since the Unix epoch, InfluxDB's finest precision.
///
/// InfluxDB stores times from 1677 to 2262. This is the range of `i64` without its two smallest
/// values and its largest one. A point with a time outside of that range is refused and counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct Timestamp(i64);

impl Timestamp {
    /// Returns the nanoseconds since the Unix epoch, negative before it.
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
    /// Saturates in the years 1677 and 2262, the limits of 64-bit nanoseconds.
    fn from(time: SystemTime) -> Self {
        let nanoseconds = |span: Duration| i64::try_from(span.as_nanos()).unwrap_or(i64::MAX);
        Self(match time.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(after) => nanoseconds(after),
            Err(before) => -nanoseconds(before.duration()),
        })
    }
}
