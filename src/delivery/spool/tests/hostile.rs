//! Foreign files in the directory, and disks that refuse a directory or a lock.

use super::*;
use crate::fs_ext::faults::{self, Operation};

fn process_directory_path(root: &Path, number: u32) -> PathBuf {
    root.join(format!("{:016x}-{number}", format::hash(TARGET)))
}

#[cfg(unix)]
#[tokio::test]
async fn other_files_with_the_name_of_a_directory_or_lock_are_skipped() {
    use crate::delivery::hostile::{KINDS, put_each};
    for lock in [false, true] {
        let root = tempfile::tempdir().expect("a directory");
        if lock {
            (0..KINDS).for_each(|number| {
                fs::create_dir(process_directory_path(root.path(), number)).expect("creates")
            });
            put_each(|number| process_directory_path(root.path(), number).join(process_directory::LOCK));
        } else {
            put_each(|number| process_directory_path(root.path(), number));
            // An empty directory is as good as one of ours.
            fs::remove_dir(process_directory_path(root.path(), 1)).expect("removes");
            fs::write(process_directory_path(root.path(), 1), "a file").expect("writes");
        }
        let mut fixture = Fixture::new(root.path());
        fixture.store(1, 2).await;
        assert_eq!(
            *fixture.spool.process_directory().directory(),
            *process_directory_path(root.path(), KINDS),
            "lock: {lock}"
        );
        fixture.spool.maintain(true).await;
        assert_eq!((fixture.send_all().await, fixture.spool.counts().errors), (vec![1], 0));
    }
}

#[cfg(unix)]
#[test]
fn a_directory_that_others_may_write_is_refused_or_skipped() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let root = tempfile::tempdir().expect("a directory");
    let (open, link) = (root.path().join("open"), root.path().join("link"));
    fs::create_dir(&open).expect("creates");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("may");
    symlink(root.path(), &link).expect("links");
    for (path, why) in [(&open, "every user may write"), (&link, "symbolic link")] {
        let error = Spool::open(&SpoolSettings::new(path), TARGET, Arc::default()).expect_err("refused");
        let text = format!("{error:#}");
        assert!(error.is_io() && text.contains("`spool.directory`") && text.contains(why), "{text}");
        assert!(text.contains("name a directory that only this user may write to"), "{text}");
    }
    // A process directory that others may write is not used.
    let own = root.path().join("own");
    fs::create_dir_all(process_directory_path(&own, 0)).expect("creates");
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).expect("may");
    fs::set_permissions(process_directory_path(&own, 0), fs::Permissions::from_mode(0o777)).expect("may");
    let fixture = Fixture::new(&own);
    assert_eq!(*fixture.spool.process_directory().directory(), *process_directory_path(&own, 1));
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_does_not_prevent_a_start_whichever_operation_fails() {
    for (below, operation) in [
        ("", Operation::CreateDirectory),
        ("process", Operation::CreateDirectory),
        ("process", Operation::Create),
        ("process", Operation::Write(0)),
    ] {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("spool");
        let below = if below.is_empty() { path.clone() } else { process_directory_path(&path, 0) };
        let fault = faults::inject(&below, operation, 28);
        let mut fixture = Fixture::new(&path);
        let batch = fixture.batch(1, 2);
        assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Off)), "{operation:?}");
        fixture.spool.maintain(true).await;
        tokio::time::advance(Duration::from_secs(61)).await;
        assert!(matches!(fixture.spool.store(&batch).await, Err(StoreError::Io(_))), "{operation:?}");
        drop(fault);
        tokio::time::advance(Duration::from_secs(61)).await;
        fixture.spool.store(&batch).await.expect("there is room again");
        assert_eq!((fixture.ledger().in_flight, fixture.ledger().spooled), (0, 2), "{operation:?}");
        assert_eq!(fixture.restart().ledger().recovered, 2);
    }
}

#[test]
fn a_volume_without_file_locks_is_named_in_the_error() {
    // EINVAL, ENOLCK, ENOSYS, EOPNOTSUPP.
    for code in [22, 37, 38, 95] {
        let root = tempfile::tempdir().expect("a directory");
        let _fault = faults::inject(root.path(), Operation::Lock, code);
        let error =
            Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect_err("no locks");
        assert!(error.is_io() && error.to_string().contains("file locks, such as a local disk"), "{error}");
    }
}

