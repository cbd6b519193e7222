//! The buffer between threads: in every snapshot each point is accounted for, and no line is lost,
//! duplicated or torn.

use std::{collections::HashMap, sync::atomic::Ordering};

use super::*;

/// The results of one pushing thread by its own count.
#[derive(Default)]
struct Done {
    accepted: u64,
    full: u64,
}

/// Pushes requests of two lines and points of one, which name the thread and their number.
fn push_all(buffer: &Buffer, thread: usize, rounds: usize, filler: &str) -> Done {
    let mut done = Done::default();
    for number in 0..rounds {
        let (lines, points) = if number % 3 == 0 {
            (format!("own {thread} {number}{filler}\n"), 1)
        } else {
            buffer.request_started();
            (format!("requests {thread} {number}{filler}\nerrors {thread} {number}\n"), 2)
        };
        match buffer.push(lines.as_bytes(), points, points == 2) {
            Pushed::Accepted => done.accepted += points as u64,
            Pushed::Full => done.full += points as u64,
            Pushed::Closed => panic!("nobody closes the buffer"),
        }
    }
    done
}

struct RaceResult {
    done: Done,
    counts: LedgerCounts,
    buffer: BufferCounts,
    lines: Vec<String>,
}

/// Lets eight threads push. One more thread drains once at most `draining_from` of them are left,
/// and one takes snapshots.
fn race(buffer: &Buffer, rounds: usize, filler: &str, draining_from: usize) -> RaceResult {
    let ledger = Ledger::default();
    let pushing = AtomicUsize::new(8);
    let most = 8 * rounds as u64 * 2;
    let (done, mut chunks) = thread::scope(|scope| {
        let pushers: Vec<_> = (0..8)
            .map(|thread| {
                let pushing = &pushing;
                scope.spawn(move || {
                    let done = push_all(buffer, thread, rounds, filler);
                    pushing.fetch_sub(1, Ordering::SeqCst);
                    done
                })
            })
            .collect();
        scope.spawn(|| {
            let mut last = 0;
            while pushing.load(Ordering::SeqCst) > 0 {
                let (counts, buffer_counts) = buffer.snapshot(&ledger);
                assert_balanced(&counts, &buffer_counts);
                assert!((last..=most).contains(&buffer_counts.accepted));
                last = buffer_counts.accepted;
                thread::yield_now();
            }
        });
        let drainer = scope.spawn(|| {
            let mut chunks = Vec::new();
            while pushing.load(Ordering::SeqCst) > 0 {
                if pushing.load(Ordering::SeqCst) <= draining_from {
                    let points = buffer.drain(&ledger, &mut chunks);
                    // Half of the points are written at once, so that the other side of the ledger
                    // changes as well.
                    ledger.lock().write(crate::stats::ledger::PointLocation::Memory, points / 2);
                }
                thread::yield_now();
            }
            chunks
        });
        let done = pushers.into_iter().map(|pusher| pusher.join().expect("pushing does not panic"));
        let done = done.fold(Done::default(), |sum, done| Done {
            accepted: sum.accepted + done.accepted,
            full: sum.full + done.full,
        });
        (done, drainer.join().expect("draining does not panic"))
    });
    buffer.drain(&ledger, &mut chunks);
    let (counts, buffer_counts) = buffer.snapshot(&ledger);
    assert_balanced(&counts, &buffer_counts);
    assert_eq!(buffer_counts.buffered, 0);
    assert_eq!(buffer.running_requests(), 0);
    assert_eq!(buffer.sealed_bytes(), 0);
    assert_eq!((buffer_counts.accepted, buffer_counts.refused_full), (done.accepted, done.full));
    for chunk in &chunks {
        assert_pairs_are_together(chunk);
    }
    RaceResult { done, counts, buffer: buffer_counts, lines: lines(&chunks) }
}

