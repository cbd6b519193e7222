//! Tests the times that the docs promise, also for an otherwise idle flusher.

use std::{fs, path::Path, time::Duration};

use tokio::time::{Instant, sleep};

use super::support::{Rig, lines};
use crate::{
    delivery::sink::WriteError,
    fs_ext::faults::{self, Operation},
    settings::{SpoolMode, SpoolSettings},
    stats::{DropReason, Stats},
};

fn spool_of(directory: &Path, max_age: Duration) -> SpoolSettings {
    let mut spool = SpoolSettings::new(directory);
    spool.max_age = max_age;
    spool
}

fn away(directory: &Path, max_age: Duration) -> Rig {
    let spool = spool_of(directory, max_age);
    Rig::with(
        |settings| settings.spool = Some(spool),
        Some((directory, SpoolMode::OnFailure)),
        |_| Err(WriteError::transient("away")),
    )
}

fn batches_in(directory: &Path) -> usize {
    let directories = fs::read_dir(directory).expect("lists").flatten();
    let files =
        directories.flat_map(|directory| fs::read_dir(directory.path()).into_iter().flatten().flatten());
    files.filter(|file| file.path().extension().is_some_and(|extension| extension == "lp")).count()
}

/// Waits until the condition is true, and returns how long that took.
async fn until(rig: &Rig, most: Duration, is_so: impl Fn(&Stats) -> bool) -> Duration {
    let start = Instant::now();
    while !is_so(&rig.flusher.stats()) {
        assert!(rig.flusher.stats().balances());
        assert!(start.elapsed() <= most, "after {most:?}: {:?}", rig.flusher.stats());
        sleep((most / 2_000).max(Duration::from_millis(10))).await;
    }
    start.elapsed()
}

#[tokio::test(start_paused = true)]
async fn max_age_is_exact_to_seconds_and_nothing_older_is_sent() {
    for max_age in [1, 10, 3600].map(Duration::from_secs) {
        let directory = tempfile::tempdir().expect("a directory");
        let rig = away(directory.path(), max_age);
        rig.push(0..10);
        until(&rig, Duration::from_secs(10), |stats| stats.ledger.spooled == 10).await;
        // No points arrive, and none can be sent.
        let took = until(&rig, max_age + Duration::from_secs(1), |stats| stats.ledger.spooled == 0).await;
        assert!(took + Duration::from_secs(3) >= max_age, "not before its time: {took:?}");
        let dropped = rig.flusher.stats().ledger.dropped;
        assert_eq!(dropped.get(&DropReason::SpoolExpired), Some(&10), "{max_age:?}");
        rig.sink.behave(|_| Ok(()));
        rig.push(10..20);
        // Ends the pause.
        rig.flusher.flush().await.expect("runs");
        until(&rig, Duration::from_secs(200), |stats| stats.ledger.written == 10).await;
        assert_eq!(rig.sink.stored(), lines(10..20));
        rig.end().await;
    }
}

/// Some wait on disk, some in memory: loaded for a retry, or stored while they were sent.
#[tokio::test(start_paused = true)]
async fn loaded_batches_expire_like_the_others() {
    for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = spool_of(directory.path(), Duration::from_secs(100));
        let rig = Rig::with(
            |settings| settings.spool = Some(spool),
            Some((directory.path(), mode)),
            |_| Err(WriteError::transient("away")),
        );
        for number in 0..20 {
            rig.push(number..number + 1);
            sleep(Duration::from_secs(2)).await;
        }
        sleep(Duration::from_secs(102)).await;
        let stats = rig.flusher.stats();
        assert_eq!((stats.ledger.spooled, stats.ledger.in_flight), (0, 0), "{mode:?}: {stats}");
        assert_eq!(stats.ledger.dropped.get(&DropReason::SpoolExpired), Some(&20));
        assert_eq!(batches_in(directory.path()), 0);
        rig.end().await;
    }
}

#[tokio::test(start_paused = true)]
async fn deleting_a_file_is_retried_each_minute_even_when_idle() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = away(directory.path(), Duration::from_secs(3600));
    rig.push(0..10);
    until(&rig, Duration::from_secs(10), |stats| stats.ledger.spooled == 10).await;
    let fault = faults::inject(directory.path(), Operation::Remove, 30);
    rig.sink.behave(|_| Ok(()));
    until(&rig, Duration::from_secs(100), |stats| stats.ledger.written == 10).await;
    let errors = |rig: &Rig| rig.flusher.stats().spool.expect("there is one").errors;
    sleep(Duration::from_secs(1)).await;
    let first = errors(&rig);
    sleep(Duration::from_secs(10 * 60)).await;
    let tries = errors(&rig) - first;
    assert!((9..=11).contains(&tries), "{tries} in ten minutes");
    drop(fault);
    sleep(Duration::from_secs(61)).await;
    assert_eq!(batches_in(directory.path()), 0);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn batches_of_a_dead_process_are_found_within_ten_minutes_even_when_idle() {
    let directory = tempfile::tempdir().expect("a directory");
    let dying = away(directory.path(), Duration::from_secs(3600));
    let living = away(directory.path(), Duration::from_secs(3600));
    living.sink.behave(|_| Ok(()));
    dying.push(0..10);
    until(&dying, Duration::from_secs(10), |stats| stats.ledger.spooled == 10).await;
    sleep(Duration::from_secs(25 * 60)).await;
    assert_eq!(living.flusher.stats().ledger.recovered, 0, "it lives");
    dying.end().await;
    drop(dying);
    let took = until(&living, Duration::from_secs(10 * 60), |stats| stats.ledger.written == 10).await;
    assert!(took > Duration::ZERO);
    assert_eq!(living.sink.stored(), lines(0..10));
    living.end().await;
}

#[tokio::test(start_paused = true)]
async fn oldest_age_covers_memory_and_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let on_disk = away(directory.path(), Duration::from_secs(3600));
    let in_memory = Rig::start(|_| Err(WriteError::transient("away")));
    for rig in [&on_disk, &in_memory] {
        rig.push(0..10);
        sleep(Duration::from_secs(40)).await;
        rig.push(10..20);
        sleep(Duration::from_secs(20)).await;
        let stats = rig.flusher.stats();
        let ages = [stats.spool.as_ref().and_then(|spool| spool.oldest_age), stats.delivery.oldest_age];
        let age = ages.into_iter().flatten().max().expect("something waits").as_secs_f64();
        assert!((55.0..=61.0).contains(&age), "{age} {stats:?}");
        rig.sink.behave(|_| Ok(()));
        until(rig, Duration::from_secs(100), |stats| stats.ledger.written == 20).await;
        sleep(Duration::from_secs(1)).await;
        let stats = rig.flusher.stats();
        assert_eq!((stats.spool.and_then(|spool| spool.oldest_age), stats.delivery.oldest_age), (None, None));
        rig.end().await;
    }
}
