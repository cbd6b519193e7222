//! What is known of the pace of one destination.

use super::{body_size::BodySize, in_flight_limit::InFlightLimit};

/// What is known of one destination. A reload forgets it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    pub(super) in_flight: InFlightLimit,
    pub(super) body: BodySize,
    pub(super) failed: bool,
}
