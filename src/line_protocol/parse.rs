//! Parses a line that this crate wrote into typed values.

use std::{iter, str};

use crate::{
    line_protocol::added::ADDED_NAMES,
    point::{DataPoint, Value},
    work::looked_at,
};

/// Parses one line in the form that this crate writes, with or without its line break. Returns
/// `None` for nearly anything else. Two backslashes in a name, and other forms of a float, are
/// accepted, too, although this crate does not write them.
pub(crate) fn parse(line: &[u8]) -> Option<DataPoint> {
    let mut rest = str::from_utf8(line.strip_suffix(b"\n").unwrap_or(line)).ok()?;
    let measurement = name(&mut rest, NameKind::Measurement)?;
    if measurement.raw.starts_with('#') {
        return None;
    }
    let mut point = DataPoint::new(measurement.text);
    let mut last = "";
    while let Some(after) = rest.strip_prefix(',') {
        rest = after;
        let key = name(&mut rest, NameKind::Other)?;
        rest = rest.strip_prefix('=')?;
        let value = name(&mut rest, NameKind::Other)?;
        if key.raw <= last {
            return None;
        }
        last = key.raw;
        point = point.with_tag(key.text, value.text);
    }
    rest = rest.strip_prefix(' ')?;
    last = "";
    let mut adds = false;
    loop {
        let key = name(&mut rest, NameKind::Other)?;
        rest = rest.strip_prefix('=')?;
        let value = value(&mut rest)?;
        if key.raw <= last {
            // Only once: the fields of the layer come after all others.
            if adds {
                return None;
            }
            adds = true;
        }
        let is_free = !adds || ADDED_NAMES.contains(&key.raw) && point.field(key.raw).is_none();
        if !is_free || point.tag(&key.text).is_some() {
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
enum NameKind {
    Measurement,
    Other,
}

struct ParsedName<'a> {
    raw: &'a str,
    text: String,
}

/// Parses a name or tag value: everything up to an unescaped comma or space, or, except in the
/// measurement, equals sign.
fn name<'a>(rest: &mut &'a str, place: NameKind) -> Option<ParsedName<'a>> {
    let ends = |byte| matches!(byte, b',' | b' ') || byte == b'=' && place == NameKind::Other;
    let bytes = rest.as_bytes();
    let (mut end, mut escaped, mut ascii) = (0, false, true);
    while let Some(&byte) = bytes.get(end) {
        match byte {
            b'\\' if bytes.get(end + 1).is_some_and(|next| ends(*next)) => {
                escaped = true;
                end += 1;
            }
            b'\0'..=b'\x1f' | b'\x7f' => return None,
            b'\x80'.. => ascii = false,
            _ if ends(byte) => break,
            _ => {}
        }
        end += 1;
    }
    looked_at(end);
    let (raw, after) = rest.split_at_checked(end)?;
    if raw.is_empty() || !ascii && raw.contains(char::is_control) {
        return None;
    }
    *rest = after;
    let text = if escaped { unescaped(raw, ends) } else { raw.to_owned() };
    Some(ParsedName { raw, text })
}

fn unescaped(raw: &str, ends: impl Fn(u8) -> bool) -> String {
    let mut characters = raw.chars().peekable();
    let next = || {
        let character = characters.next()?;
        let escaped = characters.next_if(|next| character == '\\' && u8::try_from(*next).is_ok_and(&ends));
        Some(escaped.unwrap_or(character))
    };
    iter::from_fn(next).collect()
}

fn value(rest: &mut &str) -> Option<Value<'static>> {
    if let Some(after) = rest.strip_prefix('"') {
        return string(after, rest);
    }
    let end = rest.find([',', ' ']);
    looked_at(end.unwrap_or(rest.len()));
    let end = end?;
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
    let mut text = text;
    loop {
        let end = text.find(['"', '\\', '\n', '\r']);
        looked_at(end.unwrap_or(text.len()));
        let (plain, after) = text.split_at(end?);
        value.push_str(plain);
        if let Some(after) = after.strip_prefix('"') {
            *rest = after;
            return Some(value.into());
        }
        let escaped = after.strip_prefix('\\')?.chars().next().filter(|next| matches!(next, '"' | '\\'))?;
        value.push(escaped);
        text = &after[2..];
    }
}

