//! The background task that delivers points. This file contains its handle.
//!
//! # From sealing to the end
//!
//! One loop, in [`worker`], waits for commands, answers, points and timers. The parts decide what
//! follows, from plain [`conditions`] and without I/O. The worker executes their decisions. The
//! life of a batch:
//!
//! | step | decided by | done by |
//! |---|---|---|
//! | **Sealed**: what was drained from the buffer is cut into batches | [`batcher`]; how large they are: [`pace`] with [`body_size`] and [`body_limit`] | `Worker::collect` |
//! | **Pending**: a [`PendingBatch`](pending::PendingBatch) waits, [`compressed`] behind the first few | [`scheduler`], over its [`queue`]: live batches, then those that failed, searches, and what was spooled | `Worker::put` |
//! | **Spooled**: in an outage, or beyond its share of memory, it goes to disk, and comes back when writes flow | [`spool_feeder`] | [`start`] |
//! | **In flight**: it is written | [`circuit_breaker`]: `Closed`, `Open`, or `HalfOpen` for one that finds out; how many at once: [`in_flight_limit`] | [`start`]; [`in_flight`] owns each write with its batch, so that cancelling loses no point |
//! | **Answered**: written, searched, divided, or pending again | [`failures`]; which lines are refused: [`bisect`] | [`answers`] |
//! | **Ended**: every point is written, rejected, dropped with a reason, or stays spooled | expired or evicted: [`queue`] and [`memory`]; at a shutdown: [`closing`] | [`upkeep`], [`memory_use`], [`close`], counted by [`accounting`] |
//!
//! A panic of the loop loses no batch: [`supervise`] runs it again with the same state.

use std::{future::Future, sync::Arc, time::Duration};

use tokio::{
    runtime::Handle,
    sync::{broadcast, mpsc, oneshot},
};

use crate::{
    delivery::{
        batch::Batch,
        buffer::Buffer,
        sink::{Sink, rejected::RejectedFiles},
        spool::Spool,
        thread::{Alarm, DeliveryRuntime},
    },
    error::Error,
    stats::{RecorderCounters, Stats, ledger::Ledger},
};

mod accounting;
mod answers;
mod batch_ref;
mod batcher;
mod bisect;
mod body_limit;
mod body_size;
mod circuit_breaker;
mod close;
mod closing;
mod command;
mod compressed;
mod conditions;
mod destination;
mod failures;
mod flush_waiters;
mod former;
mod in_flight;
mod in_flight_limit;
mod join;
mod memory;
mod memory_use;
mod pace;
mod parked;
mod pending;
mod queue;
mod reload;
mod report;
mod scheduler;
mod series;
mod settings;
mod shared;
mod spool_feeder;
mod start;
mod state;
mod state_log;
mod successes;
mod supervise;
mod timing;
mod upkeep;
mod worker;

pub use report::{FlushReport, ShutdownReport};
pub(crate) use settings::FlushSettings;

use command::Command;
use destination::{Destination, SinkHandle};
use shared::Shared;
use worker::Worker;

/// The handle of the task. When its last clone is dropped without a shutdown, the task logs a
/// warning, stores what it can, and ends.
#[derive(Clone, Debug)]
pub(crate) struct Flusher {
    shared: Arc<Shared>,
    commands: mpsc::UnboundedSender<Command>,
    /// The caller may be on another runtime, or on none. Declared after `commands`: the last handle
    /// waits for the end of the thread, and the flusher ends when it notices that no handle is
    /// left.
    runtime: DeliveryRuntime,
}

/// What a flusher works with.
pub(crate) struct FlusherParts {
    pub(crate) buffer: Arc<Buffer>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) recorder: Arc<RecorderCounters>,
    pub(crate) sink: Arc<dyn Sink>,
    pub(crate) spool: Option<Arc<Spool>>,
    pub(crate) rejected: Option<Arc<RejectedFiles>>,
    pub(crate) settings: FlushSettings,
}

impl Flusher {
    /// Starts the task.
    pub(crate) fn spawn(runtime: &DeliveryRuntime, parts: FlusherParts) -> Self {
        let FlusherParts { buffer, ledger, recorder, sink, spool, rejected, settings } = parts;
        if let Some(spool) = &spool {
            spool.recover_first();
        }
        let destination = Destination { sink: SinkHandle(sink), spool, rejected };
        let shared = Arc::new(Shared::new(buffer, ledger, recorder, &destination, settings.write_timeout));
        let (commands, receiver) = mpsc::unbounded_channel();
        // Its clock is the runtime's, even if the caller is on another runtime.
        let entered = runtime.handle.enter();
        // Created before the task runs: if the runtime is dropped before that, the worker is
        // dropped, too.
        let worker = Worker::new(Arc::clone(&shared), destination, settings, receiver);
        drop(entered);
        runtime.handle.spawn(supervise::supervise(worker));
        Self { shared, commands, runtime: runtime.clone() }
    }

