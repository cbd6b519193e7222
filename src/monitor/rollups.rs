//! The parts of a monitor that differ with rollups: two deliveries act as one.

use std::{sync::Arc, time::Duration};

use super::rollup_delivery::RollupDelivery;
use crate::{
    delivery::{
        buffer::Buffer,
        flusher::{FlushReport, Flusher, FlusherParts, ShutdownReport},
        thread::DeliveryRuntime,
    },
    error::Error,
    line_protocol::StaticTags,
    record::rollup::{Boundaries, LineTemplate, Rollup},
    settings::{RollupHistogram, Settings, Storage},
    stats::{RollupSnapshot, Stats},
};

/// Counts of requests, and their delivery unless the storage is `none`.
#[derive(Clone)]
pub(super) struct Rollups {
    counts: Arc<Rollup>,
    pub(super) delivery: Option<RollupDelivery>,
}

impl Rollups {
    /// Starts the rollups. Returns `None` if the settings enable no counts. `points` delivers the
    /// points; `copies` also receive the lines.
    pub(super) fn start(
        runtime: &DeliveryRuntime,
        settings: &Settings,
        points: &FlusherParts,
        copies: Vec<Arc<Buffer>>,
    ) -> Result<Option<Self>, Error> {
        let is_written = settings.rollup.interval.is_some() && settings.storage != Storage::None;
        let is_read = settings.storage == Storage::None || settings.metrics.names.is_some();
        if !is_written && !is_read {
            return Ok(None);
        }
        let (line_boundaries, with_histogram) = match &settings.rollup.histogram {
            RollupHistogram::Fine => (Boundaries::fine(), true),
            RollupHistogram::Off => (Boundaries::fine(), false),
            RollupHistogram::Boundaries(ends) => (Boundaries::of(ends), true),
        };
        let metric_boundaries = settings.metrics.names.map_or(&[][..], |names| names.boundaries());
        let boundaries = line_boundaries.with(metric_boundaries);
        let counts = Arc::new(Rollup::new(boundaries, settings.limits.rollup_keys));
        if !is_written {
            return Ok(Some(Self { counts, delivery: None }));
        }
        let tags = StaticTags::new(&settings.service, settings.instance.as_deref(), &settings.tags);
        let template =
            LineTemplate::new(tags, with_histogram.then_some(&line_boundaries), counts.boundaries());
        let delivery = RollupDelivery::start(runtime, settings, &counts, template, points, copies)?;
        Ok(Some(Self { counts, delivery: Some(delivery) }))
    }

    pub(super) fn counts(&self) -> Arc<Rollup> {
        Arc::clone(&self.counts)
    }

    pub(super) fn snapshot(&self) -> RollupSnapshot {
        self.counts.totals().snapshot(self.counts.boundaries())
    }

    /// Ends the interval, and flushes both.
    pub(super) async fn flush(&self, points: &Flusher) -> Result<FlushReport, Error> {
        let Some(own) = &self.delivery else { return points.flush().await };
        own.end_interval();
        let (points, own) = tokio::join!(points.flush(), own.flusher.flush());
        Ok(points?.merge(own?))
    }

    /// Probes on behalf of both deliveries, which ends the pauses of both.
    pub(super) async fn probe(&self, points: &Flusher) -> Result<(), Error> {
        points.probe().await?;
        match &self.delivery {
            Some(own) => own.flusher.probe().await,
            None => Ok(()),
        }
    }

    /// Shuts both down at the same time.
    pub(super) async fn shutdown(
        &self,
        points: &Flusher,
        requests: &Arc<Buffer>,
        timeout: Duration,
    ) -> ShutdownReport {
        let Some(own) = self.delivery.clone() else { return points.shutdown(timeout).await };
        let (ending, requests) = (own.clone(), Arc::clone(requests));
        // A task, so that it continues if this future is dropped.
        points.runtime().spawn(async move { ending.shutdown(requests, timeout).await });
        let (points, own) = tokio::join!(points.shutdown(timeout), own.flusher.wait_for_end(timeout));
        points.merge(own)
    }

    /// Returns whether no further line can come.
    pub(super) fn is_closed(&self) -> bool {
        self.delivery.as_ref().is_none_or(RollupDelivery::is_closed)
    }

    /// Adds the statistics of rollups to those of points.
    pub(super) fn stats(&self, points: Stats) -> Stats {
        let mut stats = match &self.delivery {
            Some(own) => points.merge(own.flusher.stats()),
            None => points,
        };
        stats.rollup = Some(self.counts.snapshot().stats());
        stats
    }
}
