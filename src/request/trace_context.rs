//! The trace that a request belongs to, from the header of W3C Trace Context or from the
//! application.

use std::{fmt, sync::Arc};

use http::{HeaderMap, HeaderName, HeaderValue, Request, request::Parts};

use super::route::lend_parts;
use crate::{point::TraceId, stats::RecorderCounters};

/// Where the id of a request's trace comes from.
#[derive(Clone, Default)]
pub(crate) enum TraceIdSource {
    #[default]
    None,
    Header,
    Function(Arc<TraceIdFunction>),
}

type TraceIdFunction = dyn Fn(&Parts) -> Option<u128> + Send + Sync;

/// The headers that tell a service which trace a request belongs to, as they came.
#[derive(Clone, Debug)]
pub(crate) struct TraceHeaders {
    parent: HeaderValue,
    /// Only where it came in one header.
    state: Option<HeaderValue>,
}

impl TraceIdSource {
    /// Returns the id of the request's trace, and the headers that it came in.
    pub(crate) fn of<B>(
        &self,
        request: &mut Request<B>,
        counters: &RecorderCounters,
    ) -> Option<(TraceId, Option<TraceHeaders>)> {
        match self {
            Self::None => None,
            Self::Header => match TraceHeaders::of(request.headers()) {
                Ok(found) => found.map(|(id, headers)| (id, Some(headers))),
                Err(Invalid) => {
                    counters.invalid_traces.add(1);
                    None
                }
            },
            Self::Function(function) => {
                let id = lend_parts(request, |parts| function(parts)).filter(|id| *id != 0);
                id.map(|id| (text_of(id), None))
            }
        }
    }
}

impl TraceHeaders {
    /// Returns a valid `traceparent` with its trace's id, and `None` without that header.
    fn of(headers: &HeaderMap) -> Result<Option<(TraceId, Self)>, Invalid> {
        let mut values = headers.get_all(TRACEPARENT).into_iter();
        let Some(parent) = values.next() else { return Ok(None) };
        // Whoever added a second one, neither can be trusted.
        if values.next().is_some() {
            return Err(Invalid);
        }
        let id = parse(parent.as_bytes()).ok_or(Invalid)?;
        let mut states = headers.get_all(TRACESTATE).into_iter();
        let state = states.next().filter(|_| states.next().is_none());
        Ok(Some((id, Self { parent: parent.clone(), state: state.cloned() })))
    }

    /// Adds these headers to a request, unless it has a `traceparent` of its own.
    pub(crate) fn pass_on(self, headers: &mut HeaderMap) {
        if headers.contains_key(TRACEPARENT) {
            return;
        }
        headers.insert(TRACEPARENT, self.parent);
        // One without its parent belongs to another trace.
        match self.state {
            Some(state) => headers.insert(TRACESTATE, state),
            None => headers.remove(TRACESTATE),
        };
    }
}

/// A `traceparent` that is not valid.
#[derive(Debug)]
struct Invalid;

impl fmt::Debug for TraceIdSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Header => "Header",
            Self::Function(_) => "Function",
        })
    }
}

