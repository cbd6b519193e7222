//! The collector that a registry reads at each scrape.

use std::{
    fmt,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;
use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{labels::TagLabels, ledger, named, requests};
use crate::{error::Error, monitor::Monitor, settings::MetricNames};

/// A collector of a monitor's metrics. Created by [`Monitor::collector`].
#[derive(Clone, Debug)]
pub struct MonitorCollector {
    monitor: Monitor,
    names: MetricNames,
    service: String,
    tags: TagLabels,
    /// Kept by [`COLLECTORS`] as long as this exists.
    _existence: Arc<()>,
}

impl MonitorCollector {
    pub(super) fn new(monitor: &Monitor) -> Result<Self, Error> {
        let names = match monitor.is_enabled() {
            true => monitor.settings(|settings| settings.metrics.names),
            false => Some(MetricNames::OpenTelemetry),
        };
        let Some(names) = names else {
            let remedy = "missing, so there are no metrics; write `opentelemetry` or `luna`";
            return Err(Error::setting_without_value("metrics.names", remedy));
        };
        let tags = TagLabels::new(names, &monitor.settings(|settings| settings.rollup.tags.clone()));
        let service = monitor.service();
        Ok(Self { monitor: monitor.clone(), names, service, tags, _existence: Arc::default() })
    }

    /// Notes that an application has this collector for a registry of its own, and warns if there
    /// is another one. Which registry that is in, nobody tells.
    pub(super) fn warn_of_others(&self) {
        if !self.monitor.is_enabled() {
            return;
        }
        let mut collectors = COLLECTORS.lock();
        collectors.retain(|other| other.strong_count() > 0);
        if !collectors.is_empty() {
            tracing::warn!(
                target: "tower_influx",
                service = self.service,
                "another collector exists: in one registry both write the same names, and Prometheus rejects \
                 them; give each a registry with a prefix, or use `Monitor::metrics_route`"
            );
        }
        collectors.push(Arc::downgrade(&self._existence));
    }
}

impl Collector for MonitorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if !self.monitor.is_enabled() {
            return Ok(());
        }
        let requests = self.monitor.rollup().unwrap_or_default();
        match self.names {
            MetricNames::OpenTelemetry => requests::opentelemetry(&mut encoder, &requests, &self.tags)?,
            MetricNames::Luna => requests::luna(&mut encoder, &requests, &self.service, &self.tags)?,
        }
        let stats = self.monitor.stats();
        ledger::encode(&mut encoder, &stats)?;
        named::encode(&mut encoder, &stats)?;
        #[cfg(feature = "process")]
        if let Some(values) = self.monitor.process() {
            super::process::encode(&mut encoder, &values)?;
        }
        Ok(())
    }
}

/// The collectors of this process that applications have for their registries.
static COLLECTORS: Mutex<Vec<Weak<()>>> = Mutex::new(Vec::new());
