//! The trace that a request belongs to, from the header of W3C Trace Context or from the application.

use std::{fmt, sync::Arc};

use http::{HeaderMap, Request, request::Parts};

use super::route::lend_parts;
use crate::stats::RecorderCounters;

/// Where the id of a request's trace comes from.
#[derive(Clone, Default)]
pub(crate) enum TraceIdSource {
    #[default]
    None,
    Header,
    Function(Arc<TraceIdFunction>),
}

type TraceIdFunction = dyn Fn(&Parts) -> Option<u128> + Send + Sync;

impl TraceIdSource {
    /// The id as the value of a field, 32 hexadecimal digits.
    pub(crate) fn of<B>(&self, request: &mut Request<B>, counters: &RecorderCounters) -> Option<String> {
        let id = match self {
            Self::None => return None,
            Self::Header => from_headers(request.headers()).unwrap_or_else(|| {
                counters.invalid_traces.add(1);
                None
            }),
            Self::Function(function) => lend_parts(request, |parts| function(parts)).filter(|id| *id != 0),
        };
        id.map(|id| format!("{id:032x}"))
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

/// The id of `traceparent`, `Some(None)` without that header, and `None` where it is not valid.
fn from_headers(headers: &HeaderMap) -> Option<Option<u128>> {
    let mut values = headers.get_all(TRACEPARENT).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Some(None),
        (Some(value), None) => parse(value.as_bytes()).map(Some),
        // Whoever added a second one, neither can be trusted.
        (Some(_), Some(_)) => None,
    }
}

/// The id of a trace: `version-trace-parent-flags`, in small hexadecimal digits. Later versions may add a dash and more.
fn parse(value: &[u8]) -> Option<u128> {
    let (known, rest) = value.split_at_checked(LENGTH)?;
    let [v1, v2, b'-', middle @ .., f1, f2] = known else { return None };
    let (trace, parent) = middle.split_at_checked(32)?;
    let [b'-', parent @ .., b'-'] = parent else { return None };
    let version = hexadecimal(&[*v1, *v2])?;
    hexadecimal(&[*f1, *f2])?;
    let fits = match version {
        0xff => false,
        0 => rest.is_empty(),
        _ => rest.first().is_none_or(|byte| *byte == b'-'),
    };
    let (trace, parent) = (hexadecimal(trace)?, hexadecimal(parent)?);
    (fits && trace != 0 && parent != 0).then_some(trace)
}

fn hexadecimal(digits: &[u8]) -> Option<u128> {
    digits.iter().try_fold(0_u128, |number, digit| {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            b'a'..=b'f' => digit - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(value))
    })
}

const TRACEPARENT: &str = "traceparent";
const LENGTH: usize = 55;

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn only_what_the_recommendation_allows_is_a_trace() {
        let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(parse(valid.as_bytes()), Some(0x4bf92f3577b34da6a3ce929d0e0e4736));
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
}
