//! Tests that delivery keeps up with the incoming points as far as the destination can, with
//! default settings.

use std::{
    sync::{Arc, Mutex, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::support::{Answer, Rig};
use crate::{
    delivery::{batch::Batch, buffer::Pushed, sink::WriteError},
    settings::{Settings, SpoolMode},
};

const MIB: usize = 1024 * 1024;

/// Records this many lines, a multiple of ten, of about 170 bytes each, as a service with default
/// settings does.
fn push(rig: &Rig, points: usize) {
    let line = format!(
        "requests,method=GET,route=GET:/items/{{id}},service=shop,status=200 error=0i,execution_time=0.25,\
         request_id=\"{:032}\" {:019}\n",
        7, 1_700_000_000_000_000_000_u64
    );
    let ten = line.repeat(10);
    for _ in 0..points / 10 {
        assert_eq!(rig.buffer.push(ten.as_bytes(), 10, false), Pushed::Accepted);
    }
}

/// What was observed while points arrived at a constant rate.
#[derive(Debug, Default)]
struct Throughput {
    /// Points written in each second.
    written: Vec<u64>,
    /// The most points that waited in each second, in the buffer or in batches.
    waiting: Vec<u64>,
}

impl Throughput {
    fn most_waiting(&self, from_second: usize) -> u64 {
        self.waiting[from_second..].iter().copied().max().unwrap_or_default()
    }

    /// Returns the points written per second, from this second on.
    fn rate(&self, from_second: usize) -> u64 {
        let written = &self.written[from_second..];
        written.iter().sum::<u64>() / written.len() as u64
    }

    /// Returns the smallest and the largest number written per second in a window of this many
    /// seconds, from this second on.
    fn spread(&self, from_second: usize, seconds: usize) -> (u64, u64) {
        let rates = self.written[from_second..].windows(seconds);
        let rates: Vec<u64> = rates.map(|written| written.iter().sum::<u64>() / seconds as u64).collect();
        (rates.iter().copied().min().unwrap_or_default(), rates.iter().copied().max().unwrap_or_default())
    }
}

/// Records this many points a second for a while, ten times a second.
async fn load(rig: &Rig, a_second: usize, seconds: usize) -> Throughput {
    let mut seen = Throughput::default();
    for _ in 0..seconds {
        let (before, mut most) = (rig.flusher.stats().ledger.written, 0);
        for _ in 0..10 {
            push(rig, a_second / 10);
            sleep(Duration::from_millis(100)).await;
            let stats = rig.flusher.stats();
            assert!(stats.balances(), "{stats}");
            most = most.max(stats.ledger.buffered + stats.ledger.in_flight);
        }
        seen.written.push(rig.flusher.stats().ledger.written - before);
        seen.waiting.push(most);
    }
    seen
}

fn answered_after(delay: Duration) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    move |_| Answer::Counted(delay, Ok(()))
}

#[tokio::test(start_paused = true)]
async fn answers_after_a_second_keep_up_with_nine_thousand_requests() {
    let rig = Rig::start(answered_after(Duration::from_secs(1)));
    let seen = load(&rig, 9_000, 30).await;
    assert!(seen.most_waiting(0) < 3 * 9_000, "{seen:?}");
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.written == 9_000 * 30, "{report}");
}

#[tokio::test(start_paused = true)]
async fn answers_after_a_second_keep_up_with_fifty_thousand_points() {
    let rig = Rig::start(answered_after(Duration::from_secs(1)));
    let seen = load(&rig, 50_000, 12).await;
    assert!(seen.most_waiting(6) < 3 * 50_000, "{seen:?}");
    assert!(seen.rate(6) > 49_000, "{seen:?}");
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.written == 50_000 * 12, "{report}");
}

#[tokio::test(start_paused = true)]
async fn fifty_thousand_points_a_second_are_written_beside_a_spool() {
    let directory = tempfile::tempdir().expect("a directory");
    let spool = Some((directory.path(), SpoolMode::OnFailure));
    let rig = Rig::with(|_| {}, spool, answered_after(Duration::from_secs(1)));
    let seen = load(&rig, 50_000, 12).await;
    // Points from the time before the rate was found may wait on disk, but no others.
    assert!(seen.rate(6) > 49_000, "{seen:?}");
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.dropped == 0 && report.spooled < 2 * 50_000, "{report}");
}

#[tokio::test(start_paused = true)]
async fn delivery_adapts_to_a_server_that_slows_down_and_recovers() {
    let rig = Rig::start(answered_after(Duration::from_millis(10)));
    let before = load(&rig, 9_000, 10).await;
    assert!(before.most_waiting(0) < 2 * 9_000, "{before:?}");
    rig.sink.behave(answered_after(Duration::from_secs(2)));
    let slow = load(&rig, 9_000, 30).await;
    assert!(slow.most_waiting(10) < 5 * 9_000, "{slow:?}");
    let (least, most) = slow.spread(10, 5);
    assert!(least >= 7_200 && most <= 10_800, "{slow:?}");
    rig.sink.behave(answered_after(Duration::from_millis(10)));
    let fast = load(&rig, 9_000, 14).await;
    assert!(fast.most_waiting(4) < 2 * 9_000, "{fast:?}");
    let (least, most) = fast.spread(4, 5);
    assert!(least >= 7_200 && most <= 10_800, "{fast:?}");
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time && report.written == 9_000 * 54, "{report}");
}

