//! Tests the spools of the present and of earlier destinations, which contain batches.

use std::{future::pending, path::Path, time::SystemTime};

use super::*;
use crate::{
    delivery::{
        batch::Batch,
        flusher::{
            bisect::Search,
            in_flight::Job,
            pending::{Backing, History},
        },
    },
    settings::SpoolSettings,
    stats::ledger::Ledger,
};

const HERE: &str = "here";
const THERE: &str = "there";

/// A directory with the spool of each destination.
struct FeederRig {
    ledger: Arc<Ledger>,
    here: Arc<Spool>,
    there: Arc<Spool>,
    _directory: tempfile::TempDir,
}

impl FeederRig {
    async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let ledger = Arc::new(Ledger::default());
        let open = |path: &Path, target| {
            let spool = Spool::open(&SpoolSettings::new(path), target, Arc::clone(&ledger));
            Arc::new(spool.expect("opens"))
        };
        let here = open(&directory.path().join(HERE), HERE);
        let there = open(&directory.path().join(THERE), THERE);
        for spool in [&here, &there] {
            spool.recover_first();
            spool.maintain(true).await;
            assert!(spool.is_done());
        }
        Self { ledger, here, there, _directory: directory }
    }

    async fn store(&self, spool: &Arc<Spool>, lines: usize) {
        self.ledger.lock().take_off(lines);
        spool.store(&batch(lines)).await.expect("stores");
    }

    /// Stores a batch of two lines and takes it, as if it had been loaded.
    async fn loaded(&self, spool: &Arc<Spool>) -> PendingBatch {
        self.store(spool, 2).await;
        let entry = spool.take_oldest().expect("the one stored");
        let backing = Backing { spool: Arc::clone(spool), entry };
        PendingBatch::from_spool(batch(2), backing, history())
    }
}

fn batch(lines: usize) -> Batch {
    Batch::new("x v=1 1\n".repeat(lines).into(), lines, 1, SystemTime::UNIX_EPOCH)
}

fn history() -> History {
    History::new(Instant::now(), Duration::ZERO)
}

fn live() -> PendingBatch {
    PendingBatch::live(batch(1), history())
}

fn names(spools: &[Arc<Spool>]) -> Vec<&str> {
    spools.iter().map(|spool| if spool.is_for(HERE) { HERE } else { THERE }).collect()
}

#[tokio::test]
async fn an_earlier_spool_stays_until_it_is_empty_and_is_reused_unchanged() {
    let rig = FeederRig::new().await;
    let now = Instant::now();
    rig.store(&rig.here, 1).await;
    let mut feeder = SpoolFeeder::new(Some(Arc::clone(&rig.here)), HERE.to_owned());
    assert!(feeder.has_stored());
    feeder.rest(now);
    assert!(!feeder.replace(Some(Arc::clone(&rig.here)), HERE.to_owned(), now), "it is the same");
    assert!(!feeder.is_usable(now), "and its disk rests as before");
    assert!(feeder.replace(Some(Arc::clone(&rig.there)), THERE.to_owned(), now));
    assert!(feeder.is_usable(now), "another disk");
    assert_eq!((names(feeder.retired()), feeder.has_stored()), (vec![HERE], false));
    // Its batches are for this sink again, with or without a spool in the settings.
    assert!(feeder.replace(None, HERE.to_owned(), now));
    let mut in_flight = InFlight::default();
    in_flight.start_with(vec![Arc::clone(&rig.there)], Job::Acknowledge, Box::pin(pending()));
    assert!(!feeder.release_retired(&in_flight), "a job still uses the empty one");
    assert_eq!((names(feeder.retired()), feeder.has_stored()), (vec![HERE, THERE], true));
    assert!(!feeder.is_usable(now) && feeder.release_retired(&InFlight::default()));
    assert_eq!(names(feeder.retired()), [HERE], "the other is empty");
    assert!(feeder.replace(Some(Arc::clone(&rig.here)), HERE.to_owned(), now));
    assert_eq!(names(feeder.retired()), [""; 0]);

    feeder.replace(None, HERE.to_owned(), now);
    let (spool, entry) = feeder.take_stored().expect("it lies there");
    assert!(!feeder.release_retired(&InFlight::default()), "its batch is on its way");
    spool.acknowledge(entry).await;
    assert!(feeder.release_retired(&InFlight::default()) && feeder.retired().is_empty());
    assert!(!feeder.release_retired(&InFlight::default()));
}

