//! Adapts the tags and fields of one point to what the monitor has seen in earlier points.

use crate::{
    line_protocol::{
        Changes, NAME_BYTES,
        cursor::Entry,
        entries::Entries,
        escape::{self, EscapeContext},
    },
    point::{
        Value,
        schema::{OVERFLOW, REQUESTS},
        value::FieldType,
    },
    schema::{
        cardinality::TagCardinality,
        field_types::{FieldTypes, TypeCheck},
    },
};

impl Entries {
    /// Returns the sum of a field and this number, or `None` if one of them is not a number.
    pub(super) fn sum(&self, key: &str, value: Value<'_>) -> Option<Value<'static>> {
        let mut name = Vec::new();
        escape::text(&mut name, key, EscapeContext::FieldKey, NAME_BYTES, &mut Changes::default());
        let held = self.field_value(&name).map(|held| str::from_utf8(held).unwrap_or_default());
        let integer = match value {
            Value::None => return Some(Value::None),
            Value::Integer(number) => Some(number),
            Value::Unsigned(number) => Some(i64::try_from(number).unwrap_or(i64::MAX)),
            Value::Float(_) => None,
            _ => return None,
        };
        let float = match (integer, value) {
            (Some(integer), _) => integer as f64,
            (None, Value::Float(float)) => float,
            (None, _) => return None,
        };
        let Some(held) = held else { return Some(integer.map_or(Value::Float(float), Value::Integer)) };
        match (held.strip_suffix('i').map(str::parse::<i64>), integer) {
            (Some(held), Some(integer)) => Some(Value::Integer(held.ok()?.saturating_add(integer))),
            (Some(held), None) => Some(Value::Float(held.ok()? as f64 + float)),
            (None, _) => Some(Value::Float(held.parse::<f64>().ok()? + float)),
        }
    }

    /// Applies the type of each field and the limit on each tag's values, as known from all points.
    /// Names are looked up in their encoded form: different names may become one in the database.
    pub(super) fn settle(
        &mut self,
        measurement: &[u8],
        types: &FieldTypes,
        values: &TagCardinality,
        changes: &mut Changes,
    ) {
        self.settle_tags(measurement, types, values, changes);
        self.settle_fields(measurement, types, changes);
    }

    /// Applies [`settle`](Self::settle) to the tags.
    #[inline]
    pub(super) fn settle_tags(
        &mut self,
        measurement: &[u8],
        types: &FieldTypes,
        values: &TagCardinality,
        changes: &mut Changes,
    ) {
        // A tag that was marked as one of requests is admitted. Other measurements are rare, so
        // their tags are checked each time.
        let is_known = |entry: &Entry| values.is_of_requests(&self.arena[entry.start..entry.end]);
        let of_requests = measurement == REQUESTS.as_bytes();
        if let Some(first) = self.tags.iter().position(|entry| !(of_requests && is_known(entry))) {
            self.settle_tags_from(first, measurement, types, values, changes);
        }
    }

    /// Applies [`settle`](Self::settle) to the fields.
    #[inline(never)]
    pub(super) fn settle_fields(&mut self, measurement: &[u8], types: &FieldTypes, changes: &mut Changes) {
        let (arena, fields) = (&self.arena, &mut self.fields);
        fields.retain_mut(|entry| {
            match types.check(measurement, &arena[entry.start..entry.key], entry.field_type) {
                TypeCheck::Keep => true,
                TypeCheck::Widen => {
                    // Without its `i`, an integer is a float.
                    entry.end -= 1;
                    entry.field_type = FieldType::Float;
                    true
                }
                TypeCheck::Conflict => {
                    changes.conflicts += 1;
                    false
                }
            }
        });
    }

    /// Removes tags from `first` on whose names belong to fields. Tags with too many values get the
    /// overflow value.
    #[inline(never)]
    fn settle_tags_from(
        &mut self,
        first: usize,
        measurement: &[u8],
        types: &FieldTypes,
        values: &TagCardinality,
        changes: &mut Changes,
    ) {
        let mut at = first;
        while let Some(&entry) = self.tags.get(at) {
            let (tag, key) = (&self.arena[entry.start..entry.end], entry.key - entry.start);
            if !types.admits_tag(measurement, &tag[..key]) {
                changes.conflicts += 1;
                self.tags.remove(at);
                self.release(entry);
                continue;
            }
            if values.admits(tag, key) {
                if measurement == REQUESTS.as_bytes() {
                    values.note_of_requests(tag);
                }
            } else {
                changes.overflowed += 1;
                self.overflow(at, entry);
            }
            at += 1;
        }
    }

    fn overflow(&mut self, at: usize, entry: Entry) {
        let start = self.begin();
        self.arena.extend_from_within(entry.start..=entry.key);
        self.arena.extend_from_slice(OVERFLOW.as_bytes());
        let key = start + (entry.key - entry.start);
        self.tags[at] = Entry { start, key, end: self.arena.len(), ..entry };
        self.release(entry);
    }
}
