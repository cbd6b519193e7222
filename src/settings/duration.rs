//! Durations: a number of seconds, or a number with its unit.

use std::{fmt, time::Duration};

use super::{node::Node, section::Given, value::digits};
use crate::error::Error;

/// Reads seconds as a whole number or a float, or text with or without a unit.
pub(super) fn duration(given: Given) -> Result<Duration, Error> {
    match &given.node {
        Node::Integer(seconds) => u64::try_from(*seconds).ok().map(Duration::from_secs),
        Node::Float(seconds) => Duration::try_from_secs_f64(*seconds).ok(),
        Node::Text(text) => parse(text),
        _ => None,
    }
    .ok_or_else(|| given.refuse(REMEDY))
}

fn parse(text: &str) -> Option<Duration> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
    if number.contains('.') {
        let factor = unit.as_secs_f64();
        return Duration::try_from_secs_f64(number.parse::<f64>().ok()? * factor).ok();
    }
    let nanoseconds = u128::from(digits(number)?).checked_mul(unit.as_nanos())?;
    let seconds = u64::try_from(nanoseconds / NANOSECONDS).ok()?;
    let rest = u32::try_from(nanoseconds % NANOSECONDS).ok()?;
    Some(Duration::new(seconds, rest))
}

/// A duration in the largest unit that gives a whole number, so that it reads, and is read back, as
/// it would be written.
pub(super) struct DisplayDuration(pub(super) Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        if nanoseconds == 0 {
            return formatter.write_str("0s");
        }
        let units = UNITS.iter().rev().filter(|(name, _)| !name.is_empty() && *name != "min");
        for (name, unit) in units {
            if nanoseconds.is_multiple_of(unit.as_nanos()) {
                return write!(formatter, "{}{name}", nanoseconds / unit.as_nanos());
            }
        }
        write!(formatter, "{:?}", self.0)
    }
}

const NANOSECONDS: u128 = 1_000_000_000;
const REMEDY: &str =
    "write a number of seconds, or a number with its unit, such as `500ms`, `1s`, `2m`, `1h` or `7d`";
const UNITS: [(&str, Duration); 7] = [
    ("ms", Duration::from_millis(1)),
    ("", Duration::from_secs(1)),
    ("s", Duration::from_secs(1)),
    ("min", Duration::from_secs(60)),
    ("m", Duration::from_secs(60)),
    ("h", Duration::from_secs(60 * 60)),
    ("d", Duration::from_secs(24 * 60 * 60)),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        let milliseconds = |text| parse(text).map(|duration| duration.as_millis());
        assert_eq!(milliseconds("5"), Some(5_000));
        assert_eq!(milliseconds("0.25"), Some(250));
        assert_eq!(milliseconds("500ms"), Some(500));
        assert_eq!(milliseconds(" 1 s "), Some(1_000));
        assert_eq!(milliseconds("1.5s"), Some(1_500));
        assert_eq!(milliseconds("2m"), Some(120_000));
        assert_eq!(milliseconds("2min"), Some(120_000));
        assert_eq!(milliseconds("1h"), Some(3_600_000));
        assert_eq!(milliseconds("7d"), Some(604_800_000));
        assert_eq!(milliseconds("0"), Some(0));
    }

    #[test]
    fn what_is_no_duration() {
        let texts = [
            "", "s", "-1", "-1s", "+1", "1e3", "1,5", "1.2.3", ".", "1y", "1S", "1 h 5 m", "inf", "NaN",
            "1ss",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("18446744073709551615d"), None);
        assert_eq!(parse("99999999999999999999999999"), None);
        assert_eq!(parse(&format!("{}.5d", "9".repeat(400))), None);
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["500ms", "1s", "90s", "2m", "1h", "36h", "7d", "1500ms"] {
            let duration = parse(text).expect("a duration");
            assert_eq!(DisplayDuration(duration).to_string(), text);
        }
        assert_eq!(DisplayDuration(Duration::ZERO).to_string(), "0s");
        assert_eq!(DisplayDuration(Duration::from_micros(5)).to_string(), "5µs");
    }
}
