//! Tests reloads while something runs: a write, a search, a probe, a store, a scan.

use std::{path::Path, sync::Arc, time::Duration};

use tokio::{
    runtime::{Builder, Runtime},
    task::{spawn_blocking, yield_now},
    time::sleep,
};

use super::support::{Answer, Rig, Script, lines, noise};
use crate::{
    delivery::{
        batch::Batch,
        buffer::Pushed,
        sink::{Hint, Sink, WriteError},
        spool::Spool,
    },
    settings::{Settings, SpoolMode, SpoolSettings},
    stats::{Blocked, DeliveryState, DropReason, RejectReason},
};

/// Reloads to this sink and spool.
async fn reload(rig: &Rig, sink: &Arc<Script>, spool: Option<Arc<Spool>>) {
    let settings = (&Settings::new("test")).into();
    let sink = Arc::clone(sink) as Arc<dyn Sink>;
    rig.flusher.reload(sink, spool, None, settings).await.expect("runs");
}

/// Returns the spool of this directory as a monitor does: one that is open is used again.
fn spool(rig: &Rig, directory: &Path, target: &str) -> Arc<Spool> {
    let open = rig.flusher.spools().into_iter().find(|spool| spool.is_at(directory) && spool.is_for(target));
    open.unwrap_or_else(|| {
        let settings = SpoolSettings::new(directory);
        Arc::new(Spool::open(&settings, target, Arc::clone(&rig.ledger)).expect("opens"))
    })
}

/// Every answer of a former destination.
fn answers() -> Vec<(&'static str, Result<(), WriteError>)> {
    let field = Hint::Field { measurement: "requests".to_owned(), field: "execution_time".to_owned() };
    vec![
        ("accepted", Ok(())),
        ("a wrong token", Err(WriteError::blocked(Blocked::Authorization, "401"))),
        ("throttled", Err(WriteError::throttled(Some(Duration::from_secs(300)), "429"))),
        ("transient", Err(WriteError::transient("503"))),
        ("broken", Err(WriteError::broken("reset"))),
        ("a timeout", Err(WriteError::timeout("no answer"))),
        ("too large", Err(WriteError::too_large("413"))),
        ("refused", Err(WriteError::refused("400"))),
        (
            "a refused field",
            Err(WriteError::refused("400").with_reason(RejectReason::FieldType).with_hint(field)),
        ),
    ]
}

/// What was being sent at the time of the reload.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SentBefore {
    Write,
    /// The first write after a failure.
    Attempt,
    /// A piece of a batch that was refused.
    Piece,
    Probe,
}

