//! Tests the flusher with sinks whose behaviour is scripted, on a paused clock.

use std::time::Duration;

use support::{Rig, lines};

use crate::{
    delivery::sink::WriteError,
    stats::{Blocked, DeliveryState, DropReason},
};

mod closing;
mod conservation;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
pub(super) mod database;
mod destination;
mod endings;
mod flushes;
mod memory;
mod outage;
mod pace;
mod poison;
mod progress;
#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
mod refusals;
mod reload;
mod reload_worker;
mod searches;
mod spooling;
pub(super) mod support;
mod times;

#[tokio::test(start_paused = true)]
async fn points_are_written_within_an_interval() {
    let rig = Rig::start(|_| Ok(()));
    rig.push(0..10);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(rig.sink.stored(), lines(0..10));
    assert_eq!(rig.sink.requests(), 1);
    rig.assert_ledger(10, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_flush_sends_at_once_and_returns_the_outcome() {
    let rig = Rig::start(|_| Ok(()));
    rig.push(0..10);
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!(report.to_string(), "written 10 rejected 0 dropped 0 spooled 0 waiting 0");
    assert_eq!(rig.flusher.flush().await.expect("runs"), Default::default());
    rig.assert_ledger(10, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_loses_nothing_and_is_reported_as_backoff() {
    let rig = Rig::start(|_| Err(WriteError::transient("connection refused")));
    rig.push(0..10);
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!((report.written, report.waiting), (0, 10));
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Backoff);
    rig.push(10..20);
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert!(rig.sink.requests() > 4, "an idle service still tries again");
    rig.sink.behave(|_| Ok(()));
    tokio::time::sleep(Duration::from_secs(31)).await;
    assert_eq!(rig.sink.stored(), lines(0..20));
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Healthy);
    rig.assert_ledger(20, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn blocked_keeps_everything_and_probes_slowly() {
    let unauthorized = || WriteError::blocked(Blocked::Authorization, "unauthorized access");
    let rig = Rig::with(|settings| settings.batch_size = 2, None, move |_| Err(unauthorized()));
    rig.sink.probe_says(move || Err(unauthorized()));
    rig.push(0..10);
    assert_eq!(rig.flusher.flush().await.expect("runs").waiting, 10);
    tokio::time::sleep(Duration::from_secs(2 * 3600)).await;
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Blocked(Blocked::Authorization));
    assert_eq!(rig.sink.requests(), 0, "nothing was sent where nothing is taken");
    assert!((24..=32).contains(&rig.sink.probes()), "{} probes in two hours", rig.sink.probes());
    rig.sink.behave(|_| Ok(()));
    rig.sink.probe_says(|| Ok(()));
    tokio::time::sleep(Duration::from_secs(6 * 60)).await;
    assert_eq!(rig.sink.stored(), lines(0..10), "the time it was blocked does not count as waiting");
    rig.assert_ledger(10, 0, 0);
    rig.end().await;
}

#[tokio::test(start_paused = true)]
async fn shutdown_sends_the_rest_and_a_second_one_returns_the_same_report() {
    let rig = Rig::start(|_| Ok(()));
    rig.push(0..10);
    let (first, second) = tokio::join!(
        rig.flusher.shutdown(Duration::from_secs(5)),
        rig.flusher.shutdown(Duration::from_secs(1)),
    );
    assert_eq!(first.to_string(), "accepted 10 written 10 rejected 0 dropped 0 spooled 0");
    assert_eq!(first, second);
    assert_eq!(rig.flusher.shutdown(Duration::ZERO).await, first);
    assert!(rig.flusher.flush().await.expect_err("closed").is_closed());
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Closed);
}

#[tokio::test(start_paused = true)]
async fn shutdown_keeps_its_timeout_in_an_outage() {
    for timeout in [0, 50, 5_000].map(Duration::from_millis) {
        let rig = Rig::start(|_| Err(WriteError::transient("connection refused")));
        rig.push(0..10);
        let started = tokio::time::Instant::now();
        let report = rig.flusher.shutdown(timeout).await;
        assert_eq!(started.elapsed(), timeout);
        assert_eq!((report.dropped, report.in_time), (10, true));
        assert_eq!(rig.flusher.stats().ledger.dropped.get(&DropReason::Shutdown), Some(&10));
        assert!(rig.flusher.stats().balances());
    }
}
