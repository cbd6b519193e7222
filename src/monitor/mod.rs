//! The handle that an application holds.

use std::{borrow::Cow, fmt, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    client::ClientLayer,
    delivery::{
        flusher::{FlushReport, Flusher, ShutdownReport},
        sink::Sink,
    },
    error::Error,
    point::Point,
    record::recorder::Recorder,
    request::{Connection, MonitoringLayer, RequestId},
    settings::{Settings, check_flush_interval},
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
mod spools;
mod unused_patterns;

pub use builder::MonitorBuilder;

use fan_out::FanOut;
use inner::Inner;
use rollups::Rollups;

/// Monitoring of one service: creates the layers, accepts points, and delivers them.
///
/// Clones are handles to the same monitoring. Layers, services and running requests are handles,
/// too. Call [`shutdown`](Self::shutdown) before the process ends: it delivers the remaining
/// points. If the last handle is dropped without it, a warning is logged. The remaining points then
/// go to the spool or, without one, are lost and counted.
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
    /// `None` for a disabled one.
    inner: Option<Arc<Inner>>,
}

impl Monitor {
    /// Checks the settings, creates the sink that they name, and starts the thread that delivers
    /// points.
    ///
    /// The thread is called `tower-influx` and has a small tokio runtime of its own. Busy threads
    /// of the application delay neither writes nor a shutdown, and the application needs no
    /// runtime. [`MonitorBuilder::on_current_runtime`] delivers on a runtime instead.
    ///
    /// With [`enabled`](Settings::enabled) off it returns a [`disabled`](Self::disabled) monitor
    /// and checks nothing else. The server need not be running: recorded points wait for it. One
    /// probe is sent at once, and a server that would refuse points is logged.
    ///
    /// # Errors
    ///
    /// Everything that can be known without the network: a setting that cannot work
    /// ([`Error::is_setting`]), a file or directory that cannot be used ([`Error::is_io`]), a
    /// system that gives no further thread ([`Error::is_runtime`]).
    pub fn start(settings: Settings) -> Result<Self, Error> {
        MonitorBuilder::new(settings).start()
    }

    /// Creates a builder, to start with a custom [`Sink`](crate::sink::Sink).
    pub fn builder(settings: Settings) -> MonitorBuilder {
        MonitorBuilder::new(settings)
    }

    /// Creates a monitor that records nothing. Its layers pass requests through at the cost of one
    /// look at an option.
    pub fn disabled() -> Self {
        Self { inner: None }
    }

