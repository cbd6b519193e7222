//! The fast path for tags and fields that need no escaping, which most do not.

use crate::{
    line_protocol::{
        NAME_BYTES, VALUE_BYTES,
        cursor::{Entry, precedes},
        entries::{Entries, EntryLimits, ROOM_BESIDE},
        escape::{self, EscapeContext},
    },
    point::{Value, number_format, value::FieldType},
};

impl Entries {
    /// Returns whether the key of a tag needs no escaping.
    pub(super) fn is_plain_key(key: &str) -> bool {
        escape::is_plain_tag(key.as_bytes(), NAME_BYTES)
    }

    /// Returns whether a key that [is plain](Self::is_plain_key) is plain as the key of a field,
    /// too.
    pub(super) fn is_plain_field_key(key: &str) -> bool {
        escape::is_plain(key.as_bytes(), EscapeContext::FieldKey)
    }

    /// Adds a tag with a plain key, given as `,key=`, if it is a usual one: its value needs no
    /// escaping, it comes after all others, and there is room. Returns false for any other, which
    /// must be passed to [`tag`](Self::tag).
    #[inline(always)]
    pub(super) fn plain_tag(&mut self, key: &[u8], text: &str, room: EntryLimits<'_>) -> bool {
        let value = text.as_bytes();
        let [_, name @ .., _] = key else { return false };
        let start = self.arena.len() + 1;
        let (key_end, end) = (start + name.len(), start + name.len() + 1 + value.len());
        let count = self.tags.len() + 1;
        if !self.fields.is_empty()
            || self.tags.last().is_some_and(|last| !precedes(&self.arena[last.start..last.key], name))
            || count > room.count
            || end + count * ROOM_BESIDE > room.bytes
            || !escape::is_plain_tag(value, room.limits.tag_bytes.min(VALUE_BYTES))
        {
            return false;
        }
        self.arena.extend_from_slice(key);
        self.arena.extend_from_slice(value);
        self.tags.push(Entry { start, key: key_end, end, ..Entry::new(FieldType::String) });
        true
    }

    /// Adds a field with a plain key, given as `,key=`, if it is a usual one: its name is new, its
    /// value needs no escaping, and there is room. Returns false for any other, which must be
    /// passed to [`field`](Self::field). `number` is that of the key.
    #[inline]
    pub(super) fn plain_field(
        &mut self,
        (number, key): (usize, &[u8]),
        value: &Value<'_>,
        room: EntryLimits<'_>,
    ) -> bool {
        let [_, name @ .., _] = key else { return false };
        let longest = match value {
            Value::String(text)
                if escape::is_plain_string(text, room.limits.field_bytes.min(VALUE_BYTES)) =>
            {
                text.len() + 2
            }
            Value::Float(float) if float.is_finite() => LONGEST_NUMBER,
            Value::Unsigned(unsigned) if i64::try_from(*unsigned).is_ok() => LONGEST_NUMBER,
            Value::Integer(_) | Value::Boolean(_) => LONGEST_NUMBER,
            _ => return false,
        };
        let Some(place) = self.place_of_new_field(name) else { return false };
        let start = self.arena.len() + 1;
        let count = self.tags.len() + self.fields.len() + 1;
        if count > room.count || start + key.len() + longest + count * ROOM_BESIDE > room.bytes {
            return false;
        }
        self.arena.extend_from_slice(key);
        match value {
            Value::String(text) => {
                self.arena.push(b'"');
                self.arena.extend_from_slice(text.as_bytes());
                self.arena.push(b'"');
            }
            Value::Float(float) => number_format::float(&mut self.arena, *float),
            Value::Integer(integer) => self.integer_field(*integer),
            Value::Unsigned(unsigned) => self.integer_field(unsigned.cast_signed()),
            Value::Boolean(true) => self.arena.extend_from_slice(b"true"),
            Value::Boolean(false) => self.arena.extend_from_slice(b"false"),
            Value::None => {}
        }
        let (key, end) = (start + name.len(), self.arena.len());
        let plain_key = u8::try_from(number).unwrap_or(u8::MAX);
        self.fields.insert(place, Entry { start, key, end, field_type: value.field_type(), plain_key });
        true
    }

    /// Returns the position for a new field whose name no tag or field has. It searches linearly,
    /// since most requests have few.
    #[inline]
    fn place_of_new_field(&self, name: &[u8]) -> Option<usize> {
        let name_of = |entry: &Entry| &self.arena[entry.start..entry.key];
        if self.tags.iter().any(|tag| name_of(tag) == name) {
            return None;
        }
        match self.fields.iter().rposition(|field| precedes(name_of(field), name)) {
            Some(before) if before + 1 == self.fields.len() => Some(before + 1),
            before => {
                let place = before.map_or(0, |before| before + 1);
                let is_new = self.fields.get(place).is_none_or(|next| name_of(next) != name);
                is_new.then_some(place)
            }
        }
    }
}

/// The longest float has 24 characters, the longest integer 21 including its `i`.
const LONGEST_NUMBER: usize = 32;
