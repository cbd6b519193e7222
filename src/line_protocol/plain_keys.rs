//! A cache of keys of tags and fields that need no escaping.

use std::ptr;

use crate::{
    line_protocol::entries::Entries,
    point::{schema, value::FieldType},
    schema::field_types::FieldTypes,
};

/// Keys that need no escaping. They are constants of the application, so there are few. Comparing
/// their addresses costs less than checking them again.
#[derive(Debug, Default)]
pub(super) struct PlainKeys([PlainKey; PLAIN_KEYS]);

#[derive(Debug, Default)]
struct PlainKey {
    key: &'static str,
    /// `,key=`
    text: Box<[u8]>,
    /// Whether it also needs no escaping as the key of a field.
    is_field: bool,
    /// The number of the types that have admitted a field of this name, and its type there, which
    /// never changes.
    admitted: Option<(u64, FieldType)>,
}

impl PlainKeys {
    /// Returns the number of a key and its encoded form, `,key=`. Returns `None` for a key that
    /// needs escaping, and if the cache is full.
    #[inline(always)]
    pub(super) fn of_tag(&mut self, key: &'static str) -> Option<(usize, &[u8])> {
        // Constants are adjacent in memory, so those of one handler mostly have places of their
        // own.
        let mut place = key.as_ptr().addr() % PLAIN_KEYS;
        if !ptr::eq(self.0[place].key, key) {
            place = self.look_up(key, place)? % PLAIN_KEYS;
        }
        Some((place, &self.0[place].text))
    }

    /// Returns the same as [`of_tag`](Self::of_tag) for the key of a field.
    #[inline(always)]
    pub(super) fn of_field(&mut self, key: &'static str) -> Option<(usize, &[u8])> {
        let (place, _) = self.of_tag(key)?;
        let PlainKey { text, is_field, .. } = &self.0[place];
        is_field.then_some((place, text))
    }

    /// Returns the place of a key that is not in its first place. A new key goes into the first
    /// free one. No key ever replaces another: otherwise two that share a place would cost an
    /// allocation each time.
    #[inline(never)]
    fn look_up(&mut self, key: &'static str, first: usize) -> Option<usize> {
        for place in (first..PLAIN_KEYS).chain(0..first) {
            let known = &mut self.0[place];
            if known.text.is_empty() {
                *known = PlainKey::new(key)?;
                return Some(place);
            }
            if ptr::eq(known.key, key) {
                return Some(place);
            }
        }
        None
    }

    /// Returns whether these types have admitted a field of this type with the key of this number.
    #[inline]
    pub(super) fn has_admitted(&self, number: u8, field_type: FieldType, types: &FieldTypes) -> bool {
        self.0
            .get(usize::from(number))
            .is_some_and(|known| known.admitted == Some((types.number(), field_type)))
    }

    /// Notes for the next requests that these types have admitted it.
    pub(super) fn note_admitted(&mut self, number: u8, field_type: FieldType, types: &FieldTypes) {
        if let Some(known) = self.0.get_mut(usize::from(number)) {
            known.admitted = Some((types.number(), field_type));
        }
    }
}

impl PlainKey {
    fn new(key: &'static str) -> Option<Self> {
        let is_plain = Entries::is_plain_key(key) && !schema::is_reserved(key.as_bytes());
        let text = || [",", key, "="].concat().into_bytes().into();
        let is_field = Entries::is_plain_field_key(key);
        is_plain.then(|| Self { key, text: text(), is_field, admitted: None })
    }
}

pub(super) const PLAIN_KEYS: usize = 16;
