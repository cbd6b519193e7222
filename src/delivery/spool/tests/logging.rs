//! A log handler may read the statistics, so no line is logged under a lock that these take.

use std::sync::{Mutex, OnceLock, mpsc};

use tracing_subscriber::{Layer, layer::SubscriberExt};

use super::*;
use crate::fs_ext::faults::{self, Operation};

/// Reads the statistics of the spool at each event.
#[derive(Clone, Default)]
struct Reader(Arc<Read>);

#[derive(Default)]
struct Read {
    spool: OnceLock<Arc<Spool>>,
    files: Mutex<Vec<usize>>,
}

impl<S: tracing::Subscriber> Layer<S> for Reader {
    fn on_event(&self, _: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        if let Some(spool) = self.0.spool.get() {
            self.0.files.lock().expect("no panic").push(spool.counts().files);
        }
    }
}

#[test]
fn statistics_can_be_read_from_every_line_that_the_spool_logs() {
    let (done, wait) = mpsc::channel();
    std::thread::spawn(move || {
        let reader = Reader::default();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(reader.clone()), || {
            let root = tempfile::tempdir().expect("a directory");
            let mut settings = SpoolSettings::new(root.path());
            settings.max_files = 1;
            let mut fixture = Fixture::with(settings);
            reader.0.spool.set(Arc::clone(&fixture.spool)).unwrap_or_else(|_| panic!("set once"));
            // The disk fails, and works again.
            let batch = fixture.batch(1, 2);
            let fault = faults::inject(root.path(), Operation::Sync, 5);
            assert!(fixture.spool.store_blocking(&batch).is_err());
            drop(fault);
            assert!(fixture.spool.store_blocking(&batch).is_ok());
            // The spool exceeds its bound.
            let batch = fixture.batch(2, 2);
            assert!(fixture.spool.store_blocking(&batch).is_ok());
            // A file cannot be deleted.
            let entry = fixture.spool.take_oldest().expect("one is left");
            let path = entry.0.path();
            fs::remove_file(&path).expect("removes");
            fs::create_dir(&path).expect("creates");
            fixture.spool.delete(&[entry]);
            // Files are damaged or missing when they are loaded, and a batch expires.
            fixture.spool.state().bounds.max_files = 10;
            for (sequence, change) in [(3, true), (4, false)] {
                let batch = fixture.batch(sequence, 1);
                let entry = fixture.spool.store_blocking(&batch).expect("stores");
                let path = entry.0.path();
                if change { fs::write(path, "damaged") } else { fs::remove_file(path) }.expect("is there");
                assert!(matches!(fixture.spool.load_blocking(&entry), Err(LoadError::Lost)));
            }
            let batch = fixture.batch(5, 1);
            assert!(fixture.spool.store_blocking(&batch).is_ok());
            fixture.machine.skew.fetch_add(365 * 24 * 60 * 60 * 1000, std::sync::atomic::Ordering::Relaxed);
            assert_eq!(fixture.spool.drop_expired().len(), 1);
        });
        let events = reader.0.files.lock().expect("no panic").len();
        done.send(events).expect("somebody waits");
    });
    let events = wait.recv_timeout(Duration::from_secs(20)).expect("a log line waits for its own lock");
    assert_eq!(events, 7, "off, on again, full, not deleted, damaged, gone, too old");
}

/// Records the field `others` of each event.
#[derive(Clone, Default)]
struct OmittedCounts(Arc<Mutex<Vec<u64>>>);

impl<S: tracing::Subscriber> Layer<S> for OmittedCounts {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        struct Visit(Option<u64>);
        impl tracing::field::Visit for Visit {
            fn record_u64(&mut self, field: &tracing::field::Field, value: u64) {
                if field.name() == "others" {
                    self.0 = Some(value);
                }
            }
            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
        }
        let mut visit = Visit(None);
        event.record(&mut visit);
        self.0.lock().expect("no panic").extend(visit.0);
    }
}

/// Causes each line about single batches (full, expired, lost, not deleted) a hundred times.
#[tokio::test(start_paused = true)]
async fn lines_about_single_batches_come_once_a_minute() {
    for kind in ["full", "expired", "lost", "undeleted"] {
        let others = OmittedCounts::default();
        let subscriber = tracing_subscriber::registry().with(others.clone());
        let _scope = tracing::subscriber::set_default(subscriber);
        let root = tempfile::tempdir().expect("a directory");
        let mut settings = SpoolSettings::new(root.path());
        settings.max_files = if kind == "full" { 1 } else { 1_000 };
        let mut fixture = Fixture::with(settings);
        for sequence in 0..101 {
            if sequence == 100 {
                tokio::time::advance(Duration::from_secs(61)).await;
            }
            let batch = fixture.batch(sequence, 1);
            let entry = fixture.spool.store_blocking(&batch).expect("stores");
            match kind {
                "full" => {}
                "expired" => {
                    let year = 365 * 24 * 60 * 60 * 1000;
                    fixture.machine.skew.fetch_add(year, std::sync::atomic::Ordering::Relaxed);
                    assert_eq!(fixture.spool.drop_expired().len(), 1);
                }
                "lost" => {
                    fs::remove_file(entry.0.path()).expect("is there");
                    assert!(matches!(fixture.spool.load_blocking(&entry), Err(LoadError::Lost)));
                }
                _ => {
                    let path = entry.0.path();
                    fs::remove_file(&path).expect("removes");
                    fs::create_dir(&path).expect("creates");
                    fixture.spool.delete(&[entry]);
                }
            }
        }
        // With a bound of one file, the first batch is still within the bound.
        let kept_back = if kind == "full" { 98 } else { 99 };
        assert_eq!(*others.0.lock().expect("no panic"), [0, kept_back], "{kind}");
    }
}

