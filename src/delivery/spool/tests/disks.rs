//! Disks that are full, read-only, broken or gone.

use super::*;
use crate::fs_ext::faults::{self, Operation};

const NO_SPACE: i32 = 28;
const INPUT_OUTPUT: i32 = 5;
const READ_ONLY: i32 = 30;

#[tokio::test(start_paused = true)]
async fn an_error_switches_the_spool_off_for_a_minute_and_loses_nothing() {
    let operations =
        [Operation::Create, Operation::Write(0), Operation::Write(100), Operation::Sync, Operation::Rename];
    for (operation, code) in
        operations.into_iter().zip([NO_SPACE, INPUT_OUTPUT, NO_SPACE, INPUT_OUTPUT, READ_ONLY])
    {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = Fixture::new(root.path());
        let batch = fixture.batch(1, 2);
        let fault = faults::inject(root.path(), operation, code);
        match fixture.spool.store(&batch).await {
            Err(StoreError::Io(error)) => assert_eq!(error.raw_os_error(), Some(code)),
            other => panic!("{operation:?}: {other:?}"),
        }
        assert_eq!((fixture.ledger().in_flight, fixture.spool.counts().errors), (2, 1), "{operation:?}");
        drop(fault);
        assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Off)));
        tokio::time::advance(Duration::from_secs(59)).await;
        assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Off)));
        tokio::time::advance(Duration::from_secs(1)).await;
        fixture.spool.store(&batch).await.expect("it is on again");
        assert_eq!((fixture.ledger().in_flight, fixture.ledger().spooled), (0, 2));
    }
}

#[tokio::test]
async fn store_blocking_tries_even_while_the_spool_is_switched_off() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let batch = fixture.batch(1, 2);
    let fault = faults::inject(root.path(), Operation::Sync, NO_SPACE);
    fixture.spool.store(&batch).await.expect_err("full");
    fixture.spool.store_blocking(&batch).expect_err("full");
    drop(fault);
    fixture.spool.store_blocking(&batch).expect("stores");
    assert_eq!(fixture.ledger().spooled, 2);
}

#[tokio::test]
async fn a_full_disk_at_start_does_not_keep_the_service_from_starting() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 1).await;
    let fault = faults::inject(root.path(), Operation::Create, NO_SPACE);
    let mut fixture = fixture.restart();
    let batch = fixture.batch(2, 1);
    assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Off)));
    assert_eq!(fixture.send_all().await, [1]);
    drop((fault, fixture));

    let _fault = faults::inject(root.path(), Operation::Create, READ_ONLY);
    let error = Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect_err("read-only");
    assert!(error.is_io() && error.to_string().contains("spool.directory"), "{error}");
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_tried_three_times() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 2).await;
    fixture.store(2, 2).await;
    let bad = files(&fixture.spool.process_directory().directory()).remove(0);
    let _fault = faults::inject(&bad, Operation::Read, INPUT_OUTPUT);
    for _ in 0..2 {
        let entry = fixture.spool.take_oldest().expect("waits");
        assert!(matches!(fixture.spool.load(&entry).await, Err(LoadError::Io(_))));
        fixture.ledger();
        fixture.spool.release(entry);
        let other = fixture.spool.take_oldest().expect("the other one is not held up");
        fixture.spool.load(&other).await.expect("loads");
        fixture.spool.release(other);
    }
    assert_eq!(fixture.send_all().await, [2]);
    assert_eq!(fixture.ledger().dropped[&DropReason::SpoolCorrupt], 2);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_deleted_is_deleted_later() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let entry = fixture.store(1, 2).await;
    let path = files(&fixture.spool.process_directory().directory()).remove(0);
    let fault = faults::inject(root.path(), Operation::Remove, READ_ONLY);
    fixture.settle(entry).await;
    assert!(path.exists() && fixture.spool.is_empty());
    let retry = fixture.spool.next_maintenance().expect("the deletion is tried again");
    assert_eq!(retry - tokio::time::Instant::now(), Duration::from_secs(60));
    assert_eq!(fixture.spool.counts().memory, queue::MEMORY, "it is still known");
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(30)).await;
        fixture.spool.maintain(false).await;
        assert!(path.exists());
    }
    drop(fault);
    tokio::time::advance(Duration::from_secs(60)).await;
    fixture.spool.maintain(false).await;
    assert!(!path.exists());
    assert_eq!((fixture.spool.counts().memory, fixture.spool.next_maintenance()), (0, None));
}

