//! Searching in foreign text, counted in tests: a server must not be able to cost more than its
//! answer is long.
//!
//! Everything here that reads an answer searches by these functions, so that
//! `tests::linear` can hold the bytes looked at against the bytes given.

pub(super) use crate::work::looked_at;

/// Returns where `needle` first begins.
pub(super) fn find(text: &str, needle: &str) -> Option<usize> {
    let at = text.find(needle);
    looked_at(at.map_or(text.len(), |at| at + needle.len()));
    at
}

/// Returns where the first of these characters is.
pub(super) fn find_any(text: &str, characters: &[char]) -> Option<usize> {
    let at = text.find(characters);
    looked_at(at.map_or(text.len(), |at| at + 1));
    at
}

/// Returns where the first character is that is no ASCII digit, or the end.
pub(super) fn end_of_digits(text: &str) -> usize {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    looked_at(end + 1);
    end
}

/// Returns where `needle` last begins.
pub(super) fn rfind(text: &str, needle: &str) -> Option<usize> {
    let at = text.rfind(needle);
    looked_at(at.map_or(text.len(), |at| text.len() - at));
    at
}

/// Returns what stands before and after the first `needle`.
pub(super) fn split_once<'a>(text: &'a str, needle: &str) -> Option<(&'a str, &'a str)> {
    find(text, needle).map(|at| (&text[..at], &text[at + needle.len()..]))
}

/// Returns whether the text holds one of these.
pub(super) fn holds_any(text: &str, needles: &[&str]) -> bool {
    needles.iter().any(|needle| find(text, needle).is_some())
}