    /// Sends all points. Returns when every point accepted before the call was written, rejected,
    /// dropped, spooled or sent once.
    pub(crate) async fn flush(&self) -> Result<FlushReport, Error> {
        let (reply, report) = oneshot::channel();
        self.command(Command::Flush(reply))?;
        report.await.map_err(|_| self.ended())
    }

    pub(crate) fn set_flush_interval(&self, interval: Duration) {
        // After the end there is no interval to set.
        let _ = self.commands.send(Command::Interval(interval));
    }

    /// Continues with another sink, spool and settings. No point is lost. Batches in a spool for
    /// another destination stay on disk. To keep a spool, pass the existing one, from
    /// [`spools`](Self::spools).
    pub(crate) async fn reload(
        &self,
        sink: Arc<dyn Sink>,
        spool: Option<Arc<Spool>>,
        rejected: Option<Arc<RejectedFiles>>,
        settings: FlushSettings,
    ) -> Result<(), Error> {
        let (done, wait) = oneshot::channel();
        let destination = Destination { sink: SinkHandle(sink), spool, rejected };
        self.command(Command::Reload { destination, settings, done })?;
        wait.await.map_err(|_| self.ended())
    }

    /// Waits for running requests, sends the remaining points, stores or drops what is left, and
    /// ends the task. A second call, even a concurrent one, returns the same report.
    pub(crate) async fn shutdown(&self, timeout: Duration) -> ShutdownReport {
        let timeout = timeout.min(LONGEST);
        // Sending fails only after the end. The report then exists.
        let asked = self.has_thread().then(std::time::Instant::now);
        let _ = self.commands.send(Command::Shutdown { asked, timeout });
        self.wait_for_end(timeout).await
    }

    /// Checks that the runtime can use sockets.
    pub(crate) fn check_io(&self) -> Result<(), Error> {
        self.runtime.check_io()
    }

    /// Waits for the end of a shutdown with this timeout. The flusher respects the timeout itself.
    /// The alarm is for a sink that blocks the flusher's thread.
    pub(crate) async fn wait_for_end(&self, timeout: Duration) -> ShutdownReport {
        tokio::select! {
            biased;
            ended = self.shared.end() => ended.report,
            () = Alarm::after(timeout + PATIENCE).ring() => {
                tracing::error!(
                    target: "tower_influx",
                    "the flusher does not respond: its thread is blocked, for example by a sink that does not yield or \
                     a disk that hangs; points that it still has may be lost"
                );
                self.shared.shutdown_report(self.shared.buffer.running_requests(), false)
            }
        }
    }

    /// Waits until the flusher has ended, for whatever reason.
    pub(crate) fn has_ended(&self) -> impl Future<Output = ()> + Send + 'static {
        let shared = Arc::clone(&self.shared);
        async move { _ = shared.end().await }
    }

    /// Probes the sink. A success ends a pause.
    pub(crate) async fn probe(&self) -> Result<(), Error> {
        let Some((sink, patience)) = self.shared.sink() else { return Err(self.ended()) };
        let name = self.shared.delivery.lock().sink.clone();
        let asked =
            self.runtime.handle.spawn(async move { in_flight::within(patience, sink.0.probe()).await });
        match asked.await {
            Ok(Ok(())) => {
                // After the end there is nothing to try.
                let _ = self.commands.send(Command::TryNow);
                Ok(())
            }
            Ok(Err(error)) => Err(Error::server(format!("{name}: {}", error.message()))),
            Err(ended) if ended.is_panic() => Err(Error::server(format!("{name}: the sink panicked"))),
            Err(_) => Err(self.ended()),
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Subscribes to the batches as they are created. It costs nothing without a subscriber.
    pub(crate) fn batches(&self) -> broadcast::Receiver<Batch> {
        self.shared.batches.subscribe()
    }

    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime.handle
    }

    pub(crate) fn has_thread(&self) -> bool {
        self.runtime.has_thread()
    }

    pub(crate) fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.shared.ledger)
    }

    /// Returns the sink.
    ///
    /// # Errors
    ///
    /// Fails after the end.
    pub(crate) fn sink(&self) -> Result<Arc<dyn Sink>, Error> {
        self.shared.sink().map(|(sink, _)| sink.0).ok_or_else(|| self.ended())
    }

    /// Returns the spool of the destination, and those of earlier ones that still contain files.
    pub(crate) fn spools(&self) -> Vec<Arc<Spool>> {
        self.shared.spools()
    }

    #[cfg(test)]
    fn panic_in_the_loop(&self, losing_a_batch: bool) {
        self.command(Command::Panic { losing_a_batch }).expect("the task runs");
    }

    fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).map_err(|_| self.ended())
    }

    /// Returns why there is no answer.
    pub(crate) fn ended(&self) -> Error {
        match self.shared.ended() {
            Some(ended) if !ended.orderly => Error::runtime(
                "the runtime that the monitor was started on is gone, and its flusher with it: shut the monitor down \
                 before the runtime ends",
            ),
            _ => Error::closed(),
        }
    }
}

const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How much longer than its timeout a shutdown is awaited.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
