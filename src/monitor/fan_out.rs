//! Further destinations. Each has a buffer, a flusher, a ledger and a spool of its own, so that
//! none waits for another.
//!
//! Lines pushed into the buffer of the main destination, and lines that the buffer of rollups has
//! accepted, are copied into the buffer of each.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, timeout_at},
};

use super::{
    sources::Sources,
    spools::{Present, configure_spool, open_spool, reopen_spool},
};
use crate::{
    delivery::{
        buffer::Buffer,
        flusher::{FlushReport, Flusher, FlusherParts, ShutdownReport},
        sink::{Sink, rejected::RejectedFiles},
        spool::Spool,
        thread::DeliveryRuntime,
    },
    error::Error,
    settings::Settings,
    stats::{DestinationStats, RecorderCounters, Stats, ledger::Ledger},
};

/// `None` without a spool in the settings.
type OpenedSpool = Option<Arc<Spool>>;

/// All further destinations of a monitor; usually there are none.
#[derive(Clone, Default)]
pub(super) struct FanOut(Arc<[FurtherDestination]>);

struct FurtherDestination {
    name: String,
    flusher: Flusher,
    buffer: Arc<Buffer>,
}

impl FanOut {
    /// Opens the spools, and starts the flushers. Lines are copied from `sources`.
    pub(super) fn start(
        runtime: &DeliveryRuntime,
        settings: &Settings,
        sinks: Vec<(String, Arc<dyn Sink>)>,
        rejected: Option<&Arc<RejectedFiles>>,
        sources: &Sources,
    ) -> Result<Self, Error> {
        check_names(&sinks)?;
        let start = |(name, sink): (String, Arc<dyn Sink>)| {
            let own = own_settings(settings, &name);
            let sources = sources.clone();
            let buffer = Buffer::new(own.buffer_size, own.overflow);
            let buffer = Arc::new(buffer.before_close(move |_| sources.push_last()));
            let ledger = Arc::new(Ledger::default());
            let spool = open_spool(&own, &*sink, &ledger)?;
            let flusher = Flusher::spawn(
                runtime,
                FlusherParts {
                    buffer: Arc::clone(&buffer),
                    ledger,
                    recorder: Arc::new(RecorderCounters::default()),
                    sink,
                    spool,
                    rejected: rejected.cloned(),
                    settings: (&own).into(),
                },
            );
            Ok(FurtherDestination { name, flusher, buffer })
        };
        sinks.into_iter().map(start).collect::<Result<_, Error>>().map(Self)
    }

