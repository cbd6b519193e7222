//! Tests servers that are unreachable, slow, or ask for patience.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::support::{Answer, Rig, lines};
use crate::{
    delivery::{
        batch::Batch,
        sink::{WriteError, WriteErrorKind},
    },
    stats::{Blocked, DeliveryState, DropReason},
};

fn gaps(times: &[Instant]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn pauses_grow_to_their_limit_with_full_jitter() {
    let mut late = Vec::new();
    for _ in 0..20 {
        let rig = Rig::with(
            |settings| settings.max_retry_time = Duration::from_secs(100_000),
            None,
            |_| Err(WriteError::transient("connection refused")),
        );
        rig.push(0..1);
        sleep(Duration::from_secs(1200)).await;
        let gaps = gaps(&rig.sink.times());
        for (number, gap) in gaps.iter().enumerate() {
            let limit = Duration::from_millis(500 << number.min(10)).min(Duration::from_secs(30));
            assert!(*gap <= limit + Duration::from_millis(1), "pause {number} is {gap:?}");
        }
        late.extend(gaps.into_iter().skip(8));
    }
    let mean = late.iter().sum::<Duration>() / late.len() as u32;
    assert!((Duration::from_secs(13)..Duration::from_secs(17)).contains(&mean), "not uniform: {mean:?}");
    assert!(
        late.iter().any(|gap| *gap < Duration::from_secs(3))
            && late.iter().any(|gap| *gap > Duration::from_secs(27))
    );
}

#[tokio::test(start_paused = true)]
async fn no_two_clients_are_in_phase() {
    let rigs: Vec<Rig> = (0..10).map(|_| Rig::start(|_| Ok(()))).collect();
    for second in 0..20 {
        rigs.iter().for_each(|rig| rig.push(second..second + 1));
        sleep(Duration::from_secs(1)).await;
    }
    let mut times: Vec<Instant> = rigs.iter().map(|rig| rig.sink.times()[5]).collect();
    times.sort_unstable();
    times.dedup();
    assert!(times.len() >= 9, "clients that began together send together");
    for rig in rigs {
        let spread: Vec<Duration> = gaps(&rig.sink.times());
        assert!(spread.iter().any(|gap| *gap != spread[0]), "no jitter: {spread:?}");
        assert!(spread.iter().all(|gap| *gap < Duration::from_millis(2_300)), "{spread:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttling_server_gets_the_time_it_asks_for() {
    for (asked, at_least, at_most) in
        [(None, 1, 60), (Some(7), 7, 8), (Some(0), 1, 2), (Some(86_400), 300, 330)]
    {
        let asked = asked.map(Duration::from_secs);
        let rig = Rig::start(move |_| Err(WriteError::throttled(asked, "429 Too Many Requests")));
        rig.push(0..1);
        sleep(Duration::from_secs(1500)).await;
        let (least, most) =
            (Duration::from_secs(at_least), Duration::from_secs(at_most) + Duration::from_millis(1));
        for gap in gaps(&rig.sink.times()) {
            assert!(gap >= least && gap <= most, "{asked:?}: {gap:?}");
        }
        assert!(rig.sink.requests() > 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttling_server_that_names_no_time_gets_twice_the_longest_pause() {
    for (longest, most) in [(100, 1_000), (2_000, 4_000), (30_000, 60_000)] {
        let (longest, most) = (Duration::from_millis(longest), Duration::from_millis(most));
        let rig = Rig::with(
            |settings| {
                settings.retry_interval = Duration::from_millis(50);
                settings.max_retry_interval = longest;
            },
            None,
            |_| Err(WriteError::throttled(None, "429 Too Many Requests")),
        );
        rig.push(0..1);
        sleep(Duration::from_secs(3_000)).await;
        let gaps = gaps(&rig.sink.times());
        assert!(gaps.iter().all(|gap| *gap <= most + Duration::from_millis(1)), "{longest:?}: {gaps:?}");
        assert!(gaps.iter().any(|gap| *gap > most * 3 / 4), "{longest:?}: {gaps:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_pause_only_one_write_is_sent() {
    let rig = Rig::with(
        |settings| {
            settings.max_in_flight = 4;
            settings.batch_size = 10;
        },
        None,
        |_| Answer::After(Duration::from_millis(1), Err(WriteError::transient("connection refused"))),
    );
    rig.push(0..200);
    sleep(Duration::from_secs(300)).await;
    let times = rig.sink.times();
    let first = times.iter().filter(|time| **time == times[0]).count();
    assert_eq!(first, 4, "four at once before anything is known");
    let crowds = times[4..].windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert!(times.len() > 15 && crowds == 0, "{crowds} of {} at once", times.len());
}

#[tokio::test(start_paused = true)]
async fn a_flush_does_not_wait_for_the_end_of_a_pause() {
    let rig = Rig::start(|_| Err(WriteError::throttled(Some(Duration::from_secs(60)), "429")));
    rig.push(0..10);
    assert_eq!(rig.flusher.flush().await.expect("runs").waiting, 10);
    rig.sink.behave(|_| Ok(()));
    let asked = Instant::now();
    rig.push(10..20);
    assert_eq!(rig.flusher.flush().await.expect("runs").written, 20);
    assert!(asked.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_times_out_twice_is_halved() {
    // More than 100 lines take the server too long.
    let rig = Rig::start(|batch: &Batch| match batch.len() > 100 {
        true => Answer::Now(Err(WriteError::timeout("no answer"))),
        false => Answer::Now(Ok(())),
    });
    rig.push(0..800);
    sleep(Duration::from_secs(600)).await;
    rig.assert_ledger(800, 0, 0);
    assert!(rig.sink.requests() <= 2 + 4 + 8 + 8, "{:?}", rig.sink.sizes());
}

fn broken() -> WriteError {
    WriteError::new(WriteErrorKind::Broken, "the connection broke: reset by peer")
}

/// Simulates a server that closes the connection under a body that is too large, before its answer
/// can arrive.
#[tokio::test(start_paused = true)]
async fn a_large_body_whose_connection_breaks_three_times_is_halved() {
    let rig = Rig::start(|batch: &Batch| match batch.bytes().len() > 100_000 {
        true => Err(broken()),
        false => Ok(()),
    });
    rig.push(0..3_000);
    sleep(Duration::from_secs(600)).await;
    rig.assert_ledger(3_000, 0, 0);
    let sizes = rig.sink.sizes();
    assert_eq!(sizes[..3], [3_000; 3], "nothing is known after two");
    let most = |size: usize, tries: usize| assert!(sizes.iter().filter(|one| **one > size).count() <= tries);
    most(2_000, 3);
    most(1_000, 3 + 2 * 3);
}

#[tokio::test(start_paused = true)]
async fn neither_a_small_body_nor_one_with_other_failures_in_between_is_halved() {
    let rig = Rig::start(|_| Err(broken()));
    rig.push(0..100);
    sleep(Duration::from_secs(600)).await;
    let tries = rig.sink.requests();
    assert!(tries > 4 && rig.sink.sizes()[..tries.min(4)].iter().all(|size| *size == 100));
    let mut tries = 0;
    let rig = Rig::start(move |_| {
        tries += 1;
        Err(if tries % 3 == 0 { WriteError::throttled(None, "503") } else { broken() })
    });
    rig.push(0..3_000);
    sleep(Duration::from_secs(600)).await;
    // With the fifth failure the search for a faulty line begins.
    assert_eq!(rig.sink.sizes()[..6], [3_000; 6]);
}

#[tokio::test(start_paused = true)]
async fn a_write_without_an_answer_is_cancelled() {
    let mut first = true;
    let rig =
        Rig::start(move |_| if std::mem::take(&mut first) { Answer::Never } else { Answer::Now(Ok(())) });
    rig.push(0..10);
    sleep(Duration::from_secs(60)).await;
    rig.assert_ledger(10, 0, 0);
    assert_eq!(rig.flusher.stats().delivery.writes.timeout, 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_batch_goes_after_fresh_ones() {
    let rig = Rig::start(|batch: &Batch| match batch.sequence() {
        1 => Err(WriteError::transient("500")),
        _ => Ok(()),
    });
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    for step in 1..10 {
        rig.push(step * 10..step * 10 + 10);
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(5)).await;
    assert!(rig.sink.stored().len() >= 80, "{}", rig.flusher.stats());
}

#[tokio::test(start_paused = true)]
async fn batches_that_wait_too_long_are_dropped_and_counted() {
    let rig = Rig::with(
        |settings| settings.max_retry_time = Duration::from_secs(60),
        None,
        |_| Err(WriteError::transient("connection refused")),
    );
    rig.push(0..10);
    sleep(Duration::from_secs(70)).await;
    rig.assert_ledger(0, 0, 10);
    assert_eq!(rig.flusher.stats().ledger.dropped.get(&DropReason::Expired), Some(&10));
}

#[tokio::test(start_paused = true)]
async fn a_long_outage_creates_few_batches() {
    let rig = Rig::start(|_| Err(WriteError::transient("connection refused")));
    for second in 0..900 {
        rig.push(second..second + 1);
        sleep(Duration::from_secs(1)).await;
    }
    let tried = rig.sink.requests();
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(40)).await;
    assert_eq!(rig.sink.stored(), lines(0..900));
    assert!(rig.sink.requests() - tried < 120, "{} requests after the outage", rig.sink.requests() - tried);
}

#[tokio::test(start_paused = true)]
async fn a_missing_bucket_that_is_created_later_costs_nothing() {
    let rig = Rig::start(|_| Err(WriteError::blocked(Blocked::Target, "bucket not found")));
    rig.push(0..10);
    rig.flusher.flush().await.expect("runs");
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Blocked(Blocked::Target));
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(70)).await;
    rig.assert_ledger(10, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_successful_check_ends_a_pause() {
    let rig = Rig::start(|_| Err(WriteError::blocked(Blocked::Authorization, "unauthorized")));
    rig.push(0..10);
    assert_eq!(rig.flusher.flush().await.expect("runs").waiting, 10);
    rig.sink.behave(|_| Ok(()));
    rig.flusher.probe().await.expect("says yes");
    sleep(Duration::from_millis(10)).await;
    rig.assert_ledger(10, 0, 0);
}

#[tokio::test(start_paused = true)]
async fn an_idle_flusher_sleeps() {
    let rig = Rig::start(|_| Ok(()));
    rig.push(0..10);
    sleep(Duration::from_secs(3)).await;
    let metrics = tokio::runtime::Handle::current().metrics();
    let _ = metrics;
    // With a paused clock, time only advances when a timer is due. Without one, this jump is the
    // only step.
    let before = rig.sink.requests();
    sleep(Duration::from_secs(1_000_000)).await;
    assert_eq!(rig.sink.requests(), before);
    assert_eq!(rig.sink.probes(), 1, "the one at the start");
}

/// Without a point to send, another probe would be useless.
#[tokio::test(start_paused = true)]
async fn a_blocked_flusher_without_a_point_does_not_probe_again() {
    let rig = Rig::start(|_| Ok(()));
    rig.sink.probe_says(|| Err(WriteError::blocked(Blocked::Authorization, "unauthorized")));
    sleep(Duration::from_secs(3_600)).await;
    assert_eq!(rig.sink.probes(), 1);
    rig.push(0..10);
    sleep(Duration::from_secs(600)).await;
    assert!(rig.sink.probes() > 1);
}

/// The thread may have been busy, or the machine suspended.
#[tokio::test(start_paused = true)]
async fn batches_that_wait_too_long_are_dropped_even_if_the_timer_was_late() {
    let rig = Rig::start(|_| Err(WriteError::blocked(Blocked::Target, "no such bucket")));
    let missed = Rig::start(|_| Err(WriteError::throttled(Some(Duration::from_secs(86_400)), "429")));
    for rig in [&rig, &missed] {
        rig.push(0..10);
        rig.flusher.flush().await.expect("runs");
    }
    tokio::time::advance(Duration::from_secs(12 * 3_600)).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    let left = [&rig, &missed].map(|rig| rig.flusher.stats().ledger.dropped_total());
    assert_eq!(left, [0, 10], "what is blocked is not given up");
}

/// Every flush, and every check of a limit, iterates over all waiting batches.
#[tokio::test(start_paused = true)]
async fn a_flush_for_each_point_of_an_outage_leaves_few_batches() {
    for error in [WriteError::transient("away"), WriteError::blocked(Blocked::Target, "no such bucket")] {
        let rig = Rig::start(move |_| Err(error.clone().with_message("away")));
        let mut most = 0;
        for number in 0..2_000 {
            rig.push(number..number + 1);
            let report = rig.flusher.flush().await.expect("runs");
            assert_eq!(report.waiting, number as u64 + 1, "{report}");
            most = most.max(rig.flusher.stats().delivery.waiting_batches);
        }
        assert!(most <= 40, "{most} batches wait");
        rig.sink.behave(|_| Ok(()));
        rig.sink.probe_says(|| Ok(()));
        sleep(Duration::from_secs(400)).await;
        assert_eq!(rig.sink.stored(), lines(0..2_000));
        rig.assert_ledger(2_000, 0, 0);
    }
}
