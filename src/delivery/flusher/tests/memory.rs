//! Tests what happens with more points than memory.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{Answer, Rig, line, noise, small};
use crate::{
    delivery::{batch::Batch, buffer::Pushed, sink::WriteError},
    settings::Overflow,
    stats::DropReason,
};

#[tokio::test(start_paused = true)]
async fn the_oldest_points_are_dropped_and_memory_stays_within_its_limit() {
    let size = 4 * 1024 * 1024;
    let settings = |settings: &mut crate::settings::Settings| {
        small(settings);
        settings.buffer_size = size;
    };
    let rig = Rig::with(settings, None, |_| Err(WriteError::transient("connection refused")));
    let mut accepted = 0;
    for number in 0..24_000_usize {
        assert_eq!(rig.buffer.push(noise(number).as_bytes(), 1, false), Pushed::Accepted);
        accepted += 1;
        if number.is_multiple_of(200) {
            sleep(Duration::from_millis(100)).await;
            let stats = rig.flusher.stats();
            assert!(stats.delivery.memory <= size as u64, "{} bytes", stats.delivery.memory);
            assert!(stats.balances(), "{stats}");
        }
    }
    sleep(Duration::from_secs(1)).await;
    let ledger = rig.flusher.stats().ledger;
    assert_eq!(ledger.accepted, accepted);
    let dropped = ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
    assert!(dropped > 10_000, "{dropped} of {accepted}");
    let kept = ledger.in_flight + ledger.buffered;
    assert!(kept > 6_200, "so much memory holds more than {kept}");
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    let stored = rig.sink.stored();
    assert_eq!(stored.len() as u64, kept, "what was kept arrives");
    let youngest = stored.iter().any(|line| line.ends_with(" 23999\n"));
    assert!(youngest && !stored.iter().any(|line| line.ends_with(" 0\n")), "the oldest go, not the youngest");
}

#[tokio::test(start_paused = true)]
async fn the_newest_points_are_refused_if_so_configured() {
    let rig = Rig::with(
        |settings| {
            small(settings);
            settings.overflow = Overflow::DropNewest;
        },
        None,
        |_| Err(WriteError::transient("connection refused")),
    );
    let (mut accepted, mut refused) = (0, 0);
    for number in 0..6_000_usize {
        match rig.buffer.push(noise(number).as_bytes(), 1, false) {
            Pushed::Accepted => accepted += 1,
            Pushed::Full => refused += 1,
            Pushed::Closed => unreachable!("nobody has closed it"),
        }
        if number.is_multiple_of(200) {
            sleep(Duration::from_millis(100)).await;
            let memory = rig.flusher.stats().delivery.memory;
            assert!(memory <= 1024 * 1024, "{memory} bytes");
        }
    }
    assert!(refused > 2_000 && accepted > 1_500, "{accepted} accepted, {refused} refused");
    assert_eq!(rig.flusher.stats().ledger.dropped_total(), 0);
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    rig.assert_ledger(accepted, 0, 0);
    assert!(rig.sink.stored().iter().any(|line| line.ends_with(" 0\n")), "the first are there");
}

/// While a sink does not answer, no drain takes more points than there is room for. That holds for
/// drains by intervals, full chunks and flushes.
#[tokio::test(start_paused = true)]
async fn a_sink_that_does_not_answer_does_not_make_memory_grow() {
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let settings = |settings: &mut crate::settings::Settings| {
            small(settings);
            settings.overflow = overflow;
            settings.max_in_flight = 16;
        };
        let rig = Rig::with(settings, None, |_: &Batch| Answer::After(Duration::from_secs(20), Ok(())));
        let (mut accepted, mut refused, mut most) = (0, 0, 0);
        for number in 0..12_000_usize {
            match rig.buffer.push(noise(number).as_bytes(), 1, false) {
                Pushed::Accepted => accepted += 1,
                Pushed::Full => refused += 1,
                Pushed::Closed => unreachable!("nobody has closed it"),
            }
            most = most.max(rig.flusher.stats().delivery.memory);
            if number.is_multiple_of(50) {
                let flusher = rig.flusher.clone();
                tokio::spawn(async move { flusher.flush().await });
                sleep(Duration::from_millis(200)).await;
                most = most.max(rig.flusher.stats().delivery.memory);
            }
        }
        assert!(most <= 1024 * 1024, "{overflow:?}: {most} bytes");
        assert!(most > 512 * 1024, "{overflow:?}: the room is used, {most} bytes");
        let stats = rig.flusher.stats();
        assert!(stats.balances(), "{stats}");
        assert_eq!(
            (stats.ledger.offered, stats.ledger.accepted, stats.recorder.refused_full),
            (12_000, accepted, refused)
        );
        let dropped = stats.ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
        assert_eq!(
            (refused > 1_000, dropped > 1_000),
            (overflow == Overflow::DropNewest, overflow == Overflow::DropOldest)
        );
        rig.sink.behave(|_| Ok(()));
        let report = rig.flusher.flush().await.expect("runs");
        assert_eq!(report.waiting, 0, "{report}");
        sleep(Duration::from_secs(60)).await;
        let dropped = rig.flusher.stats().ledger.dropped_total();
        rig.assert_ledger(accepted - dropped, 0, dropped);
    }
}

