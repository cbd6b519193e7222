//! The only place that puts the stages together: recorder, buffer, flusher, sink, spool.

use std::{
    fmt,
    sync::{Arc, PoisonError},
};

use tokio::runtime::Handle;

use super::{
    Inner, Monitor,
    rollups::Rollups,
    spools::{configure_spool, open_spool, reopen_spool},
};
use crate::{
    delivery::{
        buffer::Buffer,
        flusher::{Flusher, FlusherParts},
        sink::{self, Sink, file::FileSink, none::NoSink, rejected::RejectedFiles},
        thread::{DeliveryRuntime, DeliveryThread},
    },
    error::Error,
    record::recorder::Recorder,
    settings::{Settings, Storage},
    stats::{RecorderCounters, ledger::Ledger},
};

/// Makes a [`Monitor`]. See [`Monitor::builder`].
#[must_use]
pub struct MonitorBuilder {
    settings: Settings,
    sink: Option<Arc<dyn Sink>>,
    on_current_runtime: bool,
}

impl MonitorBuilder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, sink: None, on_current_runtime: false }
    }

    /// Sends the points to this sink, whatever [`storage`](Settings::storage) says, also after a
    /// [reload](Monitor::reload).
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Delivers points by tasks of the tokio runtime in which [`start`](Self::start) is called, and
    /// not by a thread of the monitor's own: for tests with paused time, or where no further thread
    /// may be.
    ///
    /// Delivery then stands still while something blocks the thread of the runtime that it is woken
    /// on, and ends with the runtime: what is left goes to the spool, if there is one, and is lost
    /// otherwise. The runtime needs its timers and its I/O. Without a runtime the start fails
    /// ([`Error::is_runtime`]).
    ///
    /// ```
    /// # async fn test() -> Result<(), tower_influx::Error> {
    /// use tower_influx::{Monitor, Settings, sink::MemorySink};
    ///
    /// let builder = Monitor::builder(Settings::new("shop")).sink(MemorySink::new());
    /// let monitor = builder.on_current_runtime().start()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_current_runtime(mut self) -> Self {
        self.on_current_runtime = true;
        self
    }

    /// Starts the monitoring.
    ///
    /// # Errors
    ///
    /// As [`Monitor::start`].
    pub fn start(self) -> Result<Monitor, Error> {
        let Self { settings, sink, on_current_runtime } = self;
        if !settings.enabled {
            return Ok(Monitor::disabled());
        }
        settings.check()?;
        let application = Handle::try_current().ok();
        let (thread, delivery) = match (on_current_runtime, &application) {
            (false, _) => {
                let (thread, delivery) = DeliveryThread::new()?;
                (Some(thread), delivery)
            }
            (true, Some(runtime)) => (None, DeliveryRuntime::of_application(runtime)),
            (true, None) => return Err(Error::runtime(NO_RUNTIME)),
        };
        let own_sink = sink;
        let sink = match &own_sink {
            Some(sink) => Arc::clone(sink),
            None => make_sink(&settings)?,
        };
        let buffer = Arc::new(Buffer::new(settings.buffer_size, settings.overflow));
        let ledger = Arc::new(Ledger::default());
        let counters = Arc::new(RecorderCounters::default());
        let spool = open_spool(&settings, &*sink, &ledger)?;
        let rejected = open_rejected(&settings)?;
        let parts = FlusherParts {
            buffer: Arc::clone(&buffer),
            ledger,
            recorder: Arc::clone(&counters),
            sink,
            spool,
            rejected,
            settings: (&settings).into(),
        };
        let rollups = Rollups::start(&delivery, &settings, &parts)?;
        let flusher = Flusher::spawn(&delivery, parts);
        if let Some(thread) = thread {
            let points = flusher.has_ended();
            let own = rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref());
            let own = own.map(|delivery| delivery.flusher.has_ended());
            thread.run(async move {
                points.await;
                if let Some(own) = own {
                    own.await;
                }
            })?;
        }
        let counts = rollups.as_ref().map(Rollups::counts);
        let keeps = (flusher.clone(), rollups.as_ref().and_then(|rollups| rollups.delivery.clone()));
        let recorder = Arc::new(Recorder::new(&settings, buffer, counters, counts, keeps));
        Ok(Monitor::new(recorder, flusher, rollups, settings, own_sink, application))
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = self.sink.as_ref().map(|sink| sink.describe());
        formatter
            .debug_struct("MonitorBuilder")
            .field("settings", &self.settings)
            .field("sink", &sink)
            .finish()
    }
}

/// Changes what delivery works with, and nothing if any of it cannot work.
pub(super) async fn reload(inner: &Inner, settings: Settings) -> Result<(), Error> {
    let old = inner.settings.lock().unwrap_or_else(PoisonError::into_inner).clone();
    settings.check()?;
    refuse_fixed(&old, &settings)?;
    let sink = match &inner.own_sink {
        Some(sink) => Arc::clone(sink),
        None => make_sink(&settings)?,
    };
    let spool = reopen_spool(inner.flusher.spool(), &settings, &*sink, &inner.flusher.ledger())?;
    let rejected = open_rejected(&settings)?;
    if let Some(delivery) = inner.rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref()) {
        delivery.reload(&settings, Arc::clone(&sink), rejected.clone()).await?;
    }
    configure_spool(spool.as_ref(), &settings);
    inner.flusher.reload(sink, spool, rejected, (&settings).into()).await?;
    *inner.settings.lock().unwrap_or_else(PoisonError::into_inner) = settings;
    Ok(())
}

/// Refuses to change settings that every request reads without a lock.
fn refuse_fixed(old: &Settings, new: &Settings) -> Result<(), Error> {
    let refuse = |name: &str| {
        Err(Error::setting_without_value(
            name,
            "it cannot change while the monitor runs: restart the service",
        ))
    };
    match () {
        () if new.enabled != old.enabled => refuse("enabled"),
        () if new.service != old.service => refuse("service"),
        () if new.instance != old.instance => refuse("instance"),
        () if new.tags != old.tags => refuse("tags"),
        () if new.request_id != old.request_id => refuse("request_id"),
        () if new.trace_id != old.trace_id => refuse("trace_id"),
        () if new.limits != old.limits => refuse("limits"),
        () if new.filter != old.filter => refuse("filter"),
        () if new.requests != old.requests => refuse("requests"),
        () if new.metrics != old.metrics => refuse("metrics"),
        () if new.process != old.process => refuse("process"),
        () if new.rollup != old.rollup => refuse("rollup"),
        () if (new.storage == Storage::None) != (old.storage == Storage::None) => refuse("storage"),
        () if new.own_points != old.own_points => refuse("own_points"),
        () => Ok(()),
    }
}

fn open_rejected(settings: &Settings) -> Result<Option<Arc<RejectedFiles>>, Error> {
    settings
        .rejected_directory
        .as_deref()
        .map(|directory| RejectedFiles::new(directory, &settings.service).map(Arc::new))
        .transpose()
}

fn make_sink(settings: &Settings) -> Result<Arc<dyn Sink>, Error> {
    match settings.storage {
        Storage::Influx => sink::influx(&settings.influx),
        Storage::File => Ok(Arc::new(FileSink::new(&settings.file, &settings.service)?)),
        Storage::None => Ok(Arc::new(NoSink)),
    }
}

const NO_RUNTIME: &str = "the monitor was told to deliver on the current tokio runtime, but was started outside of one: \
                          start it in an async function, or leave out `on_current_runtime`";
