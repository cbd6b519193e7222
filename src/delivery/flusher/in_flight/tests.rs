//! Tests what is counted for each kind of work, and that no batch is lost with its work.

use std::{
    future::{pending as forever, ready},
    time::SystemTime,
};

use super::*;
use crate::{delivery::flusher::pending::History, settings::SpoolSettings, stats::ledger::Ledger};

const LINE: &str = "requests v=1 1\n";

fn batch(sequence: u64) -> Batch {
    Batch::new(LINE.into(), 1, sequence, SystemTime::UNIX_EPOCH)
}

fn live(sequence: u64) -> PendingBatch {
    PendingBatch::live(batch(sequence), History::new(Instant::now(), Duration::ZERO))
}

fn sent() -> Sent {
    Sent { at: Instant::now(), epoch: 0 }
}

fn store(sequence: u64) -> Job {
    Job::Store { pending: live(sequence) }
}

fn ended(result: JobResult) -> Work {
    Box::pin(ready(result))
}

fn sequences<'a>(jobs: impl IntoIterator<Item = &'a Job>) -> Vec<u64> {
    jobs.into_iter().filter_map(Job::batch).map(BatchRef::sequence).collect()
}

/// Returns a batch that also has a file in a spool.
async fn from_spool(root: &std::path::Path) -> PendingBatch {
    let (settings, ledger) = (SpoolSettings::new(root), Arc::new(Ledger::default()));
    let spool = Arc::new(Spool::open(&settings, "test", Arc::clone(&ledger)).expect("opens"));
    ledger.lock().take_off(1);
    let entry = spool.store_taken(&batch(1)).await.expect("stores");
    PendingBatch::from_spool(batch(1), Backing { spool, entry }, History::new(Instant::now(), Duration::ZERO))
}

#[tokio::test]
async fn each_kind_of_work_counts_for_the_resources_that_it_uses() {
    let directory = tempfile::tempdir().expect("a directory");
    let bytes = live(1).memory();
    let mut failed = live(1);
    failed.history.beside_successes = 1;
    assert!(failed.history.is_suspect());
    let search = Box::new(Search::failing_batch(&batch(1), &live(1)));
    let searched = BatchRef::Search(&search).memory();
    let spooled = from_spool(directory.path()).await;
    let none = InFlightCounts::default();
    let write = InFlightCounts { sends: 1, bytes, ..none };
    for (job, memory, counts) in [
        (Job::Write { pending: live(1), sent: sent() }, bytes, write),
        (Job::Write { pending: failed, sent: sent() }, bytes, InFlightCounts { suspect: true, ..write }),
        (
            Job::Write { pending: spooled, sent: sent() },
            bytes,
            InFlightCounts { spooled_write: true, ..write },
        ),
        (
            Job::Search { search, sent: sent() },
            searched,
            InFlightCounts { bytes: searched, suspect: true, ..write },
        ),
        (Job::Probe { sent: sent() }, 0, InFlightCounts { sends: 1, probing: true, ..none }),
        (store(1), bytes, InFlightCounts { stores: 1, ..none }),
        (Job::Compress { pending: live(1) }, bytes, none),
        (Job::Load { bytes: 77 }, 77, InFlightCounts { loading: true, ..none }),
        (Job::Acknowledge, 0, none),
        (Job::Maintain { retired: false }, 0, InFlightCounts { maintaining: true, ..none }),
    ] {
        let mut in_flight = InFlight::default();
        let case = format!("{job:?}");
        in_flight.start(job, ended(JobResult::Done));
        assert_eq!((in_flight.counts(), in_flight.memory()), (counts, memory), "{case}");
        // Counts of several jobs are added up.
        in_flight.start(Job::Write { pending: live(2), sent: sent() }, ended(JobResult::Done));
        let both = InFlightCounts { sends: counts.sends + 1, bytes: counts.bytes + bytes, ..counts };
        assert_eq!((in_flight.counts(), in_flight.memory()), (both, memory + bytes), "{case}");
    }
}

