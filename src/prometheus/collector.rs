//! The collector that a registry reads at each scrape.

use std::fmt;

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

use super::{ledger, requests};
use crate::{error::Error, monitor::Monitor, settings::MetricNames};

/// A collector of a monitor's metrics. Created by [`Monitor::collector`].
#[derive(Clone, Debug)]
pub struct MonitorCollector {
    monitor: Monitor,
    names: MetricNames,
    service: String,
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
        Ok(Self { monitor: monitor.clone(), names, service: monitor.service() })
    }
}

impl Collector for MonitorCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        if !self.monitor.is_enabled() {
            return Ok(());
        }
        let requests = self.monitor.rollup().unwrap_or_default();
        match self.names {
            MetricNames::OpenTelemetry => requests::opentelemetry(&mut encoder, &requests)?,
            MetricNames::Luna => requests::luna(&mut encoder, &requests, &self.service)?,
        }
        ledger::encode(&mut encoder, &self.monitor.stats())?;
        #[cfg(feature = "process")]
        if let Some(values) = self.monitor.process() {
            super::process::encode(&mut encoder, &values)?;
        }
        Ok(())
    }
}
