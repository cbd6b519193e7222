//! Tests where each result is counted, and what is logged about it.

use std::time::{Duration, SystemTime};

use tokio::sync::oneshot;

use super::*;
use crate::{
    delivery::{
        buffer::Buffer,
        flusher::{
            destination::{Destination, SinkHandle},
            pending::{History, PendingBatch},
            report::FlushReport,
        },
        sink::none::NoSink,
    },
    settings::Overflow,
    stats::{Blocked, RecorderCounters, Stats},
    test_log::logged,
};

/// Returns the counters, with a destination that does nothing.
fn accounting() -> Accounting {
    let destination = Destination { sink: SinkHandle(Arc::new(NoSink)), spool: None, rejected: None };
    let shared = Shared::new(
        Arc::new(Buffer::new(1 << 20, Overflow::DropNewest)),
        Arc::default(),
        Arc::new(RecorderCounters::default()),
        &destination,
        Duration::from_secs(1),
    );
    Accounting::new(Arc::new(shared), None)
}

/// Returns a batch of this many lines, which the ledger counts as in flight.
fn pending(accounting: &Accounting, sequence: u64, lines: usize) -> PendingBatch {
    let batch = batch("x v=1 1\n", lines).with_sequence(sequence);
    accounting.shared.ledger.lock().take_off(lines);
    PendingBatch::live(batch, History::new(Instant::now(), Duration::ZERO))
}

fn batch(line: &str, lines: usize) -> Batch {
    Batch::new(line.repeat(lines).into(), lines, 1, SystemTime::UNIX_EPOCH)
}

fn stats(accounting: &Accounting) -> Stats {
    accounting.shared.stats()
}

#[test]
fn a_flush_reports_its_batches_and_no_later_ones() {
    let mut accounting = accounting();
    let (reply, mut answer) = oneshot::channel();
    accounting.flushes.push(Some(2), reply);
    for sequence in [1, 2, 3] {
        let batches = [2, 3, 5, 7].map(|lines| pending(&accounting, sequence, lines));
        let lines = batch("x v=1 1\n", 3);
        accounting.written(&batches[0], 2);
        accounting.reject(&batches[1], &lines, RejectReason::Retention, "");
        accounting.drop_points(&batches[2], 5, DropReason::Expired);
        accounting.spooled(&batches[3]);
    }
    accounting.flushes.answer_all();
    let report = FlushReport { written: 4, rejected: 6, dropped: 10, spooled: 14, waiting: 0 };
    assert_eq!(answer.try_recv(), Ok(report));
    let ledger = stats(&accounting).ledger;
    assert_eq!((ledger.written, ledger.in_flight), (6, 21), "the spool itself counts what is spooled");
    assert_eq!(ledger.rejected.into_iter().collect::<Vec<_>>(), [(RejectReason::Retention, 9)]);
    assert_eq!(ledger.dropped.into_iter().collect::<Vec<_>>(), [(DropReason::Expired, 15)]);
}

#[tokio::test(start_paused = true)]
async fn writes_add_up_in_the_statistics() {
    let accounting = accounting();
    let since = Instant::now();
    tokio::time::advance(Duration::from_secs(3)).await;
    let sent = Instant::now();
    tokio::time::advance(Duration::from_secs(1)).await;
    for (bytes, wire) in [(100, 10), (50, 5)] {
        accounting.write_succeeded(bytes, Written::new(wire), sent, since);
    }
    let refused = || WriteError::refused("no").with_status(400).with_reported_dropped(2);
    for error in [refused(), refused(), WriteError::blocked(Blocked::Target, "gone").with_status(404)] {
        accounting.write_failed(&error);
    }
    accounting.resent(4);
    accounting.resent(5);
    for reason in [RejectReason::FieldType, RejectReason::Limit, RejectReason::FieldType] {
        accounting.stripped(reason, 3);
    }
    let delivery = stats(&accounting).delivery;
    assert_eq!((delivery.raw_bytes, delivery.wire_bytes, delivery.resent), (150, 15, 9));
    let writes = &delivery.writes;
    assert_eq!((writes.written, writes.refused, writes.blocked_target, writes.total()), (2, 2, 1, 5));
    assert_eq!(writes.by_status.clone().into_iter().collect::<Vec<_>>(), [(400, 2), (404, 1)]);
    assert_eq!((delivery.last_error.as_deref(), delivery.server_reported_dropped), (Some("gone"), 4));
    assert_eq!(
        delivery.stripped.into_iter().collect::<Vec<_>>(),
        [(RejectReason::FieldType, 6), (RejectReason::Limit, 3)]
    );
    for (times, expected) in [(delivery.write_time, 1), (delivery.queue_time, 4)] {
        assert_eq!((times.count(), times.max()), (2, Duration::from_secs(expected)));
    }
    accounting.set_last_error("the disk is full".to_owned());
    assert_eq!(stats(&accounting).delivery.last_error.as_deref(), Some("the disk is full"));
}

