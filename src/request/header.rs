//! Lookup of one header.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Returns the first value of a header.
///
/// Comparing a few names is faster than hashing one, which takes about 140 instructions.
#[inline(always)]
pub(crate) fn find<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    // Most requests lack the header, and iterating over names alone is faster than over names and
    // values.
    if headers.len() <= FEW_HEADERS && headers.keys().all(|other| other != name) {
        return None;
    }
    value(headers, name)
}

/// Returns whether a header that is present occurs more than once.
#[inline]
pub(crate) fn is_repeated(headers: &HeaderMap, name: &HeaderName) -> bool {
    // Usually no header is repeated.
    headers.len() != headers.keys_len() && headers.get_all(name).iter().nth(1).is_some()
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
}
