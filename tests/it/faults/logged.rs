//! No lock is held while a line is logged: a log handler may read the statistics.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_influx::{
    Monitor, Settings,
    settings::{SpoolMode, SpoolSettings},
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
    stats::Blocked,
};
use tracing::{Event, Subscriber, field::Visit};
use tracing_subscriber::{Layer, layer::Context, layer::SubscriberExt};

use super::wait_for;
use crate::support::{
    child::{self, Child},
    numbered::record,
};

#[tokio::test(flavor = "multi_thread")]
async fn statistics_can_be_read_from_every_line_that_is_logged() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path();
    let script = json!({ "directory": path });
    let mut child = Child::start("faults::logged::child", script, path);
    let deadline = Instant::now() + Duration::from_secs(120);
    let status = loop {
        if let Some(status) = child.process().ended() {
            break status;
        }
        let lines = fs::read_to_string(path.join("child.log")).unwrap_or_default();
        assert!(Instant::now() < deadline, "a line waits for a lock of its own: {lines}");
        sleep(Duration::from_millis(20)).await;
    };
    let lines = fs::read_to_string(path.join("child.log")).expect("the log of the child");
    assert!(status.success(), "{status}: {lines}");
    let seen: BTreeMap<String, u64> =
        serde_json::from_slice(&fs::read(path.join("seen")).expect("what the child has seen")).expect("JSON");
    // Other lines may occur, depending on timing. Those about single files are tested beside the
    // spool.
    for line in [
        "points cannot be written",
        "delivery blocked, action required",
        "points dropped, the spool is full",
        "points dropped, they are lost",
        "shutting down",
    ] {
        assert!(seen.keys().any(|seen| seen.starts_with(line)), "no line `{line}`: {seen:?}");
    }
}

#[test]
#[ignore = "run as a child by the test of this file"]
fn child() {
    child::run("faults::logged::child", |script| async move {
        let directory = PathBuf::from(script["directory"].as_str().expect("a path"));
        live(&directory).await;
    });
}

/// A sink that accepts, refuses or blocks as set.
#[derive(Clone, Default)]
struct Moody(Arc<AtomicU8>);

const TAKES: u8 = 0;
const AWAY: u8 = 1;
const BLOCKED: u8 = 2;
const REFUSES: u8 = 3;

impl Moody {
    fn is(&self, mood: u8) {
        self.0.store(mood, Ordering::SeqCst);
    }

    fn answer(&self) -> Result<Written, WriteError> {
        match self.0.load(Ordering::SeqCst) {
            AWAY => Err(WriteError::transient("away")),
            BLOCKED => Err(WriteError::blocked(Blocked::Target, "no such bucket")),
            REFUSES => Err(WriteError::refused("a point that nobody takes")),
            _ => Ok(Written::new(0)),
        }
    }
}

impl Sink for Moody {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move { self.answer() })
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async move { self.answer().map(drop) })
    }

    fn describe(&self) -> String {
        "moody".to_owned()
    }
}

/// Reads the statistics at each event, on the thread of the event.
#[derive(Clone, Default)]
struct Reader {
    monitor: Arc<OnceLock<Monitor>>,
    /// How often each line was logged.
    seen: Arc<Mutex<BTreeMap<String, u64>>>,
}

impl<S: Subscriber> Layer<S> for Reader {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        if event.metadata().target() != "tower_influx" {
            return;
        }
        if let Some(monitor) = self.monitor.get() {
            let stats = monitor.stats();
            // It exits, since a guard of the flusher would catch a panic.
            if !stats.balances() {
                std::process::exit(3);
            }
        }
        let mut message = Message::default();
        event.record(&mut message);
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner).entry(message.0).or_default() += 1;
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

async fn live(directory: &Path) {
    let (reader, sink) = (Reader::default(), Moody::default());
    let subscriber = tracing_subscriber::registry().with(reader.clone());
    tracing::subscriber::set_global_default(subscriber).expect("the first of this process");
    let root = directory.join("spool");
    let mut settings = Settings::new("logged");
    settings.flush_interval = Duration::from_millis(20);
    settings.retry_interval = Duration::from_millis(10);
    settings.max_retry_interval = Duration::from_millis(50);
    let mut spool = SpoolSettings::new(&root);
    (spool.mode, spool.max_files) = (SpoolMode::Ahead, 3);
    settings.spool = Some(spool);
    let monitor = Monitor::builder(settings.clone()).sink(sink.clone()).start().expect("good settings");
    reader.monitor.set(monitor.clone()).unwrap_or_else(|_| panic!("set once"));

    sink.is(AWAY);
    let patience = Duration::from_secs(20);
    for number in 0..100 {
        record(&monitor, "numbered", [number]);
        sleep(Duration::from_millis(20)).await;
    }
    wait_for(&monitor, "a full spool", patience, |stats| stats.ledger.dropped_total() > 0).await;
    sink.is(BLOCKED);
    wait_for(&monitor, "a block", patience, |stats| stats.delivery.writes.blocked_target > 0).await;
    sink.is(REFUSES);
    record(&monitor, "numbered", [1000]);
    let _ = monitor.flush().await;
    // Blocked: nothing is loaded. Batches that are stored now are damaged or missing later.
    sink.is(BLOCKED);
    let _ = monitor.flush().await;
    for number in 0..10 {
        record(&monitor, "numbered", [2000 + number]);
        sleep(Duration::from_millis(50)).await;
    }
    for (number, path) in batches(&root).into_iter().enumerate() {
        let _ = match number % 2 {
            0 => fs::write(path, "damaged"),
            _ => fs::remove_file(path),
        };
    }
    sink.is(TAKES);
    let _ = monitor.probe().await;
    wait_for(&monitor, "an empty spool", patience, |stats| stats.ledger.spooled == 0).await;

    // Reloads with other bounds, with another directory, and back; and a disk that refuses a batch.
    sink.is(AWAY);
    let spool = settings.spool.as_mut().expect("set above");
    spool.max_age = Duration::from_secs(1);
    monitor.reload(settings.clone()).await.expect("good settings");
    record(&monitor, "numbered", [1001]);
    wait_for(&monitor, "an expired batch", patience, |stats| {
        stats.ledger.dropped.contains_key(&tower_influx::stats::DropReason::SpoolExpired)
    })
    .await;
    settings.spool.as_mut().expect("set above").max_age = Duration::from_secs(3600);
    settings.spool.as_mut().expect("set above").directory = directory.join("other");
    monitor.reload(settings.clone()).await.expect("good settings");
    record(&monitor, "numbered", [1002]);
    wait_for(&monitor, "a stored batch", patience, |stats| stats.ledger.spooled > 0).await;
    fs::remove_dir_all(directory.join("other")).expect("removes");
    fs::write(directory.join("other"), "in the way").expect("writes");
    record(&monitor, "numbered", [1003]);
    let _ = monitor.flush().await;
    settings.spool.as_mut().expect("set above").directory = root;
    monitor.reload(settings.clone()).await.expect("good settings");
    record(&monitor, "numbered", [1004]);
    wait_for(&monitor, "a stored batch", patience, |stats| stats.ledger.spooled > 0).await;
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert!(monitor.stats().balances(), "{report}");

    let seen = reader.seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    fs::write(directory.join("seen"), serde_json::to_vec(&seen).expect("JSON")).expect("writes");
}

fn batches(root: &Path) -> Vec<PathBuf> {
    let directories = fs::read_dir(root).expect("lists").flatten();
    let files =
        directories.flat_map(|directory| fs::read_dir(directory.path()).into_iter().flatten().flatten());
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "lp")).collect()
}
