//! The way back: a line that this crate wrote, as typed values.

use std::str;

use crate::{DataPoint, Value};

/// Reads one line in the form in which this crate writes it, with or without its line break. `None` for anything else.
pub(crate) fn parse(line: &[u8]) -> Option<DataPoint> {
    let mut rest = str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).ok()?;
    let series = name(&mut rest, Place::Series)?;
    if series.raw.starts_with('#') {
        return None;
    }
    let mut point = DataPoint::new(series.text);
    let mut last = "";
    while let Some(after) = rest.strip_prefix(',') {
        rest = after;
        let key = name(&mut rest, Place::Other)?;
        rest = rest.strip_prefix('=')?;
        let value = name(&mut rest, Place::Other)?;
        if key.raw <= last {
            return None;
        }
        last = key.raw;
        point = point.with_tag(key.text, value.text);
    }
    rest = rest.strip_prefix(' ')?;
    last = "";
    loop {
        let key = name(&mut rest, Place::Other)?;
        rest = rest.strip_prefix('=')?;
        let value = value(&mut rest)?;
        if key.raw <= last || point.tag(&key.text).is_some() {
            return None;
        }
        last = key.raw;
        point = point.with_field(key.text, value);
        match rest.strip_prefix(',') {
            Some(after) => rest = after,
            None => break,
        }
    }
    Some(point.with_time(integer(rest.strip_prefix(' ')?)?))
}

#[derive(Clone, Copy, PartialEq)]
enum Place {
    Series,
    Other,
}

struct Name<'a> {
    raw: &'a str,
    text: String,
}

/// A name or tag value: all up to an unescaped comma or space, or, but for the series, equals sign.
fn name<'a>(rest: &mut &'a str, place: Place) -> Option<Name<'a>> {
    let escapable = |byte| matches!(byte, b',' | b' ') || byte == b'=' && place == Place::Other;
    let bytes = rest.as_bytes();
    let mut escapes = 0;
    let mut end = 0;
    while let Some(&byte) = bytes.get(end) {
        if escapable(byte) {
            break;
        }
        if byte == b'\\' && bytes.get(end + 1).is_some_and(|next| escapable(*next)) {
            escapes += 1;
            end += 1;
        }
        end += 1;
    }
    let raw = rest.get(..end)?;
    if raw.is_empty() || raw.chars().any(char::is_control) {
        return None;
    }
    *rest = &rest[end..];
    let mut text = String::with_capacity(raw.len() - escapes);
    let mut characters = raw.chars().peekable();
    while let Some(character) = characters.next() {
        let escaped =
            characters.next_if(|next| character == '\\' && u8::try_from(*next).is_ok_and(escapable));
        text.push(escaped.unwrap_or(character));
    }
    Some(Name { raw, text })
}

fn value(rest: &mut &str) -> Option<Value<'static>> {
    if let Some(after) = rest.strip_prefix('"') {
        return string(after, rest);
    }
    let end = rest.find([',', ' '])?;
    let (token, after) = rest.split_at(end);
    *rest = after;
    match token {
        "true" => Some(Value::Boolean(true)),
        "false" => Some(Value::Boolean(false)),
        _ => match token.strip_suffix('i') {
            Some(digits) => integer(digits).map(Value::Integer),
            None => float(token).map(Value::Float),
        },
    }
}

fn string<'a>(text: &'a str, rest: &mut &'a str) -> Option<Value<'static>> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => {
                *rest = &text[at + 1..];
                return Some(value.into());
            }
            '\\' => value.push(characters.next().filter(|(_, next)| matches!(next, '"' | '\\'))?.1),
            '\n' | '\r' => return None,
            _ => value.push(character),
        }
    }
    None
}

/// Only the digits that we write: no plus sign, no leading zero.
fn integer(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical = digits == "0" && text == digits
        || digits.starts_with(|first: char| matches!(first, '1'..='9'))
            && digits.bytes().all(|byte| byte.is_ascii_digit());
    if canonical { text.parse().ok() } else { None }
}

fn float(text: &str) -> Option<f64> {
    let digit = |character: Option<char>| character.is_some_and(|character| character.is_ascii_digit());
    let plausible = digit(text.strip_prefix('-').unwrap_or(text).chars().next())
        && digit(text.chars().last())
        && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'.' | b'-' | b'+' | b'e'));
    text.parse().ok().filter(|number: &f64| plausible && number.is_finite())
}
