//! The age of spooled batches by the real clock of the machine. The crate's own tests use another
//! one.

use std::time::{Duration, Instant};

use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::SpoolSettings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
};

use crate::support::locks;

struct Away;

impl Sink for Away {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async { Err(WriteError::transient("away")) })
    }

    fn describe(&self) -> String {
        "away".to_owned()
    }
}

fn start(spool: &SpoolSettings) -> Monitor {
    let mut settings = Settings::new("age");
    settings.spool = Some(spool.clone());
    Monitor::builder(settings).sink(Away).start().expect("starts")
}

#[tokio::test]
async fn spooled_batches_age_with_real_time_also_over_a_restart() {
    let (began, directory) = (Instant::now(), tempfile::tempdir().expect("a directory"));
    let spool = SpoolSettings::new(directory.path());
    let monitor = start(&spool);
    monitor.record(&DataPoint::new("jobs").with_field("number", 1));
    assert_eq!(monitor.shutdown(Duration::from_secs(5)).await.spooled, 1);
    drop(monitor);
    let spooled = Instant::now();
    let left = directory.path().read_dir().expect("a directory").next().expect("one").expect("readable");
    locks::wait_until_free(&left.path()).await;
    let monitor = start(&spool);
    let age = || monitor.stats().spool.and_then(|spool| spool.oldest_age).unwrap_or_default();
    // Both are truncated to whole milliseconds.
    let cut = Duration::from_millis(2);
    for milliseconds in [50, 100, 200] {
        let wanted = Duration::from_millis(milliseconds);
        for _ in 0..2_000 {
            if age() >= wanted {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        // On other systems the clock stands still between two processes.
        let least = if cfg!(target_os = "linux") { spooled.elapsed() } else { wanted };
        let (age, most) = (age(), began.elapsed());
        assert!(age >= wanted && age + cut >= least && age <= most + cut, "{age:?} in {least:?} to {most:?}");
    }
}
