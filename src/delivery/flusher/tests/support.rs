//! Test support: a flusher with its surroundings, and a sink whose behaviour is scripted.

use std::{
    collections::BTreeSet,
    fmt,
    ops::Range,
    sync::{Arc, OnceLock},
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::runtime::Handle;

use crate::{
    delivery::{
        batch::Batch,
        buffer::{Buffer, Pushed},
        flusher::{
            Flusher, FlusherParts,
            destination::{Destination, SinkHandle},
            pending::{History, PendingBatch},
            shared::Shared,
            worker::Worker,
        },
        sink::{Sink, SinkFuture, WriteError, Written, none::NoSink, rejected::RejectedFiles},
        spool::Spool,
        thread::DeliveryRuntime,
    },
    settings::{Overflow, Settings, SpoolSettings},
    stats::{RecorderCounters, ledger::Ledger},
};

/// One flusher under test. Every write and every step of a test asserts that every point is
/// accounted for.
pub(super) struct Rig {
    pub(super) buffer: Arc<Buffer>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) sink: Arc<Script>,
    pub(super) flusher: Flusher,
}

/// A sink whose behaviour the test sets.
pub(super) struct Script {
    name: &'static str,
    behaviour: Mutex<SinkBehaviour>,
    probe: Mutex<Box<dyn FnMut() -> Result<(), WriteError> + Send>>,
    probe_time: Mutex<Duration>,
    log: Mutex<SinkLog>,
    ledger: OnceLock<(Arc<Buffer>, Arc<Ledger>)>,
}

type SinkBehaviour = Box<dyn FnMut(&Batch) -> Answer + Send>;

/// The reaction to a write.
pub(super) enum Answer {
    Now(Result<(), WriteError>),
    /// Stores these lines and returns the error: servers may write the rest of a refused batch.
    Partly(BTreeSet<String>, WriteError),
    /// Returns the result after a delay.
    After(std::time::Duration, Result<(), WriteError>),
    /// Returns the result after a delay without recording the lines: for many points.
    Counted(std::time::Duration, Result<(), WriteError>),
    Never,
}

#[derive(Default)]
struct SinkLog {
    stored: BTreeSet<String>,
    sizes: Vec<usize>,
    bytes: Vec<usize>,
    times: Vec<tokio::time::Instant>,
    probes: usize,
}

impl Rig {
    /// Starts a flusher with the default settings.
    pub(super) fn start<A: Into<Answer>>(behaviour: impl FnMut(&Batch) -> A + Send + 'static) -> Self {
        Self::with(|_| {}, None, behaviour)
    }

    pub(super) fn with<A: Into<Answer>>(
        change: impl FnOnce(&mut Settings),
        spool: Option<(&std::path::Path, crate::settings::SpoolMode)>,
        behaviour: impl FnMut(&Batch) -> A + Send + 'static,
    ) -> Self {
        let mut settings = Settings::new("test");
        change(&mut settings);
        let ledger = Arc::new(Ledger::default());
        let spool = spool.map(|(directory, mode)| {
            let mut of_spool =
                settings.spool.take().unwrap_or_else(|| crate::settings::SpoolSettings::new(directory));
            of_spool.mode = mode;
            let spool = Spool::open(&of_spool, "script", Arc::clone(&ledger)).expect("opens");
            settings.spool = Some(of_spool);
            Arc::new(spool)
        });
        let buffer = Arc::new(Buffer::new(settings.buffer_size, settings.overflow));
        let sink = Script::new(behaviour);
        sink.ledger.set((Arc::clone(&buffer), Arc::clone(&ledger))).unwrap_or_else(|_| panic!("set once"));
        let flusher = Flusher::spawn(
            &DeliveryRuntime::of_application(&Handle::current()),
            FlusherParts {
                buffer: Arc::clone(&buffer),
                ledger: Arc::clone(&ledger),
                recorder: Arc::new(RecorderCounters::default()),
                sink: Arc::clone(&sink) as Arc<dyn Sink>,
                spool,
                rejected: settings.rejected_directory.as_deref().map(|directory| {
                    Arc::new(RejectedFiles::new(directory, "shop").expect("a directory that can be written"))
                }),
                settings: (&settings).into(),
            },
        );
        Self { buffer, ledger, sink, flusher }
    }

