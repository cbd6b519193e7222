//! The columns that a server names as the cause of a refusal.

use crate::line_protocol::ColumnKind;

use super::{
    quotes::conflicting_field,
    scan::{find, rfind, split_once},
};

/// Returns the columns of type conflicts, and the types that they were sent with:
/// `input field "f" on measurement "m" is type string, already exists as type float`
/// of 1.x and 2.x, one in an answer, and
/// `invalid column type for column 'f', expected iox::column_type::…, got
/// iox::column_type::field::string`
/// of 3.x, one for each line.
pub(super) fn conflicting(text: &str) -> Vec<(String, Option<ColumnKind>)> {
    let mut columns: Vec<(String, Option<ColumnKind>)> = Vec::new();
    let mut add = |name: &str, kind| {
        if columns.len() < MOST
            && !columns.iter().any(|(known, known_kind)| known == name && *known_kind == kind)
        {
            columns.push((name.to_owned(), kind));
        }
    };
    if let Some((_, field)) = conflicting_field(text) {
        let sent = split_once(text, "\" is type ").map(|(_, sent)| sent);
        add(field, sent.and_then(kind));
    }
    for line in text.lines() {
        let Some((_, after)) = split_once(line, V3) else { continue };
        // The name may contain quotes, the types do not.
        let Some(end) = rfind(after, "', expected ") else { continue };
        let sent = find(&after[end..], SENT).map(|at| &after[end + at + SENT.len()..]);
        add(&after[..end], sent.map(|sent| sent.trim_start_matches("field::")).and_then(kind));
    }
    columns
}

fn kind(text: &str) -> Option<ColumnKind> {
    let end = text.find(|character: char| !character.is_ascii_alphanumeric()).unwrap_or(text.len());
    match &text[..end] {
        "tag" => Some(ColumnKind::Tag),
        "float" => Some(ColumnKind::Float),
        "integer" | "uinteger" | "unsigned" => Some(ColumnKind::Integer),
        "string" => Some(ColumnKind::String),
        "boolean" => Some(ColumnKind::Boolean),
        _ => None,
    }
}

const V3: &str = "invalid column type for column '";
const SENT: &str = "got iox::column_type::";
/// Columns kept of one answer.
const MOST: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_read_with_the_types_that_they_were_sent_with() {
        let v2 = "failure writing points to database: partial write: field type conflict: input field \"v\" on \
                  measurement \"m\" is type string, already exists as type float dropped=1";
        assert_eq!(conflicting(v2), [("v".to_owned(), Some(ColumnKind::String))]);
        let v3 = "partial write of line protocol occurred\n\
                  invalid column type for column 'size', expected iox::column_type::field::string, got \
                  iox::column_type::field::integer\n\
                  invalid column type for column 'it's', expected iox::column_type::tag, got \
                  iox::column_type::field::string\n\
                  invalid column type for column 'plan', expected iox::column_type::field::string, got iox::column_type::tag\n\
                  No fields were provided";
        let expected = [
            ("size".to_owned(), Some(ColumnKind::Integer)),
            ("it's".to_owned(), Some(ColumnKind::String)),
            ("plan".to_owned(), Some(ColumnKind::Tag)),
        ];
        assert_eq!(conflicting(v3), expected);
        assert_eq!(conflicting("unable to parse 'm v=': missing field value"), []);
    }

    #[test]
    fn each_column_is_kept_once_for_each_type_and_few_of_them() {
        let line =
            |name: &str, kind: &str| format!("{V3}{name}', expected iox::column_type::tag, {SENT}{kind}\n");
        let text =
            [("a", "field::float"), ("a", "field::float"), ("b", "field::float"), ("a", "field::string")]
                .map(|(name, kind)| line(name, kind))
                .concat();
        let column = |name: &str, kind| (name.to_owned(), Some(kind));
        assert_eq!(
            conflicting(&text),
            [column("a", ColumnKind::Float), column("b", ColumnKind::Float), column("a", ColumnKind::String)]
        );
        let many: String = (0..40).map(|number| line(&format!("c{number}"), "field::boolean")).collect();
        let many = conflicting(&many);
        assert_eq!((many.len(), many[0].clone()), (MOST, column("c0", ColumnKind::Boolean)));
    }
}
