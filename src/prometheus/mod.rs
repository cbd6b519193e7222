//! Metrics for Prometheus: requests, the ledger of delivery, and values of the process.
//!
//! [prometheus](crate::docs::prometheus) lists all names. [`Monitor::metrics_route`] returns a
//! route to serve. [`Monitor::collector`] returns a collector for an application that has its own
//! registry.

mod collector;
mod labels;
mod ledger;
mod named;
#[cfg(feature = "process")]
mod process;
mod requests;
mod route;

pub use collector::MonitorCollector;

use axum::routing::MethodRouter;

use crate::{error::Error, monitor::Monitor};

impl Monitor {
    /// Returns a collector of this monitor's metrics, for a `Registry` of the crate
    /// `prometheus_client`. For a disabled monitor it has no metrics.
    ///
    /// The collector is a handle to the monitor, as its layers are. Register it once in each
    /// registry. Two collectors in one registry write the same names twice, and Prometheus rejects
    /// the whole scrape. A collector cannot know what else a registry has, so this is no error
    /// here, but a warning is logged while another collector exists. Register each of them in a
    /// sub-registry with its own prefix.
    ///
    /// # Errors
    ///
    /// The setting `metrics.names` is missing ([`Error::is_setting`]).
    pub fn collector(&self) -> Result<MonitorCollector, Error> {
        let collector = MonitorCollector::new(self)?;
        collector.warn_of_others();
        Ok(collector)
    }

    /// Returns a route for an application without its own registry, to be added at `/metrics`. It
    /// answers in OpenMetrics format if the header `Accept` asks for it, otherwise in the older
    /// text format of Prometheus.
    ///
    /// Add it outside of the monitored routes; otherwise scrapes are recorded as requests.
    ///
    /// # Errors
    ///
    /// The errors of [`collector`](Self::collector).
    pub fn metrics_route(&self) -> Result<MethodRouter, Error> {
        // Its registry is its own, so that there is nothing to warn of.
        MonitorCollector::new(self).map(route::route)
    }
}
