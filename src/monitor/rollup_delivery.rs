//! Delivery of rollups: with a buffer, a flusher and a spool of their own, to the same sink.
//!
//! They are separate from raw points, so that these can never displace them. Lines are pushed into
//! the rollups' buffer only while it has room. Otherwise the counts stay in the open interval,
//! which becomes longer. The flusher of rollups drops nothing because of its age, and their spool
//! is filled up to half of its size.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout_at};

use super::spools::{configure_spool, open_spool};
use crate::{
    delivery::{
        buffer::{Buffer, Pushed},
        flusher::{FlushSettings, Flusher, FlusherParts, ShutdownReport},
        sink::{Sink, rejected::RejectedFiles},
        spool::Spool,
        thread::DeliveryRuntime,
    },
    error::Error,
    record::rollup::{LineTemplate, Rollup},
    settings::{Overflow, Settings},
    stats::{RecorderCounters, ledger::Ledger},
};

/// The delivery of the rollups.
#[derive(Clone, Debug)]
pub(super) struct RollupDelivery {
    pub(super) flusher: Flusher,
    writer: Arc<Writer>,
    room: Arc<Backlog>,
}

/// Ends intervals.
#[derive(Debug)]
struct Writer {
    rollup: Arc<Rollup>,
    template: LineTemplate,
    /// The buffers of further destinations.
    copies: Vec<Arc<Buffer>>,
}

/// The backlog of lines to send, and its bounds. It has no handle to the flusher, which ends when
/// the last handle is dropped.
#[derive(Debug)]
struct Backlog {
    buffer: Arc<Buffer>,
    ledger: Arc<Ledger>,
    memory: usize,
    spool: Mutex<Spooled>,
}

#[derive(Debug, Default)]
struct Spooled {
    /// A weak reference: another process or monitor may take the directory as soon as the flusher
    /// is done with it.
    spool: Weak<Spool>,
    bytes: u64,
    files: usize,
}

impl RollupDelivery {
    /// Opens the spool, and starts the flusher and the task that ends intervals.
    pub(super) fn start(
        runtime: &DeliveryRuntime,
        settings: &Settings,
        rollup: &Arc<Rollup>,
        template: LineTemplate,
        points: &FlusherParts,
        copies: Vec<Arc<Buffer>>,
    ) -> Result<Self, Error> {
        let (sink, rejected) = (Arc::clone(&points.sink), points.rejected.clone());
        let own = own_settings(settings);
        let ledger = Arc::new(Ledger::default());
        let spool = open_spool(&own, &*sink, &ledger)?;
        let writer = Arc::new(Writer { rollup: Arc::clone(rollup), template, copies });
        let last = Arc::clone(&writer);
        let requests = Arc::downgrade(&points.buffer);
        // However the buffer is closed, the counts until then are written.
        let buffer = Buffer::new(own.buffer_size, own.overflow).before_close(move |buffer| {
            if let Some(requests) = requests.upgrade() {
                // Bodies that are still open count in this interval, since no other one follows.
                requests.end_open();
            }
            last.end_interval(buffer);
        });
        let buffer = Arc::new(buffer);
        let room = Arc::new(Backlog {
            buffer: Arc::clone(&buffer),
            ledger: Arc::clone(&ledger),
            memory: own.buffer_size / 4,
            spool: Mutex::new(Spooled::new(&own, spool.as_ref())),
        });
        let flusher = Flusher::spawn(
            runtime,
            FlusherParts {
                buffer,
                ledger,
                recorder: Arc::new(RecorderCounters::default()),
                sink,
                spool,
                rejected,
                settings: FlushSettings::from(&own),
            },
        );
        if let Some(interval) = settings.rollup.interval {
            runtime.handle.spawn(end_intervals(interval, Arc::clone(&writer), Arc::clone(&room)));
        }
        Ok(Self { flusher, writer, room })
    }

    /// Ends the interval now.
    pub(super) fn end_interval(&self) {
        if self.room.is_there() {
            self.writer.end_interval(&self.room.buffer);
        }
    }

    /// Returns the buffer, which copies its lines to further destinations.
    pub(super) fn buffer(&self) -> &Arc<Buffer> {
        &self.room.buffer
    }

    pub(super) fn is_closed(&self) -> bool {
        self.room.buffer.is_closed_everywhere()
    }

    /// Continues with another sink, and with another spool if its directory or target differs.
    pub(super) async fn reload(
        &self,
        settings: &Settings,
        sink: Arc<dyn Sink>,
        spool: Option<Arc<Spool>>,
        rejected: Option<Arc<RejectedFiles>>,
    ) -> Result<(), Error> {
        let own = own_settings(settings);
        self.flusher.reload(sink, spool.clone(), rejected, FlushSettings::from(&own)).await?;
        configure_spool(spool.as_ref(), &own);
        *self.room.spool.lock() = Spooled::new(&own, spool.as_ref());
        Ok(())
    }

