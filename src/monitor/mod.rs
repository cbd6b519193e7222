//! The handle that an application holds.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    client::ClientLayer,
    delivery::flusher::{FlushReport, Flusher, ShutdownReport},
    error::Error,
    point::Point,
    record::recorder::Recorder,
    request::{Connection, MonitoringLayer, RequestId},
    settings::{Settings, validate_flush_interval},
    stats::{RollupSnapshot, Stats},
    sync::block_on::block_on,
};

mod builder;
mod fan_out;
mod inner;
mod last_flush;
mod licensing;
#[cfg(any(feature = "live", feature = "prometheus"))]
mod observed;
mod own_points;
#[cfg(feature = "process")]
mod process_points;
mod reload;
mod rollup_delivery;
mod rollups;
mod sources;
mod spools;
mod unused_patterns;

pub use builder::MonitorBuilder;

use fan_out::FanOut;
use inner::Inner;
use rollups::Rollups;

/// The monitoring of one service: creates layers, accepts points and delivers them.
///
/// Clones are handles to the same monitor, and so are its layers, its services and running
/// requests. Call [`shutdown`](Self::shutdown) before the process ends, to deliver the remaining
/// points. If the last handle is dropped without a shutdown, a warning is logged. The remaining
/// points are then stored in the spool. Without a spool they are lost and counted.
///
/// ```no_run
/// use std::time::Duration;
///
/// use axum::{Router, routing::get};
/// use tower_influx::{Monitor, Settings};
///
/// # async fn run() -> Result<(), Box<dyn std::error::Error>> {
/// let monitor = Monitor::start(Settings::new("my-service"))?;
/// let app = Router::new().route("/version", get(|| async { "1.0" })).layer(monitor.layer());
/// let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
/// let stop = async { _ = tokio::signal::ctrl_c().await };
/// axum::serve(listener, app).with_graceful_shutdown(stop).await?;
/// println!("{}", monitor.shutdown(Duration::from_secs(5)).await);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Monitor {
    /// `None` for a disabled monitor.
    inner: Option<Arc<Inner>>,
}

impl Monitor {
    /// Checks the settings, creates the sink that they name, and starts the thread that delivers
    /// points.
    ///
    /// The thread is called `tower-influx` and has a small tokio runtime of its own. So busy
    /// threads of the application delay neither writes nor a shutdown, and the application needs no
    /// runtime. [`MonitorBuilder::on_current_runtime`] uses the runtime of the application instead.
    ///
    /// If [`enabled`](Settings::enabled) is false, nothing else is checked, and the monitor is a
    /// [`disabled`](Self::disabled) one. The server need not be running: points wait until it is.
    /// One probe is sent at once. If it shows that the server would refuse points, that is logged.
    ///
    /// # Errors
    ///
    /// - A setting is invalid ([`Error::is_setting`]).
    /// - A file or directory cannot be used ([`Error::is_io`]).
    /// - The system provides no further thread ([`Error::is_runtime`]).
    pub fn start(settings: Settings) -> Result<Self, Error> {
        MonitorBuilder::new(settings).start()
    }

    /// Creates a builder, which can start the monitor with a custom [`Sink`](crate::sink::Sink).
    pub fn builder(settings: Settings) -> MonitorBuilder {
        MonitorBuilder::new(settings)
    }

    /// Creates a monitor that records nothing. Its layers pass requests on. The cost for each
    /// request is one check of an `Option`.
    pub fn disabled() -> Self {
        Self { inner: None }
    }

    fn new(
        recorder: Arc<Recorder>,
        flusher: Flusher,
        rollups: Option<Rollups>,
        fan_out: FanOut,
        settings: Settings,
        own_sink: bool,
        application: Option<Handle>,
    ) -> Self {
        let own_points = settings.own_points;
        let settings = Mutex::new(settings);
        let runtime = application.clone().unwrap_or_else(|| flusher.runtime().clone());
        let inner = Arc::new(Inner {
            recorder,
            flusher,
            rollups,
            fan_out,
            settings,
            own_sink,
            application: runtime,
            reloading: tokio::sync::Mutex::default(),
            shutdown_timeout: std::sync::OnceLock::new(),
        });
        if let Some(application) = application {
            last_flush::spawn(&application, &inner);
        }
        if own_points {
            own_points::spawn(inner.flusher.runtime(), &inner);
        }
        unused_patterns::spawn(&inner);
        #[cfg(feature = "process")]
        process_points::spawn(&inner);
        Self { inner: Some(inner) }
    }

