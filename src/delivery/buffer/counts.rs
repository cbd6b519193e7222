//! The results of a push and of a snapshot.

/// What happened to the lines of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    Accepted,
    /// Refused: memory is full, and `overflow` is `drop_newest`.
    Full,
    /// Refused: the buffer was closed.
    Closed,
}

/// The buffer's side of the ledger, in points: `offered = accepted + invalid + refused_full +
/// refused_closed`, and what happened to the accepted points so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BufferCounts {
    pub(crate) offered: u64,
    /// Points that cannot be encoded.
    pub(crate) invalid: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_closed: u64,
    /// Memory in use, including what the flusher holds.
    pub(crate) bytes: usize,
    pub(crate) accepted: u64,
    pub(crate) buffered: u64,
    /// Dropped because memory was full.
    pub(crate) dropped: u64,
}