    pub(super) fn push(&self, range: Range<usize>) {
        for line in lines(range) {
            assert_eq!(self.buffer.push(line.as_bytes(), 1, false), Pushed::Accepted);
        }
    }

    /// Asserts that no point is pending, and that these numbers were written, rejected and dropped.
    pub(super) fn assert_ledger(&self, written: u64, rejected: u64, dropped: u64) {
        let stats = self.flusher.stats();
        assert!(stats.balances(), "{stats}");
        let ledger = &stats.ledger;
        let settled = (ledger.written, ledger.rejected_total(), ledger.dropped_total());
        assert_eq!(settled, (written, rejected, dropped), "{stats}");
        assert_eq!((ledger.buffered, ledger.in_flight, ledger.spooled), (0, 0, 0), "{stats}");
    }

    pub(super) async fn end(&self) {
        let report = self.flusher.shutdown(std::time::Duration::from_secs(5)).await;
        assert!(report.in_time && self.flusher.stats().balances(), "{report}");
    }
}

impl Script {
    pub(super) fn new<A: Into<Answer>>(behaviour: impl FnMut(&Batch) -> A + Send + 'static) -> Arc<Self> {
        Self::named("script", behaviour)
    }

    pub(super) fn named<A: Into<Answer>>(
        name: &'static str,
        mut behaviour: impl FnMut(&Batch) -> A + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            behaviour: Mutex::new(Box::new(move |batch| behaviour(batch).into())),
            probe: Mutex::new(Box::new(|| Ok(()))),
            probe_time: Mutex::default(),
            log: Mutex::default(),
            ledger: OnceLock::new(),
        })
    }

    pub(super) fn behave<A: Into<Answer>>(&self, mut behaviour: impl FnMut(&Batch) -> A + Send + 'static) {
        *self.behaviour.lock() = Box::new(move |batch| behaviour(batch).into());
    }

    pub(super) fn probe_says(&self, probe: impl FnMut() -> Result<(), WriteError> + Send + 'static) {
        *self.probe.lock() = Box::new(probe);
    }

    /// Each probe takes so long, and then returns this.
    pub(super) fn probe_takes(
        &self,
        time: Duration,
        probe: impl FnMut() -> Result<(), WriteError> + Send + 'static,
    ) {
        *self.probe_time.lock() = time;
        self.probe_says(probe);
    }

    pub(super) fn stored(&self) -> BTreeSet<String> {
        self.log.lock().stored.clone()
    }

    pub(super) fn requests(&self) -> usize {
        self.log.lock().sizes.len()
    }

    /// Returns the number of lines of each write.
    pub(super) fn sizes(&self) -> Vec<usize> {
        self.log.lock().sizes.clone()
    }

    pub(super) fn bytes(&self) -> Vec<usize> {
        self.log.lock().bytes.clone()
    }

    pub(super) fn times(&self) -> Vec<tokio::time::Instant> {
        self.log.lock().times.clone()
    }

    pub(super) fn probes(&self) -> usize {
        self.log.lock().probes
    }

    fn assert_balance(&self) {
        let Some((buffer, ledger)) = self.ledger.get() else { return };
        let (ledger, recorder) = buffer.snapshot(ledger);
        let refused = recorder.refused_full + recorder.refused_closed;
        assert_eq!(recorder.offered, recorder.accepted + recorder.invalid + refused, "{recorder:?}");
        let (rejected, dropped): (u64, u64) = (ledger.rejected.values().sum(), ledger.dropped.values().sum());
        let gone = ledger.written + rejected + dropped + recorder.dropped;
        let here = recorder.buffered + ledger.in_flight + ledger.spooled;
        assert_eq!(recorder.accepted + ledger.recovered, gone + here, "{ledger:?} {recorder:?}");
    }
}