/// Returns the id of a trace from `version-trace-parent-flags`, in small hexadecimal digits. Later
/// versions may add a dash and more.
fn parse(value: &[u8]) -> Option<TraceId> {
    let (known, rest) = value.split_first_chunk::<LENGTH>()?;
    let [v1, v2, b'-', middle @ .., b'-', f1, f2] = known else { return None };
    let (trace, parent) = middle.split_first_chunk::<32>()?;
    let [b'-', parent @ ..] = parent else { return None };
    let fits = match [*v1, *v2] {
        [b'f', b'f'] => false,
        [b'0', b'0'] => rest.is_empty(),
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let are_digits = is_hexadecimal(&[*v1, *v2, *f1, *f2]) & is_hexadecimal(trace) & is_hexadecimal(parent);
    let are_set = *trace != [b'0'; 32] && parent.iter().any(|digit| *digit != b'0');
    (fits && are_digits && are_set).then_some(*trace)
}

/// Returns whether all are hexadecimal digits, without a branch for each, so that many are compared
/// at once.
fn is_hexadecimal(digits: &[u8]) -> bool {
    digits.iter().fold(true, |all, digit| all & (digit.is_ascii_digit() | matches!(digit, b'a'..=b'f')))
}

fn text_of(id: u128) -> TraceId {
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id.to_be_bytes()) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

fn digit(value: u8) -> u8 {
    if value < 10 { b'0' + value } else { b'a' + value - 10 }
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const LENGTH: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_what_the_recommendation_allows_is_a_trace() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(parse(valid.as_bytes()).as_ref().map(|id| &id[..]), Some(TRACE.as_bytes()));
        assert_eq!(text_of(0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736), TRACE.as_bytes());
        for valid in
            [format!("cc-{TRACE}-00f067aa0ba902b7-01"), format!("cc-{TRACE}-00f067aa0ba902b7-01-more")]
        {
            assert!(parse(valid.as_bytes()).is_some(), "{valid}");
        }
        for invalid in [
            String::new(),
            "00".to_owned(),
            TRACE.to_owned(),
            format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            format!("00-{TRACE}-0000000000000000-01"),
            format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            format!("cc-{TRACE}-00f067aa0ba902b7-01.more"),
            format!("00-{TRACE}-00f067aa0ba902b7-0g"),
            format!("0g-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{}g-00f067aa0ba902b7-01", &TRACE[1..]),
            format!("00_{TRACE}_00f067aa0ba902b7_01"),
            format!("00-{TRACE}-00f067aa0ba902b7-"),
            format!(" 00-{TRACE}-00f067aa0ba902b7-01"),
            format!("00-{TRACE}00-f067aa0ba902b7-01"),
        ] {
            assert_eq!(parse(invalid.as_bytes()), None, "{invalid}");
        }
    }

    #[test]
    fn what_is_passed_on_is_what_came_and_never_replaces_a_trace() {
        let with = |pairs: &[(HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.clone(), value.parse().expect("a value")));
            pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
        };
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let of = |states: &[&str]| {
            let states = states.iter().map(|state| (TRACESTATE, *state));
            let pairs: Vec<_> = [(TRACEPARENT, parent.as_str())].into_iter().chain(states).collect();
            TraceHeaders::of(&with(&pairs)).expect("valid").expect("there").1
        };
        for (states, own, expected) in [
            (&[][..], &[][..], vec![(TRACEPARENT, parent.as_str())]),
            (&["a=1"], &[], vec![(TRACEPARENT, &parent), (TRACESTATE, "a=1")]),
            (&["a=1", "b=2"], &[], vec![(TRACEPARENT, &parent)]),
            (&[], &[(TRACESTATE, "of another")], vec![(TRACEPARENT, &parent)]),
            (&["a=1"], &[(TRACEPARENT, "its own")], vec![(TRACEPARENT, "its own")]),
        ] {
            let mut headers = with(own);
            of(states).pass_on(&mut headers);
            assert_eq!(headers, with(&expected), "{states:?} {own:?}");
        }
    }

    #[test]
    fn the_cost_of_a_header_is_linear_in_its_length() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        crate::work::assert_linear(&["00-", "a=1,", "cc-"], |text| {
            parse(text.as_bytes());
            parse(format!("cc{}-{text}", &parent[2..]).as_bytes());
            let Ok(value) = HeaderValue::from_bytes(text.as_bytes()) else { return };
            let parent = HeaderValue::from_str(&parent).expect("a value");
            let headers: HeaderMap = [(TRACEPARENT, parent), (TRACESTATE, value)].into_iter().collect();
            // They are passed on as they came, without a copy of what they hold.
            let held = allocation_counter::measure(|| drop(TraceHeaders::of(&headers)));
            assert!(held.bytes_total <= 128, "{held:?}");
        });
    }
}