#[tokio::test]
async fn nobody_claims_the_directory_of_a_living_process_whose_lock_was_deleted() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 2).await;
    let directory = fixture.spool.process_directory().directory();
    for replaced in [false, true] {
        let lock = directory.join(process_directory::LOCK);
        fs::remove_file(&lock).expect("is there");
        if replaced {
            fs::write(&lock, "").expect("writes");
        }
        assert!(!fixture.spool.process_directory().is_intact(), "the name leads to another file, or to none");
        let other = Fixture::new(root.path());
        assert_ne!(other.spool.process_directory().directory(), directory);
        assert_eq!(other.ledger().recovered, 0, "nothing of the living is taken");
        drop(other);
        fixture.store(2, 1).await;
        assert!(
            fixture.spool.process_directory().is_intact()
                && fixture.spool.process_directory().directory() == directory
        );
    }
    assert_eq!((fixture.ledger().recovered, fixture.ledger().spooled), (0, 4));
    assert_eq!(fixture.send_all().await, [1, 2, 2]);
}

#[tokio::test]
async fn a_file_with_a_false_header_is_moved_to_quarantine() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = process_directory_path(root.path(), 0);
    fs::create_dir_all(&directory).expect("creates");
    for number in 0..3 {
        let lines = b"m v=1i 1\n";
        let text = format!(
            "# tower-influx spool version=1 sequence=1 created=1 points={} bytes={} target={:016x} lines={:08x}",
            usize::MAX,
            lines.len(),
            format::hash(TARGET),
            crc32fast::hash(lines)
        );
        let mut bytes = format!("{text} check={:08x}\n", crc32fast::hash(text.as_bytes())).into_bytes();
        bytes.extend_from_slice(lines);
        fs::write(directory.join(format::name(0, 1, number, 1_000_000_000_000)), bytes).expect("writes");
    }
    let mut fixture = Fixture::new(root.path());
    let counts = fixture.spool.counts();
    assert_eq!((counts.files, counts.points, counts.corrupt, counts.errors), (0, 0, 3, 0));
    fixture.store(1, 1).await;
    assert_eq!(fixture.send_all().await, [1]);
}

/// Lines after the first 64 MiB are not compared at start, so the header alone must bound what is
/// counted then.
#[tokio::test]
async fn a_false_header_is_found_without_reading_the_lines() {
    let root = tempfile::tempdir().expect("a directory");
    let quarantine = Quarantine::new(root.path(), MIB);
    let path = root.path().join(format::name(0, 1, 1, 1_000_000_000_000));
    let text = format!(
        "# tower-influx spool version=1 sequence=1 created=1 points={} bytes=2 target=0000000000000001 lines=00000000",
        u64::MAX
    );
    fs::write(&path, format!("{text} check={:08x}\na\n", crc32fast::hash(text.as_bytes()))).expect("writes");
    let mut scan = Scan::new(root.path(), 1, 0).expect("scans");
    assert!(scan.next(&quarantine).is_none());
    assert_eq!(scan.counts.damaged, 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_batch_that_is_replaced_by_a_pipe_does_not_block() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 2).await;
    let path = files(&fixture.spool.process_directory().directory()).remove(0);
    fs::remove_file(&path).expect("is there");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().expect("runs").success());
    for _ in 0..2 {
        let entry = fixture.spool.take_oldest().expect("waits");
        let loaded = tokio::time::timeout(Duration::from_secs(30), fixture.spool.load(&entry)).await;
        assert!(matches!(loaded, Ok(Err(LoadError::Io(_)))));
        fixture.spool.release(entry);
    }
    assert_eq!(fixture.send_all().await, [0; 0]);
    assert_eq!(fixture.ledger().dropped[&DropReason::SpoolCorrupt], 2);
    assert_eq!(fixture.spool.counts().errors, 3, "it was tried three times");
}

/// Each damaged file is moved away, which is slower than recovering a batch.
#[tokio::test]
async fn a_start_inspects_few_files_even_if_none_is_a_batch() {
    let root = tempfile::tempdir().expect("a directory");
    let directory = process_directory_path(root.path(), 0);
    fs::create_dir_all(&directory).expect("creates");
    for number in 0..400 {
        let name = format::name(0, 1, number, 1_000_000_000_000);
        fs::write(directory.join(name), "damaged\n").expect("writes");
    }
    let spool = Spool::open(&SpoolSettings::new(root.path()), TARGET, Arc::default()).expect("opens");
    spool.recover_first();
    // The lock file may be among the inspected files.
    let left = files(&directory).len();
    assert!((400 - 256..=400 - 255).contains(&left), "{left} wait for the background");
    spool.maintain_blocking(true);
    assert_eq!((files(&directory).len(), spool.counts().corrupt), (0, 400));
}
