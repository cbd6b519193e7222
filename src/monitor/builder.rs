//! The only place that puts the stages together: intake, buffer, flusher, sink, spool.

use std::sync::{Arc, PoisonError};

use tokio::runtime::Handle;

use super::{Inner, Monitor};
use crate::{
    Error, Settings, Sink, Storage,
    buffer::Buffer,
    flusher::{Flusher, FlusherParts},
    intake::Intake,
    sink::{self, FileSink},
    spool::Spool,
    stats::{IntakeCounters, ledger::Ledger},
};

/// Makes a [`Monitor`]. See [`Monitor::builder`].
#[derive(Debug)]
#[must_use]
pub struct MonitorBuilder {
    settings: Settings,
    sink: Option<Arc<dyn Sink>>,
}

impl MonitorBuilder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, sink: None }
    }

    /// Sends the points to this sink, whatever [`storage`](Settings::storage) says.
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Starts the monitoring.
    ///
    /// # Errors
    ///
    /// As [`Monitor::start`].
    pub fn start(self) -> Result<Monitor, Error> {
        let Self { settings, sink } = self;
        if !settings.enabled {
            return Ok(Monitor::disabled());
        }
        check(&settings, sink.is_some())?;
        let runtime = Handle::try_current().map_err(|_| {
            Error::runtime(
                "Monitor::start was called outside of a tokio runtime, which its flusher needs: call it from an async function",
            )
        })?;
        let sink = match sink {
            Some(sink) => sink,
            None => make_sink(&settings)?,
        };
        let buffer = Arc::new(Buffer::new(settings.buffer_size, settings.overflow));
        let ledger = Arc::new(Ledger::default());
        let counters = Arc::new(IntakeCounters::default());
        let intake = Arc::new(Intake::new(&settings, Arc::clone(&buffer), Arc::clone(&counters)));
        let spool = open_spool(&settings, &*sink, &ledger)?;
        let parts = FlusherParts { buffer, ledger, intake: counters, sink, spool, settings: (&settings).into() };
        let flusher = Flusher::spawn(&runtime, parts);
        Ok(Monitor::new(intake, flusher, settings))
    }
}

pub(super) async fn reload(inner: &Inner, settings: Settings) -> Result<(), Error> {
    let old = inner.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
    check(&settings, false)?;
    refuse_fixed(&old, &settings)?;
    let sink = make_sink(&settings)?;
    let spool = open_spool(&settings, &*sink, &inner.flusher.ledger())?;
    inner.flusher.reload(sink, spool, (&settings).into()).await?;
    *inner.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    Ok(())
}
