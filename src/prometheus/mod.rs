//! Metrics for Prometheus: requests, the ledger of delivery, and the process.
//!
//! [The page about it](crate::docs::prometheus) has the names. [`Monitor::metrics_route`] is the
//! route to serve, [`Monitor::collector`] what an application with a registry registers there.

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
    /// Returns what a `Registry` of the crate `prometheus_client` collects the metrics of this
    /// monitor through. Of a disabled monitor there are none.
    ///
    /// The collector keeps the monitor, as its layers do. Register one for each registry: two
    /// monitors in one registry would write the same names twice, which Prometheus refuses; give
    /// each of them a registry with a prefix.
    ///
    /// # Errors
    ///
    /// When the settings name no metrics ([`Error::is_setting`]).
    pub fn collector(&self) -> Result<MonitorCollector, Error> {
        MonitorCollector::new(self)
    }

    /// Returns the route for an application without a registry of its own, to be put at `/metrics`.
    /// It answers in OpenMetrics where `Accept` asks for that, otherwise in Prometheus' older text
    /// format.
    ///
    /// Put it outside of the monitored part, or scrapes are counted as requests.
    ///
    /// # Errors
    ///
    /// As [`collector`](Self::collector).
    pub fn metrics_route(&self) -> Result<MethodRouter, Error> {
        self.collector().map(route::route)
    }
}
