//! Sizes: a number of bytes, or a number with its unit.

use std::fmt;

use super::{node::Node, section::Given, value::digits};
use crate::error::Error;

/// Reads bytes as a whole number, or text with or without a unit.
pub(super) fn size<T: TryFrom<u64>>(given: Given) -> Result<T, Error> {
    match &given.node {
        Node::Integer(bytes) => u64::try_from(*bytes).ok(),
        Node::Text(text) => parse(text),
        _ => None,
    }
    .and_then(|bytes| T::try_from(bytes).ok())
    .ok_or_else(|| given.refuse(REMEDY))
}

fn parse(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit = unit.trim_start();
    let (_, factor) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    if !number.contains('.') {
        return digits(number)?.checked_mul(*factor);
    }
    // A float represents every size below 2^53 bytes exactly, and larger ones do not occur.
    let bytes = number.parse::<f64>().ok()? * *factor as f64;
    (bytes.fract() == 0.0 && bytes < 2f64.powi(53)).then_some(bytes as u64)
}

/// Formats a size in the largest binary unit that gives a whole number.
pub(super) struct DisplaySize(pub(super) u64);

impl fmt::Display for DisplaySize {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = UNITS.iter().rev().filter(|(name, _)| name.contains('i'));
        for (name, factor) in binary {
            if self.0 > 0 && self.0.is_multiple_of(*factor) {
                return write!(formatter, "{}{name}", self.0 / factor);
            }
        }
        write!(formatter, "{}", self.0)
    }
}

const REMEDY: &str =
    "write a number of bytes, or a number with its unit, such as `64KiB`, `64MiB`, `64MB` or `1GiB`";
const UNITS: [(&str, u64); 10] = [
    ("", 1),
    ("B", 1),
    ("kB", 1_000),
    ("KiB", 1 << 10),
    ("MB", 1_000_000),
    ("MiB", 1 << 20),
    ("GB", 1_000_000_000),
    ("GiB", 1 << 30),
    ("TB", 1_000_000_000_000),
    ("TiB", 1 << 40),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units() {
        assert_eq!(parse("0"), Some(0));
        assert_eq!(parse("65536"), Some(65_536));
        assert_eq!(parse("64B"), Some(64));
        assert_eq!(parse("64KiB"), Some(65_536));
        assert_eq!(parse("64 kib"), Some(65_536));
        assert_eq!(parse("64KB"), Some(64_000));
        assert_eq!(parse("64MiB"), Some(67_108_864));
        assert_eq!(parse("64MB"), Some(64_000_000));
        assert_eq!(parse("1.5GiB"), Some(1_610_612_736));
        assert_eq!(parse("2TiB"), Some(2_199_023_255_552));
    }

    #[test]
    fn invalid_sizes_are_refused() {
        for text in [
            "",
            "B",
            "-1",
            "+1",
            "1e6",
            "64M",
            "64Mi",
            "1.5",
            "0.3KiB",
            "1.2.3MB",
            ".",
            "64Mb it",
            "99999999TiB",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
        assert_eq!(parse(&format!("{}.5GiB", "9".repeat(400))), None);
    }

    #[test]
    fn a_size_is_shown_as_it_is_written() {
        for text in ["0", "1", "1000", "64KiB", "768KiB", "64MiB", "1GiB", "3TiB"] {
            assert_eq!(DisplaySize(parse(text).expect("a size")).to_string(), text);
        }
    }
}
