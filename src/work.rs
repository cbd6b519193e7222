//! How much a parser does, counted in tests: foreign bytes must not cost more than a small multiple
//! of their length.
//!
//! A time cannot show this on a machine under load. So the loops of parsers note the bytes that
//! they look at, and a test compares these, and the bytes that are allocated, with the bytes given.

/// Notes that so many bytes were read once. Does nothing outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn looked_at(_bytes: usize) {}

#[cfg(test)]
pub(crate) use counted::{assert_linear, looked_at, of};

#[cfg(test)]
mod counted;
