//! One of several destinations.

use serde::Serialize;

use super::{DeliveryStats, LedgerStats, SpoolStats, Stats};

/// Where the points of one destination are, and how its delivery is going. See
/// [`Stats::destinations`].
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct DestinationStats {
    /// The ledger of this destination alone.
    #[serde(flatten)]
    pub ledger: LedgerStats,
    /// Points that cannot be stored. Only the main destination counts them.
    pub invalid: u64,
    /// Points not taken because its memory was full.
    pub refused_full: u64,
    /// Points not taken because it was shut down.
    pub refused_closed: u64,
    /// How its delivery is going.
    pub delivery: DeliveryStats,
    /// What lies in its spool, where there is one.
    pub spool: Option<SpoolStats>,
}

impl DestinationStats {
    /// Returns whether offered = accepted + invalid + refused, and accepted + recovered = written +
    /// rejected + dropped + buffered + in flight + spooled, for this destination. Always true,
    /// unless there is a bug: please report it.
    pub fn balances(&self) -> bool {
        let refused = self.invalid + self.refused_full + self.refused_closed;
        self.ledger.offered == self.ledger.accepted + refused && self.ledger.balances()
    }
}

impl From<&Stats> for DestinationStats {
    fn from(stats: &Stats) -> Self {
        Self {
            ledger: stats.ledger.clone(),
            invalid: stats.recorder.invalid,
            refused_full: stats.recorder.refused_full,
            refused_closed: stats.recorder.refused_closed,
            delivery: stats.delivery.clone(),
            spool: stats.spool.clone(),
        }
    }
}
