//! Tests lines that the server never accepts, through the whole flusher.

use std::{collections::BTreeSet, time::Duration};

use proptest::prelude::*;

use super::support::{Answer, Rig, line, lines, text};
use crate::{
    delivery::{
        batch::Batch,
        sink::{Hint, Refused, WriteError, WriteErrorKind},
    },
    settings::SpoolMode,
    stats::{DeliveryState, RejectReason},
};

/// The outcome of the good lines in a batch with a bad one.
#[derive(Clone, Copy, Debug, PartialEq)]
enum ServerKind {
    /// 2.x and 3.x refuse the whole batch.
    RefusesWhole,
    /// 1.x writes the rest, reports that, and quotes the bad line.
    WritesTheRest,
    /// 2.x quotes the lines that it has not written.
    QuotesAndRefusesWhole,
}

fn server(bad: BTreeSet<String>, kind: ServerKind) -> impl FnMut(&Batch) -> Answer + Send + 'static {
    move |batch| {
        let (bad, good): (BTreeSet<String>, _) = text(batch).into_iter().partition(|line| bad.contains(line));
        if bad.is_empty() {
            return Answer::Now(Ok(()));
        }
        let quotes = bad.iter().map(|line| line.trim_end().to_owned()).collect();
        let refused = Refused {
            reason: RejectReason::Malformed,
            hint: if kind == ServerKind::RefusesWhole { Hint::Unknown } else { Hint::Quoted(quotes) },
            ..Refused::default()
        };
        let stored = if kind == ServerKind::WritesTheRest { good } else { BTreeSet::new() };
        Answer::Partly(stored, WriteError::new(WriteErrorKind::Refused(refused), "400 Bad Request"))
    }
}

async fn deliver(lines_of_batch: usize, bad: &[usize], kind: ServerKind) -> Rig {
    let bad: BTreeSet<String> = bad.iter().copied().map(line).collect();
    let rig = Rig::start(server(bad.clone(), kind));
    rig.push(0..lines_of_batch);
    let report = rig.flusher.flush().await.expect("runs");
    let (good, bad_count) = ((lines_of_batch - bad.len()) as u64, bad.len() as u64);
    assert_eq!((report.written, report.rejected, report.waiting), (good, bad_count, 0));
    rig.assert_ledger(good, bad_count, 0);
    assert_eq!(rig.sink.stored(), lines(0..lines_of_batch).difference(&bad).cloned().collect());
    rig
}