/// Waiting batches are compressed, and each is decompressed when it is sent.
#[tokio::test(start_paused = true)]
async fn decompressing_batches_stays_within_the_memory_limit() {
    // Compressed, these have half the length.
    let line =
        |number: usize| format!("requests v=\"{}{}\" {number}\n", &noise(number)[12..162], "x".repeat(250));
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let settings = |settings: &mut crate::settings::Settings| {
            small(settings);
            settings.overflow = overflow;
            settings.max_in_flight = 16;
            settings.buffer_size = 2 * 1024 * 1024;
        };
        let rig = Rig::with(settings, None, |_| Err(WriteError::transient("connection refused")));
        let (mut most, mut accepted) = (0, 0);
        for number in 0..8_000_usize {
            accepted += u64::from(rig.buffer.push(line(number).as_bytes(), 1, false) == Pushed::Accepted);
            if number.is_multiple_of(100) {
                sleep(Duration::from_millis(100)).await;
                most = most.max(rig.flusher.stats().delivery.memory);
            }
        }
        rig.sink.behave(|_: &Batch| Answer::After(Duration::from_millis(50), Ok(())));
        rig.flusher.probe().await.expect("says yes");
        for number in 8_000..30_000_usize {
            accepted += u64::from(rig.buffer.push(line(number).as_bytes(), 1, false) == Pushed::Accepted);
            if number.is_multiple_of(1_000) {
                sleep(Duration::from_millis(20)).await;
                most = most.max(rig.flusher.stats().delivery.memory);
            }
        }
        assert!(most <= 2 * 1024 * 1024, "{overflow:?}: {most} bytes");
        sleep(Duration::from_secs(60)).await;
        let stats = rig.flusher.stats();
        assert!(stats.balances() && stats.ledger.in_flight == 0, "{stats}");
        assert_eq!(stats.ledger.accepted, accepted);
        assert_eq!(rig.sink.stored().len() as u64, stats.ledger.written);
        assert!(stats.ledger.written > 6_000, "the room was used: {stats}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_sink_ten_times_too_slow_loses_exactly_the_counted_points() {
    let rig = Rig::with(small, None, |batch: &Batch| {
        Answer::After(Duration::from_millis(batch.len() as u64), Ok(()))
    });
    // The sink accepts a thousand lines a second.
    for step in 0..12 {
        for number in 0..1000 {
            assert_eq!(rig.buffer.push(noise(step * 1000 + number).as_bytes(), 1, false), Pushed::Accepted);
        }
        sleep(Duration::from_millis(100)).await;
        assert!(rig.flusher.stats().balances());
    }
    sleep(Duration::from_secs(30)).await;
    let ledger = rig.flusher.stats().ledger;
    let dropped = ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
    assert_eq!(ledger.written + dropped, 12_000, "{ledger:?}");
    assert_eq!(rig.sink.stored().len() as u64, ledger.written);
    assert!(ledger.written > 1_000, "the sink was kept busy: {ledger:?}");
}

#[tokio::test(start_paused = true)]
async fn waiting_batches_are_compressed() {
    let rig = Rig::with(
        |settings| settings.batch_bytes = 64 * 1024,
        None,
        |_| Err(WriteError::transient("connection refused")),
    );
    let mut raw = 0;
    for step in 0..40 {
        for number in 0..1000 {
            let line = line(step * 1000 + number);
            raw += line.len() as u64;
            assert_eq!(rig.buffer.push(line.as_bytes(), 1, false), Pushed::Accepted);
        }
        sleep(Duration::from_millis(500)).await;
    }
    let stats = rig.flusher.stats();
    assert_eq!(stats.ledger.in_flight + stats.ledger.buffered, 40_000);
    assert!(stats.delivery.memory < raw / 3, "{} of {raw} bytes", stats.delivery.memory);
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(40)).await;
    rig.assert_ledger(40_000, 0, 0);
    assert_eq!(rig.sink.stored().len(), 40_000);
}
