//! Who waits for a flush.

use tokio::sync::oneshot;

use super::report::FlushReport;

/// Waits until every batch up to this one was tried.
#[derive(Debug)]
pub(super) struct FlushWaiter {
    /// `None` while some of its points are in the buffer, for want of room.
    pub(super) up_to: Option<u64>,
    pub(super) report: FlushReport,
    pub(super) reply: oneshot::Sender<FlushReport>,
}

impl FlushWaiter {
    /// Whether this batch is one of those that are waited for.
    pub(super) fn covers(&self, sequence: u64) -> bool {
        self.up_to.is_none_or(|up_to| sequence <= up_to)
    }
}
