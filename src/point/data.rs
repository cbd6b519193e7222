//! A point that owns its parts, for the application's own points and for points that are read back.

use serde::{Serialize, Serializer};

use crate::point::{Point, Timestamp, Value};

/// A point that owns its data.
///
/// It is the simplest [`Point`] to record, and the type that
/// [`MemorySink`](crate::sink::MemorySink) returns to tests.
///
/// ```
/// use tower_influx::{DataPoint, point::Value};
///
/// let point = DataPoint::new("jobs").with_tag("queue", "mail").with_field("seconds", 1.5).with_field("attempts", 2);
/// assert_eq!(point.tag("queue"), Some("mail"));
/// assert_eq!(point.field("seconds").and_then(Value::as_f64), Some(1.5));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct DataPoint {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value<'static>)>,
    time: Option<Timestamp>,
}

impl DataPoint {
    /// Creates a point of this measurement, without tags, fields and time.
    pub fn new(measurement: impl Into<String>) -> Self {
        Self { measurement: measurement.into(), tags: Vec::new(), fields: Vec::new(), time: None }
    }

    /// Adds a tag, or replaces the tag of the same name. A number or boolean becomes text. `None`
    /// changes nothing.
    #[must_use]
    pub fn with_tag<'v>(mut self, key: impl Into<String>, value: impl Into<Value<'v>>) -> Self {
        let value = value.into();
        if !matches!(value, Value::None) {
            set(&mut self.tags, key.into(), value.into_text().into_owned());
        }
        self
    }

    /// Adds a field, or replaces the field of the same name. `None` changes nothing.
    #[must_use]
    pub fn with_field<'v>(mut self, key: impl Into<String>, value: impl Into<Value<'v>>) -> Self {
        let value = value.into().into_owned();
        if !matches!(value, Value::None) {
            set(&mut self.fields, key.into(), value);
        }
        self
    }

    /// Sets the time, which is stored unchanged. Without it, the point gets a unique time when it
    /// is recorded.
    #[must_use]
    pub fn with_time(mut self, time: impl Into<Timestamp>) -> Self {
        self.time = Some(time.into());
        self
    }

    /// Returns the value of a tag. `None` if the point has no such tag.
    pub fn tag(&self, key: &str) -> Option<&str> {
        find(&self.tags, key).map(String::as_str)
    }

    /// Returns the value of a field. `None` if the point has no such field.
    pub fn field(&self, key: &str) -> Option<&Value<'static>> {
        find(&self.fields, key)
    }

    /// Returns all tags, sorted by name.
    pub fn tags(&self) -> impl ExactSizeIterator<Item = (&str, &str)> {
        self.tags.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// Returns all fields, sorted by name.
    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&str, &Value<'static>)> {
        self.fields.iter().map(|(key, value)| (key.as_str(), value))
    }
}

impl Point for DataPoint {
    fn measurement(&self) -> &str {
        &self.measurement
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.tags().for_each(|(key, value)| visit(key, value));
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.fields().for_each(|(key, value)| visit(key, value.borrow()));
    }

    fn time(&self) -> Option<Timestamp> {
        self.time
    }
}

impl Serialize for DataPoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self as &dyn Point).serialize(serializer)
    }
}

fn find<'a, T>(entries: &'a [(String, T)], key: &str) -> Option<&'a T> {
    let at = entries.binary_search_by(|(other, _)| other.as_str().cmp(key)).ok()?;
    Some(&entries[at].1)
}

fn set<T>(entries: &mut Vec<(String, T)>, key: String, value: T) {
    match entries.binary_search_by(|(other, _)| other.cmp(&key)) {
        Ok(at) => entries[at].1 = value,
        Err(at) => entries.insert(at, (key, value)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn parts_are_read_back_sorted_and_the_last_value_counts() {
        let point = DataPoint::new("jobs")
            .with_tag("queue", "first")
            .with_tag("attempt", 2)
            .with_tag("queue", "mail")
            .with_field("seconds", 1)
            .with_field("seconds", 1.5)
            .with_time(7);
        assert_eq!(point.tags().collect::<Vec<_>>(), [("attempt", "2"), ("queue", "mail")]);
        assert_eq!(point.fields().collect::<Vec<_>>(), [("seconds", &Value::Float(1.5))]);
        assert_eq!((point.measurement(), point.time()), ("jobs", Some(7.into())));
        assert_eq!((point.tag("none"), point.field("none")), (None, None));
    }

    #[test]
    fn a_point_serializes_to_exactly_four_entries() {
        let point = DataPoint::new("jobs")
            .with_tag("load", 0.5)
            .with_tag("empty", "")
            .with_field("text", "a")
            .with_field("float", 1.0)
            .with_field("integer", -1)
            .with_field("unsigned", u64::MAX)
            .with_field("truth", true);
        let expected = json!({
            "time": null,
            "measurement": "jobs",
            "tags": {"load": "0.5"},
            "fields": {"text": "a", "float": 1.0, "integer": -1, "unsigned": u64::MAX, "truth": true},
        });
        assert_eq!(serde_json::to_value(&point).expect("serializes"), expected);
        let timed = serde_json::to_value(point.with_time(5)).expect("serializes");
        assert_eq!(timed["time"], json!(5));
    }

    #[test]
    fn a_name_that_comes_twice_is_one_entry() {
        struct Twice;
        impl Point for Twice {
            fn measurement(&self) -> &str {
                "twice"
            }
            fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
                ["1", "2"].into_iter().for_each(|value| visit("a", value));
            }
            fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
                [1, 2].into_iter().for_each(|value| visit("b", value.into()));
            }
        }
        let text = serde_json::to_string(&Twice as &dyn Point).expect("serializes");
        assert_eq!(text, r#"{"time":null,"measurement":"twice","tags":{"a":"2"},"fields":{"b":2}}"#);
    }
}
