//! [`LicenseWatch`], the handle to a running check, and [`LicenseChanges`], which notifies of new
//! results.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{state::CheckedLicense, task::CheckRequest};
use crate::error::Error;

/// A handle to a running licence check. It returns the latest result, starts a check at any time,
/// and reports changes.
///
/// Clones are handles to the same check. The checks end when the last handle is dropped, when
/// [`stop`](Self::stop) is called, or within a minute after the monitor is shut down.
#[derive(Clone, Debug)]
#[must_use = "the checks end when the last clone of the watch is dropped"]
pub struct LicenseWatch {
    shared: Arc<WatchShared>,
}

#[derive(Debug)]
struct WatchShared {
    requests: mpsc::Sender<CheckRequest>,
    latest: watch::Receiver<Option<Arc<CheckedLicense>>>,
    task: AbortHandle,
}

impl Drop for WatchShared {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl LicenseWatch {
    pub(crate) fn new(
        requests: mpsc::Sender<CheckRequest>,
        latest: watch::Receiver<Option<Arc<CheckedLicense>>>,
        task: AbortHandle,
    ) -> Self {
        Self { shared: Arc::new(WatchShared { requests, latest, task }) }
    }

    /// Returns the latest result. `None` until the first check is done. Never waits, so health
    /// checks and handlers can call it for each request.
    pub fn latest(&self) -> Option<Arc<CheckedLicense>> {
        self.shared.latest.borrow().clone()
    }

    /// Runs a check now, records its point and returns its result. Call it, for example, after the
    /// licence was replaced. Calls during a running check share the check that follows.
    ///
    /// # Errors
    ///
    /// The checks have ended ([`Error::is_closed`]). A check that finds an invalid licence, fails
    /// or times out is not an error: this is its result.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the check continues and its result is recorded.
    pub async fn check_now(&self) -> Result<Arc<CheckedLicense>, Error> {
        let (request, result) = oneshot::channel();
        self.shared.requests.send(request).await.map_err(|_| Error::license_watch_ended())?;
        result.await.map_err(|_| Error::license_watch_ended())
    }

    /// Creates a receiver for all later changes of the result.
    pub fn changes(&self) -> LicenseChanges {
        let mut latest = self.shared.latest.clone();
        latest.mark_unchanged();
        LicenseChanges { latest }
    }

    /// Ends the checks. A running check is cancelled. The latest result can still be read. Further
    /// calls do nothing.
    pub fn stop(&self) {
        self.shared.task.abort();
    }

    /// Waits for the result of the check at start.
    pub(crate) async fn first(&self) -> Result<(), Error> {
        let mut latest = self.shared.latest.clone();
        latest.wait_for(Option::is_some).await.map(drop).map_err(|_| Error::license_watch_ended())
    }
}

/// A receiver for changes of the result of a licence check. Created by [`LicenseWatch::changes`].
/// Holding it does not keep the checks running.
#[derive(Clone, Debug)]
pub struct LicenseChanges {
    latest: watch::Receiver<Option<Arc<CheckedLicense>>>,
}

impl LicenseChanges {
    /// Waits until a result differs from the one before, and returns the latest result. `None` when
    /// the checks have ended.
    ///
    /// Days left, messages, tags and fields are compared, but not the time of the check. Several
    /// changes since the last call are reported once.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, no change is lost.
    pub async fn changed(&mut self) -> Option<Arc<CheckedLicense>> {
        self.latest.changed().await.ok()?;
        self.latest.borrow_and_update().clone()
    }

    /// Returns the latest result, as [`LicenseWatch::latest`] does.
    pub fn latest(&self) -> Option<Arc<CheckedLicense>> {
        self.latest.borrow().clone()
    }
}
