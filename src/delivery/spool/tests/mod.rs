//! A fixture for tests of the spool, and tests of its normal operation.

use std::{
    fs,
    sync::LazyLock,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use futures_util::FutureExt;

use super::*;
use crate::{clock::MonotonicInstant, fs_ext::faults};

mod age;
mod bounds;
mod damage;
mod disks;
mod hostile;
mod logging;
mod processes;

/// A spool in a directory of its own, with its ledger.
struct Fixture {
    machine: Machine,
    settings: SpoolSettings,
    ledger: Arc<Ledger>,
    spool: Arc<Spool>,
    accepted: u64,
}

impl Fixture {
    fn new(root: &Path) -> Self {
        Self::with(SpoolSettings::new(root))
    }

    fn with(settings: SpoolSettings) -> Self {
        Self::on(Machine::this(), settings)
    }

    fn on(machine: Machine, settings: SpoolSettings) -> Self {
        let ledger = Arc::new(Ledger::default());
        let spool = Spool::open_on(machine.clone(), &settings, TARGET, Arc::clone(&ledger)).expect("opens");
        spool.maintain_blocking(true);
        Self { machine, settings, ledger, spool: Arc::new(spool), accepted: 0 }
    }

    /// Ends this process, and starts a new one on the same directory.
    fn restart(self) -> Self {
        let (machine, settings) = (self.machine.clone(), self.settings.clone());
        // Threads that still delete dropped files keep the spool open.
        while Arc::strong_count(&self.spool) > 1 {
            std::thread::yield_now();
        }
        drop(self);
        Self::on(machine, settings)
    }

    /// Returns a batch that the ledger counts as in flight.
    fn batch(&mut self, sequence: u64, points: usize) -> Batch {
        self.accepted += points as u64;
        self.ledger.lock().in_flight += points as u64;
        batch(sequence, points)
    }

    async fn store(&mut self, sequence: u64, points: usize) -> SpoolEntry {
        let batch = self.batch(sequence, points);
        self.spool.store(&batch).await.expect("stores")
    }

    /// Settles an entry as the flusher does when the server has written the batch.
    async fn settle(&mut self, entry: SpoolEntry) {
        {
            let mut counts = self.ledger.lock();
            counts.spooled -= entry.points() as u64;
            counts.written += entry.points() as u64;
        }
        self.spool.acknowledge(entry).await;
    }

    /// Sends all waiting entries, and returns the sequence numbers of the batches.
    async fn send_all(&mut self) -> Vec<u64> {
        let mut sent = Vec::new();
        while let Some(entry) = self.spool.take_oldest() {
            match self.spool.load(&entry).await {
                Ok(batch) => {
                    assert_eq!(batch.bytes(), super::tests::batch(batch.sequence(), batch.len()).bytes());
                    sent.push(batch.sequence());
                    self.settle(entry).await;
                }
                Err(LoadError::Lost) => {}
                Err(LoadError::Io(error)) => panic!("reads: {error}"),
            }
        }
        sent
    }

    fn ledger(&self) -> crate::stats::ledger::LedgerCounts {
        let counts = self.ledger.lock().clone();
        let dropped: u64 = counts.dropped.values().sum();
        let gone = counts.written + counts.rejected.values().sum::<u64>() + dropped;
        assert_eq!(self.accepted + counts.recovered, gone + counts.in_flight + counts.spooled, "{counts:?}");
        assert_eq!(self.spool.counts().points, counts.spooled, "the ledger against the files");
        let files = files(&self.spool.process_directory().directory());
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("is there").len()).sum();
        assert_eq!((self.spool.counts().files, self.spool.counts().bytes), (files.len(), bytes));
        counts
    }
}

/// Returns a batch. Its sequence number is also the second in which it was sealed.
fn batch(sequence: u64, points: usize) -> Batch {
    let text: String = (0..points).map(|point| format!("m v={sequence}i {point}\n")).collect();
    let created = *START + Duration::from_secs(sequence);
    let age = Duration::from_secs(1000_u64.saturating_sub(sequence));
    Batch::new(Bytes::from(text), points, sequence, created).sealed_at(MonotonicInstant::now().before(age))
}

