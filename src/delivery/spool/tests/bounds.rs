//! Batches exactly at a bound, and the counts other than points.

use super::*;
use crate::fs_ext::faults::{self, Operation};

#[tokio::test]
async fn a_batch_exactly_at_a_bound_is_kept() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 2).await;
    let bytes = fixture.spool.counts().bytes;
    for (max_size, max_files, left) in [(2 * bytes, 9, 2), (2 * bytes - 1, 9, 1), (9 * bytes, 2, 2)] {
        let root = tempfile::tempdir().expect("a directory");
        let settings = SpoolSettings { max_size, max_files, ..SpoolSettings::new(root.path()) };
        let mut fixture = Fixture::with(settings);
        fixture.store(1, 2).await;
        fixture.store(2, 2).await;
        assert_eq!(fixture.spool.counts().files, left, "{max_size} bytes, {max_files} files");
        assert_eq!(fixture.restart().spool.counts().files, left, "the same after a restart");
    }
    // A batch exactly as large as the bound is stored.
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::with(SpoolSettings { max_size: bytes, ..SpoolSettings::new(root.path()) });
    fixture.store(1, 2).await;
    let larger = fixture.batch(2, 3);
    assert!(matches!(fixture.spool.store(&larger).await, Err(StoreError::Io(_))));
    assert_eq!(fixture.ledger().spooled, 2);
}

#[tokio::test]
async fn a_smaller_bound_of_bytes_holds_at_the_next_start() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    for sequence in 1..=5 {
        fixture.store(sequence, 2).await;
    }
    let bytes = fixture.spool.counts().bytes;
    for (max_size, left) in [(bytes, 5), (bytes - 1, 4), (bytes * 2 / 5, 2)] {
        drop(fixture);
        fixture = Fixture::with(SpoolSettings { max_size, ..SpoolSettings::new(root.path()) });
        assert_eq!(fixture.spool.counts().files, left, "{max_size} of {bytes} bytes");
        assert!(fixture.spool.counts().bytes <= max_size);
    }
    assert_eq!(fixture.send_all().await, [4, 5]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_as_old_as_the_bound_stays_and_one_that_is_older_goes() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let entry = fixture.store(1, 2).await;
    let max_age = fixture.spool.state().bounds.max_age;
    let sleep = |time: Duration| {
        fixture.machine.skew.fetch_add(time.as_millis() as u64, std::sync::atomic::Ordering::Relaxed)
    };
    sleep(max_age - fixture.spool.clock.age(entry.0.born));
    assert_eq!((fixture.spool.drop_expired().len(), fixture.spool.counts().oldest_age), (0, Some(max_age)));
    sleep(Duration::from_millis(1));
    assert_eq!(fixture.spool.drop_expired().len(), 1);
}

#[tokio::test]
async fn each_return_without_success_is_counted() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 2).await;
    for times in 0..3 {
        let entry = fixture.spool.take_oldest().expect("waits");
        assert_eq!(fixture.spool.times_released(&entry), times);
        fixture.spool.release(entry);
    }
}

/// The clock's mark is saved as long as there are files whose age depends on it.
#[tokio::test(start_paused = true)]
async fn a_spool_with_files_is_maintained_each_minute() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    assert_eq!(fixture.spool.next_maintenance(), None);
    fixture.store(1, 2).await;
    let next = fixture.spool.next_maintenance().expect("the mark is to be kept");
    assert!(next <= tokio::time::Instant::now() + Duration::from_secs(60), "{next:?}");
}

#[test]
fn the_quarantine_keeps_the_newest_under_its_bound_and_one_whatever_its_size() {
    let root = tempfile::tempdir().expect("a directory");
    // A tenth of this size is for damaged files.
    let quarantine = Quarantine::new(root.path(), 10_000);
    let take = |name: &str, bytes: usize| {
        let path = root.path().join(name);
        fs::write(&path, vec![b'x'; bytes]).expect("writes");
        assert!(quarantine.take(&path, "a test"));
        let mut names: Vec<_> = fs_ext::list(&root.path().join("corrupt"))
            .expect("lists")
            .into_iter()
            .map(|file| file.name)
            .collect();
        names.sort();
        names
    };
    // Files of the same moment are evicted in the order of their names.
    assert_eq!(take("a", 400), ["a"]);
    assert_eq!(take("b", 400), ["a", "b"]);
    assert_eq!(take("c", 200), ["a", "b", "c"], "exactly the bound");
    assert_eq!(take("d", 300), ["b", "c", "d"], "one is enough");
    assert_eq!(take("e", 5_000), ["e"]);
}

#[tokio::test]
async fn another_batch_in_the_place_of_a_file_is_not_sent_as_it() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let entry = fixture.store(1, 2).await;
    let other = batch(2, 3);
    let mut bytes = Header::new(&other, format::hash(TARGET)).encode().into_bytes();
    bytes.extend_from_slice(other.bytes());
    fs::write(entry.0.path(), bytes).expect("writes");
    let entry = fixture.spool.take_oldest().expect("waits");
    assert!(matches!(fixture.spool.load(&entry).await, Err(LoadError::Lost)));
    assert!(entry.0.path().exists(), "somebody's, and left alone");
    assert_eq!(fixture.ledger.lock().dropped[&DropReason::SpoolCorrupt], 2);
}

#[tokio::test]
async fn a_directory_that_is_gone_is_claimed_again_and_counted_where_it_cannot_be() {
    let root = tempfile::tempdir().expect("a directory");
    let fixture = Fixture::new(root.path());
    let directory = fixture.spool.process_directory().directory();
    fs::remove_dir_all(&directory).expect("removes");
    let fault = faults::inject(root.path(), Operation::CreateDirectory, 13);
    fixture.spool.maintain(true).await;
    assert!(!fixture.spool.process_directory().is_intact());
    assert_eq!(fixture.spool.counts().errors, 1);
    drop(fault);
    fixture.spool.maintain(true).await;
    assert!(fixture.spool.process_directory().is_intact() && fixture.spool.counts().errors == 1);
}

/// The directory may belong to another user, for instance.
#[test]
fn a_process_directory_that_may_not_be_used_is_passed_over() {
    let root = tempfile::tempdir().expect("a directory");
    let place = |number| root.path().join(format!("{:016x}-{number}", format::hash(TARGET)));
    let _fault = faults::inject(&place(0), Operation::Create, 13);
    let fixture = Fixture::new(root.path());
    assert_eq!(*fixture.spool.process_directory().directory(), *place(1));
}

#[tokio::test]
async fn a_spool_is_done_when_nothing_waits_and_knows_its_directory() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    assert!(fixture.spool.is_done());
    assert!(fixture.spool.is_at(root.path()) && !fixture.spool.is_at(&root.path().join("other")));
    assert!(fixture.spool.is_for(TARGET) && !fixture.spool.is_for("another"));
    fixture.store(1, 2).await;
    fixture.store(2, 2).await;
    assert!(!fixture.spool.is_done());
    // New bounds apply at once.
    fixture.spool.configure(&SpoolSettings { max_files: 1, ..SpoolSettings::new(root.path()) });
    assert_eq!(fixture.spool.counts().files, 1);
    assert_eq!(fixture.send_all().await, [2]);
    assert!(fixture.spool.is_done());
    // A file that was not inspected yet may be a batch.
    fixture.store(3, 2).await;
    drop(fixture);
    let spool = Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect("opens");
    assert!(!spool.is_done());
}
