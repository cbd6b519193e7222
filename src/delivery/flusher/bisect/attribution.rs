//! Attributes a server's answer to the lines of a body: which are certainly refused, and which may
//! be.

use std::collections::HashSet;

use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused},
    },
    line_protocol::{Column, Columns, timestamp},
    stats::RejectReason,
};

/// The lines of a body, divided by the answer. Each line is in exactly one part.
#[derive(Debug, Default)]
pub(super) struct Attribution {
    /// Certainly refused: see the table in docs/delivery.md.
    pub(super) proven: Option<Batch>,
    /// Lines that the answer points at, possibly wrongly.
    pub(super) suspects: Option<Batch>,
    /// Lines that the answer does not mention.
    pub(super) rest: Option<Batch>,
}

impl Attribution {
    /// Reads an answer. Returns `None` if it does not distinguish the lines.
    pub(super) fn read(batch: &Batch, refused: &Refused) -> Option<Self> {
        let proven = |(proven, rest)| Self { proven, suspects: None, rest };
        let suspected = |(suspects, rest)| Self { proven: None, suspects, rest };
        if refused.proof.dropped == Some(batch.len()) {
            return Some(proven((Some(batch.clone()), None)));
        }
        let evidence = match &refused.hint {
            Hint::Unknown if refused.reason == RejectReason::Retention => {
                suspected(oldest(batch, refused.proof.dropped?))
            }
            Hint::Unknown => return None,
            Hint::Lines(numbers) => {
                let numbers: HashSet<usize> = numbers.iter().copied().collect();
                if refused.proof.certain {
                    proven(batch.partition(|number, _| numbers.contains(&number)))
                } else {
                    let alike = alike(batch, &numbers, refused);
                    suspected(batch.partition(|number, line| numbers.contains(&number) || alike(line)))
                }
            }
            Hint::Quoted(quotes) => quoted(batch, quotes),
            Hint::Field { measurement, field } => {
                suspected(batch.partition(|_, line| has_field(line, measurement, field, refused)))
            }
            Hint::OlderThan(bound) => {
                proven(batch.partition(|_, line| timestamp(line).is_some_and(|time| time < *bound)))
            }
        };
        (evidence.proven.is_some() || evidence.suspects.is_some() && evidence.rest.is_some())
            .then_some(evidence)
    }
}

/// Returns whether the answer names this column as the cause.
pub(super) fn names(refused: &Refused, column: &Column<'_>) -> bool {
    refused
        .proof
        .columns
        .iter()
        .any(|(name, kind)| kind.is_none_or(|kind| kind == column.kind) && column.is_called(name))
}

/// Finds quoted lines. Servers quote a line as a whole, or its beginning. A whole line that is
/// quoted as unparsable is certainly refused.
fn quoted(batch: &Batch, quotes: &[String]) -> Attribution {
    let quotes: HashSet<&[u8]> =
        quotes.iter().map(String::as_bytes).filter(|quote| !quote.is_empty()).collect();
    let (proven, others) = batch.partition(|_, line| quotes.contains(line));
    let Some(others) = others else { return Attribution { proven, ..Attribution::default() } };
    let found: HashSet<&[u8]> = proven.iter().flat_map(Batch::lines).collect();
    let beginnings: Vec<&[u8]> =
        quotes.iter().filter(|quote| !found.contains(*quote)).take(BEGINNINGS).copied().collect();
    let (suspects, rest) = others.partition(|_, line| beginnings.iter().any(|quote| line.starts_with(quote)));
    Attribution { proven, suspects, rest }
}

/// Selects the lines of the same measurement that also have the named column, if the answer names
/// only the first line.
fn alike<'a>(
    batch: &'a Batch,
    numbers: &HashSet<usize>,
    refused: &'a Refused,
) -> impl Fn(&[u8]) -> bool + 'a {
    let first = batch.lines().enumerate().find(|(number, _)| numbers.contains(number));
    let measurement = first.map(|(_, line)| Columns::of(line).measurement());
    move |line| {
        let mut columns = Columns::of(line);
        measurement == Some(columns.measurement()) && columns.any(|column| names(refused, &column))
    }
}

/// Splits off the oldest points. 1.x reports points beyond the retention without its bound, but
/// they are the oldest ones.
fn oldest(batch: &Batch, count: usize) -> (Option<Batch>, Option<Batch>) {
    let mut order: Vec<(i64, usize)> = batch
        .lines()
        .enumerate()
        .map(|(number, line)| (timestamp(line).unwrap_or(i64::MAX), number))
        .collect();
    order.sort_unstable();
    let oldest: HashSet<usize> = order.into_iter().take(count).map(|(_, number)| number).collect();
    batch.partition(|number, _| oldest.contains(&number))
}

fn has_field(line: &[u8], measurement: &str, field: &str, refused: &Refused) -> bool {
    let kind = refused.proof.columns.iter().find(|(name, _)| name == field).and_then(|(_, kind)| *kind);
    let mut columns = Columns::of(line);
    columns.is_of(measurement)
        && columns.any(|column| column.is_called(field) && kind.is_none_or(|kind| kind == column.kind))
}