/// A second job of a kind keeps nothing busy that the first did not.
#[tokio::test]
async fn two_jobs_of_a_kind_use_the_same_resources_as_one() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    let mut in_flight = InFlight::default();
    for directory in &directories {
        let pending = from_spool(directory.path()).await;
        let search = Box::new(Search::failing_batch(&batch(1), &live(1)));
        for job in [
            Job::Write { pending, sent: sent() },
            Job::Search { search, sent: sent() },
            Job::Probe { sent: sent() },
            Job::Load { bytes: 1 },
            Job::Maintain { retired: false },
        ] {
            in_flight.start(job, ended(JobResult::Done));
        }
        let InFlightCounts { probing, loading, maintaining, suspect, spooled_write, .. } = in_flight.counts();
        assert_eq!([probing, loading, maintaining, suspect, spooled_write], [true; 5]);
    }
}

#[tokio::test]
async fn a_finished_job_is_returned_once_with_its_batch_and_the_others_stay() {
    let mut in_flight = InFlight::default();
    in_flight.start(store(1), Box::pin(forever()));
    in_flight.start(store(2), ended(JobResult::Done));
    in_flight.start(store(3), ended(JobResult::Compressed(None)));
    let EndedJob { job, result, former: false } = in_flight.next().await else { panic!("no reload") };
    assert!(matches!((sequences([&job]).as_slice(), result), ([2], JobResult::Done)));
    let EndedJob { job, result, former: false } = in_flight.next().await else { panic!("no reload") };
    assert!(matches!((sequences([&job]).as_slice(), result), ([3], JobResult::Compressed(None))));
    // Waiting without a result loses nothing.
    assert!(tokio::time::timeout(Duration::ZERO, in_flight.next()).await.is_err());
    assert_eq!(sequences(in_flight.jobs()), [1]);
    assert_eq!(in_flight.batches().count(), 1);
    assert!(!in_flight.is_empty());
}

#[tokio::test]
async fn a_panic_ends_the_work_and_returns_its_batch() {
    let mut in_flight = InFlight::default();
    in_flight.start(store(1), Box::pin(async { panic!("on purpose") }));
    in_flight.start(store(2), ended(JobResult::Done));
    let EndedJob { job, result, former: false } = in_flight.next().await else { panic!("no reload") };
    assert!(matches!((sequences([&job]).as_slice(), result), ([1], JobResult::Panicked)));
    assert_eq!(sequences([&in_flight.next().await.job]), [2]);
    assert!(in_flight.is_empty());
}

#[test]
fn cancelled_work_is_dropped_and_its_batches_are_handed_back() {
    let mut in_flight = InFlight::default();
    let alive = Arc::new(());
    for sequence in 1..=4 {
        let held = Arc::clone(&alive);
        in_flight.start(
            store(sequence),
            Box::pin(async move {
                let _held = held;
                forever().await
            }),
        );
    }
    let even = |job: &Job| job.batch().is_some_and(|batch| batch.sequence() % 2 == 0);
    assert_eq!(sequences(&in_flight.cancel(even)), [2, 4]);
    assert_eq!((sequences(in_flight.jobs()), Arc::strong_count(&alive)), (vec![1, 3], 3));
    assert_eq!(sequences(&in_flight.cancel(|_| true)), [1, 3]);
    assert!(in_flight.is_empty());
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[tokio::test(start_paused = true)]
async fn a_sink_without_an_answer_in_time_counts_as_unanswered() {
    let patience = Duration::from_secs(30);
    let started = Instant::now();
    let error = within::<()>(patience, forever()).await.expect_err("no answer");
    assert_eq!((error.kind, started.elapsed()), (WriteErrorKind::Timeout, patience));
    within(patience, ready(Ok(()))).await.expect("an answer in time");
}

#[cfg(any(feature = "influxdb2", feature = "reqwest"))]
#[test]
fn memory_is_reserved_for_one_uncompressed_body() {
    let lines = Batch::new(LINE.repeat(1_000).into(), 1_000, 1, SystemTime::UNIX_EPOCH);
    let mut pending = PendingBatch::live(lines.clone(), History::new(Instant::now(), Duration::ZERO));
    pending.shrink();
    pending.compress(CompressedBatch::new(&lines).expect("it gets smaller"));
    assert!(pending.batch().is_some(), "decompressed to be sent");
    let twice = pending.decompressed();
    let mut in_flight = InFlight::default();
    in_flight.start(Job::Write { pending, sent: sent() }, ended(JobResult::Done));
    assert_eq!((in_flight.decompressed(usize::MAX), in_flight.decompressed(10)), (twice, twice.min(10)));
    assert!(twice > 10, "{twice}");
}
