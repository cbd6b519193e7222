//! The tags and fields of one point, encoded as they come, sorted, each name once.

use crate::{
    Limits, Value,
    field_types::{FieldTypes, Verdict},
    line_protocol::{
        Changes, NAME_BYTES, VALUE_BYTES,
        cursor::{Cursor, Entry, precedes},
        escape::{self, Position},
    },
    point::{number, schema::OVERFLOW, value::FieldType},
    tag_values::TagValues,
};

/// Encoded tags and fields: `key=value` each, one behind the other in one arena, and where each of them is.
///
/// The last value of a key wins. A name is a tag or a field, not both, as InfluxDB 3 demands: a tag wins over a field. A
/// value that is replaced gives its bytes back at once, so that setting one key for ever takes no more room than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    arena: Vec<u8>,
    tags: Vec<Entry>,
    fields: Vec<Entry>,
}

/// What the entries of one point may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room<'a> {
    pub(super) limits: &'a Limits,
    /// Tags and fields together.
    pub(super) count: usize,
    /// Their bytes together, as they are written.
    pub(super) bytes: usize,
    /// Whether a name, as it is encoded, cannot be used.
    pub(super) reserved: fn(&[u8]) -> bool,
}

impl Entries {
    pub(super) fn tag(&mut self, key: &str, value: &Value<'_>, room: Room<'_>) -> Changes {
        let mut changes = Changes::default();
        let start = self.arena.len();
        escape::text(&mut self.arena, key, Position::TagKey, NAME_BYTES, &mut changes);
        let limit = room.limits.tag_bytes.min(VALUE_BYTES);
        let key_end = self.arena.len();
        self.arena.push(b'=');
        let stored = match value {
            Value::String(text) => {
                escape::text(&mut self.arena, text, Position::TagValue, limit, &mut changes);
                true
            }
            Value::Float(number) => self.float(*number),
            Value::Integer(number) => self.integer(*number),
            Value::Unsigned(number) => {
                self.arena.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes());
                true
            }
            Value::Boolean(truth) => self.boolean(*truth),
        };
        let empty = self.arena.len() == key_end + 1;
        let entry = Entry { start, key: key_end, end: self.arena.len(), field_type: FieldType::String };
        self.keep(entry, true, stored && !empty, room, &mut changes);
        changes
    }

    pub(super) fn field(&mut self, key: &str, value: &Value<'_>, room: Room<'_>) -> Changes {
        let mut changes = Changes::default();
        let start = self.arena.len();
        escape::text(&mut self.arena, key, Position::FieldKey, NAME_BYTES, &mut changes);
        let limit = room.limits.field_bytes.min(VALUE_BYTES);
        let key_end = self.arena.len();
        self.arena.push(b'=');
        let stored = match value {
            Value::String(text) => {
                escape::string(&mut self.arena, text, limit, &mut changes);
                true
            }
            Value::Float(number) => self.float(*number),
            Value::Integer(number) => self.integer(*number) && self.integer_mark(),
            Value::Unsigned(number) => {
                // Never `u`: InfluxDB 1.x refuses it.
                changes.sanitized += u32::from(i64::try_from(*number).is_err());
                self.integer(i64::try_from(*number).unwrap_or(i64::MAX)) && self.integer_mark()
            }
            Value::Boolean(truth) => self.boolean(*truth),
        };
        let field_type = value.field_type();
        self.keep(
            Entry { start, key: key_end, end: self.arena.len(), field_type },
            false,
            stored,
            room,
            &mut changes,
        );
        changes
    }

    /// Takes over all of `other`, as if its tags and fields were set now.
    pub(super) fn merge(&mut self, other: &Self, room: Room<'_>) -> Changes {
        let mut changes = Changes::default();
        let tags = other.tags.iter().map(|entry| (entry, true));
        for (entry, is_tag) in tags.chain(other.fields.iter().map(|entry| (entry, false))) {
            let start = self.arena.len();
            self.arena.extend_from_slice(&other.arena[entry.start..entry.end]);
            let key = start + (entry.key - entry.start);
            let copy = Entry { start, key, end: self.arena.len(), field_type: entry.field_type };
            let mut kept = Changes::default();
            self.keep(copy, is_tag, true, room, &mut kept);
            changes += kept;
        }
        changes
    }

    /// Applies what the monitor knows of all points: the one type of each field, and how many values a tag may have. All names
    /// are looked up as they are encoded: different ones may become one in the database.
    pub(super) fn settle(&mut self, measurement: &[u8], types: &FieldTypes, values: &TagValues) -> Changes {
        let mut changes = Changes::default();
        for at in 0..self.tags.len() {
            let entry = self.tags[at];
            if !values.admits(&self.arena[entry.start..entry.end], entry.key - entry.start) {
                changes.overflowed += 1;
                let start = self.arena.len();
                self.arena.extend_from_within(entry.start..=entry.key);
                self.arena.extend_from_slice(OVERFLOW.as_bytes());
                let key = start + (entry.key - entry.start);
                self.tags[at] = Entry { start, key, end: self.arena.len(), ..entry };
                self.release(entry);
            }
        }
        if self.fields.is_empty() {
            return changes;
        }
        let (arena, fields) = (&self.arena, &mut self.fields);
        fields.retain_mut(|entry| {
            match types.check(measurement, &arena[entry.start..entry.key], entry.field_type) {
                Verdict::Keep => true,
                Verdict::Widen => {
                    // Without its `i`, an integer is a float.
                    entry.end -= 1;
                    entry.field_type = FieldType::Float;
                    true
                }
                Verdict::Conflict => {
                    changes.conflicts += 1;
                    false
                }
            }
        });
        changes
    }

    /// Leaves out all tags and fields of these names, which are sorted and encoded.
    pub(super) fn refuse<'a>(&mut self, names: impl Iterator<Item = &'a [u8]>) -> Changes {
        let mut changes = Changes::default();
        for name in names {
            for is_tag in [true, false] {
                if let Ok(at) = self.find(is_tag, name) {
                    let entry = self.list(is_tag).remove(at);
                    self.release(entry);
                    changes.refused += 1;
                }
            }
        }
        changes
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.find(true, name).is_ok() || self.find(false, name).is_ok()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.fields.is_empty()
    }

    pub(super) fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    pub(super) fn clear(&mut self) {
        self.tags.clear();
        self.fields.clear();
        self.arena.clear();
        self.arena.shrink_to(KEPT_BYTES);
        self.tags.shrink_to(KEPT_ENTRIES);
        self.fields.shrink_to(KEPT_ENTRIES);
    }

    pub(super) fn tags(&self) -> Cursor<'_> {
        Cursor::new(&self.arena, &self.tags)
    }

    pub(super) fn fields(&self) -> Cursor<'_> {
        Cursor::new(&self.arena, &self.fields)
    }

    /// Tags and fields.
    pub(super) fn cursors(&self) -> (Cursor<'_>, Cursor<'_>) {
        (self.tags(), self.fields())
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.arena.capacity()
    }

    /// Keeps an entry that was just written at the end of the arena, or takes its bytes back. `changes` is what came of writing
    /// it, which does not count where it is not kept.
    fn keep(&mut self, entry: Entry, is_tag: bool, stored: bool, room: Room<'_>, changes: &mut Changes) {
        let name = &self.arena[entry.start..entry.key];
        if !stored || name.is_empty() || (room.reserved)(name) || !is_tag && self.find(true, name).is_ok() {
            *changes = Changes { refused: 1, ..Changes::default() };
            return self.arena.truncate(entry.start);
        }
        let place = self.find(is_tag, name);
        let as_field = if is_tag { self.find(false, name).ok() } else { None };
        let replaced = match place {
            Ok(at) => Some(if is_tag { self.tags[at] } else { self.fields[at] }),
            Err(_) => as_field.map(|at| self.fields[at]),
        };
        let freed = replaced.map_or(0, |replaced| replaced.end - replaced.start);
        let count = self.tags.len() + self.fields.len() + usize::from(replaced.is_none());
        // Beside its bytes each entry has a comma, and a tag may yet get the overflow value.
        let bytes = self.arena.len() - freed + count * (1 + OVERFLOW.len());
        if count > room.count || bytes > room.bytes {
            *changes = Changes { excess: 1, ..Changes::default() };
            return self.arena.truncate(entry.start);
        }
        if let Some(at) = as_field {
            self.fields.remove(at);
            changes.refused += 1;
        }
        match place {
            Ok(at) => self.list(is_tag)[at] = entry,
            Err(at) if at == self.list(is_tag).len() => self.list(is_tag).push(entry),
            Err(at) => self.list(is_tag).insert(at, entry),
        }
        if let Some(replaced) = replaced {
            self.release(replaced);
        }
    }

    /// Where an entry is in its list, or belongs. The order is that of encoded names, as InfluxDB sorts them.
    #[inline]
    fn find(&self, is_tag: bool, name: &[u8]) -> Result<usize, usize> {
        let list = if is_tag { &self.tags } else { &self.fields };
        // Most requests add one or two.
        match list.last() {
            None => Err(0),
            Some(last) if precedes(&self.arena[last.start..last.key], name) => Err(list.len()),
            Some(_) => self.search(list, name),
        }
    }

    #[inline(never)]
    fn search(&self, list: &[Entry], name: &[u8]) -> Result<usize, usize> {
        list.binary_search_by(|entry| self.arena[entry.start..entry.key].cmp(name))
    }

    fn list(&mut self, is_tag: bool) -> &mut Vec<Entry> {
        if is_tag { &mut self.tags } else { &mut self.fields }
    }

    /// Closes the gap of an entry that is in no list any more.
    fn release(&mut self, gone: Entry) {
        let size = gone.end - gone.start;
        self.arena.copy_within(gone.end.., gone.start);
        self.arena.truncate(self.arena.len() - size);
        for entry in self.tags.iter_mut().chain(&mut self.fields) {
            if entry.start > gone.start {
                entry.start -= size;
                entry.key -= size;
                entry.end -= size;
            }
        }
    }

    fn float(&mut self, value: f64) -> bool {
        if value.is_finite() {
            number::float(&mut self.arena, value);
        }
        value.is_finite()
    }

    fn integer(&mut self, value: i64) -> bool {
        number::integer(&mut self.arena, value);
        true
    }

    fn integer_mark(&mut self) -> bool {
        self.arena.push(b'i');
        true
    }

    fn boolean(&mut self, truth: bool) -> bool {
        self.arena.extend_from_slice(if truth { b"true" } else { b"false" });
        true
    }
}

/// What a cleared arena keeps for the next point.
const KEPT_BYTES: usize = 16 * 1024;
const KEPT_ENTRIES: usize = 64;