/// The most cut quotes that are compared with every line. Comparing more would cost more than it
/// saves.
const BEGINNINGS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delivery::sink::Proof, line_protocol::ColumnKind};

    const LINES: [&str; 4] = ["m,t=a v=1 10", "m,t=b v=2i 30", "n v=3 20", "m,v=tag w=4 40"];

    fn refused(hint: Hint, reason: RejectReason, proof: Proof) -> Refused {
        Refused { reason, hint, proof: Box::new(proof), ..Refused::default() }
    }

    fn numbers(lines: Option<&Batch>) -> Vec<usize> {
        let of = |line: &[u8]| LINES.iter().position(|known| known.as_bytes() == line).expect("one of ours");
        lines.iter().flat_map(|lines| lines.lines()).map(of).collect()
    }

    /// Returns which of the lines are proven, suspected, and not mentioned.
    fn read(refused: &Refused) -> Option<[Vec<usize>; 3]> {
        let batch = Batch::from_lines(LINES).expect("lines");
        let Attribution { proven, suspects, rest } = Attribution::read(&batch, refused)?;
        Some([proven, suspects, rest].map(|lines| numbers(lines.as_ref())))
    }

    fn quoted(quotes: &[&str]) -> Hint {
        Hint::Quoted(quotes.iter().map(|quote| (*quote).to_owned()).collect())
    }

    fn field(field: &str) -> Hint {
        Hint::Field { measurement: "m".to_owned(), field: field.to_owned() }
    }

    fn column(name: &str, kind: Option<ColumnKind>) -> Proof {
        Proof { columns: vec![(name.to_owned(), kind)], ..Proof::default() }
    }

    #[test]
    fn each_answer_selects_exactly_the_lines_that_it_names() {
        let dropped = |dropped| Proof { dropped: Some(dropped), ..Proof::default() };
        let certain = Proof { certain: true, ..Proof::default() };
        let nothing = Proof::default;
        let other = RejectReason::Other;
        let all = vec![0, 1, 2, 3];
        for (case, hint, reason, proof, expected) in [
            ("nothing", Hint::Unknown, other, nothing(), None),
            ("as many as there are", Hint::Unknown, other, dropped(4), Some([all, vec![], vec![]])),
            ("how many, but not for their age", Hint::Unknown, other, dropped(2), None),
            (
                "how many, for their age",
                Hint::Unknown,
                RejectReason::Retention,
                dropped(2),
                Some([vec![], vec![0, 2], vec![1, 3]]),
            ),
            ("for their age", Hint::Unknown, RejectReason::Retention, nothing(), None),
            (
                "a bound, to which what is as old as it does not belong",
                Hint::OlderThan(20),
                RejectReason::Retention,
                nothing(),
                Some([vec![0], vec![], vec![1, 2, 3]]),
            ),
            ("a bound that none is older than", Hint::OlderThan(10), other, nothing(), None),
            ("numbers", Hint::Lines(vec![1, 9]), other, certain, Some([vec![1], vec![], vec![0, 2, 3]])),
            (
                "the first number",
                Hint::Lines(vec![1]),
                other,
                nothing(),
                Some([vec![], vec![1], vec![0, 2, 3]]),
            ),
            (
                "the first number, and its column",
                Hint::Lines(vec![0]),
                other,
                column("v", None),
                Some([vec![], vec![0, 1, 3], vec![2]]),
            ),
            (
                "the first number, and its column as it was sent",
                Hint::Lines(vec![0]),
                other,
                column("v", Some(ColumnKind::Float)),
                Some([vec![], vec![0], vec![1, 2, 3]]),
            ),
            ("a whole line", quoted(&["n v=3 20"]), other, nothing(), Some([vec![2], vec![], vec![0, 1, 3]])),
            (
                "a whole line and a beginning",
                quoted(&["n v=3 20", "m,t=a", ""]),
                other,
                nothing(),
                Some([vec![2], vec![0], vec![1, 3]]),
            ),
            ("what none of them is", quoted(&["x", ""]), other, nothing(), None),
            ("what all of them begin with", quoted(&["m", "n"]), other, nothing(), None),
            ("a field", field("v"), other, nothing(), Some([vec![], vec![0, 1, 3], vec![2]])),
            (
                "a field as it was sent",
                field("v"),
                other,
                column("v", Some(ColumnKind::Integer)),
                Some([vec![], vec![1], vec![0, 2, 3]]),
            ),
            (
                "a field, and another column as it was sent",
                field("v"),
                other,
                column("w", Some(ColumnKind::Integer)),
                Some([vec![], vec![0, 1, 3], vec![2]]),
            ),
            ("a field that none has", field("x"), other, nothing(), None),
        ] {
            assert_eq!(read(&refused(hint, reason, proof)), expected, "{case}");
        }
    }
}
