//! Lookups of headers.

use http::{HeaderMap, HeaderName, HeaderValue, header::CONTENT_LENGTH};

/// The header of W3C Trace Context.
pub(crate) static TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// Returns the first value of a header.
///
/// Comparing a few names is faster than hashing one, which takes about 200 instructions.
#[inline(always)]
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    // Most requests lack the header, and iterating over names alone is faster than over names and
    // values.
    if headers.len() <= FEW_HEADERS && headers.keys().all(|other| other != name) {
        return None;
    }
    value(headers, name)
}

/// Returns whether a message may have this header or `content-length`.
#[inline(always)]
pub(crate) fn may_have_length_or(headers: &HeaderMap, id: &HeaderName) -> bool {
    headers.len() > FEW_HEADERS || headers.keys().any(|name| name == id || *name == CONTENT_LENGTH)
}

/// The first values of the headers that a layer reads.
#[derive(Debug, Default)]
pub(crate) struct FoundHeaders<'h> {
    pub(crate) id: Option<&'h HeaderValue>,
    pub(crate) length: Option<&'h HeaderValue>,
    pub(crate) trace: Option<&'h HeaderValue>,
}

/// Finds in one pass the header with the id and, if demanded, `content-length` and `traceparent`.
#[inline(always)]
pub(crate) fn find_all<'h, const LENGTH: bool, const TRACE: bool>(
    headers: &'h HeaderMap,
    id: &HeaderName,
) -> FoundHeaders<'h> {
    let is_length = |name: &HeaderName| LENGTH && *name == CONTENT_LENGTH;
    let is_trace = |name: &HeaderName| TRACE && *name == TRACEPARENT;
    if headers.len() > FEW_HEADERS {
        return FoundHeaders {
            id: headers.get(id),
            length: LENGTH.then(|| headers.get(CONTENT_LENGTH)).flatten(),
            trace: TRACE.then(|| headers.get(&TRACEPARENT)).flatten(),
        };
    }
    let mut found = FoundHeaders::default();
    for (name, value) in headers {
        if is_trace(name) {
            found.trace.get_or_insert(value);
        } else if is_length(name) {
            found.length.get_or_insert(value);
        }
        if name == id {
            found.id.get_or_insert(value);
        }
    }
    found
}

/// Returns whether a header that is present occurs more than once.
#[inline(always)]
pub(crate) fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    // Usually no header is repeated.
    headers.len() != headers.keys_len() && has_two(headers, name)
}

#[cold]
#[inline(never)]
fn has_two(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get_all(name).iter().nth(1).is_some()
}

/// Returns the first value of a header that most requests have.
#[inline(never)]
pub(crate) fn value<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    if headers.len() > FEW_HEADERS {
        return headers.get(name);
    }
    headers.iter().find_map(|(other, value)| (other == name).then_some(value))
}

const FEW_HEADERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_found_among_few_and_many() {
        let name = HeaderName::from_static("x-request-id");
        for others in [0, 1, FEW_HEADERS - 1, FEW_HEADERS, 3 * FEW_HEADERS] {
            let mut headers = HeaderMap::new();
            for number in 0..others {
                let other: HeaderName = format!("x-request-id-{number}").parse().expect("a header name");
                headers.insert(other, HeaderValue::from_static("other"));
            }
            assert_eq!(find(&headers, &name), None);
            headers.append(&name, HeaderValue::from_static("first"));
            assert!(!is_repeated(&headers, &name));
            headers.append(&name, HeaderValue::from_static("second"));
            assert!(is_repeated(&headers, &name));
            assert_eq!(find(&headers, &name).expect("an id"), "first");
        }
    }

    /// Each header is found as a lookup finds it: alone, beside the others, repeated, and if the id
    /// is read from one of the other two.
    #[test]
    fn one_pass_finds_what_lookups_find() {
        let own = HeaderName::from_static("x-request-id");
        let names = [&own, &CONTENT_LENGTH, &TRACEPARENT];
        for id in names {
            for (present, others) in
                (0..3_usize.pow(3)).flat_map(|present| [(present, 0), (present, FEW_HEADERS)])
            {
                let mut headers = HeaderMap::new();
                for number in 0..others {
                    let other: HeaderName = format!("x-other-{number}").parse().expect("a header name");
                    headers.insert(other, HeaderValue::from_static("other"));
                }
                for (place, name) in names.into_iter().enumerate() {
                    for number in 0..present / 3_usize.pow(place as u32) % 3 {
                        headers.append(name, HeaderValue::from(place * 10 + number));
                    }
                }
                let all = find_all::<true, true>(&headers, id);
                let expected = [headers.get(id), headers.get(CONTENT_LENGTH), headers.get(&TRACEPARENT)];
                assert_eq!([all.id, all.length, all.trace], expected, "{id} {headers:?}");
                let sizes = find_all::<true, false>(&headers, id);
                assert_eq!([sizes.id, sizes.length, sizes.trace], [expected[0], expected[1], None]);
                let traces = find_all::<false, true>(&headers, id);
                assert_eq!([traces.id, traces.length, traces.trace], [expected[0], None, expected[2]]);
                let any = expected[0].is_some() || expected[1].is_some();
                assert!(may_have_length_or(&headers, id) || !any, "{id} {headers:?}");
                assert!(others > 0 || may_have_length_or(&headers, id) == any, "{id} {headers:?}");
            }
        }
    }
}
