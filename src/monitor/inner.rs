//! What all handles of a monitor share.

use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;

use super::rollups::Rollups;
use crate::{
    delivery::{
        flusher::{FlushReport, Flusher},
        sink::Sink,
    },
    error::Error,
    record::recorder::Recorder,
    settings::Settings,
    stats::{Stats, TargetCounters},
};

pub(super) struct Inner {
    pub(super) recorder: Arc<Recorder>,
    pub(super) flusher: Flusher,
    pub(super) rollups: Option<Rollups>,
    pub(super) settings: Mutex<Settings>,
    /// The application's own, which no settings replace.
    pub(super) own_sink: Option<Arc<dyn Sink>>,
    /// The runtime that the monitor was started on; delivery's where it was started on none.
    pub(super) application: Handle,
}

impl Inner {
    /// Ends the open interval of rollups, and flushes points and rollups.
    pub(super) async fn flush(&self) -> Result<FlushReport, Error> {
        match &self.rollups {
            Some(rollups) => rollups.flush(&self.flusher).await,
            None => self.flusher.flush().await,
        }
    }

    pub(super) fn stats(&self) -> Stats {
        let stats = Stats {
            targets: self.recorder.targets.snapshot(TargetCounters::target),
            connections: self.recorder.connections.snapshot(TargetCounters::connection),
            ..self.flusher.stats()
        };
        match &self.rollups {
            Some(rollups) => rollups.stats(stats),
            None => stats,
        }
    }
}
