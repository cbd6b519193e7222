//! Models of the buffer and the ledger. Loom runs each with every order of steps in which no thread
//! is interrupted more than a few times, and with the effects of weakly ordered memory.

mod handover;
mod rollup;
mod shutdown;
mod waking;

/// One model: it panics where an order of steps breaks a guarantee.
pub type LoomModel = fn();

/// Every model with its name.
pub const MODELS: &[(&str, LoomModel)] = &[
    ("every snapshot balances", handover::every_snapshot_balances),
    (
        "every snapshot balances while points are dropped",
        handover::every_snapshot_balances_while_points_are_dropped,
    ),
    ("closing is final", handover::closing_is_final),
    ("running requests are never too few", handover::running_requests_are_never_too_few),
    ("no count is lost between intervals", rollup::no_count_is_lost_between_intervals),
    (
        "a shutdown without time refuses only what it reports",
        shutdown::a_shutdown_without_time_refuses_only_what_it_reports,
    ),
    ("a shutdown that waits refuses nothing", shutdown::a_shutdown_that_waits_refuses_nothing),
    ("no first point is overlooked", waking::no_first_point_is_overlooked),
    ("no full buffer is overlooked", waking::no_full_buffer_is_overlooked),
];
