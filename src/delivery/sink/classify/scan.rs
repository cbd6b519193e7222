//! Searches in foreign text. Tests count the bytes that are read: the cost of an answer must stay
//! proportional to its length.
//!
//! Everything here that reads an answer searches by these functions, so that `tests::linear` can
//! compare the bytes read with the length of the answer.

pub(super) use crate::work::looked_at;

/// Returns where `needle` first occurs.
pub(super) fn find(text: &str, needle: &str) -> Option<usize> {
    let at = text.find(needle);
    looked_at(at.map_or(text.len(), |at| at + needle.len()));
    at
}

/// Returns where the first of these characters occurs.
pub(super) fn find_any(text: &str, characters: &[char]) -> Option<usize> {
    let at = text.find(characters);
    looked_at(at.map_or(text.len(), |at| at + 1));
    at
}

/// Returns the position of the first character that is not an ASCII digit, or the end.
pub(super) fn end_of_digits(text: &str) -> usize {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    looked_at(end + 1);
    end
}

/// Returns where `needle` last occurs.
pub(super) fn rfind(text: &str, needle: &str) -> Option<usize> {
    let at = text.rfind(needle);
    looked_at(at.map_or(text.len(), |at| text.len() - at));
    at
}

/// Returns the text before and after the first `needle`.
pub(super) fn split_once<'a>(text: &'a str, needle: &str) -> Option<(&'a str, &'a str)> {
    find(text, needle).map(|at| (&text[..at], &text[at + needle.len()..]))
}

/// Returns whether the text contains one of these needles.
pub(super) fn holds_any(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| find(text, needle).is_some())
}
