//! Names, tag values and strings as line protocol holds them.
//!
//! A text is scanned first, sixteen bytes at a time, for anything that needs a closer look; nearly none does, and such a text
//! is copied as it is. Otherwise it is rewritten character by character.

use crate::line_protocol::Changes;

/// Where a name or a tag value stands: what must be escaped, and what no server may see, differs a little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Position {
    Series,
    TagKey,
    TagValue,
    FieldKey,
}

/// Appends a name or a tag value, of which at most `limit` bytes are kept.
pub(super) fn text(out: &mut Vec<u8>, text: &str, position: Position, limit: usize, changes: &mut Changes) {
    if text.len() <= limit && is_plain(text.as_bytes(), position) {
        out.extend_from_slice(text.as_bytes());
    } else {
        rewrite(out, text.chars(), position, limit, changes);
    }
}

/// Appends a route, as [`text`] would append `method:resource`, without that text being made.
pub(super) fn route(out: &mut Vec<u8>, method: &str, resource: &str, limit: usize, changes: &mut Changes) {
    let plain = |text: &str| is_plain(text.as_bytes(), Position::TagValue);
    if method.len() + resource.len() < limit && plain(method) && plain(resource) {
        out.extend_from_slice(method.as_bytes());
        out.push(b':');
        out.extend_from_slice(resource.as_bytes());
    } else {
        let characters = method.chars().chain([':']).chain(resource.chars());
        rewrite(out, characters, Position::TagValue, limit, changes);
    }
}

/// Appends a string field's value with its quotes, of which at most `limit` bytes are kept.
pub(super) fn string(out: &mut Vec<u8>, text: &str, limit: usize, changes: &mut Changes) {
    out.push(b'"');
    let kept = cut(text, limit);
    changes.truncated += u32::from(kept.len() < text.len());
    if any(kept.as_bytes(), |byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r')) {
        let mut sanitized = false;
        for byte in kept.bytes() {
            match byte {
                b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
                // Two characters that read as what they stand for: a line break would end the point.
                b'\n' => out.extend_from_slice(br"\\n"),
                b'\r' => out.extend_from_slice(br"\\r"),
                _ => out.push(byte),
            }
            sanitized |= matches!(byte, b'\n' | b'\r');
        }
        changes.sanitized += u32::from(sanitized);
    } else {
        out.extend_from_slice(kept.as_bytes());
    }
    out.push(b'"');
}

fn is_plain(bytes: &[u8], position: Position) -> bool {
    let plain = !any(bytes, |byte| byte <= b' ' || byte >= 0x7f || matches!(byte, b',' | b'=' | b'\\'));
    plain
        && match position {
            Position::Series => bytes.first() != Some(&b'#'),
            Position::FieldKey => !bytes.contains(&b':'),
            Position::TagKey | Position::TagValue => true,
        }
}

fn rewrite(
    out: &mut Vec<u8>,
    characters: impl Iterator<Item = char>,
    position: Position,
    limit: usize,
    changes: &mut Changes,
) {
    let mut size = 0;
    let mut truncated = false;
    let mut characters = characters
        .take_while(|character| {
            size += character.len_utf8();
            truncated |= size > limit;
            size <= limit
        })
        .peekable();
    let mut sanitized = false;
    if position == Position::Series && characters.peek() == Some(&'#') {
        // The line would be a comment: answered with success and lost.
        sanitized = true;
        out.push(b'_');
    }
    let mut last = None;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        let kept = match character {
            _ if character.is_control() => '_',
            // A server would take it for the escape of what follows, and some merge two backslashes into one.
            '\\' if matches!(next, None | Some('\\' | ',' | '=' | ' ' | '"')) => '/',
            // InfluxDB 3 makes a family of columns of `family::name`.
            ':' if position == Position::FieldKey && (next == Some(':') || last == Some(':')) => '_',
            _ => character,
        };
        sanitized |= kept != character;
        if matches!(kept, ',' | ' ') || kept == '=' && position != Position::Series {
            out.push(b'\\');
        }
        out.extend_from_slice(kept.encode_utf8(&mut [0; 4]).as_bytes());
        last = Some(character);
    }
    changes.sanitized += u32::from(sanitized);
    changes.truncated += u32::from(truncated);
}

/// At most the first `limit` bytes of a text, in whole characters.
fn cut(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    &text[..end]
}

/// Whether any byte is suspicious. Whole blocks are folded without an early exit, which compiles to vector instructions.
fn any(bytes: &[u8], suspicious: impl Fn(u8) -> bool) -> bool {
    let in_block = |block: &[u8; 16]| block.iter().fold(false, |found, byte| found | suspicious(*byte));
    let (blocks, rest) = bytes.as_chunks::<16>();
    if blocks.iter().any(in_block) {
        return true;
    }
    match bytes.last_chunk::<16>() {
        _ if rest.is_empty() => false,
        // The last block again, overlapping what is known to be harmless.
        Some(block) => in_block(block),
        None => {
            let mut block = [b'a'; 16];
            block[..rest.len()].copy_from_slice(rest);
            in_block(&block)
        }
    }
}
