//! Tests a batch in each of its forms, and its history.

use std::time::SystemTime;

use super::*;
use crate::{settings::SpoolSettings, stats::ledger::Ledger};

fn lines(lines: usize) -> Batch {
    Batch::new("requests v=1 1\n".repeat(lines).into(), lines, 7, SystemTime::UNIX_EPOCH)
}

fn history() -> History {
    History::new(Instant::now(), Duration::from_secs(3))
}

/// Returns what it counts for in the memory limit: in total, what is held twice, and what is added
/// when it is sent.
fn memory(pending: &PendingBatch) -> (usize, usize, usize) {
    let own = size_of::<PendingBatch>();
    (pending.memory() - own, pending.decompressed(), pending.bytes_to_decompress())
}

#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
#[test]
fn a_batch_is_the_same_in_each_form_and_counts_for_what_it_holds() {
    let batch = lines(1_000);
    let bytes = batch.bytes().len();
    let mut pending = PendingBatch::live(batch.clone(), history());
    let same = |pending: &PendingBatch| {
        assert_eq!((pending.points(), pending.raw_bytes(), pending.sequence()), (1_000, bytes, 7));
    };
    same(&pending);
    assert_eq!((memory(&pending), pending.is_plain()), ((bytes, 0, 0), true));
    pending.shrink();
    assert!(pending.is_plain(), "there is no other form yet");

    let compressed = CompressedBatch::new(&batch).expect("it gets smaller");
    let packed = compressed.memory();
    assert!((16..bytes / 2).contains(&packed), "{packed}");
    pending.compress(compressed);
    same(&pending);
    assert_eq!((memory(&pending), pending.is_plain()), ((packed, 0, bytes), false));

    assert_eq!(pending.batch().expect("unpacks").bytes(), batch.bytes());
    same(&pending);
    assert_eq!((memory(&pending), pending.is_plain()), ((bytes + packed, bytes, 0), false));
    pending.shrink();
    assert_eq!(memory(&pending), (packed, 0, bytes));
}

#[test]
fn pieces_are_cut_at_lines_and_keep_the_history_of_the_batch() {
    let batch = Batch::from_lines(["a", "bb", "cc", "longer than a piece", "d"]).expect("lines");
    let mut history = history();
    history.failures = 4;
    let pending = PendingBatch::part(batch.clone(), Origin::Memory, history, false);
    let pieces = pending.split(&batch, 5);
    let texts = pieces.iter().map(|piece| match &piece.body {
        Body::Plain(batch) => String::from_utf8_lossy(batch.bytes()).into_owned(),
        other => panic!("{other:?}"),
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["a\nbb\n", "cc\n", "longer than a piece\n", "d\n"]);
    assert!(pieces.iter().all(|piece| piece.history.failures == 4 && !piece.live));
}

#[test]
fn a_batch_is_suspect_only_after_a_success_of_another_between_two_failures() {
    let of = |writes, probes| Successes { writes, probes };
    for (successes, beside_successes, beside_probes) in [
        (vec![of(9, 9)], 0, 0),
        (vec![of(5, 5), of(5, 5)], 0, 0),
        (vec![of(5, 5), of(6, 5)], 1, 0),
        (vec![of(5, 5), of(5, 6)], 0, 1),
        (vec![of(0, 0), of(3, 0), of(3, 1), of(4, 1)], 2, 1),
    ] {
        let mut history = history();
        for seen in &successes {
            history.fail(*seen);
        }
        let beside = (history.beside_successes, history.beside_probes);
        assert_eq!(beside, (beside_successes, beside_probes), "{successes:?}");
        assert_eq!(history.failures, successes.len() as u32);
        assert_eq!(history.is_suspect(), beside != (0, 0), "{successes:?}");
    }
}

#[test]
fn a_piece_has_no_failures_but_keeps_its_attempts_and_its_age() {
    for tried in [false, true] {
        let mut history = history();
        let since = history.since;
        history.tried = tried;
        history.fail(Successes::default());
        history.fail(Successes { writes: 1, probes: 1 });
        history.break_off(1);
        (history.timeouts, history.faults, history.resent_as_it_was) = (2, 2, true);
        history.acquit();
        let expected = History { tried, ..History::new(since, Duration::from_secs(3)) };
        assert_eq!(format!("{history:?}"), format!("{expected:?}"));
    }
}

#[test]
fn a_large_body_is_the_cause_after_three_broken_connections_in_a_row() {
    for (bytes, is_large) in [(LARGE_BODY - 1, false), (LARGE_BODY, true)] {
        let mut history = history();
        let blamed = [(); 4].map(|()| history.break_off(bytes));
        assert_eq!(blamed, [false, false, is_large, is_large], "{bytes}");
    }
}

#[tokio::test]
async fn stored_points_belong_to_the_target_of_their_spool_and_return_only_as_a_whole() {
    let directory = tempfile::tempdir().expect("a directory");
    let (settings, ledger) = (SpoolSettings::new(directory.path()), Arc::new(Ledger::default()));
    let spool = Arc::new(Spool::open(&settings, "here", Arc::clone(&ledger)).expect("opens"));
    let batch = lines(2);
    ledger.lock().take_off(2);
    let entry = spool.store_taken(&batch).await.expect("stores");
    let pending = PendingBatch::from_spool(batch.clone(), Backing { spool, entry }, history());
    assert!(pending.is_whole() && pending.origin.is_for("here") && !pending.origin.is_for("elsewhere"));
    assert_eq!((pending.origin.location(), pending.live), (PointLocation::Spool, false));
    assert!(pending.split(&batch, 1).iter().all(|piece| !piece.is_whole()));
    // A batch that is only in memory has no spool to return to, and may go to any destination.
    let pending = PendingBatch::live(batch, history());
    assert!(!pending.is_whole() && pending.origin.is_for("elsewhere") && pending.live);
    assert_eq!(pending.origin.location(), PointLocation::Memory);
}
