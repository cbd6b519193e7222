//! Tests how a search continues after a failure, with plain values.

use std::time::{Duration, SystemTime};

use super::*;
use crate::{
    delivery::{
        batch::Batch,
        buffer::Pushed,
        flusher::tests::support::{drained, idle_worker},
    },
    settings::Overflow,
    stats::Blocked,
};

/// Delivers lines of this size in a search. The server answers with this error unless a body has at
/// most two lines, and no other batch succeeds meanwhile. Returns how many lines were written after
/// many requests, and whether the search continued at once after a failure.
fn written(bytes: usize, error: &WriteError) -> (usize, bool) {
    let lines = 16;
    let line = format!("x v=\"{}\" 1\n", "y".repeat(bytes));
    let batch = Batch::new(line.repeat(lines).into(), lines, 1, SystemTime::UNIX_EPOCH);
    let pending = PendingBatch::live(batch.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::failing_batch(&batch, &pending);
    let mut cache = RefusalCache::new(true);
    let (mut written, mut goes_on) = (0, false);
    for _ in 0..100 {
        let Some(piece) = search.next(&mut cache) else { break };
        if piece.len() > 2 {
            let others = Successes::default();
            goes_on = search_failed(&mut search, error, false, others, &mut cache);
        } else {
            written += search.accepted(&mut cache).points;
        }
    }
    assert_eq!(search.remaining_points(), lines - written);
    (written, goes_on)
}

#[test]
fn a_piece_is_divided_when_its_size_or_its_lines_may_be_the_cause() {
    let gateway = WriteError::transient("gateway").with_status(504);
    for (error, small, large) in [
        (WriteError::refused("400"), 16, 16),
        (WriteError::too_large("413"), 16, 16),
        (WriteError::timeout("no answer"), 16, 16),
        (gateway, 16, 16),
        // A small body does not break a connection.
        (WriteError::broken("reset"), 0, 16),
        // The server is at fault, as long as nothing else is written.
        (WriteError::transient("500"), 0, 0),
        (WriteError::throttled(None, "429"), 0, 0),
        (WriteError::blocked(Blocked::Authorization, "401"), 0, 0),
    ] {
        let known = matches!(error.kind, WriteErrorKind::Refused(_) | WriteErrorKind::TooLarge);
        assert_eq!(written(10, &error), (small, known), "{error}");
        assert_eq!(written(30_000, &error), (large, known), "{error}");
    }
}

/// It is retried, since others may succeed meanwhile.
#[test]
fn a_single_line_without_an_answer_waits_behind_the_others() {
    let batch = Batch::new("x v=1 1\nx v=2 2\n".into(), 2, 1, SystemTime::UNIX_EPOCH);
    let pending = PendingBatch::live(batch.clone(), History::new(Instant::now(), Duration::ZERO));
    let (mut search, mut cache) = (Search::failing_batch(&batch, &pending), RefusalCache::new(true));
    for writes in 0..50 {
        let line = search.next(&mut cache).expect("both stay");
        assert_eq!(line.bytes(), ["x v=1 1\n", "x v=2 2\n"][writes as usize % 2].as_bytes());
        let error = WriteError::timeout("no answer");
        search_failed(&mut search, &error, true, Successes { writes, probes: 0 }, &mut cache);
    }
    assert!(search.take_rejected().is_empty());
}

/// The rate of answers is what the destination takes only while more could be sent.
#[tokio::test(start_paused = true)]
async fn writes_in_flight_grow_while_a_batch_worth_waits_in_the_buffer() {
    for (waits, limit) in [(false, 4), (true, 5)] {
        let mut worker = idle_worker(1 << 24, Overflow::DropNewest, None);
        let sent = Sent { at: Instant::now(), epoch: 0 };
        for _ in 0..3 {
            let pending = drained(&worker, 1);
            worker.in_flight.start(Job::Write { pending, sent }, Box::pin(std::future::pending()));
        }
        let full = worker.scheduler.body_bounds(&worker.conditions()).1;
        while waits && worker.shared.buffer.sealed_bytes() < full {
            assert_eq!(worker.shared.buffer.push(b"x v=1 1\n", 1, false), Pushed::Accepted);
        }
        let pending = drained(&worker, 1);
        let written = JobResult::Written(Ok(Written::new(1)));
        worker.handle_ended(EndedJob { job: Job::Write { pending, sent }, result: written, former: false });
        assert_eq!(worker.scheduler.pace.write_limit(&worker.conditions()), limit, "{waits}");
    }
}
