//! Which lines a server's answer points at.

use std::collections::HashSet;

use crate::{
    delivery::{batch::Batch, sink::Hint},
    line_protocol::parse,
    point::Point,
};

/// The lines that the hint names, and the others. No suspects where it names none: then all are.
pub(super) fn select(batch: &Batch, hint: &Hint) -> (Option<Batch>, Option<Batch>) {
    match hint {
        Hint::Unknown => (None, None),
        Hint::Lines(numbers) => {
            let numbers: HashSet<usize> = numbers.iter().copied().collect();
            batch.partition(|number, _| numbers.contains(&number))
        }
        Hint::Quoted(quotes) => quoted(batch, quotes),
        Hint::Field { measurement, field } => batch.partition(|_, line| has_field(line, measurement, field)),
        Hint::OlderThan(limit) => {
            batch.partition(|_, line| timestamp(line).is_some_and(|time| time < *limit))
        }
    }
}

/// Servers quote a line as a whole, or its beginning.
fn quoted(batch: &Batch, quotes: &[String]) -> (Option<Batch>, Option<Batch>) {
    let whole: HashSet<&[u8]> = quotes.iter().map(String::as_bytes).collect();
    let found: HashSet<&[u8]> = batch.lines().filter(|line| whole.contains(line)).collect();
    let beginnings: Vec<&[u8]> = whole
        .iter()
        .filter(|quote| !quote.is_empty() && !found.contains(*quote))
        .take(BEGINNINGS)
        .copied()
        .collect();
    batch.partition(|_, line| found.contains(line) || beginnings.iter().any(|quote| line.starts_with(quote)))
}

fn has_field(line: &[u8], measurement: &str, field: &str) -> bool {
    parse(line).is_some_and(|point| point.measurement() == measurement && point.field(field).is_some())
}

fn timestamp(line: &[u8]) -> Option<i64> {
    std::str::from_utf8(line.rsplit(|byte| *byte == b' ').next()?).ok()?.parse().ok()
}

/// Cut quotes are compared with every line; more of them than this would cost more than they save.
const BEGINNINGS: usize = 64;
