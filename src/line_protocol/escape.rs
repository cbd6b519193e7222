//! Escaping of names, tag values and strings in line protocol.
//!
//! A text is scanned first for characters that need escaping. Nearly none has any, and is copied
//! unchanged. Otherwise it is rewritten character by character.

use crate::line_protocol::Changes;

/// The position of a text in a line. It decides what is escaped, and what a server must not see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EscapeContext {
    Measurement,
    TagKey,
    TagValue,
    FieldKey,
}

/// Appends a name or a tag value, of which at most `limit` bytes are kept.
#[inline]
pub(super) fn text(
    out: &mut Vec<u8>,
    text: &str,
    position: EscapeContext,
    limit: usize,
    changes: &mut Changes,
) {
    if text.len() <= limit && is_plain(text.as_bytes(), position) {
        out.extend_from_slice(text.as_bytes());
    } else {
        rewrite_text(out, text, position, limit, changes);
    }
}

/// Returns whether [`text`] writes this key or value of a tag unchanged.
#[inline]
pub(super) fn is_plain_tag(bytes: &[u8], limit: usize) -> bool {
    !bytes.is_empty() && bytes.len() <= limit && is_plain(bytes, EscapeContext::TagValue)
}

/// Returns whether [`string`] writes this text unchanged.
#[inline]
pub(super) fn is_plain_string(text: &str, limit: usize) -> bool {
    text.len() <= limit && classes(text.as_bytes()) & STRING == 0
}

#[cold]
fn rewrite_text(out: &mut Vec<u8>, text: &str, position: EscapeContext, limit: usize, changes: &mut Changes) {
    if position == EscapeContext::Measurement && text.starts_with('#') {
        // The line would be a comment: the server would report success, and the point would be
        // lost.
        out.push(b'_');
        let mut rest = Changes::default();
        rewrite(out, text.chars(), position, limit.saturating_sub(1), &mut rest);
        *changes += Changes { sanitized: 1, ..rest };
    } else {
        rewrite(out, text.chars(), position, limit, changes);
    }
}

/// Appends a route as [`text`] appends `method:resource`, without building that text. `method` is a
/// plain word.
#[inline]
pub(super) fn route(
    out: &mut Vec<u8>,
    method: &'static str,
    resource: &str,
    limit: usize,
    changes: &mut Changes,
) {
    debug_assert!(
        is_plain(method.as_bytes(), EscapeContext::TagValue),
        "{method} is no method of the standards"
    );
    if method.len() + resource.len() < limit && is_plain(resource.as_bytes(), EscapeContext::TagValue) {
        out.extend_from_slice(method.as_bytes());
        out.push(b':');
        out.extend_from_slice(resource.as_bytes());
    } else {
        rewrite_route(out, method, resource, limit, changes);
    }
}

#[cold]
fn rewrite_route(out: &mut Vec<u8>, method: &str, resource: &str, limit: usize, changes: &mut Changes) {
    let characters = method.chars().chain([':']).chain(resource.chars());
    rewrite(out, characters, EscapeContext::TagValue, limit, changes);
}

/// Appends the value of a string field in quotes, of which at most `limit` bytes are stored.
#[inline]
pub(super) fn string(out: &mut Vec<u8>, text: &str, limit: usize, changes: &mut Changes) {
    out.push(b'"');
    if is_plain_string(text, limit) {
        out.extend_from_slice(text.as_bytes());
    } else {
        rewrite_string(out, text, limit, changes);
    }
    out.push(b'"');
}

