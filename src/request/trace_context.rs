//! The trace of a request, from the header of W3C Trace Context or from the application.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use http::{HeaderMap, HeaderName, HeaderValue};

use super::{
    catch_panic::catch_panic,
    head::RequestHead,
    header::{self, TRACEPARENT},
};
use crate::{point::TraceId, stats::RecorderCounters};

/// The source of a request's trace id.
#[derive(Clone, Default)]
pub(crate) enum TraceIdSource {
    #[default]
    None,
    Header,
    Function(Arc<TraceIdFunction>),
}

type TraceIdFunction = dyn Fn(&RequestHead<'_>) -> Option<u128> + Send + Sync;

/// The trace headers of a request, as they were received.
#[derive(Clone, Debug)]
pub(crate) struct TraceHeaders {
    parent: HeaderValue,
    /// Only if it came in one header.
    state: Option<HeaderValue>,
}

impl TraceIdSource {
    /// Returns whether the trace comes from a function of the application.
    #[inline]
    pub(crate) fn is_function(&self) -> bool {
        matches!(self, Self::Function(_))
    }

    /// Returns whether the trace comes from the header.
    #[inline]
    pub(crate) fn is_header(&self) -> bool {
        matches!(self, Self::Header)
    }

    /// Calls the function for the trace id.
    pub(crate) fn call(&self, request: &RequestHead<'_>, counters: &RecorderCounters) -> Option<TraceId> {
        let Self::Function(function) = self else { return None };
        catch_panic(counters, || function(request)).flatten().filter(|id| *id != 0).map(text_of)
    }
}

/// Makes layers keep trace headers from now on, since a client passes them on.
pub(crate) fn keep_headers() {
    PASSED_ON.store(true, Ordering::Relaxed);
}

/// Reads the trace id of a `traceparent`. Returns `None` if it is invalid, or if the request has
/// two.
#[inline(always)]
pub(crate) fn read<'h>(parent: &'h HeaderValue, headers: &HeaderMap) -> Option<&'h TraceId> {
    // With two of these headers, neither can be trusted.
    parse(parent.as_bytes()).filter(|_| !header::is_repeated(headers, &TRACEPARENT))
}

/// Returns whether a client of this process passes traces on.
#[inline]
pub(crate) fn is_passed_on() -> bool {
    PASSED_ON.load(Ordering::Relaxed)
}

impl TraceHeaders {
    #[inline(never)]
    pub(crate) fn of(parent: &HeaderValue, headers: &HeaderMap) -> Self {
        // Several would have to be joined.
        let state = headers.get(&TRACESTATE).filter(|_| !header::is_repeated(headers, &TRACESTATE));
        Self { parent: parent.clone(), state: state.cloned() }
    }

    /// Adds these headers to a request, unless it has a `traceparent` of its own.
    pub(crate) fn pass_on(self, headers: &mut HeaderMap) {
        if headers.contains_key(&TRACEPARENT) {
            return;
        }
        headers.insert(&TRACEPARENT, self.parent);
        // A `tracestate` without its parent belongs to another trace.
        match self.state {
            Some(state) => headers.insert(&TRACESTATE, state),
            None => headers.remove(&TRACESTATE),
        };
    }
}

impl fmt::Debug for TraceIdSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "None",
            Self::Header => "Header",
            Self::Function(_) => "Function",
        })
    }
}

/// Returns the trace id of `version-trace-parent-flags`, in lower-case hexadecimal digits. Later
/// versions may add a dash and more.
fn parse(value: &[u8]) -> Option<&TraceId> {
    let (known, rest) = value.split_first_chunk::<LENGTH>()?;
    let [v1, v2, b'-', middle @ .., b'-', f1, f2] = known else { return None };
    let (trace, parent) = middle.split_first_chunk::<32>()?;
    let (b"-", parent) = parent.split_first_chunk::<1>()? else { return None };
    let parent: &[u8; 16] = parent.try_into().ok()?;
    let fits = match [*v1, *v2] {
        [b'f', b'f'] => false,
        [b'0', b'0'] => rest.is_empty(),
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    // All digits are in one array, whose length suits vector instructions.
    let mut digits = [b'0'; 64];
    digits[..4].copy_from_slice(&[*v1, *v2, *f1, *f2]);
    digits[16..32].copy_from_slice(parent);
    digits[32..].copy_from_slice(trace);
    let are_digits = are_hexadecimal(&digits);
    let are_set = is_set(trace) & is_set(parent);
    (fits & are_digits & are_set).then_some(trace)
}

/// Returns whether not all are zero.
fn is_set<const N: usize>(digits: &[u8; N]) -> bool {
    digits.iter().fold(0, |others, digit| others | (digit ^ b'0')) != 0
}

/// Returns whether all are hexadecimal digits. It has no branches, so that many digits are compared
/// at once.
fn are_hexadecimal(digits: &[u8; 64]) -> bool {
    let is_other = |digit: u8| (digit.wrapping_sub(b'0') >= 10) & (digit.wrapping_sub(b'a') >= 6);
    digits.iter().fold(0, |others, digit| others | u8::from(is_other(*digit))) == 0
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

static TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
/// Whether a client of this process passes traces on. Keeping the headers without need would cost
/// each request up to four atomic counters that all cores write to.
static PASSED_ON: AtomicBool = AtomicBool::new(false);
const LENGTH: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_a_valid_traceparent_of_the_recommendation_is_read() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(parse(valid.as_bytes()).map(|id| &id[..]), Some(TRACE.as_bytes()));
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
    fn headers_are_passed_on_unchanged_and_never_replace_a_trace() {
        let with = |pairs: &[(&HeaderName, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| ((*name).clone(), value.parse().expect("a value")));
            pairs.fold(HeaderMap::new(), |mut map, (name, value)| {
                map.append(name, value);
                map
            })
        };
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let of = |states: &[&str]| {
            let states = states.iter().map(|state| (&TRACESTATE, *state));
            let pairs: Vec<_> = [(&TRACEPARENT, parent.as_str())].into_iter().chain(states).collect();
            let headers = with(&pairs);
            let parent = &headers[&TRACEPARENT];
            assert!(read(parent, &headers).is_some());
            TraceHeaders::of(parent, &headers)
        };
        for (states, own, expected) in [
            (&[][..], &[][..], vec![(&TRACEPARENT, parent.as_str())]),
            (&["a=1"], &[], vec![(&TRACEPARENT, &parent), (&TRACESTATE, "a=1")]),
            (&["a=1", "b=2"], &[], vec![(&TRACEPARENT, &parent)]),
            (&[], &[(&TRACESTATE, "of another")], vec![(&TRACEPARENT, &parent)]),
            (&["a=1"], &[(&TRACEPARENT, "its own")], vec![(&TRACEPARENT, "its own")]),
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
            let headers = [(TRACEPARENT.clone(), parent), (TRACESTATE.clone(), value)];
            let headers: HeaderMap = headers.into_iter().collect();
            // They are passed on as received, without a copy of their content.
            let held = allocation_counter::measure(|| {
                let parent = headers.get(&TRACEPARENT).expect("there");
                assert!(read(parent, &headers).is_some());
                drop(TraceHeaders::of(parent, &headers));
            });
            assert!(held.bytes_total <= 128, "{held:?}");
        });
    }
}
