//! The tags and fields of one point, encoded as they are added, sorted, each name once.

use crate::{
    line_protocol::{
        Changes, NAME_BYTES, VALUE_BYTES,
        cursor::{Cursor, Entry, precedes},
        escape::{self, EscapeContext},
    },
    point::{Value, number_format, schema::OVERFLOW, value::FieldType},
    settings::Limits,
};

/// Encoded tags and fields: `,key=value` each, one after the other in one arena, and the position
/// of each.
///
/// The last value of a key wins. A name is either a tag or a field, as InfluxDB 3 demands: a tag
/// wins over a field. The bytes of a replaced value are freed at once, so that setting one key any
/// number of times takes no more memory than once.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    pub(super) arena: Vec<u8>,
    pub(super) tags: Vec<Entry>,
    pub(super) fields: Vec<Entry>,
}

/// The bounds on the entries of one point.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryLimits<'a> {
    pub(super) limits: &'a Limits,
    /// The number of tags and fields together.
    pub(super) count: usize,
    /// Their encoded bytes together.
    pub(super) bytes: usize,
    /// Whether an encoded name is reserved.
    pub(super) reserved: fn(&[u8]) -> bool,
}

impl Entries {
    pub(super) fn tag(&mut self, key: &str, value: &Value<'_>, room: EntryLimits<'_>, changes: &mut Changes) {
        if matches!(value, Value::None) {
            return;
        }
        let mut own = Changes::default();
        let start = self.begin();
        escape::text(&mut self.arena, key, EscapeContext::TagKey, NAME_BYTES, &mut own);
        let key_end = self.arena.len();
        self.arena.push(b'=');
        let stored = match value {
            Value::String(text) => {
                let limit = room.limits.tag_bytes.min(VALUE_BYTES);
                escape::text(&mut self.arena, text, EscapeContext::TagValue, limit, &mut own);
                self.arena.len() > key_end + 1
            }
            value => self.number(value),
        };
        let end = self.arena.len();
        let entry = Entry { start, key: key_end, end, ..Entry::new(FieldType::String) };
        self.keep(entry, true, stored, room, own, changes);
    }

    pub(super) fn field(
        &mut self,
        key: &str,
        value: &Value<'_>,
        room: EntryLimits<'_>,
        changes: &mut Changes,
    ) {
        if matches!(value, Value::None) {
            return;
        }
        let mut own = Changes::default();
        let start = self.begin();
        escape::text(&mut self.arena, key, EscapeContext::FieldKey, NAME_BYTES, &mut own);
        let key_end = self.arena.len();
        self.arena.push(b'=');
        let stored = match value {
            Value::String(text) => {
                let limit = room.limits.field_bytes.min(VALUE_BYTES);
                escape::string(&mut self.arena, text, limit, &mut own);
                true
            }
            Value::Integer(number) => {
                self.integer_field(*number);
                true
            }
            Value::Unsigned(number) => {
                // Never `u`, which InfluxDB 1.x refuses.
                own.sanitized += u32::from(i64::try_from(*number).is_err());
                self.integer_field(i64::try_from(*number).unwrap_or(i64::MAX));
                true
            }
            value => self.number(value),
        };
        let end = self.arena.len();
        let entry = Entry { start, key: key_end, end, ..Entry::new(value.field_type()) };
        self.keep(entry, false, stored, room, own, changes);
    }

    /// Adds all entries of `other`, as if its tags and fields were set now.
    pub(super) fn merge(&mut self, other: &Self, room: EntryLimits<'_>, changes: &mut Changes) {
        let tags = other.tags.iter().map(|entry| (entry, true));
        for (entry, is_tag) in tags.chain(other.fields.iter().map(|entry| (entry, false))) {
            let start = self.begin();
            self.arena.extend_from_slice(&other.arena[entry.start..entry.end]);
            let key = start + (entry.key - entry.start);
            let copy = Entry { start, key, end: self.arena.len(), ..Entry::new(entry.field_type) };
            self.keep(copy, is_tag, true, room, Changes::default(), changes);
        }
    }

