//! The buffer in a single thread: ledger, bound, order, recycling. Closing, races and wake-ups have
//! files of their own.
//! their own files.

use std::collections::BTreeMap;

use super::{
    chunk::{CHUNK_SIZE, POOL_CHUNKS},
    shards::BufferShard,
    *,
};

mod closing;
mod races;
mod waking;

const PLENTY: usize = usize::MAX;

/// Returns a line of exactly `length` bytes with its line break.
fn line(length: usize) -> Vec<u8> {
    let mut line = vec![b'x'; length - 1];
    line.push(b'\n');
    line
}

fn push(buffer: &Buffer, length: usize) -> Pushed {
    buffer.push(&line(length), 1, false)
}

fn drained(buffer: &Buffer, ledger: &Ledger) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    buffer.drain(ledger, &mut chunks);
    chunks
}

fn lines(chunks: &[Chunk]) -> Vec<String> {
    let text: Vec<_> = chunks.iter().flat_map(|chunk| chunk.bytes.iter().copied()).collect();
    String::from_utf8(text).expect("the tests push text").lines().map(str::to_owned).collect()
}

fn assert_counts(counts: &BufferCounts, accepted: u64, buffered: u64, dropped: u64) {
    assert_eq!((counts.accepted, counts.buffered, counts.dropped), (accepted, buffered, dropped));
    assert_eq!(counts.offered, accepted + counts.invalid + counts.refused_full + counts.refused_closed);
}

fn assert_balanced(counts: &LedgerCounts, buffer: &BufferCounts) {
    assert_eq!(
        buffer.offered,
        buffer.accepted + buffer.invalid + buffer.refused_full + buffer.refused_closed
    );
    assert_eq!(buffer.accepted, buffer.buffered + buffer.dropped + counts.in_flight + counts.written);
}

#[test]
fn lines_come_back_as_they_were_pushed_and_the_ledger_follows() {
    let (buffer, ledger) = (Buffer::with_shards(1, PLENTY, Overflow::DropOldest), Ledger::default());
    assert!(drained(&buffer, &ledger).is_empty());
    assert_eq!(buffer.push(b"one\ntwo\n", 2, true), Pushed::Accepted);
    assert_eq!(buffer.push(b"three\n", 1, false), Pushed::Accepted);
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_eq!(counts.in_flight, 0);
    assert_counts(&buffered, 3, 3, 0);
    assert_eq!(buffer.buffered_bytes(), 14);

    let mut chunks = vec![Chunk { bytes: b"of before\n".to_vec(), points: 1 }];
    assert_eq!(buffer.drain(&ledger, &mut chunks), 3);
    assert_eq!(lines(&chunks), ["of before", "one", "two", "three"]);
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_eq!(counts.in_flight, 3);
    assert_counts(&buffered, 3, 0, 0);
    assert_eq!(buffer.buffered_bytes(), 0);
}

#[test]
fn nothing_is_allocated_before_the_first_push_nor_kept_open_after_a_drain() {
    let (buffer, ledger) = (Buffer::new(PLENTY, Overflow::DropOldest), Ledger::default());
    let open = |buffer: &Buffer| -> usize {
        buffer.shards.locked().map(|mut shard| shard.open(Vec::new()).capacity()).sum()
    };
    assert_eq!(open(&buffer), 0);
    assert_eq!(push(&buffer, 10), Pushed::Accepted);
    assert_eq!(drained(&buffer, &ledger)[0].bytes.capacity(), CHUNK_SIZE);
    assert_eq!(open(&buffer), 0);
    if cfg!(target_pointer_width = "64") {
        assert_eq!(size_of::<Padded<BufferShard>>(), 128);
    }
}

#[test]
fn chunks_are_sealed_when_full_and_hold_whole_pushes() {
    let (buffer, ledger) = (Buffer::with_shards(1, PLENTY, Overflow::DropOldest), Ledger::default());
    let pair = [line(20_000), line(11_000)].concat();
    for _ in 0..10 {
        assert_eq!(buffer.push(&pair, 2, true), Pushed::Accepted);
    }
    assert_eq!(buffer.sealed_bytes(), 4 * CHUNK_SIZE);
    assert_eq!(buffer.buffered_bytes(), 4 * CHUNK_SIZE + 2 * pair.len());
    let chunks = drained(&buffer, &ledger);
    assert_eq!(chunks.len(), 5);
    for chunk in &chunks {
        assert_eq!((chunk.points, chunk.bytes.len()), (4, 2 * pair.len()));
    }
    assert_eq!(buffer.sealed_bytes(), 0);
}

