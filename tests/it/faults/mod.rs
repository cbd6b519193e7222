//! Delivery under faults, with real servers. After the faults, the stored points are the accepted
//! ones minus those counted as lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tower_influx::{Monitor, stats::Stats};

mod closing;
mod connections;
mod conservation;
mod killed;
mod logged;
mod outage;
mod overload;
mod refused;

const BUCKET: &str = "monitoring";

/// Reads the ledger every 50 ms until it is stopped. Fails if a point is not accounted for.
struct Auditor {
    stop: Arc<AtomicBool>,
    task: JoinHandle<u64>,
}

impl Auditor {
    fn watch(monitor: &Monitor) -> Self {
        let (stop, monitor) = (Arc::new(AtomicBool::new(false)), monitor.clone());
        let stopped = Arc::clone(&stop);
        let task = tokio::spawn(async move {
            let mut most_memory = 0;
            while !stopped.load(Ordering::Relaxed) {
                let stats = monitor.stats();
                assert!(stats.balances(), "a point is not accounted for: {stats:?}");
                most_memory = most_memory.max(stats.delivery.memory);
                sleep(Duration::from_millis(50)).await;
            }
            most_memory
        });
        Self { stop, task }
    }

    /// Returns the most bytes that were held in memory.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.expect("every point was accounted for at every look")
    }
}

/// Probes until the server answers in time. It may be busy with the backlog.
async fn probe_until_well(monitor: &Monitor) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while let Err(error) = monitor.probe().await {
        assert!(Instant::now() < deadline, "{error}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until the statistics satisfy `reached`, or fails the test.
async fn wait_for(monitor: &Monitor, what: &str, within: Duration, reached: impl Fn(&Stats) -> bool) {
    let deadline = Instant::now() + within;
    loop {
        let stats = monitor.stats();
        assert!(stats.balances(), "a point is not accounted for: {stats:?}");
        if reached(&stats) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} did not come within {within:?}: {stats:?}");
        sleep(Duration::from_millis(20)).await;
    }
}
