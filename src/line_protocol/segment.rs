//! The constant parts of a request's tags.

use crate::line_protocol::{StaticTags, cursor::Cursor};

/// A constant run of a line's tags. It may end in the middle of one, and extra tags may have to be
/// inserted into it.
#[derive(Debug)]
pub(super) struct Segment {
    text: Box<[u8]>,
    cuts: Box<[Cut]>,
}

/// A position: an extra tag with a lesser name is inserted at `at` or before.
#[derive(Debug)]
struct Cut {
    name: Box<[u8]>,
    at: usize,
}

impl Segment {
    /// Creates the segment of the static tags between two standard ones. It ends with the name of
    /// the second one, whose value varies.
    pub(super) fn new(
        start: &str,
        static_tags: &StaticTags,
        after: Option<&str>,
        before: Option<&str>,
    ) -> Self {
        let mut text = start.as_bytes().to_vec();
        let mut cuts = Vec::new();
        for tag in static_tags.iter() {
            if after.is_none_or(|after| tag.key() > after.as_bytes())
                && before.is_none_or(|before| tag.key() < before.as_bytes())
            {
                cuts.push(Cut { name: tag.key().into(), at: text.len() });
                text.extend_from_slice(tag.text());
            }
        }
        if let Some(before) = before {
            cuts.push(Cut { name: before.as_bytes().into(), at: text.len() });
            text.push(b',');
            text.extend_from_slice(before.as_bytes());
            text.push(b'=');
        }
        Self { text: text.into(), cuts: cuts.into() }
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Writes the segment, with the extra tags that belong into it.
    #[inline(always)]
    pub(super) fn write(&self, out: &mut Vec<u8>, tags: &mut Cursor<'_>) {
        if tags.is_empty() || self.cuts.last().is_none_or(|cut| !tags.has_before(&cut.name)) {
            out.extend_from_slice(&self.text);
        } else {
            self.write_with(out, tags);
        }
    }

    #[inline(never)]
    fn write_with(&self, out: &mut Vec<u8>, tags: &mut Cursor<'_>) {
        let mut from = 0;
        for cut in &self.cuts {
            while let Some(tag) = tags.before(&cut.name) {
                out.extend_from_slice(&self.text[from..cut.at]);
                out.push(b',');
                out.extend_from_slice(tag);
                from = cut.at;
            }
        }
        out.extend_from_slice(&self.text[from..]);
    }
}
