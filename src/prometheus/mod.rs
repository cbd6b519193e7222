//! Metrics for Prometheus: requests, the ledger of delivery, and values of the process.
//!
//! [prometheus](crate::docs::prometheus) lists all names. [`Monitor::metrics_route`] returns a
//! route to serve. [`Monitor::collector`] returns a collector for an application that has its own
//! registry.

mod collector;
mod ledger;
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
    /// registry. Two monitors in one registry would write the same names twice, which Prometheus
    /// rejects. Register each of them in a sub-registry with its own prefix.
    ///
    /// # Errors
    ///
    /// The setting `metrics.names` is missing ([`Error::is_setting`]).
    pub fn collector(&self) -> Result<MonitorCollector, Error> {
        MonitorCollector::new(self)
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
        self.collector().map(route::route)
    }
}
