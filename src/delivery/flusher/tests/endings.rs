//! Tests unplanned ends: panics, dropped handles, dropped runtimes.

use std::time::Duration;

use tokio::{runtime::Builder, time::sleep};

use super::support::{Answer, Rig, lines};
use crate::{
    delivery::{batch::Batch, sink::WriteError},
    settings::SpoolMode,
    stats::{Blocked, DeliveryState, DropReason},
    test_log::logged,
};

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_sink_loses_nothing() {
    let mut panics = 3;
    let rig = Rig::start(move |_: &Batch| {
        if panics > 0 {
            panics -= 1;
            std::panic::resume_unwind(Box::new("quietly, without the hook"));
        }
        Answer::Now(Ok(()))
    });
    rig.push(0..10);
    sleep(Duration::from_secs(60)).await;
    rig.assert_ledger(10, 0, 0);
    let stats = rig.flusher.stats();
    assert_eq!((stats.delivery.restarts, stats.delivery.writes.transient), (0, 3));
    assert_eq!(
        stats.delivery.last_error.as_deref(),
        Some("the sink panicked; the batch is kept and tried again")
    );
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_is_a_failure() {
    let unauthorized = || WriteError::blocked(Blocked::Authorization, "unauthorized");
    let rig = Rig::start(move |_: &Batch| Answer::Now(Err(unauthorized())));
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    rig.sink.behave(|_| Answer::Never);
    rig.sink.probe_says(|| std::panic::resume_unwind(Box::new("quietly, without the hook")));
    let error = rig.flusher.probe().await.expect_err("it panics");
    assert!(error.to_string().contains("the sink panicked"), "{error}");
    // The first check of the flusher itself follows after half a minute.
    sleep(Duration::from_secs(34)).await;
    let last = rig.flusher.stats().delivery.last_error;
    assert_eq!(last.as_deref(), Some("the sink panicked in its probe"));
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_the_flusher_is_survived_and_counted() {
    let rig = Rig::start(|_: &Batch| Answer::Now(Err(WriteError::transient("connection refused"))));
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    rig.push(10..20);
    rig.flusher.panic_in_the_loop(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.flusher.stats().delivery.restarts, 1);
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    assert_eq!(rig.sink.stored(), lines(0..20), "what was in its hands is still there");
    rig.assert_ledger(20, 0, 0);
    rig.end().await;
}

/// The probe at the start would tell nothing that a write has not told.
#[tokio::test(start_paused = true)]
async fn a_flusher_that_has_written_does_not_probe_after_a_panic() {
    let rig = Rig::start(|_| Ok(()));
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    rig.flusher.panic_in_the_loop(false);
    sleep(Duration::from_secs(1)).await;
    assert_eq!((rig.flusher.stats().delivery.restarts, rig.sink.probes()), (1, 1));
}

/// The application may no longer wait for the shutdown.
#[tokio::test(start_paused = true)]
async fn a_shutdown_continues_when_the_last_handle_is_dropped() {
    let rig = Rig::start(|_: &Batch| Answer::After(Duration::from_secs(1), Ok(())));
    rig.push(0..10);
    let Rig { sink, flusher, ledger, .. } = rig;
    let shutdown = flusher.shutdown(Duration::from_secs(5));
    assert!(tokio::time::timeout(Duration::from_millis(10), shutdown).await.is_err());
    drop(flusher);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(sink.stored(), lines(0..10));
    assert_eq!(ledger.lock().dropped.values().sum::<u64>(), 0);
}

/// The disk is busy with something else.
#[test]
fn a_shutdown_waits_for_refused_lines_on_their_way_to_their_files() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .max_blocking_threads(1)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let rig = Rig::with(
            move |settings| settings.rejected_directory = Some(path),
            None,
            |_| Err(WriteError::refused("400 Bad Request")),
        );
        rig.push(0..1);
        let ended = std::cell::Cell::new(false);
        let shutdown = async {
            let start = tokio::time::Instant::now();
            let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
            assert!(start.elapsed() < Duration::from_secs(1), "it ends when the file is there");
            ended.set(true);
            report
        };
        let (go_on, busy) = std::sync::mpsc::channel::<()>();
        let busy = tokio::task::spawn_blocking(move || _ = busy.recv());
        let waits = async {
            for _ in 0..1_000 {
                tokio::task::yield_now().await;
            }
            assert!(!ended.get(), "the file is not there yet");
            go_on.send(()).expect("it is busy");
        };
        let (report, ()) = tokio::join!(shutdown, waits);
        assert_eq!((report.rejected, report.in_time), (1, true));
        assert_eq!(std::fs::read_dir(directory.path()).expect("lists").flatten().filter(is_file).count(), 1);
        busy.await.expect("it ends");
    });
}

fn is_file(entry: &std::fs::DirEntry) -> bool {
    entry.path().is_file()
}

#[tokio::test(start_paused = true)]
async fn points_lost_by_a_panic_are_counted() {
    let rig = Rig::start(|_: &Batch| Answer::Now(Err(WriteError::transient("connection refused"))));
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    rig.push(10..15);
    rig.flusher.panic_in_the_loop(true);
    sleep(Duration::from_secs(1)).await;
    let stats = rig.flusher.stats();
    assert!(stats.balances(), "{stats}");
    assert_eq!(stats.ledger.dropped.get(&DropReason::Internal), Some(&10));
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    rig.assert_ledger(5, 0, 10);
}