    /// Returns whether the monitor records points: it is not a [`disabled`](Self::disabled) one.
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// Creates a layer that records every request. Layers are cheap: create as many as needed.
    pub fn layer(&self) -> MonitoringLayer {
        MonitoringLayer::new(self.inner.as_ref().map(|inner| Arc::clone(&inner.recorder)))
    }

    /// Creates a layer for an HTTP client, which records every call to this target. Create the
    /// layer once and clone it, because each creation looks up the counters of the target.
    ///
    /// # Cardinality
    ///
    /// The target becomes a tag. Use a fixed name such as `payments`, never an address that a
    /// client chose.
    pub fn client_layer(&self, target: impl Into<Cow<'static, str>>) -> ClientLayer {
        let recorder = self.inner.as_ref().map(|inner| Arc::clone(&inner.recorder));
        ClientLayer::new(recorder, target.into())
    }

    /// Opens a long connection of this kind, outside of a request. In a handler use
    /// [`MonitoringData::connection`](crate::MonitoringData::connection) instead.
    pub fn connection(&self, name: impl Into<Cow<'static, str>>) -> Connection {
        let recorder = self.inner.as_ref().map(|inner| &inner.recorder);
        Connection::open(recorder, name.into(), RequestId::default())
    }

    /// Records a point of the application. Never waits. A point that cannot be stored is counted as
    /// [`invalid`](crate::stats::RecorderStats::invalid), and the first one is logged.
    ///
    /// The point also gets the tags of the settings: `service`, `instance` and
    /// [`tags`](Settings::tags). A tag of the settings is left out if the point has a tag or field
    /// of the same name.
    pub fn record(&self, point: &dyn Point) {
        if let Some(inner) = &self.inner {
            inner.recorder.record(point);
        }
    }

    /// Sends all recorded points now, to all destinations. With rollups, the open interval ends
    /// first. Returns when each point that was accepted before the call is written, rejected,
    /// dropped or spooled, or has been sent once without success.
    ///
    /// # Errors
    ///
    /// - The monitor is shut down ([`Error::is_closed`]).
    /// - Its runtime has ended ([`Error::is_runtime`]).
    ///
    /// A failed write is not an error. The report counts its points as waiting or spooled, and they
    /// are sent again later.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the flush continues, and no point is lost.
    pub async fn flush(&self) -> Result<FlushReport, Error> {
        match &self.inner {
            Some(inner) => inner.flush().await,
            None => Ok(FlushReport::default()),
        }
    }

    /// Asks each destination whether it would accept points. For a server this checks that it can
    /// be reached, that it accepts the token, and that the bucket exists.
    ///
    /// # Errors
    ///
    /// - A destination would not accept points, or did not answer in time ([`Error::is_server`]).
    /// - The runtime of the monitor has ended ([`Error::is_runtime`]).
    /// - The monitor is shut down ([`Error::is_closed`]).
    pub async fn probe(&self) -> Result<(), Error> {
        match self.inner.as_deref() {
            Some(inner) => inner.probe().await,
            None => Ok(()),
        }
    }

    /// Changes how long points are collected before they are sent, while the monitor runs.
    ///
    /// # Errors
    ///
    /// The interval is not within 10 ms to 1 hour ([`Error::is_setting`]). The old interval then
    /// stays.
    pub fn set_flush_interval(&self, interval: Duration) -> Result<(), Error> {
        let Some(inner) = &self.inner else { return Ok(()) };
        validate_flush_interval(interval)?;
        let mut settings = inner.settings.lock();
        inner.set_flush_interval(interval);
        settings.flush_interval = interval;
        Ok(())
    }

