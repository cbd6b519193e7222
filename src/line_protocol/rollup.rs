//! The tags of rollup lines.

use std::borrow::Cow;

use crate::{
    line_protocol::{
        Changes, Extras, NAME_BYTES, STANDARD_BYTES, StaticTags,
        escape::{self, EscapeContext},
    },
    point::{
        number_format,
        schema::{ERROR_CODE, ROUTE, STATUS_CODE},
    },
};

/// The tags that distinguish rollup lines.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RollupTags<'a> {
    pub(crate) method: &'static str,
    pub(crate) resource: &'a str,
    pub(crate) status: Option<u16>,
    /// Empty if nothing failed.
    pub(crate) error_code: &'a str,
    /// In the encoded form of a request's extras: `,key=value` each.
    pub(crate) extra: &'a [u8],
}

/// Names of extra tags, encoded and sorted.
#[derive(Debug)]
pub(crate) struct RollupTagNames(Box<[Box<[u8]>]>);

impl RollupTagNames {
    pub(crate) fn new(names: &[String]) -> Self {
        let mut encoded: Vec<_> = names.iter().map(|name| encoded_name(name)).collect();
        encoded.sort();
        Self(encoded.into())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends those tags of a request that have one of these names, in encoded form.
    pub(crate) fn select(&self, extras: &Extras, out: &mut Vec<u8>) {
        for tag in extras.entries.tags() {
            let is_of = |name: &[u8]| tag.strip_prefix(name).is_some_and(|rest| rest.first() == Some(&b'='));
            if self.0.iter().any(|name| is_of(name)) {
                out.push(b',');
                out.extend_from_slice(tag);
            }
        }
    }
}

fn encoded_name(name: &str) -> Box<[u8]> {
    let mut encoded = Vec::new();
    escape::text(&mut encoded, name, EscapeContext::TagKey, NAME_BYTES, &mut Changes::default());
    encoded.into()
}

/// Returns the value of a standard tag as the database stores it. Values that a line cannot
/// distinguish must be one key: of two lines with the same tags and time, only one is kept.
#[inline(always)]
pub(crate) fn stored_value(text: &str) -> Cow<'_, str> {
    if text.is_empty() || escape::is_plain_tag(text.as_bytes(), STANDARD_BYTES) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(rewritten_value(text))
}

#[cold]
#[inline(never)]
fn rewritten_value(text: &str) -> String {
    let mut encoded = Vec::new();
    escape::text(&mut encoded, text, EscapeContext::TagValue, STANDARD_BYTES, &mut Changes::default());
    unescaped(&encoded)
}

/// Returns the resource of a route as the database stores it after the method and a colon.
pub(crate) fn stored_resource<'a>(method: &'static str, resource: &'a str) -> Cow<'a, str> {
    if method.len() + resource.len() < STANDARD_BYTES
        && escape::is_plain(resource.as_bytes(), EscapeContext::TagValue)
    {
        return Cow::Borrowed(resource);
    }
    let mut encoded = Vec::new();
    escape::route(&mut encoded, method, resource, STANDARD_BYTES, &mut Changes::default());
    Cow::Owned(unescaped(&encoded[method.len() + 1..]))
}

/// Removes the escapes. The encoder writes a backslash before these characters only as an escape.
fn unescaped(encoded: &[u8]) -> String {
    let is_escape =
        |at: usize| encoded[at] == b'\\' && matches!(encoded.get(at + 1), Some(b',' | b' ' | b'='));
    let kept = (0..encoded.len()).filter(|at| !is_escape(*at)).map(|at| encoded[at]);
    String::from_utf8_lossy(&kept.collect::<Vec<_>>()).into_owned()
}

