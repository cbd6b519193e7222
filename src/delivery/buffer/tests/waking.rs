//! Wake-ups: none is lost, and none comes while idle. A wait is polled by hand, so no time passes.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use super::*;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

fn poll(future: std::pin::Pin<&mut impl Future<Output = ()>>, wakes: &Arc<Wakes>) -> bool {
    let waker = Waker::from(Arc::clone(wakes));
    future.poll(&mut Context::from_waker(&waker)) == Poll::Ready(())
}

fn setup() -> (Buffer, Ledger, Arc<Wakes>) {
    (Buffer::with_shards(4, PLENTY, Overflow::DropOldest), Ledger::default(), Arc::default())
}

/// Pushes from a thread of its own, and so in most cases to another shard.
fn push_elsewhere(buffer: &Buffer, length: usize) {
    thread::scope(|scope| {
        scope.spawn(|| assert_eq!(push(buffer, length), Pushed::Accepted));
    });
}

#[test]
fn waiting_for_points_ends_with_the_first_push_to_any_shard() {
    let (buffer, ledger, wakes) = setup();
    for _ in 0..8 {
        let mut wait = pin!(buffer.wait_for_points());
        assert!(!poll(wait.as_mut(), &wakes));
        let before = wakes.count();
        push_elsewhere(&buffer, 10);
        assert_eq!(wakes.count(), before + 1);
        push_elsewhere(&buffer, 10);
        assert_eq!(wakes.count(), before + 1, "one wake-up is enough");
        assert!(poll(wait.as_mut(), &wakes));
        drained(&buffer, &ledger);
    }
}

#[test]
fn waiting_for_points_returns_at_once_if_there_are_some() {
    let (buffer, ledger, wakes) = setup();
    push_elsewhere(&buffer, 10);
    assert!(poll(pin!(buffer.wait_for_points()), &wakes));
    assert!(poll(pin!(buffer.wait_for_points()), &wakes));
    drained(&buffer, &ledger);
    assert!(!poll(pin!(buffer.wait_for_points()), &wakes));
    assert_eq!(wakes.count(), 0);
}

#[test]
fn a_push_does_not_wake_a_waiter_for_something_else() {
    let (buffer, ledger, wakes) = setup();
    let mut full = pin!(buffer.wait_until_full(3 * CHUNK_SIZE));
    assert!(!poll(full.as_mut(), &wakes));
    for _ in 0..3 {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    // Two chunks are sealed. They are drained before the third is sealed, so they wake nobody.
    drained(&buffer, &ledger);
    for _ in 0..3 {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    buffer.request_started();
    buffer.request_ended();
    assert_eq!(wakes.count(), 0);
    assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    assert_eq!(wakes.count(), 1);
    assert!(poll(full.as_mut(), &wakes));
}

#[test]
fn waiting_until_full_counts_all_shards_and_earlier_chunks() {
    let (buffer, _, wakes) = setup();
    for _ in 0..2 {
        push_elsewhere(&buffer, CHUNK_SIZE);
        push_elsewhere(&buffer, CHUNK_SIZE);
        push_elsewhere(&buffer, CHUNK_SIZE);
        push_elsewhere(&buffer, CHUNK_SIZE);
    }
    let sealed = buffer.sealed_bytes();
    assert!(poll(pin!(buffer.wait_until_full(sealed)), &wakes));
    assert!(!poll(pin!(buffer.wait_until_full(sealed + 1)), &wakes));
}

#[test]
fn a_dropped_wait_does_not_disturb_the_next_one() {
    let (buffer, ledger, wakes) = setup();
    for _ in 0..3 {
        assert!(!poll(pin!(buffer.wait_for_points()), &wakes));
        assert!(!poll(pin!(buffer.wait_until_full(CHUNK_SIZE)), &wakes));
        for _ in 0..2 {
            assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
        }
        drained(&buffer, &ledger);
    }
    let (mut points, mut full) = (pin!(buffer.wait_for_points()), pin!(buffer.wait_until_full(CHUNK_SIZE)));
    assert!(!poll(points.as_mut(), &wakes) && !poll(full.as_mut(), &wakes));
    for _ in 0..2 {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    assert!(poll(points.as_mut(), &wakes) && poll(full.as_mut(), &wakes));
}

/// Every push makes an empty buffer non-empty, while the waiter has just drained it. A lost wake-up
/// would hang the test.
#[tokio::test]
async fn no_wake_up_is_lost_between_threads() {
    const EACH: usize = 20_000;
    let buffer = Arc::new(Buffer::with_shards(4, PLENTY, Overflow::DropOldest));
    let ledger = Ledger::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                for _ in 0..EACH {
                    assert_eq!(push(&buffer, 10), Pushed::Accepted);
                    thread::yield_now();
                }
            })
        })
        .collect();
    let mut points = 0;
    while points < 2 * EACH {
        let waited = tokio::time::timeout(Duration::from_secs(60), buffer.wait_for_points()).await;
        waited.expect("points wait and nobody said so");
        points += drained(&buffer, &ledger).iter().map(|chunk| chunk.points).sum::<usize>();
    }
    threads.into_iter().for_each(|thread| thread.join().expect("pushing does not panic"));
}

/// The same for sealed chunks.
#[tokio::test]
async fn no_full_buffer_is_overlooked_between_threads() {
    const EACH: usize = 2_000;
    let buffer = Arc::new(Buffer::with_shards(4, PLENTY, Overflow::DropOldest));
    let ledger = Ledger::default();
    let threads: Vec<_> = (0..2)
        .map(|_| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                let line = line(CHUNK_SIZE);
                for _ in 0..EACH {
                    assert_eq!(buffer.push(&line, 1, false), Pushed::Accepted);
                    while buffer.sealed_bytes() > 2 * CHUNK_SIZE {
                        thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let mut points = 0;
    while points < 2 * EACH {
        let pushing = threads.iter().any(|thread| !thread.is_finished());
        if pushing && buffer.sealed_bytes() <= 2 * CHUNK_SIZE {
            tokio::task::yield_now().await;
        } else if pushing {
            // From here on, the threads only wait for the drain.
            let waited =
                tokio::time::timeout(Duration::from_secs(60), buffer.wait_until_full(3 * CHUNK_SIZE)).await;
            waited.expect("the buffer is full and nobody said so");
        }
        points += drained(&buffer, &ledger)
            .into_iter()
            .map(|chunk| {
                let points = chunk.points;
                buffer.recycle(chunk);
                points
            })
            .sum::<usize>();
    }
    threads.into_iter().for_each(|thread| thread.join().expect("pushing does not panic"));
}
