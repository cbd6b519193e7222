//! Reads the body of an answer in every format that servers use, complete or cut.

use super::scan::{end_of_digits, find, looked_at, split_once};

/// The text of an answer, without its format.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct ServerText {
    /// The server's words: the messages of a JSON body, one a line; the title of an HTML page;
    /// otherwise the body itself.
    pub(super) text: String,
    /// The lines that the answer names by number, counted from 0.
    pub(super) lines: Vec<usize>,
    /// Whether the body is an HTML page, which no InfluxDB sends.
    pub(super) page: bool,
}

impl ServerText {
    /// Reads a body. Never fails: an unknown format is read as plain text.
    pub(super) fn read(body: &str) -> Self {
        let body = body.trim();
        if body.starts_with('{') {
            Self::from_json(body)
        } else if body.starts_with('<') {
            Self { text: title(body).to_owned(), lines: Vec::new(), page: true }
        } else {
            // VictoriaMetrics begins with `remoteAddr: "…"; requestURI: …; `, which is not part of
            // its message.
            let text = if body.starts_with("remoteAddr: ") { body.splitn(3, "; ").last() } else { None };
            Self { text: text.unwrap_or(body).to_owned(), lines: Vec::new(), page: false }
        }
    }

    /// Reads the messages of a JSON body. InfluxDB 1.x uses `error`, 2.x `message`. 3.x uses
    /// `error`, and for each line `error_message` and `line_number`; its cloud uses `message` and
    /// `line`. They are read at any depth, so that a body that is cut in the middle still yields
    /// what came before.
    fn from_json(body: &str) -> Self {
        let mut messages: Vec<String> = Vec::new();
        let mut lines = Vec::new();
        for (key, value) in members(body) {
            match (key.as_str(), value) {
                ("error" | "message" | "error_message", JsonValue::Text(text))
                    if !text.is_empty() && messages.len() < MAX_MESSAGES && !messages.contains(&text) =>
                {
                    looked_at(text.len() * messages.len());
                    messages.push(text);
                }
                ("line_number" | "line", JsonValue::Number(number)) => {
                    // Servers count from 1. `original_line` stands beside the number, but 3.x
                    // renders the line anew, without the quotes of strings, so it matches none of
                    // our lines.
                    lines.extend(number.checked_sub(1));
                }
                _ => {}
            }
        }
        Self { text: messages.join("\n"), lines, page: false }
    }
}

enum JsonValue {
    Text(String),
    Number(usize),
}

/// Returns the members of all objects in a JSON text whose values are strings or whole numbers, in
/// order. A cut text yields the members before the cut.
///
/// A strict parser would return nothing for a cut body. A refused line would then look like any
/// other error.
fn members(json: &str) -> impl Iterator<Item = (String, JsonValue)> + '_ {
    let mut rest = json;
    std::iter::from_fn(move || {
        loop {
            rest = &rest[find(rest, "\"")? + 1..];
            let (key, after) = string(rest);
            rest = after.trim_start();
            let Some(after) = rest.strip_prefix(':') else { continue };
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix('"') {
                let (text, after) = string(after);
                rest = after;
                return Some((key, JsonValue::Text(text)));
            }
            let end = end_of_digits(rest);
            if let Ok(number) = rest[..end].parse() {
                rest = &rest[end..];
                return Some((key, JsonValue::Number(number)));
            }
        }
    })
}

/// Reads a JSON string after its opening quote. Returns the string and the text after its closing
/// quote.
fn string(json: &str) -> (String, &str) {
    let mut text = String::new();
    let mut characters = json.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some('n') => text.push('\n'),
                Some('t') => text.push('\t'),
                Some('r') => text.push('\r'),
                Some('b') => text.push('\u{8}'),
                Some('f') => text.push('\u{c}'),
                Some('u') => text.push(escaped(&mut characters)),
                Some(other) => text.push(other),
                None => break,
            },
            other => text.push(other),
        }
    }
    looked_at(json.len() - characters.as_str().len());
    (text, characters.as_str())
}

/// Returns the character of `\u` and four digits, or of two such escapes that form a surrogate
/// pair.
fn escaped(characters: &mut std::str::Chars<'_>) -> char {
    let first = four_digits(characters);
    if !(0xd800..0xdc00).contains(&first) {
        return char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER);
    }
    let mut ahead = characters.clone();
    if (ahead.next(), ahead.next()) != (Some('\\'), Some('u')) {
        return char::REPLACEMENT_CHARACTER;
    }
    let second = four_digits(&mut ahead);
    if !(0xdc00..0xe000).contains(&second) {
        return char::REPLACEMENT_CHARACTER;
    }
    *characters = ahead;
    let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
    char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn four_digits(characters: &mut std::str::Chars<'_>) -> u32 {
    let text = characters.as_str();
    let digits = text.get(..4).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
    let Some(number) = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok()) else { return 0xfffd };
    *characters = text[4..].chars();
    number
}