/// Returns the log lines of `run`, with their fields.
fn logged(run: impl FnOnce()) -> String {
    use std::io::{Read, Seek};
    let file = Arc::new(tempfile::tempfile().expect("a temporary file"));
    let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(Arc::clone(&file)).finish();
    tracing::subscriber::with_default(subscriber, run);
    let (mut text, mut file) = (String::new(), &*file);
    file.rewind().and_then(|()| file.read_to_string(&mut text)).expect("the log");
    text
}

#[test]
fn dropped_batches_are_logged_with_their_points() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::with(SpoolSettings { max_files: 1, ..SpoolSettings::new(root.path()) });
    let batches = [fixture.batch(1, 3), fixture.batch(2, 5)];
    let store = |batch| drop(fixture.spool.store_blocking(batch).expect("stores"));
    let log = logged(|| batches.iter().for_each(store));
    assert!(log.contains("WARN") && log.contains("points=3 "), "{log}");
    fixture.machine.skew.fetch_add(365 * 24 * 60 * 60 * 1000, std::sync::atomic::Ordering::Relaxed);
    let log = logged(|| assert_eq!(fixture.spool.drop_expired().len(), 1));
    assert!(log.contains("`spool.max_age`") && log.contains("points=5 "), "{log}");
}

/// A file that another process deletes meanwhile is not an error.
#[test]
fn a_file_that_cannot_be_read_at_the_start_stays_and_is_logged() {
    for (code, errors) in [(13, 1), (5, 1), (2, 0)] {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = Fixture::new(root.path());
        let batch = fixture.batch(1, 2);
        fixture.spool.store_blocking(&batch).expect("stores");
        let directory = fixture.spool.process_directory().directory();
        drop(fixture);
        let fault = faults::inject(&directory, Operation::Read, code);
        let log = logged(|| {
            let fixture = Fixture::new(root.path());
            let counts = fixture.spool.counts();
            assert_eq!((counts.files, counts.corrupt, counts.errors), (0, 0, errors), "{code}");
        });
        assert_eq!(log.matches("spooled file cannot be read").count() as u64, errors, "{log}");
        drop(fault);
        assert_eq!(Fixture::new(root.path()).ledger().recovered, 2, "{code}");
    }
}

#[test]
fn an_empty_directory_logs_nothing() {
    let root = tempfile::tempdir().expect("a directory");
    let spool = Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect("opens");
    assert_eq!(logged(|| spool.maintain_blocking(true)), "");
}

#[test]
fn recovered_and_foreign_files_are_logged_once_with_their_numbers() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    for (sequence, points) in [(1, 1), (2, 3), (3, 5)] {
        let batch = fixture.batch(sequence, points);
        fixture.spool.store_blocking(&batch).expect("stores");
    }
    let directory = fixture.spool.process_directory().directory();
    drop(fixture);
    fs::write(directory.join("batch-of-somebody.lp"), "m v=1 1\n").expect("writes");
    let settings = SpoolSettings::new(root.path());
    let spool = Spool::open(&settings, TARGET, Arc::default()).expect("opens");
    let log = logged(|| spool.maintain_blocking(true));
    let counts = ["files=3 points=9\n", "files=1\n"];
    assert!(log.lines().count() == 2 && counts.iter().all(|counts| log.contains(counts)), "{log}");
    assert_eq!(logged(|| spool.maintain_blocking(true)), "", "nothing is new");
    // The directory of a dead process is scanned again. It has one batch of ours and one more
    // foreign file.
    let mut other = Fixture::new(root.path());
    let batch = other.batch(4, 2);
    other.spool.store_blocking(&batch).expect("stores");
    let theirs = other.spool.process_directory().directory();
    drop(other);
    fs::write(theirs.join("another.lp"), "m v=1 1\n").expect("writes");
    let log = logged(|| spool.maintain_blocking(true));
    let counts = ["files=1 points=2\n", "files=2\n"];
    assert!(log.lines().count() == 2 && counts.iter().all(|counts| log.contains(counts)), "{log}");
    assert_eq!(spool.counts().foreign, 2);
}