/// Files that cannot be deleted take memory and disk, too.
#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_deleted_are_bounded() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::with(SpoolSettings { max_files: 3, ..SpoolSettings::new(root.path()) });
    let fault = faults::inject(root.path(), Operation::Remove, READ_ONLY);
    let mut last = None;
    for sequence in 0..10 {
        let batch = fixture.batch(sequence, 1);
        match fixture.spool.store(&batch).await {
            Ok(entry) => fixture.settle(entry).await,
            Err(StoreError::Io(_) | StoreError::Off) => last = Some(batch),
        }
    }
    assert_eq!((fixture.spool.counts().memory, fixture.ledger.lock().in_flight), (3 * queue::MEMORY, 7));
    drop(fault);
    tokio::time::advance(Duration::from_secs(61)).await;
    fixture.spool.maintain(false).await;
    fixture.spool.store(&last.expect("seven were refused")).await.expect("there is room again");
}

#[tokio::test]
async fn a_deleted_directory_is_created_again() {
    let root = tempfile::tempdir().expect("a directory");
    let path = root.path().join("spool");
    let mut fixture = Fixture::new(&path);
    fixture.store(1, 2).await;
    fs::remove_dir_all(&path).expect("removes");
    fixture.store(2, 3).await;
    assert_eq!(fixture.send_all().await, [2]);
    assert_eq!(fixture.ledger().dropped[&DropReason::SpoolCorrupt], 2);
    fixture.store(3, 3).await;
    assert_eq!(fixture.restart().ledger().recovered, 3);
}

/// Uses a real full disk, where the user has the right to mount one.
#[cfg(target_os = "linux")]
#[tokio::test(start_paused = true)]
async fn a_small_disk_that_fills_up_and_then_is_read_only() {
    let root = tempfile::tempdir().expect("a directory");
    let mount = |options: &str| {
        let mut command = std::process::Command::new("mount");
        command.args(["-t", "tmpfs", "-o", options, "none"]).arg(root.path());
        command.stderr(std::process::Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !mount("size=256k,mode=700") {
        let mut out = std::io::stderr();
        let _ = io::Write::write_all(&mut out, b"NOT RUN: a spool on a small disk (no right to mount one)\n");
        return;
    }
    struct Mounted(PathBuf);
    impl Drop for Mounted {
        fn drop(&mut self) {
            let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
        }
    }
    let _mounted = Mounted(root.path().to_owned());

    let mut fixture = Fixture::new(root.path());
    let mut stored = 0;
    let refused = loop {
        let batch = fixture.batch(stored, 3000);
        match fixture.spool.store(&batch).await {
            Ok(_) => stored += 1,
            Err(StoreError::Io(error)) => {
                assert_eq!(error.kind(), io::ErrorKind::StorageFull);
                break batch;
            }
            Err(StoreError::Off) => panic!("no error before"),
        }
    };
    assert!(stored >= 2, "{stored}");
    assert_eq!((fixture.ledger().in_flight, fixture.ledger().spooled), (3000, stored * 3000));
    let first = fixture.spool.take_oldest().expect("some wait");
    fixture.settle(first).await;
    tokio::time::advance(Duration::from_secs(61)).await;
    fixture.spool.store(&refused).await.expect("there is room again");

    fixture.ledger();
    drop(fixture);
    assert!(mount("remount,ro,mode=700"), "remounts");
    let error = Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect_err("read-only");
    assert!(error.is_io(), "{error}");
}

/// The directory is deleted while a batch is written.
#[tokio::test]
async fn a_directory_that_is_deleted_while_a_file_is_created_is_claimed_again() {
    const GONE: i32 = 2;
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    let fault = faults::inject_times(root.path(), Operation::Create, GONE, 1);
    fixture.store(1, 2).await;
    assert_eq!((fixture.ledger().spooled, fixture.spool.counts().errors), (2, 0));
    drop(fault);
    // The write is repeated once, not for ever.
    let _fault = faults::inject(root.path(), Operation::Create, GONE);
    let batch = fixture.batch(2, 2);
    assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Io(_))));
    assert_eq!((fixture.ledger().in_flight, fixture.spool.counts().errors), (2, 1));
}

/// Faults in the files of a dead process: listing the root and its directory, reading an entry,
/// renaming a file.
#[tokio::test]
async fn what_cannot_be_listed_or_moved_is_counted_and_recovered_later() {
    for (is_root, operation) in [
        (true, Operation::List),
        (false, Operation::List),
        (false, Operation::ListNext),
        (false, Operation::Rename),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = Fixture::new(root.path());
        let mut dead = Fixture::new(root.path());
        dead.store(1, 2).await;
        let theirs = dead.spool.process_directory().directory();
        drop(dead);
        let fault = faults::inject(if is_root { root.path() } else { &theirs }, operation, INPUT_OUTPUT);
        for times in 1..=2 {
            fixture.spool.maintain(true).await;
            assert_eq!(fixture.spool.counts().errors, times, "{operation:?}");
            assert_eq!(fixture.ledger.lock().recovered, 0, "{operation:?}");
        }
        drop(fault);
        fixture.spool.maintain(true).await;
        assert_eq!((fixture.ledger().recovered, fixture.spool.counts().errors), (2, 2), "{operation:?}");
        assert_eq!(fixture.send_all().await, [1]);
    }
}