#[tokio::test]
async fn batches_are_stored_one_by_one_and_four_at_the_end() {
    let rig = FeederRig::new().await;
    let mut feeder = SpoolFeeder::new(Some(Arc::clone(&rig.here)), HERE.to_owned());
    for (sending_over, stores, starts) in
        [(false, 0, true), (false, 1, false), (true, 1, true), (true, 3, true), (true, 4, false)]
    {
        let in_flight = InFlightCounts { stores, ..InFlightCounts::default() };
        let conditions = Conditions { sending_over, in_flight, ..conditions() };
        feeder.push(live());
        let next = feeder.next_store(&conditions);
        assert_eq!(matches!(next, Some(Store::Start { .. })), starts, "{sending_over} {stores}");
        assert_eq!(feeder.pop().is_some(), !starts);
        assert!(feeder.next_store(&conditions).is_none(), "there is none left");
    }
    // A disk that is not used stores nothing, and no batch is forgotten.
    let now = Instant::now();
    feeder.rest(now);
    for (seconds, starts) in [(0, false), (59, false), (60, true)] {
        feeder.push(live());
        let conditions = Conditions { now: now + Duration::from_secs(seconds), ..conditions() };
        let next = feeder.next_store(&conditions).expect("one");
        assert_eq!(matches!(next, Store::Start { .. }), starts, "after {seconds} seconds");
    }
}

#[tokio::test]
async fn stored_batches_are_loaded_while_they_can_be_sent() {
    let rig = FeederRig::new().await;
    let feeder = SpoolFeeder::new(Some(Arc::clone(&rig.here)), HERE.to_owned());
    let queue = SendQueue::default();
    assert_eq!((feeder.next_load(&conditions(), &queue), feeder.has_stored()), (None, false));
    rig.store(&rig.here, 3).await;
    assert!(feeder.has_stored());
    let bytes = feeder.next_load(&conditions(), &queue).expect("it lies there");
    assert!(bytes >= batch(3).bytes().len(), "{bytes}");
    let loading = InFlightCounts { loading: true, ..InFlightCounts::default() };
    for conditions in [
        Conditions { closing: true, ..conditions() },
        Conditions { in_flight: loading, ..conditions() },
        Conditions { breaker: open(Instant::now()), ..conditions() },
    ] {
        assert_eq!(feeder.next_load(&conditions, &queue), None, "{conditions:?}");
    }
}

#[tokio::test]
async fn a_spool_is_maintained_one_time_at_a_time_and_not_at_the_end() {
    let rig = FeederRig::new().await;
    let feeder = SpoolFeeder::new(Some(Arc::clone(&rig.here)), HERE.to_owned());
    let queue = SendQueue::default();
    assert!(feeder.next_maintenance(&conditions(), &queue).is_some());
    let closing = Conditions { closing: true, ..conditions() };
    assert_eq!(feeder.next_maintenance(&closing, &queue), None);
    let in_flight = InFlightCounts { maintaining: true, ..InFlightCounts::default() };
    assert_eq!(feeder.next_maintenance(&Conditions { in_flight, ..conditions() }, &queue), None);
}

#[tokio::test(start_paused = true)]
async fn a_stored_batch_in_memory_is_as_old_as_its_file() {
    let rig = FeederRig::new().await;
    let loaded = rig.loaded(&rig.here).await;
    let age = SpoolSettings::new("").max_age;
    assert!(!is_expired(BatchRef::Pending(&loaded)));
    tokio::time::advance(age - Duration::from_secs(10)).await;
    assert!(!is_expired(BatchRef::Pending(&loaded)));
    tokio::time::advance(Duration::from_secs(20)).await;
    assert!(is_expired(BatchRef::Pending(&loaded)) && !is_expired(BatchRef::Pending(&live())));
}

