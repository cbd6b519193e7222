//! The state that all handles of a monitor share.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use super::{fan_out::FanOut, rollups::Rollups};
use crate::{
    delivery::flusher::{FlushReport, Flusher, ShutdownReport},
    error::Error,
    record::recorder::Recorder,
    settings::Settings,
    stats::{Stats, TargetCounters},
};

pub(super) struct Inner {
    pub(super) recorder: Arc<Recorder>,
    pub(super) flusher: Flusher,
    pub(super) rollups: Option<Rollups>,
    pub(super) fan_out: FanOut,
    pub(super) settings: Mutex<Settings>,
    /// Whether the application passed the sink, which no settings replace then.
    pub(super) own_sink: bool,
    /// The runtime on which the monitor was started, or that of delivery if there was none.
    pub(super) application: Handle,
    /// Held while the settings are changed.
    pub(super) reloading: tokio::sync::Mutex<()>,
    /// The timeout of the first shutdown, which all others wait for.
    pub(super) shutdown_timeout: OnceLock<Duration>,
}

impl Inner {
    /// Ends the open interval of rollups, and flushes points and rollups to all destinations.
    pub(super) async fn flush(&self) -> Result<FlushReport, Error> {
        let main = async {
            match &self.rollups {
                Some(rollups) => rollups.flush(&self.flusher).await,
                None => self.flusher.flush().await,
            }
        };
        self.fan_out.flush(main).await
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
        let main = async {
            match &self.rollups {
                Some(rollups) => rollups.probe(&self.flusher).await,
                None => self.flusher.probe().await,
            }
        };
        self.fan_out.probe(main).await
    }

    /// Sets the interval of all deliveries. Called with the lock of the settings, so that all have
    /// the one that is stored.
    pub(super) fn set_flush_interval(&self, interval: Duration) {
        self.flusher.set_flush_interval(interval);
        if let Some(delivery) = self.rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref()) {
            delivery.flusher.set_flush_interval(interval);
        }
        self.fan_out.set_flush_interval(interval);
    }

    pub(super) async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        // Every delivery ends by the first timeout, and so does every wait for the end.
        let timeout = *self.shutdown_timeout.get_or_init(|| timeout);
        let (buffer, rollups) = (Arc::clone(&self.recorder.buffer), self.rollups.clone());
        let main = async {
            match &self.rollups {
                Some(rollups) => rollups.shutdown(&self.flusher, &self.recorder.buffer, timeout).await,
                None => self.flusher.shutdown(timeout).await,
            }
        };
        let is_closed =
            move || buffer.is_closed_everywhere() && rollups.as_ref().is_none_or(Rollups::is_closed);
        let report = self.fan_out.shutdown(main, is_closed, timeout).await;
        if let Some(filter) = &self.recorder.filter {
            filter.report_unused();
        }
        report
    }

    pub(super) fn stats(&self) -> Stats {
        let stats = Stats {
            targets: self.recorder.targets.snapshot(TargetCounters::target),
            connections: self.recorder.connections.snapshot(TargetCounters::connection),
            ..self.flusher.stats()
        };
        let stats = match &self.rollups {
            Some(rollups) => rollups.stats(stats),
            None => stats,
        };
        self.fan_out.stats(stats)
    }
}
