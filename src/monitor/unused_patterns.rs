//! Looks now and then whether a pattern of `filter` has matched nothing, so that a service with few
//! requests reports it, too.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::sleep;

use super::Inner;

/// Looks after every few minutes, until nothing is left to report, or the monitor is gone or shut
/// down. Does nothing without a filter.
pub(super) fn spawn(inner: &Arc<Inner>) {
    if inner.recorder.filter.is_some() {
        inner.flusher.runtime().spawn(look(Arc::downgrade(inner)));
    }
}

async fn look(inner: Weak<Inner>) {
    loop {
        sleep(PERIOD).await;
        // Held for no longer than this: the flusher must end when only this is left to use it.
        let Some(inner) = inner.upgrade() else { return };
        let Some(filter) = inner.recorder.filter.as_ref() else { return };
        if filter.is_settled() || inner.recorder.buffer.is_closed() {
            return;
        }
        filter.report_unused();
    }
}

const PERIOD: Duration = Duration::from_secs(5 * 60);
