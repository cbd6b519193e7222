//! Licence checks of a monitor, and the recorder of their points.

use std::sync::{Arc, Weak};

use super::Monitor;
use crate::{
    error::Error,
    licensing::{LicenseCheck, LicenseWatch, Licensing, LicensingPoint, RecordPoint},
    record::recorder::Recorder,
};

impl<C: LicenseCheck> Licensing<C> {
    /// Starts the checks and returns at once. The first check runs in the background.
    ///
    /// The checks record their points through the monitor, but do not keep it alive. With a
    /// disabled monitor the checks run, too, and record no points.
    ///
    /// # Errors
    ///
    /// - The time zone is unknown, or the timeout is zero ([`Error::is_setting`]).
    /// - There is no tokio runtime with timers ([`Error::is_runtime`]).
    ///
    /// An invalid licence is not an error: the watch returns it as the result.
    pub fn spawn(self, monitor: &Monitor) -> Result<LicenseWatch, Error> {
        let (settings, service) =
            monitor.settings(|settings| (settings.licensing.clone(), settings.service.clone()));
        self.spawn_with(&settings, &service, monitor.license_recorder())
    }

    /// Starts the checks as [`spawn`](Self::spawn) does, and waits for the result of the first one,
    /// at most for the timeout of a check.
    ///
    /// # Errors
    ///
    /// - The errors of [`spawn`](Self::spawn).
    /// - The monitor was shut down during the first check ([`Error::is_closed`]).
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the checks end.
    pub async fn spawn_checked(self, monitor: &Monitor) -> Result<LicenseWatch, Error> {
        let watch = self.spawn(monitor)?;
        watch.first().await?;
        Ok(watch)
    }
}

impl Monitor {
    /// Returns a recorder that keeps nothing alive: the flusher must end, and spool what is left,
    /// when only licence checks still use it.
    fn license_recorder(&self) -> Arc<dyn RecordPoint> {
        match &self.inner {
            Some(inner) => Arc::new(WeakRecorder(Arc::downgrade(&inner.recorder))),
            None => Arc::new(Disabled),
        }
    }
}

struct WeakRecorder(Weak<Recorder>);

impl RecordPoint for WeakRecorder {
    fn record(&self, point: &LicensingPoint) {
        if let Some(recorder) = self.0.upgrade() {
            recorder.record(point);
        }
    }

    fn is_closed(&self) -> bool {
        self.0.upgrade().is_none_or(|recorder| recorder.buffer.is_closed())
    }
}

/// For a disabled monitor: nothing is recorded, but the licence is still checked.
struct Disabled;

impl RecordPoint for Disabled {
    fn record(&self, _: &LicensingPoint) {}

    fn is_closed(&self) -> bool {
        false
    }
}
