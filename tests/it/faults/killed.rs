//! Kill -9, of the database and of ourselves.

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

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

/// What the child has to do: its settings and the numbers it begins with.
fn script(directory: &Path, url: &str, first: i64) -> serde_json::Value {
    json!({
        "first": first,
        "progress": directory.join("progress"),
        "monitoring": {
            "service": "child",
            "storage": "influx",
            "url": url,
            "bucket": BUCKET,
            "organization": "organization",
            "token": "a-token",
            "flush_interval": "20ms",
            "retry_interval": "20ms",
            "max_retry_interval": "100ms",
            "spool": { "directory": directory.join("spool"), "mode": "ahead" },
        },
    })
}

/// The child: records as fast as it is asked to, and writes down the last number that a flush has made durable.
pub(crate) async fn produce(script: serde_json::Value) {
    let settings: Settings =
        serde_json::from_value(script["monitoring"].clone()).expect("the settings are good");
    let progress = script["progress"].as_str().expect("a path");
    let monitor = Monitor::start(settings).expect("no state of the spool keeps a service from starting");
    let mut number = script["first"].as_i64().expect("a number");
    // Ended from outside, or by itself if nobody does.
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        let burst = fastrand::i64(1..60);
        record(&monitor, "numbered", number..number + burst);
        number += burst;
        if fastrand::bool() {
            let report = monitor.flush().await.expect("the monitor runs");
            if report.waiting == 0 {
                // Written or fsynced, all of it. A process that is killed does not lose what it has written to a file.
                fs::write(format!("{progress}.new"), number.to_string()).expect("a writable directory");
                fs::rename(format!("{progress}.new"), progress).expect("a writable directory");
            }
        } else {
            sleep(Duration::from_millis(fastrand::u64(0..5))).await;
        }
    }
}

/// With the spool ahead: what a flush has reported is there in the end, however often the process was killed.
#[tokio::test(flavor = "multi_thread")]
async fn killed_two_hundred_times_with_the_spool_ahead() {
    if !live::ready("killed_two_hundred_times_with_the_spool_ahead", &[INFLUXD, NGINX]) {
        return;
    }
    const ROUNDS: i64 = 200;
    const NUMBERS: i64 = 1_000_000;
    let (influx, nginx) = influx_behind_nginx().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let progress = directory.path().join("progress");
    let mut durable = BTreeSet::new();
    for round in 0..ROUNDS {
        // Without a server in most rounds, so that there is something to recover.
        match round % 4 {
            0 => nginx.heal(),
            _ => nginx.set_fault(Fault::Status(503)),
        }
        let first = round * NUMBERS;
        let _ = fs::remove_file(&progress);
        let script = script(directory.path(), &nginx.url(), first);
        let mut child = Child::start("faults::killed::child", script, directory.path());
        sleep(Duration::from_millis(fastrand::u64(30..250))).await;
        child.assert_running();
        child.kill();
        if let Ok(text) = fs::read_to_string(&progress) {
            durable.extend(first..text.parse::<i64>().expect("a number"));
        }
    }
    nginx.heal();
    let script = script(directory.path(), &nginx.url(), 0);
    let settings: Settings =
        serde_json::from_value(script["monitoring"].clone()).expect("the settings are good");
    let monitor = Monitor::start(settings).expect("no state of the spool keeps a service from starting");
    wait_for(&monitor, "an empty spool", Duration::from_secs(60), |stats| {
        stats.ledger.spooled == 0 && stats.ledger.in_flight == 0
    })
    .await;
    let stats = monitor.stats();
    monitor.shutdown(Duration::from_secs(5)).await;
    let found = stored(&influx, BUCKET, "numbered").await;
    live::say(&format!(
        "killed {ROUNDS} times: {} points durable, {} stored, {} recovered by the last start",
        durable.len(),
        found.len(),
        stats.ledger.recovered
    ));
    let lost: BTreeSet<_> = durable.difference(&found).copied().collect();
    assert!(lost.is_empty(), "{} points were lost after a flush had reported them: {lost:?}", lost.len());
    assert!(durable.len() > 1_000, "the test recorded something");
    assert_eq!(stats.ledger.dropped_total() + stats.ledger.rejected_total(), 0, "{stats:?}");
    assert_eq!(stats.spool.map(|spool| spool.corrupt), Some(0));
}

/// Run by [`Child`] in a process of its own.
#[test]
#[ignore = "the child of other tests"]
fn child() {
    child::run("faults::killed::child", produce);
}