#[tokio::test(start_paused = true)]
async fn an_answer_of_the_former_destination_says_nothing_about_the_next_one() {
    for sent in [SentBefore::Write, SentBefore::Attempt, SentBefore::Piece, SentBefore::Probe] {
        for (name, answer) in answers() {
            let context = format!("{sent:?}: {name}");
            let (mut writes, slow) = (0, answer.clone());
            let rig = Rig::start(move |_: &Batch| {
                writes += 1;
                match (sent, writes) {
                    (SentBefore::Attempt, 1) => Answer::Now(Err(WriteError::transient("503"))),
                    (SentBefore::Probe, 1) => {
                        Answer::Now(Err(WriteError::blocked(Blocked::Authorization, "401")))
                    }
                    (SentBefore::Piece, 1) => Answer::Now(Err(WriteError::refused("400"))),
                    (SentBefore::Probe, _) => Answer::Never,
                    _ => Answer::After(Duration::from_secs(20), slow.clone()),
                }
            });
            sleep(Duration::from_millis(1)).await;
            if sent == SentBefore::Probe {
                let slow = answer.clone();
                rig.sink.probe_takes(Duration::from_secs(20), move || slow.clone());
            }
            rig.push(0..20);
            let before = rig.sink.probes();
            let is_sent = || match sent {
                SentBefore::Write => rig.sink.requests() == 1,
                SentBefore::Attempt | SentBefore::Piece => rig.sink.requests() == 2,
                SentBefore::Probe => rig.sink.probes() > before,
            };
            for _ in 0..6_000 {
                if is_sent() {
                    break;
                }
                sleep(Duration::from_millis(10)).await;
            }
            assert!(is_sent(), "{context}");
            let other = Script::named("another", |_| Ok(()));
            reload(&rig, &other, None).await;
            rig.push(20..30);
            sleep(Duration::from_secs(5)).await;
            // The next destination does not wait for the former one, except for what is on its way.
            assert!(other.stored().is_superset(&lines(20..30)), "{context}: {:?}", other.stored());
            let state = || rig.flusher.stats().delivery.state;
            assert_eq!(state(), DeliveryState::Healthy, "{context}");
            sleep(Duration::from_secs(20)).await;
            assert_eq!(state(), DeliveryState::Healthy, "{context}");
            rig.push(30..40);
            sleep(Duration::from_secs(5)).await;
            let stored: Vec<_> = [rig.sink.stored(), other.stored()].into_iter().flatten().collect();
            assert!(stored.len() == 40 && lines(0..40).iter().all(|line| stored.contains(line)), "{context}");
            // No column is missing, nothing is searched, and no body is short.
            assert_eq!(other.sizes().last(), Some(&10), "{context}: {:?}", other.sizes());
            rig.assert_ledger(40, 0, 0);
            rig.end().await;
        }
    }
}

/// A runtime whose disk works on one file at a time.
fn one_disk() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().start_paused(true).max_blocking_threads(1).build().expect("a runtime")
}

/// Lets all tasks run that can, without time.
async fn settle() {
    for _ in 0..1_000 {
        yield_now().await;
    }
}

/// Keeps the disk busy until the sender is dropped.
fn busy_disk() -> std::sync::mpsc::Sender<()> {
    let (free, busy) = std::sync::mpsc::channel::<()>();
    drop(spawn_blocking(move || _ = busy.recv()));
    free
}

/// Where a reload leads while a batch is being stored for the first destination.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ReloadTo {
    OtherDirectory,
    NoSpool,
    OtherTarget,
}

#[test]
fn a_batch_that_is_being_stored_during_a_reload_stays_in_the_ledger_and_is_sent() {
    for next in [ReloadTo::OtherDirectory, ReloadTo::NoSpool, ReloadTo::OtherTarget] {
        for fails_before in [false, true] {
            one_disk().block_on(async {
                let context = format!("{next:?}, {fails_before}");
                let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
                let rig = Rig::with(
                    |_| {},
                    Some((directories[0].path(), SpoolMode::Ahead)),
                    |_: &Batch| Err(WriteError::transient("503")),
                );
                sleep(Duration::from_millis(100)).await;
                if fails_before {
                    rig.push(100..101);
                    sleep(Duration::from_secs(3)).await;
                }
                let free = busy_disk();
                rig.push(0..10);
                let flushed = rig.flusher.flush();
                tokio::pin!(flushed);
                tokio::select! { biased; _ = &mut flushed => {} () = settle() => {} }
                let other = Script::named("another", |_| Ok(()));
                rig.sink.behave(|_| Ok(()));
                match next {
                    ReloadTo::OtherDirectory => {
                        let spool = spool(&rig, directories[1].path(), "script");
                        reload(&rig, &rig.sink, Some(spool)).await;
                    }
                    ReloadTo::NoSpool => reload(&rig, &rig.sink, None).await,
                    ReloadTo::OtherTarget => {
                        let spool = spool(&rig, directories[1].path(), "another");
                        reload(&rig, &other, Some(spool)).await;
                    }
                }
                settle().await;
                drop(free);
                sleep(Duration::from_secs(120)).await;
                let (all, stats) = (10 + u64::from(fails_before), rig.flusher.stats());
                let left = if next == ReloadTo::OtherTarget { all } else { 0 };
                assert_eq!(
                    (stats.ledger.written, stats.ledger.spooled),
                    (all - left, left),
                    "{context}: {stats}"
                );
                assert_eq!(stats.spool.is_some_and(|spool| spool.files > 0), left > 0, "{context}");
                // Back at the first one: nothing is recovered, since it was never lost.
                let spool = spool(&rig, directories[0].path(), "script");
                reload(&rig, &rig.sink, Some(spool)).await;
                sleep(Duration::from_secs(120)).await;
                assert!(rig.sink.stored().is_superset(&lines(0..10)), "{context}");
                assert_eq!(rig.flusher.stats().ledger.recovered, 0, "{context}");
                rig.assert_ledger(all, 0, 0);
                rig.end().await;
            });
        }
    }
}

