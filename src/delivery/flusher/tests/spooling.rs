//! Tests batches on disk, during and after an outage of the sink.

use std::{fs, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::support::{Answer, Rig, Script, line, lines, noise, small, text};
use crate::{
    delivery::{
        batch::Batch,
        buffer::Pushed,
        sink::{Sink, WriteError},
        spool::Spool,
    },
    settings::{Settings, SpoolMode, SpoolSettings},
    stats::DeliveryState,
};

#[tokio::test(start_paused = true)]
async fn points_of_an_outage_are_stored_on_disk_and_sent_later() {
    for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
        let directory = tempfile::tempdir().expect("a directory");
        let rig =
            Rig::with(|_| {}, Some((directory.path(), mode)), |_| Err(WriteError::transient("refused")));
        for second in 0..60 {
            rig.push(second * 10..second * 10 + 10);
            sleep(Duration::from_secs(1)).await;
            assert!(rig.flusher.stats().balances());
        }
        let stats = rig.flusher.stats();
        assert!(stats.ledger.spooled >= 580, "{mode:?}: a crash now costs little: {stats}");
        assert!(stats.delivery.memory < 10_000, "{} bytes", stats.delivery.memory);
        rig.sink.behave(|_| Ok(()));
        sleep(Duration::from_secs(40)).await;
        assert_eq!(rig.sink.stored(), lines(0..600));
        rig.assert_ledger(600, 0, 0);
        assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Healthy);
        rig.end().await;
        let left = fs::read_dir(directory.path())
            .expect("lists")
            .flat_map(|entry| fs::read_dir(entry.expect("reads").path()).into_iter().flatten().flatten());
        assert_eq!(left.filter(|file| file.path().extension().is_some_and(|ext| ext == "lp")).count(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn mode_ahead_stores_batches_before_it_sends_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let files = move || {
        let directories = fs::read_dir(&path).expect("lists").flatten();
        directories
            .flat_map(|directory| fs::read_dir(directory.path()).into_iter().flatten().flatten())
            .filter(|file| file.path().extension().is_some_and(|extension| extension == "lp"))
            .count()
    };
    let count = files.clone();
    let rig = Rig::with(
        |_| {},
        Some((directory.path(), SpoolMode::Ahead)),
        move |_: &Batch| {
            assert_eq!(count(), 1, "sent before it was stored");
            Ok(())
        },
    );
    rig.push(0..10);
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!((report.written, report.spooled), (10, 0), "{report}");
    sleep(Duration::from_secs(1)).await;
    assert_eq!(files(), 0);
    rig.assert_ledger(10, 0, 0);
}

/// A pause may begin between the sync and the write.
#[tokio::test(start_paused = true)]
async fn a_flush_counts_stored_batches_as_spooled_even_if_they_are_in_memory_too() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = |settings: &mut Settings| settings.batch_size = 10;
    let rig = Rig::with(settings, Some((directory.path(), SpoolMode::Ahead)), |_: &Batch| {
        Answer::After(Duration::from_millis(1), Err(WriteError::throttled(None, "503")))
    });
    for round in 0..20 {
        rig.push(round * 40..round * 40 + 40);
        let report = rig.flusher.flush().await.expect("runs");
        assert_eq!((report.written, report.waiting), (0, 0), "{report}");
        assert!(report.spooled >= 40, "with those of before: {report}");
        sleep(Duration::from_millis(300)).await;
    }
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(200)).await;
    rig.assert_ledger(800, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn live_batches_go_before_stored_ones() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(
        |_| {},
        Some((directory.path(), SpoolMode::OnFailure)),
        |_| Err(WriteError::transient("refused")),
    );
    for second in 0..30 {
        rig.push(second..second + 1);
        sleep(Duration::from_secs(1)).await;
    }
    // From now on each write takes 300 ms, and one live batch arrives each second: three writes a
    // second are possible.
    let live = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&live);
    rig.sink.behave(move |batch: &Batch| {
        let is_live = text(batch).iter().any(|text| *text >= line(1000));
        seen.lock().expect("no panic").push(is_live);
        Answer::After(Duration::from_millis(300), Ok(()))
    });
    for second in 1000..1040 {
        rig.push(second..second + 1);
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(60)).await;
    let writes = live.lock().expect("no panic").clone();
    assert!(writes.iter().filter(|is_live| !**is_live).count() >= 25, "the spool was sent: {writes:?}");
    rig.assert_ledger(70, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_fills_the_disk_before_anything_is_dropped() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(small, Some((directory.path(), SpoolMode::OnFailure)), |batch: &Batch| {
        Answer::After(Duration::from_millis(batch.len() as u64 * 10), Ok(()))
    });
    for number in 0..6_000_usize {
        assert_eq!(rig.buffer.push(noise(number).as_bytes(), 1, false), Pushed::Accepted);
        if number.is_multiple_of(500) {
            sleep(Duration::from_millis(200)).await;
        }
    }
    let stats = rig.flusher.stats();
    assert_eq!(stats.ledger.dropped_total(), 0, "{stats}");
    assert!(stats.ledger.spooled > 3_000, "{stats}");
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(120)).await;
    rig.assert_ledger(6_000, 0, 0);
    assert_eq!(rig.sink.stored().len(), 6_000);
}

