//! Sends what is recorded when the application's runtime ends, without a call of the application.
//!
//! `main` often returns without a shutdown while a handle lives on in a static. The thread of
//! delivery is then stopped with the process, whatever it is doing.

use std::{
    sync::{Arc, Weak, mpsc},
    time::Duration,
};

use tokio::runtime::Handle;

use super::inner::Inner;

/// Spawns a task on the runtime of the application. It is dropped when that runtime ends.
pub(super) fn spawn(application: &Handle, inner: &Arc<Inner>) {
    if inner.flusher.has_thread() {
        let (ended, last) = (inner.flusher.has_ended(), LastFlush(Arc::downgrade(inner)));
        application.spawn(async move {
            let _last = last;
            ended.await;
        });
    }
}

struct LastFlush(Weak<Inner>);

impl Drop for LastFlush {
    fn drop(&mut self) {
        let Some(inner) = self.0.upgrade() else { return };
        let (done, wait) = mpsc::channel();
        let runtime = inner.flusher.runtime().clone();
        runtime.spawn(async move {
            let _ = inner.flush().await;
            drop(inner);
            let _ = done.send(());
        });
        // Fails at once if delivery has ended.
        let _ = wait.recv_timeout(LAST_MOMENT);
    }
}

/// For how long the end of the runtime may be delayed.
const LAST_MOMENT: Duration = Duration::from_secs(1);
