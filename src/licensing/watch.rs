//! [`LicenseWatch`], the handle on a running check, and [`LicenseChanges`], which tells when its
//! result changes.

use std::sync::Arc;

use tokio::{
    sync::{mpsc, oneshot, watch},
    task::AbortHandle,
};

use super::{state::CheckedLicense, task::CheckRequest};
use crate::error::Error;

/// The handle on a running licence check: the latest result, a check at any other time, and word of
/// changes.
///
/// Clones are handles on the same check. The checks end when the last one is dropped, when
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

    /// Returns the latest result; `None` until the first check is done. Never waits, so that health
    /// checks and handlers may ask for each request.
    pub fn latest(&self) -> Option<Arc<CheckedLicense>> {
        self.shared.latest.borrow().clone()
    }

    /// Checks now, records the point and returns the result, for instance after the licence was
    /// replaced. Requests that wait while a check is running share the one that follows.
    ///
    /// # Errors
    ///
    /// When the checks have ended, an error for which [`Error::is_closed`] holds. What the check
    /// itself finds, also that it fails or gives no answer, is no error but a result.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the check goes on and its result is recorded.
    pub async fn check_now(&self) -> Result<Arc<CheckedLicense>, Error> {
        let (request, result) = oneshot::channel();
        self.shared.requests.send(request).await.map_err(|_| Error::license_watch_ended())?;
        result.await.map_err(|_| Error::license_watch_ended())
    }

    /// Returns a receiver of every later change of the result.
    pub fn changes(&self) -> LicenseChanges {
        let mut latest = self.shared.latest.clone();
        latest.mark_unchanged();
        LicenseChanges { latest }
    }

    /// Ends the checks; one that is under way is cancelled. The latest result stays readable.
    /// Further calls do nothing.
    pub fn stop(&self) {
        self.shared.task.abort();
    }

    /// Waits for the result of the check at start.
    pub(crate) async fn first(&self) -> Result<(), Error> {
        let mut latest = self.shared.latest.clone();
        latest.wait_for(Option::is_some).await.map(drop).map_err(|_| Error::license_watch_ended())
    }
}

/// Notifies of changes in the result of the licence check. Made by [`LicenseWatch::changes`];
/// holding it keeps no check alive.
#[derive(Clone, Debug)]
pub struct LicenseChanges {
    latest: watch::Receiver<Option<Arc<CheckedLicense>>>,
}

impl LicenseChanges {
    /// Waits until the result of a check differs from the one before it, and returns the latest
    /// result. Days left, messages and extras are compared, the time of the check is not. Several
    /// changes since the last call count as one. `None` when the checks have ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses no change.
    pub async fn changed(&mut self) -> Option<Arc<CheckedLicense>> {
        self.latest.changed().await.ok()?;
        self.latest.borrow_and_update().clone()
    }

    /// Returns the latest result, as [`LicenseWatch::latest`].
    pub fn latest(&self) -> Option<Arc<CheckedLicense>> {
        self.latest.borrow().clone()
    }
}
