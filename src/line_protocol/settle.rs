//! The tags and fields of one point, made to fit what the monitor has seen in all points before.

use crate::{
    line_protocol::{Changes, cursor::Entry, entries::Entries},
    point::{schema::OVERFLOW, value::FieldType},
    schema::{
        cardinality::TagCardinality,
        field_types::{FieldTypes, TypeCheck},
    },
};

impl Entries {
    /// Applies what the monitor knows of all points: the one type of each field, and how many values a tag may have. All names
    /// are looked up as they are encoded: different ones may become one in the database.
    #[inline]
    pub(super) fn settle(
        &mut self,
        measurement: &[u8],
        types: &FieldTypes,
        values: &TagCardinality,
        changes: &mut Changes,
    ) {
        let admitted =
            |entry: &Entry| values.admits(&self.arena[entry.start..entry.end], entry.key - entry.start);
        if let Some(first) = self.tags.iter().position(|entry| !admitted(entry)) {
            self.overflow(first, values, changes);
        }
        if !self.fields.is_empty() {
            self.settle_fields(measurement, types, changes);
        }
    }

    #[inline(never)]
    fn settle_fields(&mut self, measurement: &[u8], types: &FieldTypes, changes: &mut Changes) {
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

    /// Gives the tag at `first`, which is not admitted, and those behind it that are not either, the overflow value.
    #[inline(never)]
    fn overflow(&mut self, first: usize, values: &TagCardinality, changes: &mut Changes) {
        for at in first..self.tags.len() {
            let entry = self.tags[at];
            if at > first && values.admits(&self.arena[entry.start..entry.end], entry.key - entry.start) {
                continue;
            }
            changes.overflowed += 1;
            let start = self.begin();
            self.arena.extend_from_within(entry.start..=entry.key);
            self.arena.extend_from_slice(OVERFLOW.as_bytes());
            let key = start + (entry.key - entry.start);
            self.tags[at] = Entry { start, key, end: self.arena.len(), ..entry };
            self.release(entry);
        }
    }
}
