//! SIGKILL of the database and of our own process.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    thread,
    time::Duration,
};

use serde_json::json;
use tokio::time::{Instant, sleep};
use tower_influx::{Monitor, Settings};

use super::{Auditor, BUCKET, wait_for};
use crate::{
    stored::{Way, influx_behind_nginx, settings},
    support::{
        child::{self, Child},
        live::{self, INFLUXD, NGINX, VICTORIA_METRICS},
        nginx::Fault,
        numbered::{difference, record, stored},
        victoria::Victoria,
    },
};

#[tokio::test(flavor = "multi_thread")]
async fn the_database_is_killed_under_load_and_loses_nothing() {
    if !live::ready("the_database_is_killed_under_load_and_loses_nothing", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        the_database_is_killed_under_load_and_loses_nothing_by(way).await;
    }
}

async fn the_database_is_killed_under_load_and_loses_nothing_by(way: Way) {
    let (mut influx, nginx) = influx_behind_nginx().await;
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    let auditor = Auditor::watch(&monitor);
    let (producer, end) = (monitor.clone(), Instant::now() + Duration::from_secs(4));
    let producing = tokio::spawn(async move {
        let mut number = 0;
        while Instant::now() < end {
            record(&producer, "numbered", number..number + 50);
            number += 50;
            sleep(Duration::from_millis(5)).await;
        }
        number
    });
    while Instant::now() < end {
        sleep(Duration::from_millis(fastrand::u64(100..600))).await;
        influx.kill();
        sleep(Duration::from_millis(fastrand::u64(0..300))).await;
        influx.restart().await;
    }
    let recorded = producing.await.expect("the producer ends");
    auditor.stop().await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.accepted, report.written), (recorded as u64, recorded as u64), "{report}");
    let (expected, found) = ((0..recorded).collect(), stored(&influx, BUCKET, "numbered").await);
    assert!(found == expected, "{}", difference(&expected, &found));
}

#[tokio::test(flavor = "multi_thread")]
async fn victoria_metrics_is_restarted_under_load_and_loses_nothing() {
    if !live::ready("victoria_metrics_is_restarted_under_load_and_loses_nothing", &[VICTORIA_METRICS]) {
        return;
    }
    let mut victoria = Victoria::start().await;
    let monitor = Monitor::start(settings(&victoria.url())).expect("the settings are good");
    let (producer, end) = (monitor.clone(), Instant::now() + Duration::from_secs(3));
    let producing = tokio::spawn(async move {
        let mut number = 0;
        while Instant::now() < end {
            record(&producer, "numbered", number..number + 20);
            number += 20;
            sleep(Duration::from_millis(5)).await;
        }
        number
    });
    while Instant::now() < end {
        sleep(Duration::from_millis(fastrand::u64(100..800))).await;
        victoria.restart().await;
    }
    let recorded = producing.await.expect("the producer ends");
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.accepted, report.written), (recorded as u64, recorded as u64), "{report}");
    victoria.wait_for_count("numbered_number", recorded as usize).await;
    let found: BTreeSet<_> = victoria
        .export("numbered_number")
        .await
        .iter()
        .flat_map(|series| series.samples.iter().map(|(_, value)| *value as i64))
        .collect();
    let expected = (0..recorded).collect();
    assert!(found == expected, "{}", difference(&expected, &found));
    assert_eq!(victoria.invalid_rows().await, 0);
}

/// Returns what the child must do: its settings, and the number that it begins with.
fn script(directory: &Path, url: &str, first: i64) -> serde_json::Value {
    json!({
        "first": first,
        "progress": directory.join("progress"),
        "monitoring": {
            "service": "child",
            // Four children run at a time. Without instances, one could overwrite a point of
            // another that has the same stamp, which happened once.
            "instance": directory.file_name().expect("a lane's directory").to_string_lossy(),
            "storage": "influx",
            "url": url,
            "bucket": BUCKET,
            "organization": "organization",
            "token": "a-token",
            "flush_interval": "30ms",
            "retry_interval": "20ms",
            "max_retry_interval": "100ms",
            "spool": { "directory": directory.parent().expect("a lane's directory").join("spool"), "mode": "ahead" },
        },
    })
}

/// The child. It records without notable pauses. Another thread requests flushes, and writes down
/// up to which number each has made the points durable. So the child can be killed at any moment of
/// a drain, a sync, a write or a recovery.
pub(crate) async fn produce(script: serde_json::Value) {
    let settings: Settings =
        serde_json::from_value(script["monitoring"].clone()).expect("the settings are good");
    let progress = script["progress"].as_str().expect("a path");
    let first = script["first"].as_i64().expect("a number");
    let monitor = Monitor::start(settings).expect("no state of the spool keeps a service from starting");
    let recorded = Arc::new(AtomicI64::new(first));
    let (producer, number) = (monitor.clone(), Arc::clone(&recorded));
    thread::spawn(move || {
        loop {
            let (from, burst) = (number.load(Ordering::SeqCst), fastrand::i64(1..25));
            record(&producer, "numbered", from..from + burst);
            number.store(from + burst, Ordering::SeqCst);
            thread::sleep(Duration::from_millis(fastrand::u64(0..6)));
        }
    });
    // It is killed from outside, or ends by itself after a while.
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let up_to = recorded.load(Ordering::SeqCst);
        let report = monitor.flush().await.expect("the monitor runs");
        assert_eq!((report.waiting, report.dropped, report.rejected), (0, 0, 0), "{report}");
        // All of them are written or fsynced. A process that is killed does not lose what it has
        // written to a file.
        fs::write(format!("{progress}.new"), up_to.to_string()).expect("a writable directory");
        fs::rename(format!("{progress}.new"), progress).expect("a writable directory");
        // Sometimes longer than an interval, so that not every sync is a requested one.
        sleep(Duration::from_millis(fastrand::u64(0..40))).await;
    }
}