/// Returns a server that accepts this many points a second, one write at a time, each answered
/// after a delay.
fn serial(a_second: f64, delay: Duration) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    let free = Arc::new(Mutex::new(Instant::now()));
    move |batch| {
        let now = Instant::now();
        let mut free = free.lock().expect("not poisoned");
        *free = (*free).max(now) + Duration::from_secs_f64(batch.len() as f64 / a_second);
        Answer::Counted(*free - now + delay, Ok(()))
    }
}

/// Keeps a server busy that cannot keep up, whether an answer takes 10 ms or 2 s in addition to the
/// work.
#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_keep_up_is_kept_busy_at_every_latency() {
    let rig = Rig::start(serial(10_000.0, Duration::from_millis(10)));
    for millis in [10, 2_000, 10] {
        rig.sink.behave(serial(10_000.0, Duration::from_millis(millis)));
        let seen = load(&rig, 15_000, 40).await;
        let (least, most) = seen.spread(20, 10);
        assert!(least >= 8_000 && most <= 12_000, "{millis} ms: {seen:?}");
    }
}

/// Returns a server that accepts this many points a second. After a rest it accepts those of two
/// seconds at once, as gateways with a quota do. In 40 seconds it accepts five percent more than
/// the rate.
fn throttle(a_second: f64) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    let (mut tokens, mut last) = (a_second, Instant::now());
    move |batch| {
        let now = Instant::now();
        tokens = (tokens + (now - last).as_secs_f64() * a_second).min(2.0 * a_second);
        last = now;
        if tokens < batch.len() as f64 {
            return Answer::Counted(Duration::from_millis(5), Err(WriteError::throttled(None, "429")));
        }
        tokens -= batch.len() as f64;
        Answer::Counted(Duration::from_millis(20), Ok(()))
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_throttles_at_a_rate_gets_nearly_that_rate() {
    let rig = Rig::start(throttle(10_000.0));
    let seen = load(&rig, 12_000, 60).await;
    assert!((8_000..=10_500).contains(&seen.rate(20)), "{seen:?}");
    let (least, most) = seen.spread(20, 10);
    assert!(least >= 8_000 && most <= 12_000, "{seen:?}");
}

/// Fills a spool with this many points while nothing can be written.
async fn spooled(points: u64, buffer_size: usize, directory: &std::path::Path) -> Rig {
    let change = |settings: &mut Settings| {
        (settings.max_retry_interval, settings.buffer_size) = (Duration::from_secs(5), buffer_size);
    };
    let rig = Rig::with(change, Some((directory, SpoolMode::OnFailure)), |_| {
        Answer::Counted(Duration::from_millis(1), Err(WriteError::transient("connection refused")))
    });
    while rig.flusher.stats().ledger.spooled < points {
        push(&rig, 20_000);
        sleep(Duration::from_secs(1)).await;
    }
    rig
}

#[tokio::test(start_paused = true)]
async fn a_million_spooled_points_drain_as_fast_as_the_server_takes_them() {
    let directory = tempfile::tempdir().expect("a directory");
    let rig = spooled(1_000_000, 32 * MIB, directory.path()).await;
    let spooled = rig.flusher.stats().ledger.spooled;
    rig.sink.behave(serial(20_000.0, Duration::from_millis(50)));
    rig.flusher.flush().await.expect("runs");
    let started = Instant::now();
    let mut late = 0;
    while rig.flusher.stats().ledger.spooled > 0 && started.elapsed() < Duration::from_secs(300) {
        // Live points go first, whatever the spool contains.
        push(&rig, 1_000);
        sleep(Duration::from_secs(1)).await;
        late = late.max(rig.flusher.stats().ledger.in_flight);
    }
    let seconds = started.elapsed().as_secs_f64();
    let rate = (spooled as f64 + 1_000.0 * seconds) / seconds;
    assert!(rate > 18_000.0, "{rate} points a second of 20,000");
    assert!(late < 5_000, "{late} live points waited");
    assert!(rig.flusher.stats().balances());
}

/// A batch that could not be sent would be returned to the spool and loaded again, without end. The
/// spool drains even if live points take nearly all that may be in flight.
#[tokio::test(start_paused = true)]
async fn spooled_batches_are_loaded_when_they_can_go_whatever_the_latency() {
    for delay in [1, 1_000, 4_000].map(Duration::from_millis) {
        let directory = tempfile::tempdir().expect("a directory");
        let rig = spooled(40_000, 8 * MIB, directory.path()).await;
        rig.sink.behave(answered_after(delay));
        rig.flusher.flush().await.expect("runs");
        let loads = || rig.flusher.shared.loads.load(Relaxed);
        let before = (loads(), rig.sink.requests());
        let started = Instant::now();
        while rig.flusher.stats().ledger.spooled > 0 && started.elapsed() < Duration::from_secs(300) {
            push(&rig, 250);
            sleep(Duration::from_millis(100)).await;
            let (loads, requests) = (loads() - before.0, rig.sink.requests() - before.1);
            assert!(loads <= requests + 4, "{loads} loads for {requests} writes, {delay:?} an answer");
        }
        assert_eq!(rig.flusher.stats().ledger.spooled, 0, "{delay:?} an answer");
    }
}
