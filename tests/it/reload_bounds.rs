//! What a reload to lower bounds drops, and that it drops it at once.

use std::time::Duration;

use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::SpoolSettings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
    stats::DropReason,
};

struct Away;

impl Sink for Away {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async { Err(WriteError::transient("away")) })
    }

    fn describe(&self) -> String {
        "away".to_owned()
    }
}

const POINTS: u64 = 3_000;

/// Each point takes 1 KB and does not compress, so together they exceed the least memory and spool.
fn record(monitor: &Monitor) {
    for _ in 0..POINTS {
        let noise: String = (0..1_000).map(|_| fastrand::alphanumeric()).collect();
        monitor.record(&DataPoint::new("jobs").with_field("noise", noise));
    }
}

async fn wait_for(monitor: &Monitor, what: &str, is: impl Fn(&tower_influx::stats::Stats) -> bool) {
    for _ in 0..2_000 {
        if is(&monitor.stats()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {}", monitor.stats());
}

#[tokio::test]
async fn lower_bounds_drop_what_is_beyond_them_and_count_it() {
    type Lower = fn(&mut Settings);
    let cases: [(&str, bool, DropReason, Lower); 5] = [
        ("buffer_size", false, DropReason::BufferFull, |settings| settings.buffer_size = 1 << 20),
        ("max_retry_time", false, DropReason::Expired, |settings| {
            settings.retry_interval = Duration::from_millis(100);
            settings.max_retry_interval = Duration::from_millis(100);
            settings.max_retry_time = Duration::from_millis(100);
        }),
        ("spool.max_size", true, DropReason::SpoolFull, |settings| {
            settings.spool.as_mut().expect("there is one").max_size = 2 << 20;
        }),
        ("spool.max_files", true, DropReason::SpoolFull, |settings| {
            settings.spool.as_mut().expect("there is one").max_files = 1;
        }),
        ("spool.max_age", true, DropReason::SpoolExpired, |settings| {
            settings.spool.as_mut().expect("there is one").max_age = Duration::from_secs(1);
        }),
    ];
    for (name, with_spool, reason, lower) in cases {
        let directory = tempfile::tempdir().expect("a directory");
        let mut settings = Settings::new("bounds");
        settings.flush_interval = Duration::from_millis(20);
        settings.spool = with_spool.then(|| SpoolSettings::new(directory.path()));
        let monitor = Monitor::builder(settings.clone()).sink(Away).start().expect("starts");
        record(&monitor);
        wait_for(&monitor, name, |stats| {
            let ledger = &stats.ledger;
            ledger.buffered == 0 && (!with_spool || ledger.spooled == POINTS)
        })
        .await;
        assert_eq!(monitor.stats().ledger.dropped_total(), 0, "{name}");
        lower(&mut settings);
        monitor.reload(settings).await.expect(name);
        wait_for(&monitor, name, |stats| {
            stats.ledger.dropped.get(&reason).is_some_and(|&dropped| dropped > 0)
        })
        .await;
        let stats = monitor.stats();
        assert_eq!(stats.ledger.dropped.len(), 1, "{name}: {stats}");
        assert!(stats.balances(), "{name}: {stats}");
        monitor.shutdown(Duration::ZERO).await;
    }
}