/// The results of one lane's children.
#[derive(Default)]
struct Killed {
    durable: BTreeSet<i64>,
    /// Children that had made points durable when they died.
    rounds: usize,
    flushes: usize,
}

/// Runs one child after the other, and kills each at a random moment: mostly after some flushes,
/// sometimes during the start.
async fn kill_in_a_row(lane: i64, rounds: i64, directory: PathBuf, url: String) -> Killed {
    fs::create_dir(&directory).expect("a writable directory");
    let progress = directory.join("progress");
    let mut killed = Killed::default();
    for round in 0..rounds {
        let first = (lane * rounds + round) * NUMBERS;
        let _ = fs::remove_file(&progress);
        let mut child = Child::start("faults::killed::child", script(&directory, &url, first), &directory);
        let durable =
            || fs::read_to_string(&progress).ok().map(|text| text.parse::<i64>().expect("a number"));
        if round % 8 == 7 {
            sleep(Duration::from_millis(fastrand::u64(0..150))).await;
        } else {
            let patience = Instant::now() + Duration::from_secs(20);
            while durable().is_none_or(|up_to| up_to <= first) {
                child.assert_running();
                assert!(Instant::now() < patience, "the child of round {round} has made nothing durable");
                sleep(Duration::from_millis(2)).await;
            }
            let mut last = durable();
            let end = Instant::now() + Duration::from_millis(fastrand::u64(0..300));
            while Instant::now() < end {
                killed.flushes += usize::from(durable() != last);
                last = durable();
                sleep(Duration::from_millis(2)).await;
            }
        }
        child.assert_running();
        child.kill();
        if let Some(up_to) = durable() {
            killed.durable.extend(first..up_to);
            killed.rounds += usize::from(up_to > first);
        }
    }
    killed
}

/// With the spool ahead, a kill loses at most the points accepted since the last completed fsync,
/// however often it happens. Four processes at a time share one spool, so each start also finds the
/// files of others.
#[tokio::test(flavor = "multi_thread")]
async fn killed_two_hundred_times_with_the_spool_ahead() {
    if !live::ready("killed_two_hundred_times_with_the_spool_ahead", &[INFLUXD, NGINX]) {
        return;
    }
    const LANES: i64 = 4;
    const ROUNDS: i64 = 50;
    let (influx, nginx) = influx_behind_nginx().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let lanes: Vec<_> = (0..LANES)
        .map(|lane| {
            let (directory, url) = (directory.path().join(format!("lane-{lane}")), nginx.url());
            tokio::spawn(kill_in_a_row(lane, ROUNDS, directory, url))
        })
        .collect();
    // There is no server for more than half of the time, so that there is something to recover.
    while lanes.iter().any(|lane| !lane.is_finished()) {
        nginx.set_fault(Fault::Status(503));
        sleep(Duration::from_millis(fastrand::u64(200..1_000))).await;
        nginx.heal();
        sleep(Duration::from_millis(fastrand::u64(100..700))).await;
    }
    let mut all = Killed::default();
    for lane in lanes {
        let Killed { durable, rounds, flushes } = lane.await.expect("no start fails");
        all.durable.extend(durable);
        (all.rounds, all.flushes) = (all.rounds + rounds, all.flushes + flushes);
    }
    let script = script(&directory.path().join("last"), &nginx.url(), 0);
    let settings: Settings =
        serde_json::from_value(script["monitoring"].clone()).expect("the settings are good");
    let monitor = Monitor::start(settings).expect("no state of the spool keeps a service from starting");
    wait_for(&monitor, "an empty spool", Duration::from_secs(60), |stats| {
        stats.ledger.spooled == 0 && stats.ledger.in_flight == 0
    })
    .await;
    let stats = monitor.stats();
    monitor.shutdown(Duration::from_secs(5)).await;
    // Fails if a number is stored twice.
    let found = stored(&influx, BUCKET, "numbered").await;
    live::say(&format!(
        "killed {} times, {} of them after {} syncs: {} points durable, {} stored, {} recovered by the last start",
        LANES * ROUNDS,
        all.rounds,
        all.rounds + all.flushes,
        all.durable.len(),
        found.len(),
        stats.ledger.recovered
    ));
    let lost: BTreeSet<_> = all.durable.difference(&found).copied().collect();
    assert!(lost.is_empty(), "{} points were lost after they had been synced: {lost:?}", lost.len());
    assert!(all.durable.len() > 20_000 && all.rounds > 150, "the rounds were too short to mean anything");
    assert_eq!(stats.ledger.dropped_total() + stats.ledger.rejected_total(), 0, "{stats:?}");
    assert_eq!(stats.spool.map(|spool| spool.corrupt), Some(0));
}

/// The most that one child can record.
const NUMBERS: i64 = 1_000_000;

/// Run by [`Child`] in a process of its own.
#[test]
#[ignore = "the child of other tests"]
fn child() {
    child::run("faults::killed::child", produce);
}