    /// Removes the tag or field with this encoded name, and counts it as refused.
    pub(super) fn refuse(&mut self, name: &[u8], changes: &mut Changes) {
        for is_tag in [true, false] {
            if let Ok(at) = self.find(is_tag, name) {
                let entry = self.list(is_tag).remove(at);
                self.release(entry);
                changes.refused += 1;
            }
        }
    }

    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.find(true, name).is_ok() || self.find(false, name).is_ok()
    }

    /// Returns the encoded value of the field with this encoded name.
    pub(super) fn field_value(&self, name: &[u8]) -> Option<&[u8]> {
        let entry = self.fields[self.find(false, name).ok()?];
        Some(&self.arena[entry.key + 1..entry.end])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty() && self.fields.is_empty()
    }

    pub(super) fn has_fields(&self) -> bool {
        !self.fields.is_empty()
    }

    #[inline]
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

    /// Returns all tags as in a line, a comma before each, if they are in the arena like that: they
    /// were added first and in order.
    #[inline]
    pub(super) fn tags_in_order(&self) -> Option<&[u8]> {
        let mut end = 0;
        for tag in &self.tags {
            if tag.start != end + 1 {
                return None;
            }
            end = tag.end;
        }
        Some(&self.arena[..end])
    }

    #[cfg(test)]
    pub(super) fn capacity(&self) -> usize {
        self.arena.capacity()
    }

    /// Keeps an entry that was just written at the end of the arena, or removes its bytes again.
    /// `own` are the changes of writing it, which count only if it is kept.
    fn keep(
        &mut self,
        entry: Entry,
        is_tag: bool,
        stored: bool,
        room: EntryLimits<'_>,
        own: Changes,
        changes: &mut Changes,
    ) {
        let name = &self.arena[entry.start..entry.key];
        if !stored || name.is_empty() || (room.reserved)(name) || !is_tag && self.find(true, name).is_ok() {
            changes.refused += 1;
            return self.arena.truncate(entry.start - 1);
        }
        let place = self.find(is_tag, name);
        let as_field = if is_tag { self.find(false, name).ok() } else { None };
        let replaced = match place {
            Ok(at) => Some(if is_tag { self.tags[at] } else { self.fields[at] }),
            Err(_) => as_field.map(|at| self.fields[at]),
        };
        let freed = replaced.map_or(0, |replaced| 1 + replaced.end - replaced.start);
        let count = self.tags.len() + self.fields.len() + usize::from(replaced.is_none());
        if count > room.count || self.arena.len() - freed + count * ROOM_BESIDE > room.bytes {
            changes.excess += 1;
            return self.arena.truncate(entry.start - 1);
        }
        *changes += own;
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

    /// Returns the position of an entry in its list, or the one where it must be inserted. The
    /// order is that of encoded names, as in InfluxDB.
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

    pub(super) fn list(&mut self, is_tag: bool) -> &mut Vec<Entry> {
        if is_tag { &mut self.tags } else { &mut self.fields }
    }

    /// Closes the gap of an entry that is no longer in a list.
    pub(super) fn release(&mut self, gone: Entry) {
        let size = 1 + gone.end - gone.start;
        self.arena.copy_within(gone.end.., gone.start - 1);
        self.arena.truncate(self.arena.len() - size);
        for entry in self.tags.iter_mut().chain(&mut self.fields) {
            if entry.start > gone.start {
                entry.start -= size;
                entry.key -= size;
                entry.end -= size;
            }
        }
    }

    /// Begins an entry with a comma, so that tags that are added in order are in the arena as in a
    /// line.
    pub(super) fn begin(&mut self) -> usize {
        self.arena.push(b',');
        self.arena.len()
    }

    /// Writes a value that is not a string. Writes nothing for a number that is NaN or infinite.
    #[inline(never)]
    fn number(&mut self, value: &Value<'_>) -> bool {
        let to = &mut self.arena;
        match value {
            Value::Float(number) if number.is_finite() => number_format::float(to, *number),
            Value::Integer(number) => number_format::integer(to, *number),
            Value::Unsigned(number) => to.extend_from_slice(itoa::Buffer::new().format(*number).as_bytes()),
            Value::Boolean(truth) => to.extend_from_slice(if *truth { b"true" } else { b"false" }),
            Value::Float(_) | Value::String(_) | Value::None => return false,
        }
        true
    }

    pub(super) fn integer_field(&mut self, value: i64) {
        number_format::integer(&mut self.arena, value);
        self.arena.push(b'i');
    }
}

/// What an entry reserves in addition to its bytes: a tag may still get the overflow value.
pub(super) const ROOM_BESIDE: usize = OVERFLOW.len();
/// The memory that a cleared arena keeps for the next point.
const KEPT_BYTES: usize = 16 * 1024;
const KEPT_ENTRIES: usize = 64;