static START: LazyLock<SystemTime> = LazyLock::new(|| SystemTime::now() - Duration::from_secs(1000));

/// Returns the files in a directory except its lock, sorted by name.
fn files(directory: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        fs_ext::list(directory).expect("lists").into_iter().map(|file| file.path).collect();
    files.retain(|path| path.file_name().is_some_and(|name| name != process_directory::LOCK));
    files.sort();
    files
}

const MIB: u64 = 1024 * 1024;
const TARGET: &str = "http://localhost:8086 luna requests";

#[tokio::test]
async fn a_batch_waits_on_disk_and_comes_back_as_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(&root.path().join("spool"));
    let entry = fixture.store(7, 3).await;
    assert_eq!((fixture.ledger().in_flight, fixture.ledger().spooled), (0, 3));
    let counts = fixture.spool.counts();
    assert_eq!((counts.oldest_age.map(|age| age.as_secs()), counts.memory), (Some(993), queue::MEMORY));

    let path = files(&fixture.spool.process_directory().directory()).pop().expect("one file");
    let text = fs::read_to_string(&path).expect("reads");
    let (header, lines) = text.split_once('\n').expect("a first line");
    assert!(header.starts_with("# tower-influx spool version=1 sequence=7 "), "{header}");
    assert_eq!(lines, "m v=7i 0\nm v=7i 1\nm v=7i 2\n");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().expect("has one"))), (0o600, 0o700));
        assert_eq!(mode(&fixture.settings.directory), 0o700);
        assert_eq!(mode(&path.with_file_name(process_directory::LOCK)), 0o600);
    }

    let taken = fixture.spool.take_oldest().expect("one waits");
    assert!(fixture.spool.take_oldest().is_none() && !fixture.spool.is_empty());
    let loaded = fixture.spool.load(&taken).await.expect("loads");
    assert_eq!((loaded.len(), loaded.sequence(), loaded.bytes()), (3, 7, batch(7, 3).bytes()));
    assert_eq!((loaded.created(), entry.0.points), (batch(7, 3).created(), 3));
    fixture.settle(taken).await;
    assert!(fixture.spool.is_empty() && files(path.parent().expect("has one")).is_empty());
    assert_eq!((fixture.ledger().written, fixture.ledger().spooled), (3, 0));
}

#[tokio::test]
async fn the_next_process_sends_what_is_left_oldest_first() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    for sequence in [5, 3, 4] {
        fixture.store(sequence, 2).await;
    }
    let sent_from_memory = fixture.batch(1, 1);
    let being_sent = fixture.spool.store_taken(&sent_from_memory).await.expect("stores");
    assert_eq!(
        fixture.spool.take_oldest().map(|entry| entry.points()),
        Some(2),
        "not the one that is being sent"
    );
    drop(being_sent);
    let mut fixture = fixture.restart();
    assert_eq!((fixture.ledger().recovered, fixture.spool.counts().files), (7, 4));
    let last = fixture.batch(2, 1);
    fixture.spool.store_blocking(&last).expect("stores");
    assert_eq!(fixture.send_all().await, [1, 2, 3, 4, 5]);
    let fixture = fixture.restart();
    assert_eq!(fixture.ledger().recovered, 0);
}

#[tokio::test]
async fn a_released_entry_waits_for_its_turn() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 1).await;
    fixture.store(2, 1).await;
    let failing = fixture.spool.take_oldest().expect("two wait");
    fixture.spool.release(failing);
    assert_eq!(fixture.send_all().await, [2, 1]);
    fixture.ledger();
}