impl Sink for Script {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            self.assert_balance();
            {
                let mut log = self.log.lock();
                log.sizes.push(batch.len());
                log.bytes.push(batch.bytes().len());
                log.times.push(tokio::time::Instant::now());
            }
            let answer = self.behaviour.lock()(batch);
            let result = match answer {
                Answer::Now(result) => result,
                Answer::Partly(stored, error) => {
                    self.log.lock().stored.extend(stored);
                    Err(error)
                }
                Answer::After(duration, result) => {
                    tokio::time::sleep(duration).await;
                    result
                }
                Answer::Counted(duration, result) => {
                    tokio::time::sleep(duration).await;
                    return result.map(|()| Written::new(batch.bytes().len() as u64));
                }
                Answer::Never => std::future::pending().await,
            };
            if result.is_ok() {
                self.log.lock().stored.extend(text(batch));
            }
            result.map(|()| Written::new(batch.bytes().len() as u64))
        })
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async {
            self.log.lock().probes += 1;
            let time = *self.probe_time.lock();
            if time > Duration::ZERO {
                tokio::time::sleep(time).await;
            }
            self.probe.lock()()
        })
    }

    fn describe(&self) -> String {
        self.name.to_owned()
    }
}

impl From<Result<(), WriteError>> for Answer {
    fn from(result: Result<(), WriteError>) -> Self {
        Self::Now(result)
    }
}

impl fmt::Debug for Script {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Script")
    }
}

/// Returns numbered lines, which sort by their number.
pub(super) fn lines(range: Range<usize>) -> BTreeSet<String> {
    range.map(line).collect()
}

pub(super) fn line(number: usize) -> String {
    format!("requests,route=GET:/items/{{id}},service=test execution_time=0.25 {:019}\n", 1_000_000 + number)
}

/// Returns a line that does not compress.
pub(super) fn noise(number: usize) -> String {
    let noise: String = (0..400).map(|_| char::from(fastrand::u8(b'a'..=b'z'))).collect();
    format!("requests v=\"{noise}\" {number}\n")
}

/// Returns the lines of a batch, with their line breaks.
pub(super) fn text(batch: &Batch) -> BTreeSet<String> {
    batch.lines().map(|line| format!("{}\n", String::from_utf8_lossy(line))).collect()
}

/// Makes the limits small, for tests that fill the memory.
pub(super) fn small(settings: &mut Settings) {
    settings.buffer_size = 1024 * 1024;
    settings.batch_bytes = 64 * 1024;
    settings.overflow = Overflow::DropOldest;
}

/// A worker with so much memory, which does nothing by itself.
pub(in crate::delivery::flusher) fn idle_worker(
    buffer_size: usize,
    overflow: Overflow,
    spool: Option<&std::path::Path>,
) -> Worker {
    let mut settings = Settings::new("test");
    (settings.buffer_size, settings.overflow) = (buffer_size, overflow);
    let ledger = Arc::new(Ledger::default());
    let spool = spool.map(|directory| {
        let spool = Spool::open(&SpoolSettings::new(directory), "nowhere", Arc::clone(&ledger));
        Arc::new(spool.expect("opens"))
    });
    let destination = Destination { sink: SinkHandle(Arc::new(NoSink)), spool, rejected: None };
    let buffer = Arc::new(Buffer::new(buffer_size, overflow));
    let recorder = Arc::new(RecorderCounters::default());
    let shared = Shared::new(buffer, ledger, recorder, &destination, Duration::from_secs(1));
    let (_, commands) = tokio::sync::mpsc::unbounded_channel();
    Worker::new(Arc::new(shared), destination, (&settings).into(), commands)
}

/// A batch of so many lines that the worker has drained.
pub(in crate::delivery::flusher) fn drained(worker: &Worker, lines: usize) -> PendingBatch {
    worker.shared.ledger.lock().take_off(lines);
    PendingBatch::live(batch_of(lines), History::new(tokio::time::Instant::now(), Duration::ZERO))
}

pub(in crate::delivery::flusher) fn batch_of(lines: usize) -> Batch {
    Batch::new("x v=1 1\n".repeat(lines).into(), lines, 1, SystemTime::UNIX_EPOCH)
}