#[test]
fn the_directory_of_a_spool_that_was_only_passed_by_is_free_again() {
    one_disk().block_on(async {
        let directories = [(); 3].map(|()| tempfile::tempdir().expect("a directory"));
        let free = busy_disk();
        let first = Some((directories[0].path(), SpoolMode::OnFailure));
        let rig = Rig::with(|_| {}, first, |_: &Batch| Ok(()));
        // Its first maintenance waits for the disk, so the next spool is never the current one
        // while maintenance begins.
        settle().await;
        for directory in &directories[1..] {
            let spool = spool(&rig, directory.path(), "script");
            reload(&rig, &rig.sink, Some(spool)).await;
            settle().await;
        }
        assert_eq!(rig.flusher.spools().len(), 3);
        drop(free);
        sleep(Duration::from_secs(2)).await;
        assert_eq!(rig.flusher.spools().len(), 1, "{}", rig.flusher.stats());
        for directory in &directories[..2] {
            let _ = Spool::open(&SpoolSettings::new(directory.path()), "script", Arc::clone(&rig.ledger));
            assert_eq!(directory.path().read_dir().expect("lists").count(), 1, "it is the first one again");
        }
        rig.end().await;
    });
}

/// How the flusher ends while its memory holds a batch that is too long for the spool.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    Flush,
    Shutdown,
    Drop,
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_too_long_for_lower_bounds_is_split_and_the_spool_stays_on() {
    for end in [End::Flush, End::Shutdown, End::Drop] {
        for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
            let context = format!("{end:?}, {mode:?}");
            let directory = tempfile::tempdir().expect("a directory");
            let failing = |_: &Batch| Err(WriteError::transient("503"));
            let rig = Rig::with(|_| {}, Some((directory.path(), mode)), failing);
            let mut settings = SpoolSettings::new(directory.path());
            settings.max_size = 150 * 1024;
            spool(&rig, directory.path(), "script").configure(&settings);
            // Together they fit, but not as one batch of 170 KB.
            for number in 0..400 {
                assert_eq!(rig.buffer.push(noise(number).as_bytes(), 1, false), Pushed::Accepted);
            }
            let lines = 400 + 10;
            match end {
                End::Flush => {
                    rig.flusher.flush().await.expect("runs");
                    sleep(Duration::from_secs(120)).await;
                    assert_eq!(rig.flusher.stats().spool.map(|spool| spool.errors), Some(0), "{context}");
                    rig.push(0..10);
                    rig.flusher.flush().await.expect("runs");
                }
                End::Shutdown | End::Drop => rig.push(0..10),
            }
            let Rig { flusher, ledger, .. } = rig;
            if end != End::Drop {
                flusher.shutdown(Duration::from_secs(5)).await;
            }
            drop(flusher);
            sleep(Duration::from_secs(1)).await;
            let ledger = ledger.lock();
            let evicted = ledger.dropped.get(&DropReason::SpoolFull).copied().unwrap_or_default();
            assert_eq!(ledger.dropped.values().sum::<u64>(), evicted, "{context}: {:?}", ledger.dropped);
            assert_eq!(ledger.spooled + evicted, lines, "{context}");
            assert!(ledger.spooled >= 150, "most fit: {context}: {}", ledger.spooled);
        }
    }
}