#[tokio::test]
async fn the_oldest_are_dropped_when_bytes_or_files_exceed_their_bounds() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::with(SpoolSettings { max_files: 3, ..SpoolSettings::new(root.path()) });
    for sequence in 1..=5 {
        fixture.store(sequence, 2).await;
    }
    let being_sent = fixture.spool.take_oldest().expect("three wait");
    fixture.store(6, 2).await;
    // This batch is older than all that wait, so it is the one that is dropped.
    fixture.store(0, 1).await;
    drop(being_sent);
    let mut fixture = fixture.restart();
    assert_eq!(fixture.ledger().recovered, 6);
    assert_eq!(fixture.send_all().await, [3, 5, 6]);

    let settings = SpoolSettings { max_size: MIB, ..SpoolSettings::new(root.path()) };
    drop(fixture);
    let mut fixture = Fixture::with(settings);
    for sequence in 1..=4 {
        fixture.store(sequence, 30_000).await;
    }
    let counts = fixture.spool.counts();
    assert!((1..=2).contains(&counts.files) && counts.bytes <= MIB, "{counts:?}");
    assert_eq!(fixture.ledger.lock().dropped[&DropReason::SpoolFull], 30_000 * (4 - counts.files as u64));
    let too_large = fixture.batch(5, 200_000);
    assert!(matches!(fixture.spool.store(&too_large).await, Err(StoreError::Io(_))));
    fixture.store(6, 1).await;
    assert_eq!(fixture.ledger.lock().in_flight, 200_000, "it stays in memory");
}

#[tokio::test]
async fn lowered_bounds_apply_at_the_next_start() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    for sequence in 1..=5 {
        fixture.store(sequence, 2).await;
    }
    drop(fixture);
    let mut fixture = Fixture::with(SpoolSettings { max_files: 2, ..SpoolSettings::new(root.path()) });
    let counts = fixture.ledger();
    assert_eq!((counts.recovered, counts.dropped[&DropReason::SpoolFull], counts.spooled), (10, 6, 4));
    assert_eq!(fixture.send_all().await, [4, 5]);
}

#[test]
fn a_store_whose_future_is_dropped_leaves_no_file() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let batch = fixture.batch(1, 1);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("builds");
    let stored = runtime.block_on(async { fixture.spool.store(&batch).now_or_never() });
    assert!(stored.is_none(), "it is given up while the thread writes");
    // Waits for the thread that writes.
    drop(runtime);
    assert_eq!((fixture.ledger().in_flight, fixture.spool.counts().files), (1, 0));
    assert_eq!(fixture.restart().ledger().recovered, 0);
}

#[tokio::test]
async fn a_directory_is_free_only_when_no_file_of_a_dropped_future_is_left_in_it() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let directory = fixture.spool.process_directory().directory();
    let (sync, removal) = [faults::Operation::Sync, faults::Operation::Remove]
        .map(|operation| faults::hold(&directory, operation))
        .into();
    let batch = fixture.batch(1, 1);
    let stored = fixture.spool.store(&batch).now_or_never();
    assert!(stored.is_none(), "the thread still writes");
    drop(fixture);
    drop(sync);
    removal.wait();
    assert_eq!(files(&directory).len(), 1, "the whole batch, which no other process must count");
    let open = fs::File::open(&directory).expect("opens");
    assert!(open.try_lock().is_err(), "another process may take the directory");
    drop(removal);
    let until = std::time::Instant::now() + Duration::from_secs(30);
    while open.try_lock().is_err() {
        assert!(std::time::Instant::now() < until, "it is never released");
        std::thread::yield_now();
    }
    assert!(files(&directory).is_empty(), "nothing is left to count");
}

#[tokio::test]
async fn an_unusable_directory_is_reported_at_start() {
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("file");
    fs::write(&file, "").expect("writes");
    let error = Spool::open(&SpoolSettings::new(&file), TARGET, Arc::default()).expect_err("not a directory");
    let (io, error) = (error.is_io(), error.to_string());
    assert!(
        io && error.contains("spool.directory") && error.contains(&file.display().to_string()),
        "{error}"
    );
}