    /// Changes the settings of delivery while the monitor runs: server, token, bucket, storage,
    /// intervals, bounds, spool. `docs/settings.md` lists what a reload applies, and what lower
    /// bounds drop. No other point is lost.
    ///
    /// Waiting points are sent to the new destination. Points in the spool stay there for the old
    /// destination. A sink that was passed to the [builder](Self::builder) is kept.
    ///
    /// Everything that the new settings need is opened first, on a thread for blocking work:
    ///
    /// - A spool in the same directory gets its new bounds at once.
    /// - A spool in another directory is opened, and its files are read in the background. Their
    ///   points count as recovered then.
    /// - The old spool keeps its bounds and stays part of the statistics until it is empty. Then
    ///   its directory is released.
    ///
    /// # Errors
    ///
    /// - The new settings are invalid: the errors of [`start`](Self::start).
    /// - The new settings change a value that is fixed while a monitor runs
    ///   ([`Error::is_setting`]): `enabled`, `service`, `instance`, `tags`, `request_id`,
    ///   `trace_id`, `limits`, `filter`, `metrics`, `process`, `requests`, `rollup`, `own_points`,
    ///   or `storage` from or to `none`.
    /// - The monitor is shut down, or a shutdown has begun ([`Error::is_closed`]).
    /// - The runtime of the monitor has ended, or cannot use sockets ([`Error::is_runtime`]).
    ///
    /// With the first two errors, or without sockets, nothing has changed. Neither has it if the
    /// shutdown began before the call.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the reload continues.
    pub async fn reload(&self, settings: Settings) -> Result<(), Error> {
        match &self.inner {
            Some(inner) => reload::reload(inner, settings).await,
            None if !settings.enabled => Ok(()),
            None => {
                Err(Error::setting("enabled", true, "a disabled monitor cannot be enabled: start another"))
            }
        }
    }

    /// Waits for running requests, sends the remaining points, and ends delivery. Points that
    /// cannot be sent in time are stored in the spool, if there is one. Returns within `timeout`,
    /// and at most 2 seconds later if a sink blocks its thread. A second call, also a concurrent
    /// one, waits for the end of the first one, within the timeout of that, for the same report.
    ///
    /// Call it when the server no longer accepts requests. Points that are recorded later are
    /// counted as refused. 5 seconds suit most services. An orchestrator must wait longer than
    /// `timeout` before it kills the process. Any executor can await the future: also one without
    /// timers, and also after the application's runtime has ended.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the shutdown continues, and no point is lost.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        match self.inner.as_deref() {
            Some(inner) => inner.shutdown(timeout).await,
            None => ShutdownReport { in_time: true, ..ShutdownReport::default() },
        }
    }

    /// Shuts down as [`shutdown`](Self::shutdown) does, for code that is not async. This can be the
    /// thread of a signal handler, or the end of a `main` without a runtime.
    ///
    /// Blocks the thread for at most `timeout`, and for 2 more seconds if a sink blocks its thread.
    /// With [`MonitorBuilder::on_current_runtime`], never call it on a thread of that runtime:
    /// delivery may need the thread.
    pub fn shutdown_blocking(&self, timeout: Duration) -> ShutdownReport {
        block_on(self.shutdown(timeout))
    }

    /// Returns a snapshot of the ledger, the counters and the state of delivery.
    pub fn stats(&self) -> Stats {
        match &self.inner {
            Some(inner) => inner.stats(),
            None => Stats::default(),
        }
    }

    /// Returns the counts and execution times of all requests since the start, by route, status
    /// code and error code. It also has the number of requests that run now.
    ///
    /// `None` for a disabled monitor, and if no setting asks for counts: neither
    /// [`rollup.interval`](crate::settings::RollupSettings::interval) nor
    /// [`metrics.names`](crate::settings::MetricsSettings::names) is set, and the storage is not
    /// `none`.
    ///
    /// # Cost
    ///
    /// Copies all counts. Call it every few seconds, not for each request.
    pub fn rollup(&self) -> Option<RollupSnapshot> {
        self.inner.as_ref()?.rollups.as_ref().map(Rollups::snapshot)
    }

    /// Returns the name of the service. Empty for a disabled monitor.
    pub fn service(&self) -> String {
        self.settings(|settings| settings.service.clone())
    }

    pub(crate) fn settings<R: Default>(&self, read: impl FnOnce(&Settings) -> R) -> R {
        let Some(inner) = &self.inner else { return R::default() };
        read(&inner.settings.lock())
    }
}

impl fmt::Debug for Monitor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Monitor")
            .field("enabled", &self.is_enabled())
            .field("service", &self.service())
            .finish_non_exhaustive()
    }
}
