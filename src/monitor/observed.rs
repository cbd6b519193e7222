//! The parts of a monitor that the live page and the metrics read.

use super::Monitor;

impl Monitor {
    /// Reads the current values of the process. Returns `None` if the settings do not enable them.
    #[cfg(all(feature = "process", feature = "prometheus"))]
    pub(crate) fn process(&self) -> Option<crate::process::ProcessValues> {
        self.settings(|settings| settings.process.interval)?;
        let inner = self.inner.as_ref()?;
        Some(crate::process::ProcessValues::read(&inner.application))
    }

    /// Returns the boundaries of the histograms in [`rollup`](Self::rollup).
    #[cfg(feature = "live")]
    pub(crate) fn rollup_boundaries(&self) -> Option<crate::record::rollup::Boundaries> {
        self.inner.as_ref()?.rollups.as_ref().map(|rollups| rollups.counts().boundaries().clone())
    }

    /// Subscribes to new batches for the live page. Also returns the runtime on which they can be
    /// read.
    #[cfg(feature = "live")]
    pub(crate) fn observe(
        &self,
    ) -> Option<(tokio::runtime::Handle, tokio::sync::broadcast::Receiver<crate::delivery::batch::Batch>)>
    {
        self.inner.as_ref().map(|inner| (inner.application.clone(), inner.flusher.batches()))
    }
}
