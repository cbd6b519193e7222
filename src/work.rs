//! Counts the work of parsers in tests: foreign bytes must not cost more than a small multiple of
//! their length.
//!
//! Measured times cannot show this on a machine under load. So the loops of parsers count the bytes
//! that they read. A test compares these, and the allocated bytes, with the length of the input.

/// Counts bytes that were read once. Does nothing outside of tests.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn looked_at(_bytes: usize) {}

#[cfg(test)]
pub(crate) use counted::{assert_linear, looked_at, of};

#[cfg(test)]
mod counted;