/// Encodes like [`string`], for bytes that are most likely ASCII. Invalid UTF-8 is replaced: a
/// single invalid byte would make the batch unreadable.
pub(super) fn string_of_bytes(out: &mut Vec<u8>, bytes: &[u8], limit: usize, changes: &mut Changes) {
    if bytes.len() <= limit && classes(bytes) & (STRING | NOT_ASCII) == 0 {
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else {
        string(out, &String::from_utf8_lossy(bytes), limit, changes);
    }
}

#[cold]
fn rewrite_string(out: &mut Vec<u8>, text: &str, limit: usize, changes: &mut Changes) {
    let (mut stored, mut sanitized) = (0, false);
    for character in text.chars() {
        let line_break = matches!(character, '\n' | '\r');
        stored += if line_break { 2 } else { character.len_utf8() };
        if stored > limit {
            changes.truncated += 1;
            break;
        }
        sanitized |= line_break;
        match character {
            '"' => out.extend_from_slice(br#"\""#),
            '\\' => out.extend_from_slice(br"\\"),
            // Two characters that represent a line break: a real one would end the point.
            '\n' => out.extend_from_slice(br"\\n"),
            '\r' => out.extend_from_slice(br"\\r"),
            _ => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    changes.sanitized += u32::from(sanitized);
}

/// Classifies the bytes. All of them are looked up, without an early exit. That compiles to two
/// instructions a byte, and most texts are short and plain.
#[inline]
fn classes(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0, |found, byte| found | CLASSES[usize::from(*byte)])
}

/// Returns whether no byte needs escaping.
#[inline]
pub(super) fn is_plain(bytes: &[u8], position: EscapeContext) -> bool {
    let found = classes(bytes);
    let suspicious = match position {
        EscapeContext::FieldKey => NAME | FIELD_KEY,
        EscapeContext::Measurement | EscapeContext::TagKey | EscapeContext::TagValue => NAME,
    };
    found & suspicious == 0 && !(position == EscapeContext::Measurement && bytes.first() == Some(&b'#'))
}

fn rewrite(
    out: &mut Vec<u8>,
    characters: impl Iterator<Item = char>,
    position: EscapeContext,
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
    let mut last = None;
    while let Some(character) = characters.next() {
        let next = characters.peek().copied();
        let kept = match character {
            _ if character.is_control() => '_',
            // A server would read it as the escape of the next character, and some merge two
            // backslashes into one.
            '\\' if matches!(next, None | Some('\\' | ',' | '=' | ' ' | '"')) => '/',
            // VictoriaMetrics reads everything up to the next quote as a string.
            '"' if position == EscapeContext::FieldKey => '_',
            // InfluxDB 3 reads `family::name` as a column of a family.
            ':' if position == EscapeContext::FieldKey && (next == Some(':') || last == Some(':')) => '_',
            _ => character,
        };
        sanitized |= kept != character;
        if matches!(kept, ',' | ' ') || kept == '=' && position != EscapeContext::Measurement {
            out.push(b'\\');
        }
        out.extend_from_slice(kept.encode_utf8(&mut [0; 4]).as_bytes());
        last = Some(character);
    }
    changes.sanitized += u32::from(sanitized);
    changes.truncated += u32::from(truncated);
}

/// Where a byte may need escaping.
static CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut class = match byte as u8 {
            0..=b' ' | b',' | b'=' | b'\\' | 0x7f.. => NAME,
            b':' | b'"' => FIELD_KEY,
            _ => 0,
        };
        if matches!(byte as u8, b'"' | b'\\' | b'\n' | b'\r') {
            class |= STRING;
        }
        if byte >= 0x80 {
            class |= NOT_ASCII;
        }
        classes[byte] = class;
        byte += 1;
    }
    classes
};

/// In every name and tag value.
const NAME: u8 = 1;
/// In addition in a field's name.
const FIELD_KEY: u8 = 2;
/// In the value of a string field.
const STRING: u8 = 4;
/// In bytes that may be invalid UTF-8.
const NOT_ASCII: u8 = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut Vec<u8>, &mut Changes)) -> (String, Changes) {
        let (mut out, mut changes) = (Vec::new(), Changes::default());
        write(&mut out, &mut changes);
        (String::from_utf8(out).expect("UTF-8"), changes)
    }

    fn encoded(raw: &str, position: EscapeContext) -> (String, u32) {
        let (out, changes) = written(|out, changes| text(out, raw, position, 1024, changes));
        assert_eq!(changes.truncated, 0);
        (out, changes.sanitized)
    }

    #[test]
    fn names_and_tag_values_are_escaped() {
        for (raw, name, sanitized) in [
            ("GET:/items/{id}", "GET:/items/{id}", 0),
            ("a b,c", r"a\ b\,c", 0),
            ("ünï😀", "ünï😀", 0),
            ("a\nb\r\0\u{7f}\u{85}\u{9f}", "a_b_____", 1),
            ("a\u{a0}b", "a\u{a0}b", 0),
            (r"a\b", r"a\b", 0),
            (r"a\", "a/", 1),
            (r"a\\b", r"a/\b", 1),
            (r"a\,b", r"a/\,b", 1),
            (r"a\ b", r"a/\ b", 1),
            ("a\\\nb", r"a\_b", 1),
        ] {
            for position in [
                EscapeContext::Measurement,
                EscapeContext::TagKey,
                EscapeContext::TagValue,
                EscapeContext::FieldKey,
            ] {
                assert_eq!(encoded(raw, position), (name.to_owned(), sanitized), "{raw:?} as {position:?}");
            }
        }
    }

    #[test]
    fn escaping_depends_on_the_position() {
        assert_eq!(encoded("a=b", EscapeContext::Measurement), ("a=b".to_owned(), 0));
        assert_eq!(encoded("a=b", EscapeContext::TagValue), (r"a\=b".to_owned(), 0));
        assert_eq!(encoded(r"a\=b", EscapeContext::Measurement), ("a/=b".to_owned(), 1));
        assert_eq!(encoded(r"a\=b", EscapeContext::FieldKey), (r"a/\=b".to_owned(), 1));
        assert_eq!(encoded("#a", EscapeContext::Measurement), ("_#a".to_owned(), 1));
        assert_eq!(encoded("#a", EscapeContext::TagKey), ("#a".to_owned(), 0));
        assert_eq!(encoded("a::b:::c:d", EscapeContext::FieldKey), ("a__b___c:d".to_owned(), 1));
        assert_eq!(encoded("a\"b\\\"", EscapeContext::FieldKey), ("a_b/_".to_owned(), 1));
        assert_eq!(encoded("a\"b\\\"", EscapeContext::TagValue), ("a\"b/\"".to_owned(), 1));
        assert_eq!(encoded("a\"b\"", EscapeContext::Measurement), ("a\"b\"".to_owned(), 0));
        assert_eq!(encoded("a::b", EscapeContext::TagKey), ("a::b".to_owned(), 0));
    }

    #[test]
    fn texts_are_cut_in_whole_characters_before_anything_else() {
        let cut = |raw: &str, limit| {
            written(|out, changes| text(out, raw, EscapeContext::TagValue, limit, changes))
        };
        let truncated = Changes { truncated: 1, ..Changes::default() };
        assert_eq!(cut("abc", 3), ("abc".to_owned(), Changes::default()));
        assert_eq!(cut("abcd", 3), ("abc".to_owned(), truncated));
        assert_eq!(cut("ab😀", 5), ("ab".to_owned(), truncated));
        assert_eq!(cut(r"ab\c", 3), ("ab/".to_owned(), Changes { sanitized: 1, ..truncated }));
        assert_eq!(cut("a", 0), (String::new(), truncated));
    }

    #[test]
    fn strings_are_escaped() {
        let encoded = |raw: &str, limit| written(|out, changes| string(out, raw, limit, changes));
        let sanitized = Changes { sanitized: 1, ..Changes::default() };
        let truncated = Changes { truncated: 1, ..Changes::default() };
        assert_eq!(encoded("", 9), ("\"\"".to_owned(), Changes::default()));
        assert_eq!(encoded("a=b, c\t\0é", 99), ("\"a=b, c\t\0é\"".to_owned(), Changes::default()));
        assert_eq!(encoded(r#"a"b\"#, 9), (r#""a\"b\\""#.to_owned(), Changes::default()));
        assert_eq!(encoded("a\nb\r", 9), (r#""a\\nb\\r""#.to_owned(), sanitized));
        assert_eq!(encoded("a\nb", 2), ("\"a\"".to_owned(), truncated));
        assert_eq!(encoded("éé", 3), ("\"é\"".to_owned(), truncated));
    }

    #[test]
    fn invalid_utf8_is_replaced() {
        let encoded = |raw: &[u8]| written(|out, changes| string_of_bytes(out, raw, 9, changes));
        for text in ["a1-b2", "é,\"\\", "a\nb", "much too long"] {
            assert_eq!(encoded(text.as_bytes()), written(|out, changes| string(out, text, 9, changes)));
        }
        assert_eq!(encoded(b"a\xff\xc3").0, "\"a\u{fffd}\u{fffd}\"");
    }

    #[test]
    fn a_route_is_written_as_its_text() {
        for (method, resource) in [("GET", "/items/{id}"), ("", ""), ("OTHER", " \n"), ("GET", "/😀\\")] {
            for limit in 0..12 {
                let in_parts = written(|out, changes| route(out, method, resource, limit, changes));
                let whole = [method, ":", resource].concat();
                assert_eq!(
                    in_parts,
                    written(|out, changes| text(out, &whole, EscapeContext::TagValue, limit, changes))
                );
            }
        }
    }

    #[test]
    fn the_cost_of_a_text_is_linear_in_its_length() {
        let all = [
            EscapeContext::Measurement,
            EscapeContext::TagKey,
            EscapeContext::TagValue,
            EscapeContext::FieldKey,
        ];
        crate::work::assert_linear(&["#", "::", "\u{85}"], |raw| {
            for limit in [64, usize::MAX] {
                for context in all {
                    written(|out, changes| text(out, raw, context, limit, changes));
                }
                written(|out, changes| string_of_bytes(out, raw.as_bytes(), limit, changes));
                written(|out, changes| route(out, "GET", raw, limit, changes));
            }
        });
    }
}
