//! Durations: a number of seconds, a number with its unit, or several of these.

use std::{fmt, time::Duration};

use jiff::{SpanRelativeTo, fmt::friendly::SpanParser};

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
    parse_number(text).or_else(|| parse_units(text))
}

/// Parses a number with at most one unit. All digits count, whatever the number.
fn parse_number(text: &str) -> Option<Duration> {
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

/// Parses jiff's friendly format, such as `1h30m` or `1 minute`, with restrictions. Commas are
/// refused, since they separate the entries of a list. Signs, `ago`, times such as `01:30:00` and
/// capital letters are refused as well. A day has 24 hours. Months and years are refused, since
/// they have no fixed length.
fn parse_units(text: &str) -> Option<Duration> {
    let is_plain = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || matches!(letter, '.' | ' ' | 'µ' | 'μ')
    };
    let is_ours = text.starts_with(|first: char| first.is_ascii_digit()) && !text.ends_with("ago");
    if text.len() > LONGEST || !is_ours || !text.chars().all(is_plain) {
        return None;
    }
    let span = PARSER.parse_span(text).ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// Displays a duration in the largest unit that gives a whole number. The result can be parsed
/// back.
pub(super) struct DisplayDuration(pub(super) Duration);

impl fmt::Display for DisplayDuration {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = self.0.as_nanos();
        if nanoseconds == 0 {
            return formatter.write_str("0s");
        }
        let units = UNITS.iter().rev().filter(|(name, _)| !["", "min", "us", "μs"].contains(name));
        for (name, unit) in units {
            if nanoseconds.is_multiple_of(unit.as_nanos()) {
                return write!(formatter, "{}{name}", nanoseconds / unit.as_nanos());
            }
        }
        Ok(())
    }
}

const NANOSECONDS: u128 = 1_000_000_000;
const REMEDY: &str =
    "write a number of seconds, or a number with its unit, such as `500ms`, `1s`, `2m`, `1h` or `7d`";
/// The maximum length of a text. One number of each unit, with blanks, is shorter.
const LONGEST: usize = 128;
const PARSER: SpanParser = SpanParser::new();
const UNITS: [(&str, Duration); 11] = [
    ("ns", Duration::from_nanos(1)),
    ("us", Duration::from_micros(1)),
    // The micro sign and the Greek letter, which look alike.
    ("µs", Duration::from_micros(1)),
    ("μs", Duration::from_micros(1)),
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
    use jiff::{
        SignedDuration,
        fmt::friendly::{Designator, Spacing, SpanPrinter},
    };
    use proptest::prelude::*;

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
    fn several_units() {
        let microseconds = |text: &str| parse(text).map(|duration| duration.as_micros());
        for (text, expected) in [
            ("1µs", 1),
            ("1\u{3bc}s", 1),
            ("250us", 250),
            ("250 micros", 250),
            ("1500ns", 1),
            ("0.5us", 0),
            ("1.5ms", 1_500),
            ("1 minute", 60_000_000),
            ("2 hours", 7_200_000_000),
            ("1h30m", 5_400_000_000),
            ("1 h 5 m", 3_900_000_000),
            ("1h 30min 1.5s", 5_401_500_000),
            ("1d12h", 129_600_000_000),
            ("1w", 604_800_000_000),
        ] {
            assert_eq!(microseconds(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn invalid_durations_are_refused() {
        let texts = [
            "",
            "s",
            "-1",
            "-1s",
            "+1",
            "+1s",
            "1e3",
            "1,5",
            "1,5s",
            "1.2.3",
            ".",
            "1y",
            "1mo",
            "1 month",
            "1 year 2 months",
            "1S",
            "1M",
            "1H30M",
            "PT1H",
            "h1",
            "1h, 30m",
            "01:30:00",
            "1 s ago",
            "30m1h",
            "1h1h",
            "1h30",
            "inf",
            "NaN",
            "1ss",
        ];
        for text in texts {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse("18446744073709551615d"), None);
        assert_eq!(parse("99999999999999999999999999"), None);
        assert_eq!(parse(&format!("{}.5d", "9".repeat(400))), None);
        // Valid, but longer than anyone writes.
        assert!(parse(&format!("1h{}1m", " ".repeat(100))).is_some());
        assert_eq!(parse(&format!("1h{}1m", " ".repeat(200))), None);
    }

    proptest! {
        /// Exact to the nanosecond, for more than 500 years.
        #[test]
        fn a_displayed_duration_is_parsed_back(nanoseconds: u64, unit in prop::sample::select(&UNITS[..])) {
            let (_, unit) = unit;
            for duration in [Duration::from_nanos(nanoseconds), unit * (nanoseconds % 10_000) as u32] {
                let shown = DisplayDuration(duration).to_string();
                prop_assert_eq!(parse(&shown), Some(duration), "{}", shown);
            }
        }

        /// Every style in which jiff prints a duration is parsed as that duration.
        #[test]
        fn durations_printed_by_jiff_are_parsed(nanoseconds in 0..i64::MAX as u64) {
            let duration = Duration::from_nanos(nanoseconds);
            let signed = SignedDuration::try_from(duration).expect("in range");
            for designator in [Designator::Verbose, Designator::Short, Designator::Compact, Designator::HumanTime] {
                for spacing in [Spacing::None, Spacing::BetweenUnits, Spacing::BetweenUnitsAndDesignators] {
                    let printer = SpanPrinter::new().designator(designator).spacing(spacing);
                    let text = printer.duration_to_string(&signed);
                    prop_assert_eq!(parse(&text), Some(duration), "{}", text);
                }
            }
        }
    }

    #[test]
    fn a_duration_is_shown_as_it_is_written() {
        for text in ["500ms", "1s", "90s", "2m", "1h", "36h", "7d", "1500ms"] {
            let duration = parse(text).expect("a duration");
            assert_eq!(DisplayDuration(duration).to_string(), text);
        }
        assert_eq!(DisplayDuration(Duration::ZERO).to_string(), "0s");
        assert_eq!(DisplayDuration(Duration::from_micros(5)).to_string(), "5µs");
        assert_eq!(DisplayDuration(Duration::from_nanos(1_500)).to_string(), "1500ns");
    }
}
