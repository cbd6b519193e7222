//! Evidence that a sink accepts points.

/// Counts of successes. If they rise while a batch fails, the batch itself is the cause.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Successes {
    /// How many writes have succeeded so far.
    pub(super) writes: u64,
    /// How many probes have succeeded so far.
    pub(super) probes: u64,
}