    /// Waits for the running requests, ends the last interval, and sends it. A part of the time is
    /// reserved for sending.
    pub(super) async fn shutdown(&self, requests: Arc<Buffer>, timeout: Duration) -> ShutdownReport {
        let started = Instant::now();
        let timeout = timeout.min(LONGEST);
        let reserve = RESERVE.max(timeout / 5).min(timeout / 2);
        let ended = async {
            while requests.running_requests() > 0 && !requests.is_closed() {
                sleep(LOOK_INTERVAL).await;
            }
        };
        _ = timeout_at(started + timeout - reserve, ended).await;
        self.flusher.shutdown(timeout.saturating_sub(started.elapsed())).await
    }
}

impl Writer {
    fn end_interval(&self, buffer: &Buffer) {
        if buffer.is_closed() {
            return;
        }
        self.rollup.write_interval(&self.template, &mut |line, points| {
            let taken = buffer.push(line, points, false) == Pushed::Accepted;
            if taken {
                // Otherwise the counts are pushed again, with the next interval.
                self.copies.iter().for_each(|copy| _ = copy.push(line, points, false));
            }
            taken
        });
    }
}

impl Backlog {
    fn is_there(&self) -> bool {
        let waiting = self.buffer.snapshot(&self.ledger).1.bytes;
        let spool = self.spool.lock();
        let spooled = spool.spool.upgrade().map(|spool| spool.counts()).unwrap_or_default();
        waiting <= self.memory && spooled.bytes <= spool.bytes && spooled.files <= spool.files
    }
}

impl Spooled {
    fn new(own: &Settings, spool: Option<&Arc<Spool>>) -> Self {
        let bounds = own.spool.as_ref().map_or((0, 0), |spool| (spool.max_size / 2, spool.max_files / 2));
        Self { spool: spool.map(Arc::downgrade).unwrap_or_default(), bytes: bounds.0, files: bounds.1 }
    }
}

async fn end_intervals(length: Duration, writer: Arc<Writer>, room: Arc<Backlog>) {
    let mut ticks = interval_at(Instant::now() + length, length);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if room.buffer.is_closed() {
            return;
        }
        if room.is_there() {
            writer.end_interval(&room.buffer);
        }
    }
}

/// Returns the settings for the delivery of rollups.
pub(super) fn own_settings(settings: &Settings) -> Settings {
    let mut own = settings.clone();
    own.buffer_size = settings.limits.rollup_keys.saturating_mul(BYTES_PER_KEY).max(LEAST_BUFFER);
    // Refused lines stay in the open interval. Accepted ones would be dropped.
    own.overflow = Overflow::DropNewest;
    own.max_retry_time = FOREVER;
    if let Some(spool) = &mut own.spool {
        spool.directory.push("rollups");
        spool.max_size = (spool.max_size / 4).max(LEAST_SPOOL);
        spool.max_files = spool.max_files.max(LEAST_FILES);
        spool.max_age = FOREVER;
    }
    own
}

/// Eight lines of maximum length, with every bucket in use. A quarter of the buffer may wait. One
/// more interval and the last one then fit, too.
const BYTES_PER_KEY: usize = 32 * 1024;
/// The minimum that the settings demand of a spool with the default batch size.
const LEAST_SPOOL: u64 = 1536 * 1024;
const LEAST_BUFFER: usize = 8 * 1024 * 1024;
const LEAST_FILES: usize = 100;
const FOREVER: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
const LONGEST: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The time reserved for sending at shutdown: at least this or a fifth, and at most half.
const RESERVE: Duration = Duration::from_millis(500);
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::SpoolSettings;

    #[test]
    fn lines_do_not_expire_and_make_no_room_for_others_whatever_the_settings_are() {
        let mut settings = Settings::new("shop");
        settings.max_retry_time = Duration::from_secs(1);
        settings.overflow = Overflow::DropOldest;
        let mut spool = SpoolSettings::new("spool");
        spool.max_age = Duration::from_secs(1);
        settings.spool = Some(spool);
        let own = own_settings(&settings);
        let spool = own.spool.expect("a spool");
        let year = Duration::from_secs(365 * 24 * 60 * 60);
        assert!(own.max_retry_time > year && spool.max_age > year);
        assert_eq!(own.overflow, Overflow::DropNewest);
        assert_eq!(spool.directory, std::path::Path::new("spool/rollups"));
    }
}
