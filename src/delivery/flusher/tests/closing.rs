//! Tests the shutdown of the flusher.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::support::{Answer, Rig, lines};
use crate::{
    delivery::{batch::Batch, sink::WriteError, spool::Spool},
    settings::{SpoolMode, SpoolSettings},
    stats::{Blocked, DropReason, ledger::Ledger},
};

const TIMEOUTS: [Duration; 3] = [Duration::ZERO, Duration::from_millis(50), Duration::from_secs(5)];

type Outage = fn(&Batch) -> Answer;

const OUTAGES: [Outage; 4] = [
    |_| Answer::Now(Err(WriteError::transient("connection refused"))),
    |_| Answer::Now(Err(WriteError::blocked(Blocked::Authorization, "unauthorized"))),
    |_| Answer::Now(Err(WriteError::throttled(Some(Duration::from_secs(60)), "429"))),
    |_| Answer::Never,
];

#[tokio::test(start_paused = true)]
async fn without_a_spool_the_rest_is_dropped_in_time() {
    for outage in OUTAGES {
        for timeout in TIMEOUTS {
            let rig = Rig::start(outage);
            rig.push(0..10);
            sleep(Duration::from_secs(3)).await;
            rig.push(10..20);
            let started = Instant::now();
            let report = rig.flusher.shutdown(timeout).await;
            assert!(started.elapsed() <= timeout + Duration::from_millis(1), "{:?}", started.elapsed());
            assert!(report.in_time);
            assert_eq!((report.accepted, report.dropped), (20, 20));
            rig.assert_ledger(0, 0, 20);
            assert_eq!(rig.flusher.stats().ledger.dropped.get(&DropReason::Shutdown), Some(&20));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn with_a_spool_the_next_process_finds_the_rest() {
    for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
        for outage in OUTAGES {
            for timeout in TIMEOUTS {
                let directory = tempfile::tempdir().expect("a directory");
                let rig = Rig::with(|_| {}, Some((directory.path(), mode)), outage);
                rig.push(0..10);
                sleep(Duration::from_secs(3)).await;
                rig.push(10..20);
                let started = Instant::now();
                let report = rig.flusher.shutdown(timeout).await;
                assert!(started.elapsed() <= timeout + Duration::from_millis(1), "{:?}", started.elapsed());
                assert!(report.in_time);
                assert_eq!((report.accepted, report.dropped, report.spooled), (20, 0, 20), "{report}");
                assert!(rig.flusher.stats().balances());
                drop(rig);

                let rig = Rig::with(|_| {}, Some((directory.path(), mode)), |_| Ok(()));
                assert_eq!(rig.flusher.stats().ledger.recovered, 20);
                sleep(Duration::from_secs(5)).await;
                assert_eq!(rig.sink.stored(), lines(0..20));
                rig.assert_ledger(20, 0, 0);
                rig.end().await;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_spool_batches_are_retried_until_the_timeout() {
    for outage in &OUTAGES[..3] {
        let rig = Rig::start(outage);
        rig.push(0..10);
        // Long enough for the pauses to exceed the shutdown's timeout.
        sleep(Duration::from_secs(600)).await;
        let (sink, flusher) = (Arc::clone(&rig.sink), rig.flusher.clone());
        let shutdown = tokio::spawn(async move { flusher.shutdown(Duration::from_secs(5)).await });
        sleep(Duration::from_secs(3)).await;
        sink.behave(|_| Ok(()));
        let report = shutdown.await.expect("no panic");
        assert_eq!((report.written, report.in_time), (10, true), "{report}");
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_sent_with_four_in_flight() {
    let rig = Rig::with(
        |settings| (settings.batch_size, settings.max_in_flight) = (10, 4),
        None,
        |_: &Batch| Answer::After(Duration::from_millis(500), Ok(())),
    );
    rig.push(0..320);
    let started = Instant::now();
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.written, report.in_time), (320, true), "{report}");
    assert_eq!(started.elapsed(), Duration::from_secs(4), "32 batches, four at a time");
}

#[tokio::test(start_paused = true)]
async fn batches_in_flight_at_the_end_count_as_not_written() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(
        |settings| (settings.batch_size, settings.max_in_flight) = (10, 4),
        Some((directory.path(), SpoolMode::OnFailure)),
        |_: &Batch| Answer::After(Duration::from_millis(1500), Ok(())),
    );
    rig.push(0..200);
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    // Two rounds of four fit into the four seconds; the third is cut off.
    assert_eq!((report.written, report.spooled, report.in_time), (80, 120, true), "{report}");
    drop(rig);
    let ledger = Arc::new(Ledger::default());
    let settings = SpoolSettings::new(directory.path());
    let spool = Spool::open(&settings, "script", ledger).expect("opens");
    spool.recover_first();
    assert_eq!(spool.counts().points, 120);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_may_have_no_timeout() {
    let rig = Rig::start(|_| Answer::After(Duration::from_secs(30), Ok(())));
    rig.push(0..10);
    let report = rig.flusher.shutdown(Duration::MAX).await;
    assert_eq!((report.written, report.in_time), (10, true), "{report}");
}

#[tokio::test(start_paused = true)]
async fn running_requests_are_awaited() {
    let rig = Rig::start(|_| Ok(()));
    rig.buffer.request_started();
    rig.buffer.request_started();
    let (buffer, flusher) = (Arc::clone(&rig.buffer), rig.flusher.clone());
    let shutdown = tokio::spawn(async move { flusher.shutdown(Duration::from_secs(5)).await });
    sleep(Duration::from_secs(2)).await;
    for line in lines(0..1) {
        let pushed = buffer.push(line.as_bytes(), 1, true);
        assert_eq!(pushed, crate::delivery::buffer::Pushed::Accepted, "recorder is open while requests run");
    }
    let report = shutdown.await.expect("no panic");
    assert_eq!((report.written, report.unfinished, report.in_time), (1, 1, true), "{report}");
    assert_eq!(buffer.push(b"x v=1 1\n", 1, true), crate::delivery::buffer::Pushed::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_search_that_is_cut_off_loses_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(
        |_| {},
        Some((directory.path(), SpoolMode::OnFailure)),
        |batch: &Batch| {
            if batch.len() > 20 { Answer::Now(Err(WriteError::refused("400"))) } else { Answer::Never }
        },
    );
    rig.push(0..100);
    sleep(Duration::from_secs(3)).await;
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.spooled, report.written), (100, 0), "{report}");
    rig.sink.behave(|_| Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_waiting_flush_is_answered_at_the_end() {
    let rig = Rig::start(|_| Answer::Never);
    rig.push(0..10);
    let flusher = rig.flusher.clone();
    let flush = tokio::spawn(async move { flusher.flush().await });
    sleep(Duration::from_millis(100)).await;
    rig.flusher.shutdown(Duration::from_secs(1)).await;
    let report = flush.await.expect("no panic").expect("answered");
    assert_eq!((report.dropped, report.waiting), (10, 0), "{report}");
}