#[test]
fn points_that_a_panic_lost_are_dropped_as_internal() {
    let mut accounting = accounting();
    let kept = pending(&accounting, 1, 3);
    drop(pending(&accounting, 2, 4));
    assert_eq!(points_in_memory([BatchRef::from(&kept)].into_iter()), 3);
    for (lost, restarts) in [(4, 1), (0, 2)] {
        assert_eq!(accounting.drop_missing(kept.points()), lost);
        let stats = stats(&accounting);
        assert_eq!((stats.delivery.restarts, stats.ledger.in_flight), (restarts, 3));
        assert_eq!(stats.ledger.dropped.get(&DropReason::Internal), Some(&4));
    }
}

/// The message tells the reason and where to look. It never contains text from clients.
#[test]
fn the_log_contains_the_measurement_of_rejected_points_and_no_values() {
    for (line, measurement) in [
        ("requests,user=ann v=1 1", "requests"),
        ("requests v=1 1", "requests"),
        (r"a\,b\ c,user=ann v=1 1", r"a\,b\ c"),
        (r"a\\,user=ann v=1 1", r"a\\"),
        (r"a\\\,b,user=ann v=1 1", r"a\\\,b"),
        (r"a\b\ c v=1 1", r"a\b\ c"),
        ("ä,user=ann v=1 1", "ä"),
        ("requests", "requests"),
    ] {
        let mut accounting = accounting();
        let pending = pending(&accounting, 1, 2);
        let lines = batch(&format!("{line}\n"), 2);
        let log = logged(|| accounting.reject(&pending, &lines, RejectReason::Retention, "ann said"));
        let fields = format!("points=2 measurement={measurement:?} reason=retention others=0\n");
        assert!(log.ends_with(&fields) && log.contains("WARN") && !log.contains("ann"), "{log}");
    }
}

#[test]
fn each_reason_of_a_loss_is_logged_with_a_remedy() {
    for (reason, remedy) in [
        (DropReason::BufferFull, "raise `buffer_size`"),
        (DropReason::Expired, "`max_retry_time`; check the server"),
        (DropReason::Shutdown, "or more time"),
        (DropReason::SpoolFull, "raise its `max_size` or `max_files`"),
        (DropReason::SpoolExpired, "`max_age`; check the server"),
        (DropReason::SpoolCorrupt, "see what else writes to its directory"),
        (DropReason::Internal, "please report it"),
    ] {
        let mut accounting = accounting();
        let pending = pending(&accounting, 1, 2);
        let log = logged(|| accounting.drop_points(&pending, 2, reason));
        let said = log.contains(remedy) && log.contains(&format!("points=2 reason={reason} others=0"));
        assert!(said && log.contains("WARN"), "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn losses_are_logged_once_a_minute_and_counted_between() {
    let mut accounting = accounting();
    let log = |accounting: &mut Accounting| {
        let pending = pending(accounting, 1, 1);
        logged(|| accounting.drop_points(&pending, 1, DropReason::Expired))
    };
    assert!(log(&mut accounting).contains("others=0"));
    tokio::time::advance(Duration::from_millis(59_999)).await;
    assert_eq!((log(&mut accounting), log(&mut accounting)), Default::default());
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(log(&mut accounting).contains("others=2"));
    assert_eq!(log(&mut accounting), "");
    // The end of a process logs its losses, even just after another message.
    accounting.log_next_drop();
    assert!(log(&mut accounting).contains("others=0"));
}