/// Returns the title of an HTML page, such as `413 Request Entity Too Large`.
fn title(page: &str) -> &str {
    let Some((_, title)) = split_once(page, "<title>") else { return "" };
    title[..find(title, "<").unwrap_or(title.len())].trim()
}

/// Messages kept of one answer: 2.x and 3.x may send one for each line.
const MAX_MESSAGES: usize = 100;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(body: &str) -> (String, Vec<usize>) {
        let answer = ServerText::read(body);
        (answer.text, answer.lines)
    }

    #[test]
    fn the_answer_of_each_server_is_read() {
        let v1 = r#"{"error":"database not found: \"nope\""}"#;
        assert_eq!(read(v1), ("database not found: \"nope\"".to_owned(), vec![]));
        let v2 = r#"{"code":"not found","message":"bucket \"x\" not found"}"#;
        assert_eq!(read(v2), ("bucket \"x\" not found".to_owned(), vec![]));
        let v3 = r#"{"error":"partial write of line protocol occurred","data":[
            {"error_message":"No fields were provided","line_number":2,"original_line":"m error=1"},
            {"error_message":"No fields were provided","line_number":7,"original_line":"m"}]}"#;
        let expected = "partial write of line protocol occurred\nNo fields were provided";
        assert_eq!(read(v3), (expected.to_owned(), vec![1, 6]));
        assert_eq!(read("404 page not found\n"), ("404 page not found".to_owned(), vec![]));
        let nginx =
            "<html>\r\n<head><title>413 Request Entity Too Large</title></head>\r\n<body></body></html>";
        assert_eq!(read(nginx).0, "413 Request Entity Too Large");
        let victoria = "remoteAddr: \"127.0.0.1:5\"; requestURI: /foo/write; unsupported path requested: \"/foo/write\"\n";
        assert_eq!(read(victoria).0, "unsupported path requested: \"/foo/write\"");
        assert!(ServerText::read(nginx).page && !ServerText::read(v1).page);
    }

    #[test]
    fn messages_are_kept_once_each_and_a_hundred_of_them() {
        let list = |messages: &[String]| {
            let members: Vec<_> = messages.iter().map(|text| format!("{{\"message\":\"{text}\"}}")).collect();
            format!("{{\"errors\":[{}]}}", members.join(","))
        };
        let messages = ["a", "", "b", "a"].map(str::to_owned);
        assert_eq!(read(&list(&messages)).0, "a\nb");
        let messages: Vec<_> = (0..101).map(|number| number.to_string()).collect();
        assert_eq!(read(&list(&messages)).0, messages[..100].join("\n"));
    }

    #[test]
    fn a_cut_body_yields_what_came_before_the_cut() {
        let whole = r#"{"code":"invalid","message":"unable to parse 'm,t= v=1': missing tag value"}"#;
        for end in 28..whole.len() {
            assert!(whole.contains(&read(&whole[..end]).0), "cut at {end}");
        }
        assert_eq!(read(&whole[..50]).0, "unable to parse 'm,t=");
    }

    #[test]
    fn a_quoted_line_cannot_pass_for_a_member() {
        let body = r#"{"error":"unable to parse 'm,t=\",\"line_number\":9,\"error\":\"x': no"}"#;
        assert_eq!(
            read(body),
            (r#"unable to parse 'm,t=","line_number":9,"error":"x': no"#.to_owned(), vec![])
        );
    }

    proptest! {
        #[test]
        fn any_string_is_read_as_a_parser_would(message: String) {
            let body = serde_json::json!({ "error": message }).to_string();
            prop_assert_eq!(read(&body).0, message);
        }

        #[test]
        fn no_body_causes_a_panic(body in r#"[{\["\\:a-z0-9u,\}\]é<]{0,60}"#) {
            ServerText::read(&body);
        }
    }

    #[test]
    fn escapes_beyond_ascii_are_read() {
        assert_eq!(read(r#"{"error":"\u00e9 \ud83d\ude00 \ud83d \u12"}"#).0, "é 😀 \u{fffd} \u{fffd}12");
    }
}
