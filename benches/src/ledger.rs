//! No bench may lose a point: one that does ends with an error, and its numbers are worth nothing.

use std::time::Duration;

use tokio::runtime::Runtime;
use tower_influx::{Monitor, ShutdownReport};

/// Shuts the monitor down and prints its ledger.
///
/// # Panics
///
/// Where a point was refused, dropped, rejected or left behind, or where there are not `expected`
/// of them.
pub fn close(runtime: &Runtime, monitor: &Monitor, expected: Option<u64>) -> ShutdownReport {
    let report = runtime.block_on(monitor.shutdown(Duration::from_secs(30)));
    let stats = monitor.stats();
    eprintln!("our ledger: {report}");
    assert!(stats.balances(), "a point is not accounted for: {stats}");
    assert_eq!(stats.ledger.offered, report.accepted, "points were refused: {:?}", stats.recorder);
    assert_eq!(report.accepted, report.written, "points were lost: {report}");
    assert!(report.in_time && report.unfinished == 0, "the shutdown left something behind: {report}");
    if let Some(expected) = expected {
        assert_eq!(report.written, expected, "there are not as many points as were made");
    }
    report
}