#[tokio::test(start_paused = true)]
async fn exactly_the_bad_line_is_lost_wherever_it_is() {
    for kind in [ServerKind::RefusesWhole, ServerKind::WritesTheRest, ServerKind::QuotesAndRefusesWhole] {
        let most = if kind == ServerKind::RefusesWhole { 24 } else { 3 };
        for place in (0..1000).step_by(111) {
            let rig = deliver(1000, &[place], kind).await;
            assert!(rig.sink.requests() <= most, "{kind:?}: {} requests", rig.sink.requests());
            assert_eq!(rig.flusher.stats().ledger.rejected.get(&RejectReason::Malformed), Some(&1));
            assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Healthy, "the server is well");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn none_two_ten_or_all_lines_are_bad() {
    for kind in [ServerKind::RefusesWhole, ServerKind::WritesTheRest] {
        assert_eq!(deliver(1000, &[], kind).await.sink.requests(), 1);
        deliver(1000, &[0, 999], kind).await;
        let ten: Vec<usize> = (0..10).map(|number| number * 487 + 13).collect();
        let rig = deliver(5000, &ten, kind).await;
        assert!(rig.sink.requests() <= 220, "{} requests", rig.sink.requests());
        let all: Vec<usize> = (0..1000).collect();
        let rig = deliver(1000, &all, kind).await;
        assert!(rig.sink.requests() <= 50, "{} requests", rig.sink.requests());
    }
    assert_eq!(deliver(1, &[0], ServerKind::RefusesWhole).await.sink.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn fresh_batches_are_sent_between_the_requests_of_a_search() {
    let rig = Rig::with(|settings| settings.batch_size = 100, None, {
        let mut bad = server([line(50)].into(), ServerKind::RefusesWhole);
        move |batch: &Batch| match bad(batch) {
            Answer::Now(result) => Answer::After(Duration::from_millis(100), result),
            other => other,
        }
    });
    rig.push(0..600);
    rig.flusher.flush().await.expect("runs");
    let sizes = rig.sink.sizes();
    let last_whole = sizes.iter().rposition(|size| *size == 100).expect("whole batches were sent");
    assert!(sizes[..last_whole].iter().any(|size| *size < 100), "the search waits for all others: {sizes:?}");
    let between = sizes.windows(2).all(|pair| pair[0] == 100 || pair[1] == 100 || sizes.len() > 12);
    assert!(between, "others wait for the search: {sizes:?}");
    rig.assert_ledger(599, 1, 0);
}

#[tokio::test(start_paused = true)]
async fn an_outage_in_the_middle_of_a_search_loses_nothing() {
    let mut count = 0;
    let mut bad = server([line(333)].into(), ServerKind::RefusesWhole);
    let rig = Rig::start(move |batch: &Batch| {
        count += 1;
        if (5..40).contains(&count) { Answer::Now(Err(WriteError::transient("reset"))) } else { bad(batch) }
    });
    rig.push(0..1000);
    assert!(rig.flusher.flush().await.expect("runs").waiting > 0);
    tokio::time::sleep(Duration::from_secs(3000)).await;
    rig.assert_ledger(999, 1, 0);
}

/// 1.x receives two types of a new field in one batch. It writes nothing at the first attempt, and
/// the rest at the second.
#[tokio::test(start_paused = true)]
async fn a_type_conflict_inside_a_batch_is_first_sent_again_unchanged() {
    let mut first = true;
    let mut then = server([line(7)].into(), ServerKind::WritesTheRest);
    let rig = Rig::start(move |batch: &Batch| {
        if std::mem::take(&mut first) {
            let refused =
                Refused { resend_first: true, reason: RejectReason::FieldType, ..Refused::default() };
            return Answer::Now(Err(WriteError::new(
                WriteErrorKind::Refused(refused),
                "field type conflict",
            )));
        }
        then(batch)
    });
    rig.push(0..100);
    rig.flusher.flush().await.expect("runs");
    assert_eq!(rig.sink.sizes()[..2], [100, 100]);
    rig.assert_ledger(99, 1, 0);
}

/// 2.x answers 500 to some bodies: permanently, although the status does not say so.
#[tokio::test(start_paused = true)]
async fn a_batch_that_always_fails_neither_blocks_others_nor_stays_forever() {
    let bad = line(17);
    let rig = Rig::start(move |batch: &Batch| match text(batch).contains(&bad) {
        true => Err(WriteError::transient("500 Internal Server Error")),
        false => Ok(()),
    });
    rig.push(0..64);
    for second in 0..600 {
        rig.push(1000 + second..1001 + second);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let ledger = rig.flusher.stats().ledger;
    assert_eq!((ledger.written, ledger.rejected_total()), (63 + 600 - ledger.in_flight - ledger.buffered, 1));
    assert!(rig.sink.requests() < 800, "{} requests", rig.sink.requests());
    rig.end().await;
    rig.assert_ledger(663, 1, 0);
}

#[tokio::test(start_paused = true)]
async fn a_failing_batch_alone_is_divided_and_its_good_lines_are_stored() {
    let bad = line(17);
    let rig = Rig::start(move |batch: &Batch| match text(batch).contains(&bad) {
        true => Err(WriteError::transient("500 Internal Server Error")),
        false => Ok(()),
    });
    rig.push(0..64);
    tokio::time::sleep(Duration::from_secs(1800)).await;
    assert_eq!(rig.sink.stored().len(), 63);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let stats = rig.flusher.stats();
    assert_eq!(stats.ledger.in_flight, 0, "{stats}");
    assert_eq!(stats.ledger.written, 63, "{stats}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_split_and_the_limit_is_remembered() {
    let rig = Rig::start(|batch: &Batch| match batch.bytes().len() > 20_000 {
        true => Err(WriteError::too_large("413 Request Entity Too Large")),
        false => Ok(()),
    });
    rig.push(0..2000);
    rig.flusher.flush().await.expect("runs");
    rig.assert_ledger(2000, 0, 0);
    let refused = |rig: &Rig| rig.sink.bytes().iter().filter(|bytes| **bytes > 20_000).count();
    let tries = refused(&rig);
    assert!(tries <= 8, "{tries} bodies were too large");
    rig.push(2000..4000);
    rig.flusher.flush().await.expect("runs");
    assert_eq!(refused(&rig), tries, "it has not learned");
    rig.assert_ledger(4000, 0, 0);
    assert!(rig.sink.requests() < 60, "pieces are no smaller than need be: {:?}", rig.sink.sizes());
}

#[tokio::test(start_paused = true)]
async fn a_single_line_that_is_too_large_is_rejected() {
    let rig = Rig::start(|batch: &Batch| match batch.bytes().len() > 2_000 {
        true => Err(WriteError::too_large("413 Request Entity Too Large")),
        false => Ok(()),
    });
    rig.push(0..10);
    let long = format!("requests v=\"{}\" 1\n", "x".repeat(3_000));
    assert_eq!(rig.buffer.push(long.as_bytes(), 1, false), crate::delivery::buffer::Pushed::Accepted);
    rig.push(10..20);
    rig.flusher.flush().await.expect("runs");
    rig.assert_ledger(20, 1, 0);
    assert_eq!(rig.flusher.stats().ledger.rejected.get(&RejectReason::TooLarge), Some(&1));
}

#[tokio::test(start_paused = true)]
async fn poison_from_the_spool_is_found_too() {
    for mode in [SpoolMode::OnFailure, SpoolMode::Ahead] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut down = true;
        let mut bad = server([line(33)].into(), ServerKind::RefusesWhole);
        let rig = Rig::with(
            |_| {},
            Some((directory.path(), mode)),
            move |batch: &Batch| {
                if std::mem::take(&mut down) {
                    Answer::Now(Err(WriteError::transient("reset")))
                } else {
                    bad(batch)
                }
            },
        );
        rig.push(0..100);
        let report = rig.flusher.flush().await.expect("runs");
        assert_eq!(report.spooled, 100, "{mode:?}: {report}");
        tokio::time::sleep(Duration::from_secs(60)).await;
        rig.assert_ledger(99, 1, 0);
        assert_eq!(rig.flusher.stats().spool.map(|spool| spool.files), Some(0));
    }
}

#[tokio::test(start_paused = true)]
async fn refused_lines_are_saved_with_the_servers_answer() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_owned();
    let rig = Rig::with(
        move |settings| settings.rejected_directory = Some(path),
        None,
        server([line(3), line(30)].into(), ServerKind::RefusesWhole),
    );
    rig.push(0..100);
    let report = rig.flusher.shutdown(Duration::from_secs(5)).await;
    assert_eq!((report.written, report.rejected), (98, 2));
    let files = std::fs::read_dir(directory.path()).expect("lists").flatten();
    let files = files.filter(|file| file.path().is_file());
    let text: String = files.map(|file| std::fs::read_to_string(file.path()).expect("reads")).collect();
    assert_eq!(text.lines().filter(|line| !line.starts_with('#')).count(), 2, "{text}");
    assert!(
        text.contains(&line(3)) && text.contains(&line(30)) && text.contains("400 Bad Request"),
        "{text}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn exactly_the_bad_lines_are_lost_on_any_server(
        count in 1..300_usize,
        bad in prop::collection::btree_set(0..300_usize, 0..6),
        kind in prop::sample::select(vec![ServerKind::RefusesWhole, ServerKind::WritesTheRest, ServerKind::QuotesAndRefusesWhole]),
    ) {
        let bad: BTreeSet<usize> = bad.into_iter().map(|number| number % count).collect();
        let bad: Vec<usize> = bad.into_iter().collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("builds").block_on(deliver(count, &bad, kind));
    }
}

#[tokio::test(start_paused = true)]
async fn lines_that_the_server_reports_as_dropped_are_counted() {
    let mut failures = 2;
    let rig = Rig::start(move |_: &Batch| {
        if failures == 0 {
            return Ok(());
        }
        failures -= 1;
        let mut error = WriteError::transient("partial write");
        error.reported_dropped = 3;
        Err(error)
    });
    rig.push(0..5);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let stats = rig.flusher.stats();
    assert_eq!((stats.delivery.server_reported_dropped, stats.ledger.written), (6, 5), "{stats}");
}