/// Parses only the digits that this crate writes: no plus sign, no leading zero.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_line_of_every_type_is_read() {
        let line = br#"a\ b=c,t2=\z,t\,1=x\=y f2=-1.5e-7,f3=0i,f4=-9223372036854775808i,f5=true,f6=7,f\ 1="q\"\\,= x" -5"#;
        let point = DataPoint::new("a b=c")
            .with_tag("t,1", "x=y")
            .with_tag("t2", r"\z")
            .with_field("f 1", r#"q"\,= x"#)
            .with_field("f2", -1.5e-7)
            .with_field("f3", 0)
            .with_field("f4", i64::MIN)
            .with_field("f5", true)
            .with_field("f6", 7.0)
            .with_time(-5);
        assert_eq!(parse(line), Some(point.clone()));
        assert_eq!(parse(&[&line[..], b"\n"].concat()), Some(point));
    }

    #[test]
    fn anything_else_is_refused() {
        for line in [
            "",
            "\n",
            " ",
            "a",
            "a b",
            "a b=1",
            "a b=1 ",
            "a b=1\n",
            " b=1 1",
            ",t=1 b=1 1",
            "#a b=1 1",
            "a b=1 1 ",
            "a b=1 1\n\n",
            "a  b=1 1",
            "a b=1  1",
            "a b=1,b=2 1",
            "a c=1,b=2 1",
            "a,t=1,t=2 b=1 1",
            "a,u=1,t=2 b=1 1",
            "a,t= b=1 1",
            "a,t b=1 1",
            "a,=1 b=1 1",
            "a,b=1 b=1 1",
            "a, b=1 1",
            "a b=1, 1",
            "a b= 1",
            "a =1 1",
            "a b=1u 1",
            "a b=1I 1",
            "a b=+1i 1",
            "a b=01i 1",
            "a b=-0i 1",
            "a b=i 1",
            "a b=9223372036854775808i 1",
            "a b=.5 1",
            "a b=5. 1",
            "a b=-.5 1",
            "a b=NaN 1",
            "a b=inf 1",
            "a b=1e999 1",
            "a b=1e 1",
            "a b=- 1",
            "a b=t 1",
            "a b=True 1",
            "a b=\" 1",
            "a b=\"x 1",
            "a b=\"x\"y 1",
            "a b=\"\\n\" 1",
            "a b=\"\\\" 1",
            "a b=\"x\ny\" 1",
            "a b=\"x\ry\" 1",
            "a\tc b=1 1",
            "a,t=\u{1} b=1 1",
            "a,t=\u{85} b=1 1",
            "a b=1 +1",
            "a b=1 1.0",
            "a b=1 1i",
            "a b=1 9223372036854775808",
            "a b=1 1\r\n",
            "a b=1 1\nc d=1 1",
            "a\\ b=1 1",
            "a,t=x\\ b=1 1",
        ] {
            assert_eq!(parse(line.as_bytes()), None, "{line:?}");
        }
        assert_eq!(parse(b"a b=\"\xff\" 1"), None);
    }

    proptest! {
        #[test]
        fn no_bytes_cause_a_panic(bytes: Vec<u8>) {
            parse(&bytes);
        }

        #[test]
        fn nothing_similar_to_a_line_causes_a_panic(line in "[ab\\\\,= \"#\n:._t1ie+-]{0,40}") {
            parse(line.as_bytes());
            parse(format!("a {line} 1").as_bytes());
            parse(format!("a b={line} 1").as_bytes());
        }
    }

    #[test]
    fn the_cost_of_a_line_is_linear_in_its_length() {
        let pieces = ["m,t=v ", ",t=v", " f=1i", ",f=\"x\"", "\\ ", "\\,", "\\=", " 1", "true", "1e9"];
        crate::work::assert_linear(&pieces, |line| {
            parse(line.as_bytes());
            parse(format!("m f=\"{line}\" 1").as_bytes());
            parse(format!("m,{line}=v f=1 1").as_bytes());
        });
    }

    /// Names in their order, since only these are read to the end.
    #[test]
    fn the_cost_of_many_tags_and_fields_is_linear_in_their_number() {
        for (tag, field) in [
            ("v", "1i"),
            (r"\,\ \=", r#""\\\"""#),
            ("\u{e9}\\", "\"a,b=c d\""),
            ("\"", "-1.5e-7"),
            (r"\\\,", "true"),
        ] {
            let cost = |count: u32| {
                let tags: String = (0..count).map(|number| format!(r",t{number:08}\,={tag}x")).collect();
                let fields: Vec<_> = (0..count).map(|number| format!(r"f{number:08}\ ={field}")).collect();
                let line = format!("m{tags} {} 1", fields.join(","));
                crate::work::of(|| assert!(parse(line.as_bytes()).is_some(), "{line}"))
            };
            assert!(cost(4_000) <= 4 * cost(1_000) + 1_000, "{tag} {field}");
        }
    }
}
