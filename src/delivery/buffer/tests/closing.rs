//! Closing of a buffer, and of those that receive copies of its lines.

use super::*;

#[test]
fn a_closed_buffer_accepts_nothing_and_keeps_its_points() {
    let (buffer, ledger) = (Buffer::new(PLENTY, Overflow::DropOldest), Ledger::default());
    assert_eq!(push(&buffer, 10), Pushed::Accepted);
    buffer.close();
    buffer.close();
    buffer.request_started();
    assert_eq!(buffer.push(b"late\n", 1, true), Pushed::Closed);
    assert_eq!(buffer.running_requests(), 0);
    assert_eq!(lines(&drained(&buffer, &ledger)), ["xxxxxxxxx"]);
    let (_, buffered) = buffer.snapshot(&ledger);
    assert_counts(&buffered, 1, 0, 0);
}

/// An open body records itself. The last push may depend on what it has recorded.
#[test]
fn closing_records_open_entries_then_the_last_points_and_then_nothing() {
    struct RecordsItself(Weak<Buffer>);
    impl Open for RecordsItself {
        fn end(&self) {
            let buffer = self.0.upgrade().expect("is closed while it lives");
            assert_eq!(buffer.push(b"unfinished\n", 1, true), Pushed::Accepted);
        }
    }
    let buffer = Buffer::with_shards(1, PLENTY, Overflow::DropOldest)
        .before_close(|buffer| assert_eq!(buffer.push(b"last\n", 1, false), Pushed::Accepted));
    let (buffer, ledger) = (Arc::new(buffer), Ledger::default());
    let open = |_| Arc::new(RecordsItself(Arc::downgrade(&buffer)));
    let [early, late] = [0, 1].map(open);
    buffer.request_started();
    buffer.add_open(Arc::downgrade(&early) as Weak<dyn Open>);
    buffer.end_open();
    assert_eq!(
        (lines(&drained(&buffer, &ledger)), buffer.is_closed()),
        (vec!["unfinished".to_owned()], false)
    );
    buffer.request_started();
    buffer.add_open(Arc::downgrade(&late) as Weak<dyn Open>);
    buffer.close();
    assert_eq!((push(&buffer, 10), buffer.running_requests()), (Pushed::Closed, 0));
    assert_eq!(lines(&drained(&buffer, &ledger)), ["unfinished", "last"]);
}

#[test]
fn copies_have_their_own_bounds_and_counts_and_end_with_the_original() {
    let small = Arc::new(Buffer::with_shards(1, 2 * CHUNK_SIZE, Overflow::DropNewest));
    let large = Arc::new(Buffer::with_shards(4, PLENTY, Overflow::DropOldest));
    let buffer = Buffer::with_shards(2, 0, Overflow::DropOldest);
    let buffer = buffer.copy_to(vec![Arc::clone(&small), Arc::clone(&large)]);
    let (ledger, of_small, of_large) = (Ledger::default(), Ledger::default(), Ledger::default());
    let line = line(1_000);
    for _ in 0..1_000 {
        assert_eq!(buffer.push(&line, 1, true), Pushed::Accepted, "the oldest go");
    }
    let counts = buffer.snapshot(&ledger).1;
    assert_eq!((counts.accepted, counts.buffered + counts.dropped), (1_000, 1_000));
    assert!(counts.dropped > 0, "{counts:?}");
    let counts = small.snapshot(&of_small).1;
    assert_eq!((counts.offered, counts.accepted + counts.refused_full), (1_000, 1_000));
    assert!(counts.refused_full > 0 && counts.dropped == 0, "{counts:?}");
    assert_counts(&large.snapshot(&of_large).1, 1_000, 1_000, 0);
    assert_eq!((buffer.running_requests(), large.running_requests()), (0, 0));

    assert!(!buffer.is_closed_everywhere());
    buffer.close();
    assert!(buffer.is_closed_everywhere() && !large.is_closed());
    assert_eq!(buffer.push(&line, 1, false), Pushed::Closed);
    assert_eq!(
        large.snapshot(&of_large).1.offered,
        1_000,
        "the original takes nothing, so a copy gets nothing"
    );
}