/// Appends the measurement and the sorted tags.
pub(crate) fn rollup_head(
    out: &mut Vec<u8>,
    measurement: &str,
    static_tags: &StaticTags,
    tags: &RollupTags<'_>,
) {
    let mut own = Vec::new();
    let mut changes = Changes::default();
    let mut tag = |key: &str, value: &mut dyn FnMut(&mut Vec<u8>, &mut Changes)| {
        let mut text = [",", key, "="].concat().into_bytes();
        value(&mut text, &mut changes);
        own.push((key.as_bytes().to_vec(), text));
    };
    if !tags.error_code.is_empty() {
        tag(ERROR_CODE, &mut |out, changes| {
            escape::text(out, tags.error_code, EscapeContext::TagValue, STANDARD_BYTES, changes);
        });
    }
    tag(ROUTE, &mut |out, changes| {
        escape::route(out, tags.method, tags.resource, STANDARD_BYTES, changes);
    });
    if let Some(status) = tags.status {
        tag(STATUS_CODE, &mut |out, _| number_format::status_code(out, status));
    }
    own.extend(static_tags.iter().map(|tag| (tag.key().to_vec(), tag.text().to_vec())));
    own.extend(split(tags.extra).map(|tag| (key(tag).to_vec(), tag.to_vec())));
    own.sort();
    out.extend_from_slice(measurement.as_bytes());
    own.iter().for_each(|(_, text)| out.extend_from_slice(text));
}

/// Appends a space, the timestamp and the end of the line.
pub(crate) fn rollup_end(out: &mut Vec<u8>, stamp: i64) {
    super::stamp(out, stamp);
}

/// Splits encoded tags. A backslash before a comma is always an escape.
fn split(tags: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ends = tags.iter().enumerate().skip(1);
    let ends = ends.filter(|(at, byte)| **byte == b',' && tags[at - 1] != b'\\').map(|(at, _)| at);
    let mut start = 0;
    ends.chain([tags.len()]).filter_map(move |end| {
        let tag = tags.get(start..end)?;
        start = end;
        (!tag.is_empty()).then_some(tag)
    })
}

/// Returns the key of `,key=value`.
fn key(tag: &[u8]) -> &[u8] {
    let unescaped = |at: &usize| tag[*at] == b'=' && tag[at - 1] != b'\\';
    let end = (1..tag.len()).find(unescaped).unwrap_or(tag.len());
    tag.get(1..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn a_stored_value_is_encoded_as_the_value_itself() {
        let encoded = |text: &str| {
            let mut out = Vec::new();
            escape::text(&mut out, text, EscapeContext::TagValue, STANDARD_BYTES, &mut Changes::default());
            out
        };
        let long = ["x".repeat(1_025), "\u{e9}".repeat(513), "a,".repeat(600), "\\ ".repeat(600)];
        let parts = ["a", "\\", ",", "=", " ", "\n", "\u{e9}", "\"", "\u{7f}"];
        let pairs = parts.iter().flat_map(|one| parts.map(|other| [one, other].concat()));
        let triples = pairs.clone().flat_map(|pair| parts.map(|last| [&*pair, last].concat()));
        for text in pairs.chain(triples).chain(long).chain([String::new()]) {
            let stored = stored_value(&text);
            assert_eq!(encoded(&stored), encoded(&text), "{text:?}");
            assert_eq!(stored_value(&stored), stored, "{text:?}");
        }
        assert_eq!(stored_value("a\n, =\\b\\"), "a_, =\\b/");
    }

    #[test]
    fn tags_are_sorted_whatever_their_names() {
        let further = BTreeMap::from([("status".into(), "x".into()), ("aa".into(), "y".into())]);
        let static_tags = StaticTags::new("shop", None, &further);
        let tags = RollupTags {
            method: "GET",
            resource: "/a,b",
            status: Some(500),
            error_code: "1 2",
            extra: b",a\\,\\=z=1\\,2,tenant=b\\=c",
        };
        let mut line = Vec::new();
        rollup_head(&mut line, "m", &static_tags, &tags);
        let expected = "m,a\\,\\=z=1\\,2,aa=y,error_code=1\\ 2,route=GET:/a\\,b,service=shop,status=x,status_code=500,tenant=b\\=c";
        assert_eq!(String::from_utf8(line).expect("text"), expected);
    }
}
