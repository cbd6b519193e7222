//! The buffers whose lines further destinations receive as copies.

use std::sync::{Arc, OnceLock, Weak};

use crate::delivery::buffer::Buffer;

/// The buffers of requests and of rollups. Known after the further destinations have started.
#[derive(Clone, Debug, Default)]
pub(super) struct Sources(Arc<OnceLock<Copied>>);

/// Weak references: these buffers hold those that they copy to.
#[derive(Debug)]
struct Copied {
    requests: Weak<Buffer>,
    rollups: Option<Weak<Buffer>>,
}

impl Sources {
    /// Sets the buffers. Only the first call has an effect.
    pub(super) fn set(&self, requests: &Arc<Buffer>, rollups: Option<&Arc<Buffer>>) {
        let _ =
            self.0.set(Copied { requests: Arc::downgrade(requests), rollups: rollups.map(Arc::downgrade) });
    }

    /// Pushes the last lines while they can still be copied: those of open bodies, and then those
    /// of the last interval, which counts these bodies.
    ///
    /// The deliveries end in no fixed order: at the same time of a shutdown, or with a runtime that
    /// drops its tasks. Without this call, the first one to end would miss these lines.
    pub(super) fn push_last(&self) {
        let Some(Copied { requests, rollups }) = self.0.get() else { return };
        if let Some(requests) = requests.upgrade() {
            requests.end_open();
        }
        if let Some(rollups) = rollups.as_ref().and_then(Weak::upgrade) {
            rollups.close();
        }
    }
}
