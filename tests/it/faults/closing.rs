//! Shutdown during an outage: in time, with a report that matches the ledger. Nothing is lost if
//! there is a spool.

use std::{collections::BTreeSet, time::Duration};

use tokio::time::Instant;
use tower_influx::{Monitor, Settings, settings::SpoolSettings, stats::DropReason};

use super::{BUCKET, wait_for};
use crate::{
    stored::{influx_behind_nginx, settings},
    support::{
        live::{self, INFLUXD, NGINX},
        numbered::{difference, record, stored},
    },
};

const POINTS: i64 = 2_000;

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_keeps_its_time_and_its_ledger_in_every_outage() {
    if !live::ready("a_shutdown_keeps_its_time_and_its_ledger_in_every_outage", &[INFLUXD, NGINX]) {
        return;
    }
    let (mut influx, mut nginx) = influx_behind_nginx().await;
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut first, mut expected) = (0, BTreeSet::new());
    for hangs in [false, true] {
        for timeout in [0, 50, 5_000].map(Duration::from_millis) {
            for with_spool in [false, true] {
                let what = format!("hangs {hangs}, spool {with_spool}, {timeout:?}");
                if hangs {
                    influx.process().pause();
                } else {
                    nginx.stop();
                }
                let mut settings = settings(&nginx.url());
                settings.spool = with_spool.then(|| SpoolSettings::new(directory.path()));
                let monitor = Monitor::start(settings.clone()).expect("the settings are good");
                record(&monitor, "numbered", first..first + POINTS);
                let began = Instant::now();
                let report = monitor.shutdown(timeout).await;
                // Generous, since disks and schedulers add delays.
                let took = began.elapsed();
                assert!(took < timeout + Duration::from_secs(3), "{what}: {took:?}");
                let stats = monitor.stats();
                assert!(stats.balances(), "{what}: {stats:?}");
                assert_eq!(report.accepted, POINTS as u64, "{what}: {stats:?}");
                let (spooled, dropped) = if with_spool { (POINTS, 0) } else { (0, POINTS) };
                assert_eq!((report.written, report.rejected), (0, 0), "{what}: {report}");
                assert_eq!(
                    (report.spooled, report.dropped),
                    (spooled as u64, dropped as u64),
                    "{what}: {report}"
                );
                assert_eq!(stats.ledger.spooled, report.spooled);
                assert_eq!(stats.ledger.dropped_total(), report.dropped);
                if !with_spool {
                    assert_eq!(stats.ledger.dropped.get(&DropReason::Shutdown), Some(&report.dropped));
                }
                let again = monitor.shutdown(timeout).await;
                assert_eq!(again, report, "{what}: the second call returns the first one's report");
                record(&monitor, "numbered", [-1]);
                assert_eq!(monitor.stats().recorder.refused_closed, 1, "{what}");
                if hangs {
                    influx.process().resume();
                } else {
                    nginx.resume_service().await;
                }
                // Its directory is free for others once the monitor is dropped.
                drop(monitor);
                if with_spool {
                    expected.extend(first..first + POINTS);
                    recover(settings, &what).await;
                    let found = stored(&influx, BUCKET, "numbered").await;
                    assert!(expected.is_subset(&found), "{what}: {}", difference(&expected, &found));
                }
                first += POINTS;
            }
        }
    }
}

/// The clock advances only when everything waits. So a shutdown that waits for nothing takes no
/// time at all.
#[tokio::test(start_paused = true)]
async fn a_monitor_with_nothing_to_do_shuts_down_at_once() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut settings = Settings::new("idle");
    settings.file.directory = directory.path().join("points");
    for spool in [None, Some(SpoolSettings::new(directory.path().join("spool")))] {
        settings.spool = spool;
        let monitor = Monitor::builder(settings.clone()).on_current_runtime().start();
        let monitor = monitor.expect("the settings are good");
        record(&monitor, "numbered", 0..10);
        assert_eq!(monitor.flush().await.expect("the monitor runs").written, 10);
        let began = Instant::now();
        let report = monitor.shutdown(Duration::from_secs(3_600)).await;
        assert!(began.elapsed() < Duration::from_secs(1), "{:?}: {report}", began.elapsed());
    }
}

/// The next start finds the points of the last process, and writes them.
async fn recover(settings: Settings, what: &str) {
    let monitor = Monitor::start(settings).expect("the settings are good");
    wait_for(&monitor, &format!("{what}: recovery"), Duration::from_secs(20), |stats| {
        stats.ledger.recovered == POINTS as u64 && stats.ledger.written == POINTS as u64
    })
    .await;
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(
        (report.accepted, report.recovered, report.written),
        (0, POINTS as u64, POINTS as u64),
        "{report}"
    );
}
