//! The fields of a request's line: the standard ones, with extra ones in between.

use std::mem;

use crate::line_protocol::{AddedFields, Extras, cursor::Cursor};

/// A separator, a name and an equals sign as one array of constant size, so that copying it takes
/// one or two moves.
macro_rules! assignment {
    ($name:expr) => {
        const { crate::line_protocol::fields::text_of::<{ $name.len() + 2 }>($name) }
    };
}

pub(super) use assignment;

/// The fields of a line, in the order of their names: the standard ones as they are assigned, with
/// extra ones in between.
pub(super) struct Fields<'a> {
    extras: Option<&'a Extras>,
    /// The extra fields that are not written yet.
    remaining: Cursor<'a>,
    /// A space before the first field, then commas.
    separator: u8,
}

impl<'a> Fields<'a> {
    #[inline(always)]
    pub(super) fn new(extras: Option<&'a Extras>) -> Self {
        let remaining = extras.map_or(Cursor::EMPTY, |extras| extras.entries.fields());
        Self { extras, remaining, separator: b' ' }
    }

    /// Returns whether there is no extra field, and a standard one was assigned.
    #[inline(always)]
    pub(super) fn is_plain(&self) -> bool {
        self.separator == b',' && self.remaining.is_empty()
    }

    /// Writes the extra fields that come before a standard one, and the name of that one.
    #[inline(always)]
    pub(super) fn assign<const N: usize>(&mut self, out: &mut Vec<u8>, mut text: [u8; N]) {
        if !self.remaining.is_empty() {
            self.write_before(out, &text[1..N - 1]);
        }
        text[0] = mem::replace(&mut self.separator, b',');
        out.extend_from_slice(&text);
    }

    fn write_before(&mut self, out: &mut Vec<u8>, name: &[u8]) {
        while let Some(field) = self.remaining.before(name) {
            out.push(mem::replace(&mut self.separator, b','));
            out.extend_from_slice(field);
        }
    }

    /// Writes the remaining extra fields, the fields of the layer, and the timestamp.
    #[inline(always)]
    pub(super) fn end(self, out: &mut Vec<u8>, added: Option<&AddedFields>, stamp: i64) {
        for field in self.remaining {
            out.push(b',');
            out.extend_from_slice(field);
        }
        if let Some(added) = added {
            added.write(out, self.extras);
        }
        super::stamp(out, stamp);
    }
}

pub(super) const fn text_of<const N: usize>(name: &str) -> [u8; N] {
    let mut text = [b'='; N];
    text[0] = b',';
    let mut at = 0;
    while at < name.len() {
        text[1 + at] = name.as_bytes()[at];
        at += 1;
    }
    text
}
