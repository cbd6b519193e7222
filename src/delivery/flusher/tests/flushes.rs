//! Tests what a flush waits for, and what it reports.

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::support::{Answer, Rig, noise, small};
use crate::{
    delivery::{
        batch::Batch,
        buffer::Pushed,
        sink::{Sink, WriteError},
    },
    settings::{Overflow, Settings, SpoolMode},
};

#[tokio::test(start_paused = true)]
async fn points_without_room_for_a_batch_are_reported_as_waiting() {
    let smaller = |settings: &mut Settings| {
        small(settings);
        settings.overflow = Overflow::DropNewest;
    };
    let larger = |settings: &mut Settings| {
        smaller(settings);
        settings.buffer_size *= 4;
    };
    let rig = Rig::with(larger, None, |_| Err(WriteError::transient("connection refused")));
    let push = |numbers: std::ops::Range<usize>| {
        let pushed = numbers.map(|number| rig.buffer.push(noise(number).as_bytes(), 1, false));
        assert!(pushed.into_iter().all(|pushed| pushed == Pushed::Accepted));
    };
    for from in (0..6_000).step_by(100) {
        push(from..from + 100);
        sleep(Duration::from_millis(100)).await;
    }
    let mut settings = Settings::new("test");
    smaller(&mut settings);
    let sink = Arc::clone(&rig.sink) as Arc<dyn Sink>;
    rig.flusher.reload(sink, None, None, (&settings).into()).await.expect("runs");
    push(6_000..6_010);
    sleep(Duration::from_secs(5)).await;
    let ledger = rig.flusher.stats().ledger;
    assert!(ledger.buffered >= 10 && ledger.in_flight > 5_000, "{ledger:?}");
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!(report.waiting, 6_010, "{report}");
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_later_points() {
    let mut writes = 0;
    let rig = Rig::start(move |_: &Batch| {
        writes += 1;
        if writes == 1 { Answer::After(Duration::from_secs(3), Ok(())) } else { Answer::Never }
    });
    rig.push(0..10);
    let start = Instant::now();
    let later = async {
        sleep(Duration::from_millis(100)).await;
        rig.push(10..20);
    };
    let (report, ()) = tokio::join!(rig.flusher.flush(), later);
    assert_eq!(report.expect("runs").written, 10);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    assert_eq!(rig.sink.requests(), 2, "the other is in flight");
}

#[tokio::test(start_paused = true)]
async fn a_flush_waits_for_its_turn_behind_a_stored_batch() {
    let directory = tempfile::tempdir().expect("a directory");
    let settings = |settings: &mut Settings| (settings.max_in_flight, settings.batch_size) = (1, 10);
    let away = |_: &Batch| Answer::Now(Err(WriteError::transient("away")));
    let rig = Rig::with(settings, Some((directory.path(), SpoolMode::OnFailure)), away);
    for second in 0..10 {
        rig.push(second * 10..second * 10 + 10);
        sleep(Duration::from_secs(1)).await;
    }
    rig.sink.behave(|_: &Batch| Answer::After(Duration::from_secs(5), Ok(())));
    let before = rig.sink.requests();
    while rig.sink.requests() < before + 3 {
        sleep(Duration::from_millis(100)).await;
    }
    rig.push(100..110);
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!((report.written, report.waiting), (10, 0), "{report}");
    assert!(rig.flusher.stats().ledger.spooled > 0, "others are still on disk");
}