#[test]
fn a_record_longer_than_a_chunk_has_its_own() {
    let (buffer, ledger) = (Buffer::with_shards(1, PLENTY, Overflow::DropOldest), Ledger::default());
    let long = [line(CHUNK_SIZE), line(CHUNK_SIZE)].concat();
    assert_eq!(push(&buffer, 100), Pushed::Accepted);
    assert_eq!(buffer.push(&long, 2, true), Pushed::Accepted);
    assert_eq!(push(&buffer, 100), Pushed::Accepted);
    let chunks = drained(&buffer, &ledger);
    assert_eq!(chunks.iter().map(|chunk| chunk.points).collect::<Vec<_>>(), [1, 2, 1]);
    assert_eq!(chunks[1].bytes, long);
    // A record of exactly the size of a chunk fits into one.
    assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    assert_eq!(drained(&buffer, &ledger)[0].bytes.capacity(), CHUNK_SIZE);
}

#[test]
fn the_oldest_points_are_dropped_when_memory_is_full() {
    let limit = 3 * CHUNK_SIZE;
    let (buffer, ledger) = (Buffer::with_shards(1, limit, Overflow::DropOldest), Ledger::default());
    for number in 0..10 {
        let numbered = format!("{number}{}\n", "x".repeat(CHUNK_SIZE - 2));
        assert_eq!(buffer.push(numbered.as_bytes(), 1, false), Pushed::Accepted);
        assert!(buffer.sealed_bytes() <= limit);
    }
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 10, 4, 6);
    assert_balanced(&counts, &buffered);
    let first: String = lines(&drained(&buffer, &ledger)).iter().map(|line| &line[..1]).collect();
    assert_eq!(first, "6789");
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_balanced(&counts, &buffered);
}

#[test]
fn a_shard_without_a_sealed_chunk_drops_the_one_being_sealed() {
    let (buffer, ledger) = (Buffer::with_shards(1, 10, Overflow::DropOldest), Ledger::default());
    for _ in 0..5 {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
        assert_eq!(buffer.sealed_bytes(), 0);
    }
    let (_, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 5, 1, 4);
}

#[test]
fn a_long_record_drops_as_many_chunks_as_it_needs() {
    let limit = 4 * CHUNK_SIZE;
    let (buffer, ledger) = (Buffer::with_shards(1, limit, Overflow::DropOldest), Ledger::default());
    for _ in 0..5 {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    assert_eq!(push(&buffer, 3 * CHUNK_SIZE), Pushed::Accepted);
    assert_eq!(push(&buffer, 1), Pushed::Accepted);
    assert_eq!(buffer.sealed_bytes(), limit);
    let (_, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 7, 3, 4);
}

#[test]
fn the_newest_points_are_refused_when_memory_is_full() {
    let limit = 2 * CHUNK_SIZE;
    let (buffer, ledger) = (Buffer::with_shards(1, limit, Overflow::DropNewest), Ledger::default());
    for _ in 0..3 {
        assert_eq!(push(&buffer, CHUNK_SIZE - 10), Pushed::Accepted);
    }
    assert_eq!(push(&buffer, 11), Pushed::Full);
    assert_eq!(push(&buffer, 10), Pushed::Accepted, "there was still room in the open chunk");
    assert_eq!(buffer.sealed_bytes(), limit);
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 4, 4, 0);
    assert_balanced(&counts, &buffered);
    drained(&buffer, &ledger);
    assert_eq!(push(&buffer, 11), Pushed::Accepted);
}

#[test]
fn memory_of_the_flusher_counts_towards_the_limit() {
    let limit = 4 * CHUNK_SIZE;
    for overflow in [Overflow::DropNewest, Overflow::DropOldest] {
        let (buffer, ledger) = (Buffer::with_shards(1, limit, overflow), Ledger::default());
        let fill = || (0..10).filter(|_| push(&buffer, CHUNK_SIZE) == Pushed::Accepted).count();
        fill();
        assert_eq!(buffer.sealed_bytes(), limit);
        let chunks = drained(&buffer, &ledger);
        assert_eq!(chunks.len(), 5);
        // The open chunk did not count towards the limit, and there may be one again.
        fill();
        assert_eq!(buffer.sealed_bytes(), 0, "a drain leaves no room for as much again");
        assert_eq!(buffer.snapshot(&ledger).1.bytes, 6 * CHUNK_SIZE);
        buffer.set_flusher_bytes(2 * CHUNK_SIZE);
        fill();
        assert_eq!(buffer.sealed_bytes(), 2 * CHUNK_SIZE);
        assert_eq!(buffer.snapshot(&ledger).1.bytes, 5 * CHUNK_SIZE);
    }
}

#[test]
fn the_limit_can_be_changed_while_running() {
    let (buffer, ledger) = (Buffer::with_shards(1, 2 * CHUNK_SIZE, Overflow::DropNewest), Ledger::default());
    while push(&buffer, CHUNK_SIZE) == Pushed::Accepted {}
    buffer.set_limit(5 * CHUNK_SIZE, Overflow::DropNewest);
    while push(&buffer, CHUNK_SIZE) == Pushed::Accepted {}
    assert_eq!(buffer.sealed_bytes(), 5 * CHUNK_SIZE);
    // A lower limit applies from the next sealed chunk on.
    buffer.set_limit(CHUNK_SIZE, Overflow::DropOldest);
    assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    assert_eq!(buffer.sealed_bytes(), CHUNK_SIZE);
    let (counts, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 7, 2, 5);
    assert_balanced(&counts, &buffered);
}

