//! An iterator over encoded tags or fields, to merge them into a line in order.

use crate::point::value::FieldType;

/// The position of one `key=value`, and the type of a field's value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry {
    pub(super) start: usize,
    pub(super) key: usize,
    pub(super) end: usize,
    pub(super) field_type: FieldType,
    /// The number of its cached key, or [`NO_PLAIN_KEY`].
    pub(super) plain_key: u8,
}

impl Entry {
    /// Creates an entry without a position, whose key is not cached.
    pub(super) fn new(field_type: FieldType) -> Self {
        Self { start: 0, key: 0, end: 0, field_type, plain_key: NO_PLAIN_KEY }
    }
}

/// Iterates over entries in their order. The caller takes those that belong before the next name of
/// the line.
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

    /// Returns the next entry in encoded form, if its name comes before `name`.
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
