//! No young batch is dropped and no old one kept for ever, whatever the system's clock did.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

const MAX_AGE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// Returns a batch that was sealed just now, while the system's clock showed `clock`.
fn sealed_by(clock: SystemTime, sequence: u64) -> Batch {
    Batch::new(Bytes::from(format!("m v={sequence}i 1\n")), 1, sequence, clock)
}

/// Returns what the system's clock may have shown when a batch was sealed.
fn clocks() -> [(&'static str, SystemTime); 5] {
    let now = SystemTime::now();
    [
        ("30 days ahead since the start", now - 30 * DAY),
        ("behind, and corrected since", SystemTime::UNIX_EPOCH),
        ("ahead, and corrected since", now + 30 * DAY),
        ("45 s ahead for a while", now + Duration::from_secs(45)),
        ("right", now),
    ]
}

fn fixture(root: &Path) -> Fixture {
    Fixture::with(SpoolSettings { max_age: MAX_AGE, ..SpoolSettings::new(root) })
}

impl Fixture {
    async fn store_by(&mut self, clock: SystemTime, sequence: u64) {
        self.accepted += 1;
        self.ledger.lock().in_flight += 1;
        self.spool.store(&sealed_by(clock, sequence)).await.expect("stores");
    }

    /// Lets the machine's uptime advance, awake or suspended, while the clock of the runtime stands
    /// still.
    fn sleep(&self, time: Duration) {
        self.machine.skew.fetch_add(time.as_millis() as u64, Relaxed);
    }

    async fn expired(&self) -> u64 {
        self.spool.maintain(false).await;
        self.ledger.lock().dropped.get(&DropReason::SpoolExpired).copied().unwrap_or(0)
    }
}

#[tokio::test(start_paused = true)]
async fn the_age_of_a_batch_is_the_same_whatever_the_clock_does() {
    for restarts in 0..3 {
        for (clock, created) in clocks() {
            let root = tempfile::tempdir().expect("a directory");
            let mut fixture = fixture(root.path());
            for sequence in 1..=3 {
                fixture.store_by(created, sequence).await;
            }
            for _ in 0..restarts {
                fixture.sleep(Duration::from_secs(1));
                fixture = fixture.restart();
            }
            let being_sent = fixture.spool.take_oldest().expect("three wait");
            fixture.sleep(MAX_AGE - Duration::from_secs(restarts + 1));
            assert_eq!(fixture.expired().await, 0, "{clock}, {restarts} restarts");
            fixture.sleep(Duration::from_secs(2));
            assert_eq!(fixture.expired().await, 2, "{clock}, {restarts} restarts: the others are too old");
            assert!(matches!(fixture.spool.load(&being_sent).await, Err(LoadError::Lost)));
            assert_eq!((fixture.expired().await, fixture.spool.counts().files), (3, 0));
            fixture.ledger();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_keeps_the_time_that_it_was_written_with() {
    for (clock, created) in clocks() {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = fixture(root.path());
        fixture.store_by(created, 1).await;
        let name = files(&fixture.spool.process_directory().directory());
        let mut fixture = fixture.restart();
        assert_eq!(
            files(&fixture.spool.process_directory().directory()),
            name,
            "{clock}: no file is renamed at a start"
        );
        let entry = fixture.spool.take_oldest().expect("one waits");
        let batch = fixture.spool.load(&entry).await.expect("loads");
        assert_eq!(batch.created(), created, "{clock}");
        fixture.settle(entry).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_deadline_is_that_of_the_oldest() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = fixture(root.path());
    assert_eq!(fixture.spool.next_maintenance(), None, "an empty spool needs nothing");
    let start = tokio::time::Instant::now();
    // Storing takes time on the system's clock, which the paused clock does not see: the batch is
    // older by that.
    let begin = std::time::Instant::now();
    for sequence in [1, 2] {
        fixture.store_by(SystemTime::now(), sequence).await;
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    let unseen = begin.elapsed() + Duration::from_millis(1);
    for (expired, age) in [(1, MAX_AGE - Duration::from_secs(20)), (2, MAX_AGE - Duration::from_secs(10))] {
        let deadline = start + Duration::from_secs(20) + age;
        while fixture.expired().await < expired {
            let next = fixture.spool.next_maintenance().expect("something waits");
            assert!(next <= deadline + Duration::from_millis(2), "{next:?} is later than {deadline:?}");
            tokio::time::sleep_until(next).await;
        }
        assert!(tokio::time::Instant::now() + unseen >= deadline, "not before its time");
    }
    assert!(fixture.spool.is_empty());
}

/// Only the time in which the machine was off is unknown, and does not count.
#[tokio::test(start_paused = true)]
async fn age_adds_up_over_restarts_of_the_machine() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = fixture(root.path());
    fixture.store_by(SystemTime::now(), 1).await;
    for start in 1..=6 {
        fixture.sleep(Duration::from_secs(11));
        assert_eq!(fixture.expired().await, u64::from(start == 6), "after {start} starts");
        fixture.machine.reboot();
        fixture.machine.skew = Arc::default();
        fixture = fixture.restart();
    }
}

/// A process saves its mark once a minute, so a killed process leaves an old one. Without a restart
/// of the machine the mark is not needed.
#[tokio::test(start_paused = true)]
async fn a_killed_process_loses_at_most_a_minute_of_age() {
    for reboot in [false, true] {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = fixture(root.path());
        fixture.store_by(SystemTime::now(), 1).await;
        fixture.sleep(Duration::from_secs(30));
        let copy = root.path().join("killed");
        fs::create_dir(&copy).expect("creates");
        // Copies what the disk holds at this moment, as after a kill.
        let directory = fixture.spool.process_directory().directory();
        let there = copy.join(directory.file_name().expect("has one"));
        fs::create_dir(&there).expect("creates");
        for file in fs_ext::list(&directory).expect("lists") {
            fs::copy(&file.path, there.join(&file.name)).expect("copies");
        }
        let mut machine = fixture.machine.clone();
        if reboot {
            machine.reboot();
        }
        let next = Fixture::on(machine, SpoolSettings { directory: copy, ..fixture.settings.clone() });
        let age = next.spool.counts().oldest_age.expect("one waits").as_secs();
        assert_eq!(age, if reboot { 0 } else { 30 });
    }
}

/// Adopts from a directory whose clock differs, like that of a process that has run for months and
/// that of a new one.
#[tokio::test(start_paused = true)]
async fn what_is_adopted_is_as_old_as_it_was() {
    let root = tempfile::tempdir().expect("a directory");
    let mut first = fixture(root.path());
    first.sleep(365 * DAY);
    first.store_by(SystemTime::UNIX_EPOCH, 1).await;
    first.sleep(Duration::from_secs(20));
    let settings = first.settings.clone();
    let second = Fixture::on(first.machine.clone(), settings.clone());
    assert_eq!(second.spool.counts().files, 0, "the first lives");
    let machine = first.machine.clone();
    drop(first);
    second.spool.maintain(true).await;
    let age = || second.spool.counts().oldest_age.map(|age| age.as_secs());
    assert_eq!(age(), Some(20));
    machine.skew.fetch_add(30_000, Relaxed);
    assert_eq!(age(), Some(50));
    drop(second);
    let third = Fixture::on(machine, settings);
    assert_eq!(third.spool.counts().oldest_age.map(|age| age.as_secs()), Some(50));
}

/// A missing or invalid mark makes batches younger, never older, and their age adds up again.
#[tokio::test(start_paused = true)]
async fn a_mark_that_is_lost_makes_nothing_old() {
    for mark in ["", "nonsense\n", "clock=99999999999999999999"] {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = fixture(root.path());
        fixture.sleep(100 * DAY);
        fixture.store_by(SystemTime::now(), 1).await;
        fixture.sleep(Duration::from_secs(50));
        let lock = fixture.spool.process_directory().directory().join(process_directory::LOCK);
        let (machine, settings) = (fixture.machine.clone(), fixture.settings.clone());
        drop(fixture);
        fs::write(lock, mark).expect("writes");
        let fixture = Fixture::on(machine, settings);
        assert_eq!(fixture.spool.counts().oldest_age, Some(Duration::ZERO), "{mark:?}");
        fixture.sleep(Duration::from_secs(40));
        let fixture = fixture.restart();
        assert_eq!(fixture.spool.counts().oldest_age.map(|age| age.as_secs()), Some(40), "{mark:?}");
        fixture.sleep(Duration::from_secs(21));
        assert_eq!(fixture.expired().await, 1);
    }
}

/// For files of version 0.1 and files copied by hand the system's clock is read once, and trusted
/// for half of `max_age`.
#[tokio::test(start_paused = true)]
async fn a_file_without_an_age_gets_half_of_the_greatest_at_most() {
    for (clock, created) in clocks() {
        let root = tempfile::tempdir().expect("a directory");
        let mut fixture = fixture(root.path());
        fixture.store_by(created, 1).await;
        let path = files(&fixture.spool.process_directory().directory()).remove(0);
        let (machine, settings) = (fixture.machine.clone(), fixture.settings.clone());
        drop(fixture);
        fs::rename(&path, path.with_file_name("batch-20260603T101112Z-7f3a9c21-000042.lp")).expect("renames");
        let mut fixture = Fixture::on(machine, settings);
        for _ in 0..3 {
            assert_eq!(fixture.expired().await, 0, "{clock}");
            fixture = fixture.restart();
        }
        let age = fixture.spool.counts().oldest_age.expect("one waits");
        assert!(age <= MAX_AGE / 2, "{clock}: {age:?}");
        fixture.sleep(MAX_AGE + Duration::from_secs(1));
        assert_eq!(fixture.expired().await, 1, "{clock}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_without_an_age_is_as_old_as_the_clock_says() {
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = fixture(root.path());
    fixture.store_by(SystemTime::now() - Duration::from_secs(20), 1).await;
    let path = files(&fixture.spool.process_directory().directory()).remove(0);
    let (machine, settings) = (fixture.machine.clone(), fixture.settings.clone());
    drop(fixture);
    fs::rename(&path, path.with_file_name("batch-20260603T101112Z-7f3a9c21-000042.lp")).expect("renames");
    let fixture = Fixture::on(machine, settings);
    let age = fixture.spool.counts().oldest_age.expect("one waits");
    assert!((Duration::from_secs(20)..MAX_AGE / 2).contains(&age), "{age:?}");
}

/// The time that a batch has spent in the flusher's memory counts.
#[tokio::test(start_paused = true)]
async fn age_counts_from_sealing() {
    let root = tempfile::tempdir().expect("a directory");
    let fixture = fixture(root.path());
    let sealed = MonotonicInstant::now().before(Duration::from_secs(40));
    fixture.ledger.lock().in_flight += 1;
    fixture.spool.store(&sealed_by(SystemTime::now(), 1).sealed_at(sealed)).await.expect("stores");
    let age = fixture.spool.counts().oldest_age.expect("one waits").as_secs();
    assert!((40..45).contains(&age), "{age}");
}
