//! More points than memory.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{Answer, Rig, line, noise, small};
use crate::{Batch, DropReason, Overflow, WriteError, buffer::Pushed};

#[tokio::test(start_paused = true)]
async fn the_oldest_go_and_memory_stays_within_its_bound() {
    let rig = Rig::with(small, None, |_| Err(WriteError::transient("connection refused")));
    let size = 1024 * 1024;
    let mut accepted = 0;
    for number in 0..6_000_usize {
        assert_eq!(rig.buffer.push(noise(number).as_bytes(), 1, false), Pushed::Accepted);
        accepted += 1;
        if number.is_multiple_of(200) {
            sleep(Duration::from_millis(100)).await;
            let stats = rig.flusher.stats();
            // The open chunks of the buffer are beside it, and what has just been sealed.
            assert!(
                stats.delivery.memory <= size + size / 4 + 3 * 64 * 1024,
                "{} bytes",
                stats.delivery.memory
            );
            assert!(stats.balances(), "{stats}");
        }
    }
    sleep(Duration::from_secs(1)).await;
    let ledger = rig.flusher.stats().ledger;
    assert_eq!(ledger.accepted, accepted);
    let dropped = ledger.dropped.get(&DropReason::BufferFull).copied().unwrap_or_default();
    assert!(dropped > 2_500, "{dropped} of {accepted}");
    let kept = ledger.in_flight + ledger.buffered;
    assert!(kept > 1_500, "so much memory holds more than {kept}");
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    let stored = rig.sink.stored();
    assert_eq!(stored.len() as u64, kept, "what was kept arrives");
    let youngest = stored.iter().any(|line| line.ends_with(" 5999\n"));
    assert!(youngest && !stored.iter().any(|line| line.ends_with(" 0\n")), "the oldest go, not the youngest");
}

#[tokio::test(start_paused = true)]
async fn the_newest_are_refused_if_so_chosen() {
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
            assert!(rig.flusher.stats().delivery.memory <= 1024 * 1024 * 3 / 2);
        }
    }
    assert!(refused > 2_000 && accepted > 1_500, "{accepted} accepted, {refused} refused");
    assert_eq!(rig.flusher.stats().ledger.dropped_total(), 0);
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(60)).await;
    rig.assert_ledger(accepted, 0, 0);
    assert!(rig.sink.stored().iter().any(|line| line.ends_with(" 0\n")), "the first are there");
}

#[tokio::test(start_paused = true)]
async fn a_sink_ten_times_too_slow_costs_exactly_what_is_counted() {
    let rig = Rig::with(small, None, |batch: &Batch| {
        Answer::After(Duration::from_millis(batch.len() as u64), Ok(()))
    });
    // A thousand lines a second are what it takes.
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