    fn new(
        recorder: Arc<Recorder>,
        flusher: Flusher,
        rollups: Option<Rollups>,
        fan_out: FanOut,
        settings: Settings,
        own_sink: Option<Arc<dyn Sink>>,
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

    /// Returns whether points are recorded at all.
    pub fn is_enabled(&self) -> bool {
        self.inner.is_some()
    }

    /// Creates a layer that records every request. Layers are cheap: create as many as needed.
    pub fn layer(&self) -> MonitoringLayer {
        MonitoringLayer::new(self.inner.as_ref().map(|inner| Arc::clone(&inner.recorder)))
    }

    /// Returns a layer for a client, which records every call to this target. Make it once and
    /// clone it: the target's counters are looked up here.
    ///
    /// # Cardinality
    ///
    /// The target becomes a tag: a name such as `payments`, never an address that a client chose.
    pub fn client_layer(&self, target: impl Into<Cow<'static, str>>) -> ClientLayer {
        let recorder = self.inner.as_ref().map(|inner| Arc::clone(&inner.recorder));
        ClientLayer::new(recorder, target.into())
    }

    /// Opens a connection of this kind outside of a request; in a handler use
    /// [`MonitoringData::connection`](crate::MonitoringData::connection).
    pub fn connection(&self, name: impl Into<Cow<'static, str>>) -> Connection {
        let recorder = self.inner.as_ref().map(|inner| &inner.recorder);
        Connection::open(recorder, name.into(), RequestId::default())
    }

    /// Records a point of the application's own. Never waits; a point that cannot be stored is
    /// counted as [invalid](Stats) and warned of once.
    ///
    /// The tags of the settings (`service`, `instance` and [`tags`](Settings::tags)) are added,
    /// where the point has no tag or field of that name.
    pub fn record(&self, point: &dyn Point) {
        if let Some(inner) = &self.inner {
            inner.recorder.record(point);
        }
    }

    /// Sends now what has been recorded; where there are rollups, the open interval ends first.
    /// Returns when every point accepted before the call was written, rejected, dropped, spooled,
    /// or tried once.
    ///
    /// # Errors
    ///
    /// When the monitor is shut down ([`Error::is_closed`]), or its runtime is gone
    /// ([`Error::is_runtime`]). A write that failed is no error: the report says so, and it will be
    /// tried again.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the flush goes on.
    pub async fn flush(&self) -> Result<FlushReport, Error> {
        match &self.inner {
            Some(inner) => inner.flush().await,
            None => Ok(FlushReport::default()),
        }
    }

    /// Asks the destination whether it would take our points: is the server there, the token good,
    /// the bucket known?
    ///
    /// # Errors
    ///
    /// The destination's answer in words ([`Error::is_server`]), also when there is none in time.
    /// When the runtime of the monitor is gone, [`Error::is_runtime`].
    pub async fn check(&self) -> Result<(), Error> {
        match self.inner.as_deref() {
            Some(inner) => inner.check().await,
            None => Ok(()),
        }
    }

    /// Changes how long points are collected before they are sent, while running.
    ///
    /// # Errors
    ///
    /// Outside of 10 ms to 1 hour ([`Error::is_setting`]); nothing has changed then.
    pub fn set_flush_interval(&self, interval: Duration) -> Result<(), Error> {
        let Some(inner) = &self.inner else { return Ok(()) };
        check_flush_interval(interval)?;
        let mut settings = inner.settings.lock();
        inner.flusher.set_flush_interval(interval);
        if let Some(delivery) = inner.rollups.as_ref().and_then(|rollups| rollups.delivery.as_ref()) {
            delivery.flusher.set_flush_interval(interval);
        }
        inner.fan_out.set_flush_interval(interval);
        settings.flush_interval = interval;
        Ok(())
    }

    /// Changes the settings of delivery while running, without losing a point: server, token,
    /// bucket, storage, intervals, bounds, spool. What waits is sent to the new destination, except
    /// what lies in the spool for the old one. A sink that was given to the
    /// [builder](Self::builder) stays.
    ///
    /// Everything that the new settings need is opened first, on a thread for blocking work. A
    /// spool at the same place gets its new bounds where it is; what lies in one that is opened
    /// anew is looked at in the background, and counted as recovered then. A spool that is left
    /// keeps its bounds, and is part of the statistics, until nothing lies in it; then its
    /// directory is given up.
    ///
    /// # Errors
    ///
    /// What [`start`](Self::start) would say of the new settings, and where they change what is
    /// fixed for the life of a monitor: `enabled`, `service`, `instance`, `tags`, `request_id`,
    /// `trace_id`, `limits`, `filter`, `metrics`, `process`, `requests`, `rollup`, `own_points`,
    /// or `storage` from or to `none`. Nothing has changed then. After the shutdown,
    /// [`Error::is_closed`].
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the reload goes on.
    pub async fn reload(&self, settings: Settings) -> Result<(), Error> {
        match &self.inner {
            Some(inner) => reload::reload(inner, settings).await,
            None if !settings.enabled => Ok(()),
            None => {
                Err(Error::setting("enabled", true, "a disabled monitor cannot be enabled: start another"))
            }
        }
    }

    /// Waits for running requests, sends what is left, and ends the flusher; what cannot be sent in
    /// time goes to the spool, if there is one. Keeps its time. A second call returns the first
    /// one's report.
    ///
    /// Call it when the server has stopped taking requests: what ends later is counted as refused.
    /// 5 seconds suit most services; an orchestrator has to wait longer than that before it kills
    /// the process. May be awaited anywhere: by any executor, in a runtime without timers, after
    /// the application's runtime has ended.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing: the shutdown goes on.
    pub async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        match self.inner.as_deref() {
            Some(inner) => inner.shutdown(timeout).await,
            None => ShutdownReport { in_time: true, ..ShutdownReport::default() },
        }
    }

    /// Shuts down as [`shutdown`](Self::shutdown) does, for code that is not async: the thread of a
    /// signal handler, or the end of a `main` without a runtime.
    ///
    /// Blocks the thread for at most `timeout`, and 2 seconds more if a sink blocks delivery.
    /// With [`MonitorBuilder::on_current_runtime`] never call it on a thread that this runtime
    /// needs.
    pub fn shutdown_blocking(&self, timeout: Duration) -> ShutdownReport {
        block_on(self.shutdown(timeout))
    }

    /// Returns the ledger and the state of delivery, now.
    pub fn stats(&self) -> Stats {
        match &self.inner {
            Some(inner) => inner.stats(),
            None => Stats::default(),
        }
    }

    /// Returns all requests since the start by route, status code and error code: how many, how
    /// long, how many got points of their own; and how many run now. `None` without
    /// [rollups](Settings::rollup), and for a disabled monitor.
    ///
    /// Costs a copy of all counts: take it every few seconds, not for every request.
    pub fn rollup(&self) -> Option<RollupSnapshot> {
        self.inner.as_ref()?.rollups.as_ref().map(Rollups::snapshot)
    }

    /// Returns the name of the service; empty for a disabled monitor.
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
