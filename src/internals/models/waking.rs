//! The waits of the flusher. A lost wake-up leaves the model in a deadlock, which loom reports.

use loom::{future::block_on, sync::Arc, thread};

use crate::{delivery::buffer::Buffer, settings::Overflow, stats::ledger::Ledger, sync::shard::take_shard};

/// Two threads push one point each, to two shards. The flusher waits and drains until it has both.
pub(super) fn no_first_point_is_overlooked() {
    let (buffer, ledger) =
        (Arc::new(Buffer::with_shards(2, usize::MAX, Overflow::DropOldest)), Ledger::default());
    for number in 0..2 {
        let buffer = Arc::clone(&buffer);
        thread::spawn(move || {
            take_shard(number);
            let _ = buffer.push(b"a\n", 1, false);
        });
    }
    let mut points = 0;
    while points < 2 {
        block_on(buffer.wait_for_points());
        let drained = buffer.drain(&ledger, &mut Vec::new());
        assert!(drained > 0, "woken without points");
        points += drained;
    }
}

/// Two threads seal one chunk each. The flusher waits for both.
pub(super) fn no_full_buffer_is_overlooked() {
    let buffer = Arc::new(Buffer::with_shards(2, usize::MAX, Overflow::DropOldest));
    for number in 0..2 {
        let buffer = Arc::clone(&buffer);
        thread::spawn(move || {
            take_shard(number);
            let _ = buffer.push(&[b'\n'; CHUNK], CHUNK, false);
            let _ = buffer.push(b"\n", 1, false);
        });
    }
    block_on(buffer.wait_until_full(2 * CHUNK));
    assert_eq!(buffer.sealed_bytes(), 2 * CHUNK);
}

const CHUNK: usize = 64 * 1024;
