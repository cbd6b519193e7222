//! Batches that a process leaves after the next one has started, as in a rolling deployment.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep, sleep_until};
use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::SpoolSettings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
};

/// Accepts points unless it is away.
#[derive(Clone, Default)]
struct Server(Arc<AtomicBool>);

impl Sink for Server {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async {
            if self.0.load(Ordering::Relaxed) {
                return Err(WriteError::transient("away"));
            }
            Ok(Written::new(batch.bytes().len() as u64))
        })
    }

    fn describe(&self) -> String {
        "server".to_owned()
    }
}

fn start(spool: &Path, server: &Server, on_current_runtime: bool) -> Monitor {
    let mut settings = Settings::new("handover");
    settings.spool = Some(SpoolSettings::new(spool));
    let builder = Monitor::builder(settings).sink(server.clone());
    let builder = if on_current_runtime { builder.on_current_runtime() } else { builder };
    builder.start().expect("starts")
}

/// Starts a second monitor, ends the first one `lives` later in an outage, and returns after how
/// long the second one has sent what the first one left.
async fn hand_over(on_current_runtime: bool, lives: Duration, most: Duration) -> Duration {
    let (spool, server) = (tempfile::tempdir().expect("a directory"), Server::default());
    let first = start(spool.path(), &server, on_current_runtime);
    let second = start(spool.path(), &server, on_current_runtime);
    let began = Instant::now();
    // Its first look finds nothing.
    sleep_until(began + lives).await;
    server.0.store(true, Ordering::Relaxed);
    first.record(&DataPoint::new("jobs").with_field("number", 1));
    assert_eq!(first.shutdown(Duration::from_secs(5)).await.spooled, 1);
    server.0.store(false, Ordering::Relaxed);
    while second.stats().ledger.written == 0 {
        assert!(began.elapsed() < most, "{lives:?}: not sent within {most:?}");
        sleep(Duration::from_millis(100)).await;
    }
    let took = began.elapsed();
    let ledger = second.stats().ledger;
    assert_eq!((ledger.recovered, ledger.written, ledger.spooled), (1, 1, 0));
    second.shutdown(Duration::from_secs(5)).await;
    took
}

#[tokio::test(start_paused = true)]
async fn what_a_process_leaves_is_sent_soon_after_the_next_one_has_started() {
    for (lives, sent) in [(200, 1), (5_000, 10), (30_000, 60), (100_000, 660)] {
        let (lives, sent) = (Duration::from_millis(lives), Duration::from_secs(sent));
        let took = hand_over(true, lives, sent + Duration::from_secs(1)).await;
        assert!(took >= sent, "{lives:?}: {took:?}");
    }
}

#[tokio::test]
async fn it_is_sent_within_seconds_of_real_time() {
    // A busy machine may miss the first look; the next one is ten seconds after the start.
    hand_over(false, Duration::from_millis(50), Duration::from_secs(30)).await;
}
