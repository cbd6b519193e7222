//! Readers for the values of keys: text, numbers, switches, words, lists and tables.

use std::{collections::BTreeMap, path::PathBuf};

use super::{node::Node, section::Given};
use crate::{error::Error, settings::Token, work::looked_at};

impl Given {
    /// Creates an error that refuses the value. It prints the value, so this must not be a secret.
    pub(super) fn refuse(&self, remedy: &str) -> Error {
        let value = match &self.node {
            Node::Boolean(value) => value.to_string(),
            Node::Integer(value) => value.to_string(),
            Node::Float(value) => value.to_string(),
            Node::Text(value) => shown(value),
            Node::Null | Node::List(_) | Node::Table(_) => return self.refuse_unseen(remedy),
        };
        Error::setting(&self.name, value, remedy)
    }

    /// Creates an error that refuses the value without printing it.
    pub(super) fn refuse_unseen(&self, remedy: &str) -> Error {
        Error::setting_without_value(&self.name, format!("found {}; {remedy}", self.node.kind()))
    }
}

/// Reads text. A whole number is accepted, too, since some readers of environments convert
/// everything that looks like a number.
pub(super) fn text(given: Given) -> Result<String, Error> {
    match &given.node {
        Node::Text(text) if has_variable(text) => Err(given.refuse(UNRESOLVED)),
        Node::Text(text) => Ok(text.clone()),
        Node::Integer(number) => Ok(number.to_string()),
        // The original text is lost: 1.10 would become 1.1, and yes would become true.
        Node::Boolean(_) | Node::Float(_) => Err(given.refuse("it must be text; write it in quotes")),
        Node::Null | Node::List(_) | Node::Table(_) => Err(given.refuse("write text")),
    }
}

/// Reads a secret, which is never printed. Numbers are refused: `007` would become 7, and the
/// server would refuse that much later.
pub(super) fn secret(given: Given) -> Result<Token, Error> {
    match given.node {
        // A secret may contain any characters, so it is refused only if it consists of a variable.
        Node::Text(text) if text.split(' ').next_back().is_some_and(is_variable) => {
            Err(Error::setting_without_value(&given.name, UNRESOLVED))
        }
        Node::Text(text) => Ok(Token::new(text)),
        _ => Err(given.refuse_unseen("write it as text, in quotes")),
    }
}

pub(super) fn path(given: Given) -> Result<PathBuf, Error> {
    text(given).map(PathBuf::from)
}

/// Reads true or false, also as 1 and 0, and as text, as in environments.
pub(super) fn switch(given: Given) -> Result<bool, Error> {
    match &given.node {
        Node::Boolean(value) => Some(*value),
        Node::Integer(0) => Some(false),
        Node::Integer(1) => Some(true),
        Node::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Some(true),
            "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
    .ok_or_else(|| given.refuse("write `true` or `false`"))
}

/// Reads a whole number, also as text.
pub(super) fn whole<T: TryFrom<u64>>(given: Given) -> Result<T, Error> {
    match &given.node {
        Node::Integer(number) => u64::try_from(*number).ok(),
        Node::Text(text) => digits(text.trim()),
        _ => None,
    }
    .and_then(|number| T::try_from(number).ok())
    .ok_or_else(|| given.refuse("write a whole number, 0 or more"))
}

/// Reads one of a few words, in any case and with either dash.
pub(super) fn word<T: Clone>(given: Given, words: &[(&str, T)]) -> Result<T, Error> {
    let written = match &given.node {
        Node::Text(text) => text.trim().to_ascii_lowercase().replace('_', "-"),
        _ => String::new(),
    };
    if let Some((_, value)) = words.iter().find(|(word, _)| *word == written) {
        return Ok(value.clone());
    }
    let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
    Err(given.refuse(&format!("write {}", known.join(" or "))))
}

/// Reads a list of texts, or one comma-separated text, as in environments.
pub(super) fn texts(given: Given) -> Result<Vec<String>, Error> {
    let Given { name, node } = given;
    match node {
        Node::Text(text) if has_variable(&text) => {
            Err(Given { name, node: Node::Text(text) }.refuse(UNRESOLVED))
        }
        Node::Text(text) => {
            Ok(text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect())
        }
        Node::List(list) => list
            .into_iter()
            .enumerate()
            .map(|(index, node)| text(Given { name: format!("{name}[{index}]"), node }))
            .collect(),
        node => Err(Given { name, node }.refuse("write a list of texts")),
    }
}

/// Reads a table with arbitrary keys. Nulls are left out.
pub(super) fn table<T>(
    given: Given,
    value: impl Fn(Given) -> Result<T, Error>,
) -> Result<BTreeMap<String, T>, Error> {
    let table = given.name.clone();
    let mut values = BTreeMap::new();
    for (key, node) in given.entries()? {
        if matches!(node, Node::Null) {
            continue;
        }
        let name = format!("{table}.{key}");
        if values.contains_key(&key) {
            return Err(Error::setting_without_value(&name, "given twice; leave one of them out"));
        }
        let value = value(Given { name, node })?;
        values.insert(key, value);
    }
    Ok(values)
}

/// Parses a number that consists of digits only: no sign, no point.
pub(super) fn digits(text: &str) -> Option<u64> {
    let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { text.parse().ok() } else { None }
}

/// Returns whether the text contains a `${NAME}` that was not replaced. All replicas would store
/// the same text, or write to a server of that name.
fn has_variable(text: &str) -> bool {
    VARIABLES.into_iter().any(|variable @ (begin, end, _)| {
        // The end is searched only once. Otherwise text with many beginnings would be read to its
        // end for each of them.
        let Some(end) = text.rfind(end) else { return false };
        let mut begins = text[..=end].match_indices(begin);
        begins.any(|(start, _)| after_name(&text[start..=end], variable).is_some())
    })
}

/// Returns whether the text is exactly one `${NAME}`.
fn is_variable(text: &str) -> bool {
    VARIABLES.into_iter().any(|variable @ (_, end, _)| {
        let rest = after_name(text, variable).and_then(|rest| rest.split_once(end));
        rest.is_some_and(|(_, rest)| rest.is_empty())
    })
}

/// Returns what comes after `${NAME`: its end, or what stands before a default.
fn after_name(text: &str, (begin, _, after): Variable) -> Option<&str> {
    let inner = text.strip_prefix(begin)?;
    let end = inner.find(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')?;
    looked_at(end + 1);
    let (name, rest) = inner.split_at(end);
    let is_name = !name.is_empty() && !name.starts_with(|first: char| first.is_ascii_digit());
    (is_name && rest.starts_with(after)).then_some(rest)
}

/// Formats text of any length and content for one line of a message.
pub(super) fn shown(text: &str) -> String {
    let escaped = |part: &str| part.escape_debug().to_string().replace("\\\"", "\"").replace("\\'", "'");
    match text.char_indices().nth(MAX_SHOWN) {
        Some((end, _)) => format!("{}…", escaped(&text[..end])),
        None => escaped(text),
    }
}

/// The beginning, the end, and what may come after the name.
type Variable = (&'static str, char, &'static [char]);

/// As shells have it, also with a default: `${NAME:-default}`; and as Kubernetes has it, which
/// leaves a variable that it does not know as it is.
const VARIABLES: [Variable; 2] = [("${", '}', &['}', ':', '-']), ("$(", ')', &[')'])];
const UNRESOLVED: &str = "holds a variable that was not replaced by its value; write the value, or read the configuration \
                          with a loader that replaces variables";
const MAX_SHOWN: usize = 100;
