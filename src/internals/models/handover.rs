//! Points between the shards and the ledger, and the counters of requests.

use loom::{sync::Arc, thread};

use crate::{
    delivery::buffer::{Buffer, BufferCounts, Pushed},
    settings::Overflow,
    stats::ledger::{Ledger, LedgerCounts},
    sync::shard::take_shard,
};

const PLENTY: usize = usize::MAX;
/// As long as a chunk, so the next push to the shard seals it.
static LONG: [u8; 64 * 1024] = {
    let mut line = [b'x'; 64 * 1024];
    line[64 * 1024 - 1] = b'\n';
    line
};

/// Two threads push to two shards, one drains, and one takes a snapshot.
pub(super) fn every_snapshot_balances() {
    let (buffer, ledger) = (Arc::new(Buffer::with_shards(2, PLENTY, Overflow::DropOldest)), Arc::default());
    let pusher = push_in_a_thread(&buffer, 1, b"a 1\nb 1\n", 1);
    let drainer = drain_in_a_thread(&buffer, &ledger);
    assert_eq!(buffer.push(b"a 0\nb 0\n", 2, false), Pushed::Accepted);
    assert_balanced(buffer.snapshot(&ledger));
    pusher.join().expect("pushing does not panic");
    let mut lines = drainer.join().expect("draining does not panic");
    lines.extend(drain(&buffer, &ledger));
    lines.sort();
    assert_eq!(lines, ["a 0", "a 1", "b 0", "b 1"]);
    assert_balanced(buffer.snapshot(&ledger));
}

/// The same with a bound of zero: each sealed chunk is dropped.
pub(super) fn every_snapshot_balances_while_points_are_dropped() {
    let (buffer, ledger) = (Arc::new(Buffer::with_shards(2, 0, Overflow::DropOldest)), Arc::default());
    let pusher = push_in_a_thread(&buffer, 1, &LONG, 2);
    let drainer = drain_in_a_thread(&buffer, &ledger);
    assert_balanced(buffer.snapshot(&ledger));
    pusher.join().expect("pushing does not panic");
    drainer.join().expect("draining does not panic");
    drain(&buffer, &ledger);
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_balanced((counts, buffered));
    assert_eq!((buffered.accepted, buffered.buffered, buffer.sealed_bytes()), (2, 0, 0));
}

/// Points accepted while the buffer is being closed can be drained afterwards, and none comes
/// later.
pub(super) fn closing_is_final() {
    let (buffer, ledger) = (Arc::new(Buffer::with_shards(2, PLENTY, Overflow::DropOldest)), Arc::default());
    let pushers: Vec<_> = (0..2)
        .map(|number| {
            let buffer = Arc::clone(&buffer);
            thread::spawn(move || {
                take_shard(number);
                let pushed = buffer.push(b"a\n", 1, false);
                usize::from(pushed == Pushed::Accepted)
            })
        })
        .collect();
    buffer.close();
    let drained = drain(&buffer, &ledger).len();
    let accepted: usize =
        pushers.into_iter().map(|pusher| pusher.join().expect("pushing does not panic")).sum();
    assert_eq!(drained, accepted);
    assert_eq!(buffer.snapshot(&ledger).1.buffered, 0);
}

/// A request starts on one thread and ends on another, while a third one counts.
pub(super) fn running_requests_are_never_too_few() {
    let buffer = Arc::new(Buffer::with_shards(2, PLENTY, Overflow::DropOldest));
    // A second request runs all the time, so that a count that is too low would be zero.
    buffer.request_started();
    let starter = {
        let buffer = Arc::clone(&buffer);
        thread::spawn(move || {
            buffer.request_started();
            let ender = Arc::clone(&buffer);
            let ender = thread::spawn(move || {
                take_shard(1);
                ender.request_ended();
            });
            ender.join().expect("ending does not panic");
        })
    };
    assert!((1..=2).contains(&buffer.running_requests()));
    starter.join().expect("starting does not panic");
    assert_eq!(buffer.running_requests(), 1);
}

fn push_in_a_thread(
    buffer: &Arc<Buffer>,
    number: usize,
    lines: &'static [u8],
    times: usize,
) -> thread::JoinHandle<()> {
    let buffer = Arc::clone(buffer);
    thread::spawn(move || {
        take_shard(number);
        let points = lines.iter().filter(|byte| **byte == b'\n').count();
        for _ in 0..times {
            assert_eq!(buffer.push(lines, points, false), Pushed::Accepted);
        }
    })
}

fn drain_in_a_thread(buffer: &Arc<Buffer>, ledger: &Arc<Ledger>) -> thread::JoinHandle<Vec<String>> {
    let (buffer, ledger) = (Arc::clone(buffer), Arc::clone(ledger));
    thread::spawn(move || drain(&buffer, &ledger))
}

pub(super) fn drain(buffer: &Buffer, ledger: &Ledger) -> Vec<String> {
    let mut chunks = Vec::new();
    buffer.drain(ledger, &mut chunks);
    let text = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
    let text = String::from_utf8(text).expect("the models push text");
    text.lines().map(str::to_owned).collect()
}

pub(super) fn assert_balanced((counts, buffer): (LedgerCounts, BufferCounts)) {
    assert_eq!(buffer.offered, buffer.accepted + buffer.refused_full + buffer.refused_closed);
    assert_eq!(buffer.accepted, buffer.buffered + buffer.dropped + counts.in_flight);
}