    /// Waits until all flushers have ended.
    pub(super) fn have_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let ends: Vec<_> = self.0.iter().map(|destination| destination.flusher.has_ended()).collect();
        async move {
            for end in ends {
                end.await;
            }
        }
    }

    /// Returns the number of further destinations.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// Returns the buffers that receive copies.
    pub(super) fn buffers(&self) -> Vec<Arc<Buffer>> {
        self.0.iter().map(|destination| Arc::clone(&destination.buffer)).collect()
    }

    pub(super) fn set_flush_interval(&self, interval: Duration) {
        self.0.iter().for_each(|destination| destination.flusher.set_flush_interval(interval));
    }

    /// Opens the spools for new settings. This is the only part of a reload that can fail.
    pub(super) fn open_spools(&self, settings: &Settings) -> Result<Vec<OpenedSpool>, Error> {
        let open = |FurtherDestination { name, flusher, .. }: &FurtherDestination| {
            let sink = flusher.sink()?;
            reopen_spool(&Present::of(flusher), &own_settings(settings, name), &*sink)
        };
        self.0.iter().map(open).collect()
    }

    /// Continues with new settings and these spools.
    pub(super) async fn reload(
        &self,
        settings: &Settings,
        spools: Vec<OpenedSpool>,
        rejected: Option<&Arc<RejectedFiles>>,
    ) -> Result<(), Error> {
        for (FurtherDestination { name, flusher, .. }, spool) in self.0.iter().zip(spools) {
            let own = own_settings(settings, name);
            flusher.reload(flusher.sink()?, spool.clone(), rejected.cloned(), (&own).into()).await?;
            configure_spool(spool.as_ref(), &own);
        }
        Ok(())
    }

    /// Flushes the main destination and all others at the same time.
    pub(super) async fn flush(
        &self,
        main: impl Future<Output = Result<FlushReport, Error>>,
    ) -> Result<FlushReport, Error> {
        let flushing = self.spawn(|flusher| async move { flusher.flush().await });
        let mut report = main.await?;
        for flushed in flushing {
            report = report.merge(flushed.await.map_err(|_| Error::closed())??);
        }
        Ok(report)
    }

    /// Probes all destinations, which ends the pauses of all of them.
    pub(super) async fn probe(&self, main: impl Future<Output = Result<(), Error>>) -> Result<(), Error> {
        let probes = self.spawn(|flusher| async move { flusher.probe().await });
        let mut result = main.await;
        for probe in probes {
            let probed = probe.await.unwrap_or_else(|_| Err(Error::closed()));
            result = result.and(probed);
        }
        result
    }

    /// Shuts down each destination when no further lines can come, or in time to send the existing
    /// ones. `is_closed` tells whether the buffers that are copied from are closed.
    pub(super) async fn shutdown(
        &self,
        main: impl Future<Output = ShutdownReport>,
        is_closed: impl Fn() -> bool + Clone + Send + Sync + 'static,
        timeout: Duration,
    ) -> ShutdownReport {
        let started = Instant::now();
        // Tasks, so that they continue if this future is dropped.
        let endings = self.spawn(|flusher| {
            let is_closed = is_closed.clone();
            async move {
                let timeout = timeout.min(LONGEST);
                let reserve = RESERVE.max(timeout / 5).min(timeout / 2);
                let closed = async {
                    while !is_closed() {
                        sleep(LOOK_INTERVAL).await;
                    }
                };
                _ = timeout_at(started + timeout - reserve, closed).await;
                flusher.shutdown(timeout.saturating_sub(started.elapsed())).await
            }
        });
        drop(endings);
        let mut report = main.await;
        for destination in &*self.0 {
            let rest = timeout.saturating_sub(started.elapsed());
            report = report.merge(destination.flusher.wait_for_end(rest).await);
        }
        report
    }

    /// Adds the statistics of further destinations to those of the main one.
    pub(super) fn stats(&self, main: Stats) -> Stats {
        if self.0.is_empty() {
            return main;
        }
        let mut destinations = BTreeMap::from([(MAIN.to_owned(), DestinationStats::from(&main))]);
        let mut stats = main;
        for FurtherDestination { name, flusher, .. } in &*self.0 {
            let own = flusher.stats();
            destinations.insert(name.clone(), DestinationStats::from(&own));
            stats = stats.merge(own);
        }
        stats.destinations = destinations;
        stats
    }

    fn spawn<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
        &self,
        work: impl Fn(Flusher) -> F,
    ) -> Vec<JoinHandle<T>> {
        let spawn = |destination: &FurtherDestination| {
            let flusher = destination.flusher.clone();
            destination.flusher.runtime().spawn(work(flusher))
        };
        self.0.iter().map(spawn).collect()
    }
}

/// Checks the names, which are directories of spools and keys of statistics.
fn check_names(sinks: &[(String, Arc<dyn Sink>)]) -> Result<(), Error> {
    let mut names = BTreeSet::from(RESERVED);
    for (name, _) in sinks {
        let remedy = if name.is_empty() || name.len() > MAX_NAME || !name.bytes().all(is_plain) {
            format!("not a name; write 1 to {MAX_NAME} lower-case letters, digits and dashes")
        } else if !names.insert(name) {
            format!(
                "already in use; choose another name than {} and those of the other sinks",
                RESERVED.join(", ")
            )
        } else {
            continue;
        };
        return Err(Error::setting("name of an added sink", name.escape_debug(), remedy));
    }
    Ok(())
}

fn is_plain(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

fn own_settings(settings: &Settings, name: &str) -> Settings {
    let mut own = settings.clone();
    if let Some(spool) = &mut own.spool {
        // A separate directory, since two sinks may have the same description.
        spool.directory.push(name);
    }
    own
}

/// The name of the destination of the settings, or of [`sink`](super::MonitorBuilder::sink), in
/// statistics.
const MAIN: &str = "main";
/// Other names in the spool's directory.
const RESERVED: [&str; 3] = [MAIN, "rollups", "corrupt"];
const MAX_NAME: usize = 64;
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The time reserved for sending at shutdown: at least this or a fifth, and at most half.
const RESERVE: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);
