//! The only place that connects the stages: recorder, buffer, flusher, sink, spool.

use std::{collections::BTreeMap, fmt, sync::Arc};

use tokio::runtime::Handle;

use super::{
    Monitor, fan_out::FanOut, rollup_delivery::RollupDelivery, rollups::Rollups, sources::Sources,
    spools::open_spool,
};
use crate::{
    clock::timers,
    delivery::{
        buffer::Buffer,
        flusher::{Flusher, FlusherParts},
        sink::{FileSink, InfluxSink, Sink, none::NoSink, rejected::RejectedFiles},
        thread::{DeliveryRuntime, DeliveryThread},
    },
    error::Error,
    record::recorder::Recorder,
    settings::{Settings, Storage},
    stats::{RecorderCounters, ledger::Ledger},
};

/// Builds a [`Monitor`] with sinks of the application. Created by [`Monitor::builder`].
#[must_use]
pub struct MonitorBuilder {
    settings: Settings,
    sink: Option<Arc<dyn Sink>>,
    on_current_runtime: bool,
    added: Vec<(String, Arc<dyn Sink>)>,
}

impl MonitorBuilder {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings, sink: None, on_current_runtime: false, added: Vec::new() }
    }

    /// Sends the points to this sink, also after a [reload](Monitor::reload), instead of the
    /// destination in the settings. The settings `storage`, `influx` and `file` are still checked.
    /// With [`Storage::None`] no point is made, and the sink gets none.
    pub fn sink(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Delivers points by tasks of the tokio runtime on which [`start`](Self::start) is called,
    /// instead of a thread of the monitor. Use it in tests with paused time, or if no further
    /// thread is allowed.
    ///
    /// Delivery is then delayed while all threads of that runtime are blocked. It ends with the
    /// runtime: the remaining points are stored in the spool. Without a spool they are lost.
    ///
    /// The runtime needs its timers and, to write to a server, its I/O. Otherwise, or without a
    /// runtime, the start fails ([`Error::is_runtime`]).
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

    /// Sends a copy of all points to this sink: points of requests, of the application, and
    /// rollups.
    ///
    /// Each destination has its own buffer, flusher, ledger and spool. So a slow or unavailable
    /// destination never delays another one. All destinations use the same settings of delivery,
    /// and the bounds apply to each alone: two destinations can use twice `buffer_size` of memory.
    /// The spool of an added sink is the directory `name` in
    /// [`spool.directory`](crate::settings::SpoolSettings::directory). With [`Storage::None`] no
    /// sink gets points.
    ///
    /// A point counts once for each destination. [`Monitor::stats`] and the reports of
    /// [`flush`](Monitor::flush) and [`shutdown`](Monitor::shutdown) are sums.
    /// [`Stats::destinations`](crate::stats::Stats::destinations) has the ledger of each
    /// destination.
    ///
    /// # Cost
    ///
    /// Each request copies its lines once more for each added sink. Without an added sink there is
    /// no cost.
    ///
    /// ```
    /// use tower_influx::{Monitor, Settings, settings::InfluxSettings, sink::InfluxSink};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), tower_influx::Error> {
    /// let mut archive = InfluxSettings::default();
    /// archive.url = "http://archive.internal:8086".to_owned();
    /// archive.bucket = "monitoring".to_owned();
    /// # let mut settings = Settings::new("my-service");
    /// # settings.storage = tower_influx::settings::Storage::Influx;
    /// # settings.influx.bucket = "monitoring".to_owned();
    /// let monitor = Monitor::builder(settings).add_sink("archive", InfluxSink::new(&archive)?).start()?;
    /// assert_eq!(monitor.stats().destinations["archive"].ledger.written, 0);
    /// # drop(monitor);
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_sink(mut self, name: impl Into<String>, sink: impl Sink) -> Self {
        self.added.push((name.into(), Arc::new(sink)));
        self
    }

    /// Starts the monitor.
    ///
    /// # Errors
    ///
    /// - The errors of [`Monitor::start`].
    /// - The name of an [added sink](Self::add_sink) is not 1 to 64 lower-case letters, digits and
    ///   dashes ([`Error::is_setting`]).
    /// - The name is `main`, `rollups`, `corrupt`, or the name of another added sink
    ///   ([`Error::is_setting`]).
    /// - With [`on_current_runtime`](Self::on_current_runtime), the runtime is missing or
    ///   unsuitable ([`Error::is_runtime`]).
    pub fn start(self) -> Result<Monitor, Error> {
        let Self { settings, sink, on_current_runtime, added } = self;
        if !settings.enabled {
            return Ok(Monitor::disabled());
        }
        settings.validate()?;
        let application = Handle::try_current().ok();
        let (thread, delivery) = match (on_current_runtime, &application) {
            (false, _) => {
                let (thread, delivery) = DeliveryThread::new()?;
                (Some(thread), delivery)
            }
            (true, Some(runtime)) => {
                timers::check(runtime, "delivery")?;
                (None, DeliveryRuntime::of_application(runtime))
            }
            (true, None) => return Err(Error::runtime(NO_RUNTIME)),
        };
        if on_current_runtime && sink.is_none() && settings.storage == Storage::Influx {
            delivery.check_io()?;
        }
        let own_sink = sink.is_some();
        let sink = match sink {
            Some(sink) => sink,
            None => make_sink(&settings)?,
        };
        let ledger = Arc::new(Ledger::default());
        let counters = Arc::new(RecorderCounters::default());
        let spool = open_spool(&settings, &*sink, &ledger)?;
        let rejected = open_rejected(&settings)?;
        let sources = Sources::default();
        let fan_out = FanOut::start(&delivery, &settings, added, rejected.as_ref(), &sources)?;
        let buffer = Buffer::new(settings.buffer_size, settings.overflow).copy_to(fan_out.buffers());
        let buffer = Arc::new(buffer);
        let parts = FlusherParts {
            buffer: Arc::clone(&buffer),
            ledger,
            recorder: Arc::clone(&counters),
            sink,
            spool,
            rejected,
            settings: (&settings).into(),
        };
        let rollups = Rollups::start(&delivery, &settings, &parts, fan_out.buffers())?;
        let own = rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref());
        sources.set(&buffer, own.map(RollupDelivery::buffer));
        let flusher = Flusher::spawn(&delivery, parts);
        if let Some(thread) = thread {
            let points = flusher.has_ended();
            let own = own.map(|delivery| delivery.flusher.has_ended());
            let added = fan_out.have_ended();
            thread.run(async move {
                points.await;
                added.await;
                if let Some(own) = own {
                    own.await;
                }
            })?;
        }
        let counts = rollups.as_ref().map(Rollups::counts);
        let rollup_delivery = rollups.as_ref().and_then(|rollups| rollups.delivery.clone());
        let keeps = (flusher.clone(), rollup_delivery, fan_out.clone());
        let recorder = Arc::new(Recorder::new(&settings, buffer, counters, counts, keeps));
        Ok(Monitor::new(recorder, flusher, rollups, fan_out, settings, own_sink, application))
    }
}

impl fmt::Debug for MonitorBuilder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sink = self.sink.as_ref().map(|sink| sink.describe());
        let added: BTreeMap<_, _> = self.added.iter().map(|(name, sink)| (name, sink.describe())).collect();
        formatter
            .debug_struct("MonitorBuilder")
            .field("settings", &self.settings)
            .field("sink", &sink)
            .field("added", &added)
            .finish()
    }
}

pub(super) fn open_rejected(settings: &Settings) -> Result<Option<Arc<RejectedFiles>>, Error> {
    settings
        .rejected_directory
        .as_deref()
        .map(|directory| RejectedFiles::new(directory, &settings.service).map(Arc::new))
        .transpose()
}

pub(super) fn make_sink(settings: &Settings) -> Result<Arc<dyn Sink>, Error> {
    match settings.storage {
        Storage::Influx => Ok(Arc::new(InfluxSink::new(&settings.influx)?)),
        Storage::File => Ok(Arc::new(FileSink::new(&settings.file, &settings.service)?)),
        Storage::None => Ok(Arc::new(NoSink)),
    }
}

const NO_RUNTIME: &str = "`on_current_runtime` needs a tokio runtime, but the monitor was started outside of one: \
                          start it in an async function, or leave out `on_current_runtime`";
