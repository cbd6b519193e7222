//! Tests what a reload changes in a worker, which is not run.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use super::support::{Script, batch_of, drained, idle_worker};
use crate::{
    delivery::{
        flusher::{
            batch_ref::BatchRef,
            bisect::Search,
            closing::{Closing, Situation},
            command::Command,
            destination::{Destination, SinkHandle},
            in_flight::{EndedJob, InFlightCounts, Job, JobResult, Sent},
            pending::{Backing, History, Origin, PendingBatch},
            queue::Next,
            successes::Successes,
            worker::Worker,
        },
        sink::{Refused, WriteError},
        spool::{Spool, StoreError},
    },
    settings::{Overflow, Settings, SpoolSettings},
};

fn reload_worker(worker: &mut Worker, name: &'static str, spool: Arc<Spool>) {
    let sink = SinkHandle(Script::named(name, |_| Ok(())));
    let destination = Destination { sink, spool: Some(spool), rejected: None };
    let (done, _) = tokio::sync::oneshot::channel();
    let settings = (&Settings::new("test")).into();
    worker.handle_command(Command::Reload { destination, settings, done });
}

#[tokio::test(start_paused = true)]
async fn jobs_of_a_former_destination_that_hang_occupy_nothing_of_the_next_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut worker = idle_worker(1 << 20, Overflow::DropOldest, Some(directory.path()));
    let sent = Sent { at: Instant::now(), epoch: 0 };
    let search = Search::failing_batch(&batch_of(1), &drained(&worker, 1));
    let jobs = [
        Job::Write { pending: drained(&worker, 1), sent },
        Job::Search { search: Box::new(search), sent },
        Job::Probe { sent },
        Job::Store { pending: drained(&worker, 1) },
        Job::Load { bytes: 1 },
        Job::Maintain { retired: false },
    ];
    for job in jobs {
        worker.in_flight.start(job, Box::pin(std::future::pending()));
    }
    let ledger = Arc::clone(&worker.shared.ledger);
    let spool = Spool::open(&SpoolSettings::new(directory.path().join("next")), "next", ledger);
    reload_worker(&mut worker, "next", Arc::new(spool.expect("opens")));
    let counts = worker.in_flight.counts();
    let expected = InFlightCounts {
        bytes: counts.bytes,
        former_sends: 3,
        maintaining_retired: true,
        ..InFlightCounts::default()
    };
    assert_eq!(counts, expected);
    assert!(counts.bytes > 0);
    worker.maintain_spools();
    assert!(worker.in_flight.counts().maintaining, "the next spool is maintained");
    let pending = drained(&worker, 1);
    worker.feeder.push(pending);
    worker.start_stores();
    assert_eq!(worker.in_flight.counts().stores, 1, "and stores");
}

/// Wherever a batch waits, and whatever is known of it.
#[tokio::test(start_paused = true)]
async fn what_waits_during_a_reload_starts_anew() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut worker = idle_worker(1 << 20, Overflow::DropOldest, Some(directory.path()));
    let failed = |worker: &Worker, lines| {
        let mut pending = drained(worker, lines);
        pending.history.fail(Successes::default());
        pending.history.fail(Successes { writes: 1, probes: 1 });
        (pending.history.timeouts, pending.history.breaks) = (1, 1);
        assert!(pending.history.is_suspect());
        pending
    };
    let batches = [1, 2, 3, 4, 5].map(|lines| failed(&worker, lines));
    let [fresh, waiting, loaded, refused, failing] = batches;
    let cache = &mut worker.scheduler.cache;
    let queue = &mut worker.scheduler.queue;
    queue.searches.push_back(Search::refused_batch(&batch_of(4), &refused, &Refused::default(), cache));
    queue.searches.push_back(Search::failing_batch(&batch_of(5), &failing));
    queue.fresh.push_back(fresh);
    queue.waiting.push_back(waiting);
    queue.loaded.push_back(loaded);
    let spool = Arc::clone(worker.feeder.spool().expect("there is one"));
    reload_worker(&mut worker, "nowhere", spool);
    // Two more fail only then.
    let sent = Sent { at: Instant::now(), epoch: 0 };
    let (written, searched) = (failed(&worker, 6), failed(&worker, 7));
    let searched = Box::new(Search::failing_batch(&batch_of(7), &searched));
    for job in [Job::Write { pending: written, sent }, Job::Search { search: searched, sent }] {
        let result = JobResult::Written(Err(WriteError::refused("400")));
        worker.handle_ended(EndedJob { job, result, former: true });
    }
    let queue = &worker.scheduler.queue;
    assert!(queue.searches.is_empty() && worker.scheduler.cache.is_empty());
    let mut sizes: Vec<_> = queue.all().map(BatchRef::points).collect();
    sizes.sort_unstable();
    assert_eq!(sizes, [1, 2, 3, 4, 5, 6, 7], "each as a whole");
    for batch in queue.all() {
        let History { failures, timeouts, breaks, .. } = *batch.history();
        assert_eq!((failures, timeouts, breaks, batch.history().is_suspect()), (0, 0, 0, false));
    }
}

