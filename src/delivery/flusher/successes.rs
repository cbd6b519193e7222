//! What shows that a sink accepts points.

/// Counts of successes. A batch that fails while they rise fails for a reason of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Successes {
    /// Writes that succeeded so far.
    pub(super) writes: u64,
    /// Probes that succeeded so far.
    pub(super) probes: u64,
}