fn runtime() -> tokio::runtime::Runtime {
    Builder::new_current_thread().enable_all().build().expect("builds")
}

#[test]
fn a_dropped_runtime_leaves_everything_in_the_spool() {
    for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
        let directory = tempfile::tempdir().expect("a directory");
        let first = runtime();
        let rig = first.block_on(async {
            let rig = Rig::with(|_| {}, Some((directory.path(), mode)), |_| Answer::Never);
            rig.push(0..10);
            tokio::task::yield_now().await;
            rig.push(10..20);
            rig
        });
        drop(first);
        let ledger = rig.flusher.stats().ledger;
        assert_eq!((ledger.spooled, ledger.in_flight, ledger.buffered), (20, 0, 0));
        assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Closed);
        // On another runtime, and without waiting.
        runtime().block_on(async {
            assert!(rig.flusher.flush().await.expect_err("gone").is_runtime());
            assert!(rig.flusher.probe().await.expect_err("gone").is_runtime());
            let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
            assert_eq!((report.accepted, report.spooled), (20, 20));
        });
    }
}

#[test]
fn the_outcome_of_points_at_a_drop_is_logged_unless_there_are_none() {
    for (batches, mode, said) in [
        (0, None, None),
        (2, None, Some("spooled=0 dropped=20\n")),
        (2, Some(SpoolMode::OnFailure), Some("spooled=20 dropped=0\n")),
        // The first one is already on disk while it is sent.
        (2, Some(SpoolMode::Ahead), Some("spooled=20 dropped=0\n")),
    ] {
        let directory = tempfile::tempdir().expect("a directory");
        let first = runtime();
        let rig = first.block_on(async {
            let spool = mode.map(|mode| (directory.path(), mode));
            let rig = Rig::with(|_| {}, spool, |_| Answer::Never);
            assert_eq!((rig.flusher.spools().len(), rig.flusher.has_thread()), (mode.iter().len(), false));
            for batch in 0..batches {
                rig.push(batch * 10..batch * 10 + 10);
                let _ = tokio::time::timeout(Duration::from_millis(50), rig.flusher.flush()).await;
            }
            rig
        });
        let log = logged(|| drop(first));
        let losses = "dropped without a shutdown";
        let line = log.lines().find(|line| line.contains(losses)).map(|line| format!("{line}\n"));
        assert_eq!(line.is_some(), said.is_some(), "{mode:?}: {log}");
        assert!(line.is_none_or(|line| said.is_some_and(|said| line.ends_with(said))), "{mode:?}: {log}");
        assert!(rig.flusher.stats().balances());
    }
}

#[test]
fn a_runtime_dropped_before_the_task_has_run_is_detected() {
    let first = runtime();
    let rig = first.block_on(async {
        let rig = Rig::start(|_| Ok(()));
        rig.push(0..10);
        rig
    });
    drop(first);
    assert_eq!(rig.flusher.stats().ledger.dropped.get(&DropReason::Shutdown), Some(&10));
    let report = runtime().block_on(rig.flusher.shutdown(Duration::from_secs(5)));
    assert_eq!(report.dropped, 10);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_ends_the_flusher() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(|_| {}, Some((directory.path(), SpoolMode::OnFailure)), |_| Answer::Never);
    let Rig { buffer, ledger, flusher, .. } = rig;
    for line in lines(0..10) {
        assert_eq!(buffer.push(line.as_bytes(), 1, false), crate::delivery::buffer::Pushed::Accepted);
    }
    let clone = flusher.clone();
    drop(flusher);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(ledger.lock().spooled, 0, "a handle is left");
    drop(clone);
    sleep(Duration::from_millis(10)).await;
    assert_eq!(ledger.lock().spooled, 10);
    assert_eq!(buffer.push(b"x v=1 1\n", 1, false), crate::delivery::buffer::Pushed::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_reload_in_an_outage_loses_nothing() {
    let rig = Rig::start(|_| Answer::Never);
    rig.push(0..10);
    sleep(Duration::from_secs(2)).await;
    rig.push(10..20);
    let other = super::support::Script::new(|_| Ok(()));
    let mut settings = crate::settings::Settings::new("test");
    settings.flush_interval = Duration::from_millis(100);
    rig.flusher
        .reload(std::sync::Arc::clone(&other) as _, None, None, (&settings).into())
        .await
        .expect("runs");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(other.stored(), lines(0..20));
    rig.assert_ledger(20, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn the_interval_changes_while_running() {
    let rig = Rig::with(|settings| settings.flush_interval = Duration::from_secs(600), None, |_| Ok(()));
    rig.push(0..10);
    sleep(Duration::from_millis(1)).await;
    rig.flusher.set_flush_interval(Duration::from_millis(100));
    sleep(Duration::from_millis(120)).await;
    rig.assert_ledger(10, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn listeners_receive_the_batches() {
    let rig = Rig::start(|_| Err(WriteError::transient("connection refused")));
    let mut batches = rig.flusher.batches();
    rig.push(0..10);
    assert_eq!(batches.recv().await.expect("sealed").len(), 10);
}