/// An error of the former disk, or one that lower bounds caused, says nothing about the spool.
#[tokio::test(start_paused = true)]
async fn a_store_that_fails_because_of_a_reload_is_repeated_at_once() {
    let directories = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
    for (reloads, lowers, repeated) in
        [(false, false, false), (true, false, true), (false, true, true), (true, true, true)]
    {
        let mut worker = idle_worker(1 << 20, Overflow::DropOldest, Some(directories[0].path()));
        let used = Arc::clone(worker.feeder.spool().expect("there is one"));
        if reloads {
            let settings = SpoolSettings::new(directories[1].path());
            let next = Spool::open(&settings, "next", Arc::clone(&worker.shared.ledger));
            reload_worker(&mut worker, "next", Arc::new(next.expect("opens")));
        }
        if lowers {
            let mut settings = SpoolSettings::new(directories[0].path());
            settings.max_size = 100;
            used.configure(&settings);
        }
        let pending = drained(&worker, 50);
        let result =
            JobResult::Stored(used, false, Err(StoreError::Io(std::io::Error::from_raw_os_error(27))));
        worker.handle_ended(EndedJob { job: Job::Store { pending }, result, former: reloads });
        let now = Instant::now();
        let context = format!("{reloads}, {lowers}");
        assert_eq!(worker.feeder.is_usable(now), repeated, "{context}");
        assert_eq!(worker.feeder.batches().count(), usize::from(repeated), "{context}");
    }
}

/// A piece of a stored batch cannot be sent any more, and must not keep the shutdown from ending.
#[tokio::test(start_paused = true)]
async fn a_reload_at_the_end_of_a_shutdown_brings_nothing_back() {
    for sends in [true, false] {
        let directory = tempfile::tempdir().expect("a directory");
        let mut worker = idle_worker(1 << 20, Overflow::DropOldest, Some(directory.path()));
        let spool = Arc::clone(worker.feeder.spool().expect("there is one"));
        worker.shared.ledger.lock().take_off(2);
        let entry = spool.store(&batch_of(2)).await.expect("stores");
        let _ = spool.take_oldest();
        let history = History::new(Instant::now(), Duration::ZERO);
        let origin = Origin::Spool(Arc::new(Backing { spool: Arc::clone(&spool), entry }));
        let piece = PendingBatch::part(batch_of(1), origin, history, false);
        worker.feeder.park(Next::Batch(piece), &mut worker.scheduler.queue);
        if !sends {
            let now = Instant::now();
            let mut closing = Closing::new(now, Duration::ZERO, true);
            closing.advance(now, Situation::default());
            closing.recorder_closed(0);
            closing.tick(now);
            closing.advance(now, Situation::default());
            assert!(closing.sends_nothing_more());
            worker.closing = Some(closing);
        }
        reload_worker(&mut worker, "nowhere", spool);
        assert_eq!(worker.scheduler.queue.is_empty(), !sends);
        assert_eq!(worker.advance_closing(), !sends, "the end");
    }
}