/// Asserts that the error's line follows the request's in the same chunk.
fn assert_pairs_are_together(chunk: &Chunk) {
    let lines = lines(&[Chunk { bytes: chunk.bytes.clone(), points: chunk.points }]);
    for (number, line) in lines.iter().enumerate() {
        let words: Vec<_> = line.split(' ').take(3).collect();
        if words[0] == "requests" {
            let name = words[2].trim_end_matches('x');
            assert_eq!(lines.get(number + 1), Some(&format!("errors {} {name}", words[1])));
        }
    }
}

fn assert_no_line_twice(lines: &[String]) {
    let mut seen = HashMap::new();
    for line in lines {
        assert_eq!(seen.insert(line, ()), None, "twice: {line:.40}");
    }
}

#[test]
fn every_line_is_drained_once_and_every_snapshot_balances() {
    let buffer = Buffer::with_shards(4, PLENTY, Overflow::DropOldest);
    let outcome = race(&buffer, 12_000, "", 8);
    assert_eq!((outcome.done.full, outcome.buffer.dropped), (0, 0));
    assert_eq!(outcome.lines.len() as u64, outcome.done.accepted);
    assert_eq!(outcome.counts.in_flight + outcome.counts.written, outcome.done.accepted);
    assert_no_line_twice(&outcome.lines);
}

#[test]
fn when_the_oldest_are_dropped_drained_and_dropped_points_add_up() {
    let buffer = Buffer::with_shards(4, 4 * CHUNK_SIZE, Overflow::DropOldest);
    let outcome = race(&buffer, 1_500, &"x".repeat(3_000), 4);
    assert_eq!(outcome.done.full, 0);
    assert!(outcome.buffer.dropped > 0, "four threads alone push more than the bound");
    assert_eq!(outcome.lines.len() as u64 + outcome.buffer.dropped, outcome.done.accepted);
    assert_no_line_twice(&outcome.lines);
}

#[test]
fn when_the_newest_are_refused_all_accepted_points_are_drained() {
    let buffer = Buffer::with_shards(4, 4 * CHUNK_SIZE, Overflow::DropNewest);
    let outcome = race(&buffer, 1_500, &"x".repeat(3_000), 4);
    assert!(outcome.done.full > 0, "four threads alone push more than the bound");
    assert_eq!(outcome.buffer.dropped, 0);
    assert_eq!(outcome.lines.len() as u64, outcome.done.accepted);
    assert_no_line_twice(&outcome.lines);
}

#[test]
fn closing_is_final_while_threads_push() {
    let (buffer, ledger) = (Buffer::with_shards(4, PLENTY, Overflow::DropOldest), Ledger::default());
    let accepted = || buffer.snapshot(&ledger).1.accepted;
    // Refused a hundred times: shards are closed one after the other, so a thread may still reach
    // an open one.
    let push_until_closed = || {
        let (mut pushed, mut refused) = (0, 0);
        while refused < 100 {
            match push(&buffer, 10) {
                Pushed::Accepted => pushed += 1,
                _ => refused += 1,
            }
        }
        pushed
    };
    let (at_close, pushed) = thread::scope(|scope| {
        let pushers: Vec<_> = (0..8).map(|_| scope.spawn(push_until_closed)).collect();
        while accepted() < 10_000 {
            thread::yield_now();
        }
        buffer.close();
        let at_close = accepted();
        (at_close, pushers.into_iter().map(|pusher| pusher.join().expect("no panic")).sum::<u64>())
    });
    assert_eq!(accepted(), at_close, "something was accepted after `close` had returned");
    assert_eq!(accepted(), pushed);
}

#[test]
fn a_thread_takes_the_next_shard_while_its_own_is_held() {
    let (buffer, ledger) = (Buffer::with_shards(2, PLENTY, Overflow::DropOldest), Ledger::default());
    let own = buffer.shards.place(0).shard.lock();
    // This would deadlock if a push insisted on its own shard.
    assert_eq!(push(&buffer, 10), Pushed::Accepted);
    drop(own);
    assert_eq!(drained(&buffer, &ledger).len(), 1);
}
