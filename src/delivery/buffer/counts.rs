//! What a push and a snapshot tell.

/// What became of the lines of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum Pushed {
    Accepted,
    /// Refused: memory is full, and the newest points are to go.
    Full,
    /// Refused: the buffer was closed.
    Closed,
}

/// The buffer's side of the ledger, in points:
/// `offered = accepted + invalid + refused_full + refused_closed`, and what became of the accepted
/// ones so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct BufferCounts {
    pub(crate) offered: u64,
    /// Cannot be stored at all.
    pub(crate) invalid: u64,
    pub(crate) refused_full: u64,
    pub(crate) refused_closed: u64,
    /// In memory, with what the flusher holds.
    pub(crate) bytes: usize,
    pub(crate) accepted: u64,
    pub(crate) buffered: u64,
    /// Because memory was full.
    pub(crate) dropped: u64,
}