#[tokio::test]
async fn batches_for_another_destination_are_set_aside_and_resumed_later() {
    let rig = FeederRig::new().await;
    let mut feeder = SpoolFeeder::new(Some(Arc::clone(&rig.there)), THERE.to_owned());
    let mut queue = SendQueue::default();
    let whole = rig.loaded(&rig.here).await;
    let piece = rig.loaded(&rig.here).await.split(&batch(2), 1).remove(0);
    assert!(rig.here.take_oldest().is_none());
    feeder.park(Next::Batch(whole), &mut queue);
    assert!(rig.here.take_oldest().is_some(), "a whole one leaves the memory");
    assert_eq!(feeder.memory(), 0);
    let memory = piece.memory();
    feeder.park(Next::Batch(piece), &mut queue);
    assert_eq!((feeder.memory(), queue.is_empty()), (memory, true));
    feeder.push(live());
    assert_eq!(feeder.memory(), memory + live().memory());
    feeder.unpark(&mut queue);
    assert!(queue.is_empty(), "it is still for another");
    feeder.replace(None, HERE.to_owned(), Instant::now());
    feeder.unpark(&mut queue);
    assert_eq!((queue.loaded.len(), feeder.memory()), (1, live().memory()));
}

#[tokio::test]
async fn stored_batches_are_not_dropped_when_memory_is_short() {
    let rig = FeederRig::new().await;
    let mut queue = SendQueue::default();
    let loaded = rig.loaded(&rig.here).await;
    queue.searches.push_back(Search::failing_batch(&batch(2), &loaded));
    queue.put_back_front(Next::Batch(loaded));
    assert_eq!((queue.loaded.len(), queue.waiting.len()), (1, 0));
    assert!(!queue.may_evict() && queue.evict().is_none() && queue.evict_search().is_none());
}

#[tokio::test]
async fn a_few_stored_batches_that_failed_stay_in_memory_and_all_pieces_do() {
    let rig = FeederRig::new().await;
    let mut queue = SendQueue::default();
    for kept in [1, 2, 3, 3] {
        put_back(rig.loaded(&rig.here).await, &mut queue);
        assert_eq!(queue.loaded.len(), kept);
    }
    assert!(rig.here.take_oldest().is_some(), "the fourth is only on disk again");
    let mut piece = rig.loaded(&rig.here).await.split(&batch(2), 1).remove(0);
    piece.live = true;
    put_back(piece, &mut queue);
    let piece = rig.loaded(&rig.here).await.split(&batch(2), 1).remove(0);
    give_back(piece, &mut queue);
    assert_eq!(queue.loaded.len(), 5);
    assert!(queue.loaded.iter().all(|pending| !pending.live), "no flush waits for it");
    let whole = rig.loaded(&rig.here).await;
    give_back(whole, &mut queue);
    assert_eq!((queue.loaded.len(), rig.here.take_oldest().is_some()), (5, true));
}

#[tokio::test(start_paused = true)]
async fn batches_of_dead_processes_are_searched_for_soon_after_a_start_and_then_every_ten_minutes() {
    let rig = FeederRig::new().await;
    let queue = SendQueue::default();
    let mut feeder = SpoolFeeder::new(Some(Arc::clone(&rig.here)), HERE.to_owned());
    for spool in [&rig.here, &rig.there] {
        let began = Instant::now();
        feeder.replace(Some(Arc::clone(spool)), HERE.to_owned(), began);
        let mut searches = Vec::new();
        while searches.len() < 6 {
            let next = feeder.next_maintenance(&conditions(), &queue).expect("there is a spool");
            tokio::time::sleep_until(next).await;
            let now = Instant::now();
            let adopts = feeder.adopts(now);
            // Whole seconds, since the timer has a resolution of a millisecond.
            searches.extend(adopts.then(|| (now - began).as_secs()));
        }
        assert_eq!(searches, [0, 1, 10, 60, 660, 1_260]);
    }
}