/// A stored batch leaves the memory when there is no room, and is loaded again later.
#[tokio::test(start_paused = true)]
async fn a_batch_stored_ahead_is_sent_although_it_had_to_leave_the_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = Rig::with(small, Some((directory.path(), SpoolMode::Ahead)), |_: &Batch| {
        Answer::After(Duration::from_secs(5), Ok(()))
    });
    for number in 0..3_000_usize {
        assert_eq!(rig.buffer.push(noise(number).as_bytes(), 1, false), Pushed::Accepted);
        if number.is_multiple_of(100) {
            sleep(Duration::from_millis(200)).await;
        }
    }
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(120)).await;
    rig.assert_ledger(3_000, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn when_the_disk_fails_points_stay_in_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut spool = SpoolSettings::new(directory.path());
    spool.max_size = 1024 * 1024;
    let rig = Rig::with(
        |settings| settings.spool = Some(spool),
        Some((directory.path(), SpoolMode::OnFailure)),
        |_| Err(WriteError::transient("refused")),
    );
    fs::remove_dir_all(directory.path()).expect("removes");
    fs::write(directory.path(), "in the way").expect("writes");
    rig.push(0..10);
    sleep(Duration::from_secs(30)).await;
    let stats = rig.flusher.stats();
    assert_eq!((stats.ledger.spooled, stats.ledger.dropped_total()), (0, 0), "{stats}");
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(40)).await;
    rig.assert_ledger(10, 0, 0);
    fs::remove_file(directory.path()).expect("removes");
    fs::create_dir(directory.path()).expect("creates");
}

#[tokio::test(start_paused = true)]
async fn a_reload_keeps_the_batches_of_the_old_destination_and_sends_those_of_the_new_one() {
    for (target, arrives) in [("script", true), ("another", false)] {
        let (first, second) =
            (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
        let rig = Rig::with(
            |_| {},
            Some((first.path(), SpoolMode::OnFailure)),
            |_| Err(WriteError::transient("refused")),
        );
        rig.push(0..10);
        sleep(Duration::from_secs(5)).await;
        assert_eq!(rig.flusher.stats().ledger.spooled, 10);
        let other = Script::named(target, |_| Ok(()));
        let mut settings = Settings::new("test");
        settings.spool = Some(SpoolSettings::new(second.path()));
        let spool =
            Spool::open(&SpoolSettings::new(second.path()), target, Arc::clone(&rig.ledger)).expect("opens");
        let sink = Arc::clone(&other) as Arc<dyn Sink>;
        rig.flusher.reload(sink, Some(Arc::new(spool)), None, (&settings).into()).await.expect("runs");
        rig.push(10..20);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(other.stored(), if arrives { lines(0..20) } else { lines(10..20) });
        assert_eq!(rig.flusher.stats().ledger.spooled, if arrives { 0 } else { 10 });
        let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
        assert!(report.in_time && rig.flusher.stats().balances(), "{report}");
    }
}
