//! Encoded tags or fields, taken one by one where a line has room for them.

use crate::point::value::FieldType;

/// Where one `key=value` is, and the type of a field's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: usize,
    pub(super) key: usize,
    pub(super) end: usize,
    pub(super) field_type: FieldType,
    /// The number of its key among the plain ones, or [`NO_PLAIN_KEY`].
    pub(super) plain_key: u8,
}

impl Entry {
    /// Creates an entry without a place, whose key is none of the plain ones.
    pub(super) fn new(field_type: FieldType) -> Self {
        Self { start: 0, key: 0, end: 0, field_type, plain_key: NO_PLAIN_KEY }
    }
}

/// Entries in their order, of which those are taken that belong before the next name of the line.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    arena: &'a [u8],
    rest: &'a [Entry],
}

impl<'a> Cursor<'a> {
    pub(super) const EMPTY: Self = Self::new(&[], &[]);

    pub(super) const fn new(arena: &'a [u8], rest: &'a [Entry]) -> Self {
        Self { arena, rest }
    }

    /// Returns the next entry, as it is written, if its name comes before `name`.
    #[inline]
    pub(super) fn before(&mut self, name: &[u8]) -> Option<&'a [u8]> {
        if self.has_before(name) { self.next() } else { None }
    }

    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Returns whether there is an entry that belongs before `name`.
    #[inline]
    pub(super) fn has_before(&self, name: &[u8]) -> bool {
        self.rest.first().is_some_and(|first| precedes(&self.arena[first.start..first.key], name))
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(&self.arena[first.start..first.end])
    }
}

/// Returns whether a name comes before another. Most differ in their first byte, which costs no
/// call.
#[inline]
pub(super) fn precedes(name: &[u8], other: &[u8]) -> bool {
    match (name.first(), other.first()) {
        (Some(first), Some(other)) if first != other => first < other,
        _ => name < other,
    }
}

pub(super) const NO_PLAIN_KEY: u8 = u8::MAX;