#[test]
fn invalid_points_are_offered_and_invalid_whichever_thread_refuses_them() {
    let (buffer, ledger) = (Buffer::with_shards(4, PLENTY, Overflow::DropOldest), Ledger::default());
    for _ in 0..8 {
        thread::scope(|scope| _ = scope.spawn(|| (0..3).for_each(|_| buffer.refuse_invalid())));
    }
    assert_eq!(push(&buffer, 10), Pushed::Accepted);
    let counts = buffer.snapshot(&ledger).1;
    assert_eq!((counts.offered, counts.invalid), (25, 24));
    assert_counts(&counts, 1, 1, 0);
}

/// The memory reserved for open chunks must suffice for any number of cores.
#[test]
fn open_chunks_take_no_more_than_the_reserved_memory() {
    for count in [1, 2, 32] {
        let buffer = Buffer::with_shards(count, PLENTY, Overflow::DropOldest);
        let mut sizes = Vec::new();
        for mut shard in buffer.shards.locked() {
            assert_eq!(buffer.make_room(&mut shard, 10), Some(false));
            shard.append(&line(10), 1);
            sizes.extend(shard.open_size());
        }
        assert_eq!((sizes.len(), sizes.iter().sum()), (count, buffer.most_open_bytes()));
        assert!(sizes.iter().all(|size| *size == buffer.chunk_bytes()));
    }
}

#[test]
fn running_requests_are_those_that_started_and_did_not_end() {
    let buffer = Buffer::with_shards(8, 0, Overflow::DropNewest);
    assert_eq!(buffer.running_requests(), 0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| (0..100).for_each(|_| buffer.request_started()));
        }
    });
    assert_eq!(buffer.running_requests(), 800);
    // All requests end on this thread: recorded, refused or not recorded.
    (0..400).for_each(|_| buffer.request_ended());
    for _ in 0..400 {
        let _ = buffer.push(&line(CHUNK_SIZE), 1, true);
    }
    assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Full);
    assert_eq!(buffer.running_requests(), 0);
}

#[test]
fn requests_counted_elsewhere_run_from_their_start_to_their_end() {
    for (ended, started, running) in [(2, 0, 2), (2, 3, 5), (0, 3, 7), (8, 3, 0)] {
        let buffer = Buffer::with_shards(1, PLENTY, Overflow::DropOldest);
        buffer.counted_elsewhere.set(move || ended, move || started);
        (0..5).for_each(|_| buffer.request_started());
        buffer.request_ended();
        assert_eq!(buffer.running_requests(), running);
    }
}

#[test]
fn recycled_chunks_are_used_again_and_bounded() {
    let (buffer, ledger) = (Buffer::with_shards(1, PLENTY, Overflow::DropOldest), Ledger::default());
    for _ in 0..3 * POOL_CHUNKS {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    assert_eq!(push(&buffer, CHUNK_SIZE + 1), Pushed::Accepted);
    let chunks = drained(&buffer, &ledger);
    let memory: BTreeMap<_, _> = chunks.iter().map(|chunk| (chunk.bytes.as_ptr(), chunk.size())).collect();
    chunks.into_iter().for_each(|chunk| buffer.recycle(chunk));
    assert_eq!(buffer.pool.len(), POOL_CHUNKS);
    for _ in 0..POOL_CHUNKS {
        assert_eq!(push(&buffer, CHUNK_SIZE), Pushed::Accepted);
    }
    for chunk in drained(&buffer, &ledger) {
        assert_eq!(memory.get(&chunk.bytes.as_ptr()), Some(&CHUNK_SIZE), "fresh memory despite a full pool");
        assert_eq!(chunk.bytes.len(), CHUNK_SIZE, "a recycled chunk was not empty");
    }
    assert_eq!(buffer.pool.len(), 0);
}

#[test]
fn a_lock_is_still_used_after_a_panic() {
    let (buffer, ledger) = (Buffer::with_shards(1, PLENTY, Overflow::DropOldest), Ledger::default());
    let panicked = thread::scope(|scope| {
        scope
            .spawn(|| {
                let _shard = buffer.shards.lock_own();
                panic!("on purpose");
            })
            .join()
    });
    assert!(panicked.is_err());
    buffer.request_started();
    assert_eq!(buffer.push(b"a\n", 1, true), Pushed::Accepted);
    assert_eq!(buffer.running_requests(), 0);
    assert_eq!(lines(&drained(&buffer, &ledger)), ["a"]);
}

#[test]
fn shards_are_a_power_of_two_and_at_most_32() {
    for (cores, shards) in [(0, 1), (1, 1), (2, 2), (3, 4), (12, 16), (32, 32), (33, 32), (1000, 32)] {
        assert_eq!(Buffer::with_shards(cores, 0, Overflow::DropOldest).shards.count(), shards);
    }
}
