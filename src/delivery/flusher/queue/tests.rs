//! Tests the order in which batches are sent, without a sink.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;
use crate::delivery::{
    batch::Batch,
    flusher::{bisect::RefusalCache, pending::History},
    sink::Refused,
};

fn pending(sequence: u64) -> PendingBatch {
    let batch = Batch::new("x v=1 1\n".into(), 1, sequence, SystemTime::UNIX_EPOCH);
    PendingBatch::live(batch, History::new(Instant::now(), Duration::ZERO))
}

fn order(queue: &mut SendQueue, mut refill: impl FnMut(&mut SendQueue)) -> Vec<u64> {
    std::iter::from_fn(|| {
        let Some(Next::Batch(pending)) = queue.pick(false) else { return None };
        refill(queue);
        Some(pending.sequence())
    })
    .take(20)
    .collect()
}

#[test]
fn other_batches_get_at_most_every_second_turn() {
    let mut queue = SendQueue::default();
    queue.fresh.extend([pending(1), pending(2)]);
    queue.waiting.extend([pending(11), pending(12)]);
    queue.loaded.extend([pending(21)]);
    let order = order(&mut queue, |_| {});
    assert_eq!((order.len(), order[0], order[2]), (5, 1, 2), "{order:?}");
    assert_eq!(order.iter().filter(|number| **number > 10).count(), 3);
}

#[test]
fn other_batches_wait_while_live_ones_accumulate() {
    let mut queue = SendQueue::default();
    queue.fresh.extend([pending(1), pending(2), pending(3)]);
    queue.waiting.push_back(pending(11));
    let order = order(&mut queue, |queue| queue.fresh.push_back(pending(4)));
    assert!(!order.contains(&11), "{order:?}");
}

#[test]
fn the_oldest_is_the_one_sealed_first() {
    let mut queue = SendQueue::default();
    queue.fresh.extend([pending(3), pending(9)]);
    queue.waiting.extend([pending(7), pending(2)]);
    let oldest: Vec<u64> =
        std::iter::from_fn(|| queue.take_oldest()).map(|pending| pending.sequence()).collect();
    assert_eq!(oldest, [2, 3, 7, 9]);
}

fn failed(sequence: u64) -> PendingBatch {
    let mut pending = pending(sequence);
    pending.history.failures = 1;
    pending
}

/// Returns a search in two lines. The batch fails, so that lines are only suspected, or it is
/// refused.
fn search(sequence: u64, is_refused: bool) -> Search {
    let batch = Batch::new("x v=1 1\nx v=2 2\n".into(), 2, sequence, SystemTime::UNIX_EPOCH);
    let pending = PendingBatch::live(batch.clone(), History::new(Instant::now(), Duration::ZERO));
    match is_refused {
        true => Search::refused_batch(&batch, &pending, &Refused::default(), &mut RefusalCache::new(true)),
        false => Search::failing_batch(&batch, &pending),
    }
}

fn number(next: Option<Next>) -> Option<u64> {
    next.map(|next| next.batch().sequence())
}

/// Returns a queue with a numbered entry in each of its classes.
fn full() -> SendQueue {
    let mut queue = SendQueue::default();
    queue.fresh.push_back(pending(1));
    queue.waiting.push_back(pending(2));
    queue.loaded.push_back(pending(3));
    queue.searches.push_back(search(4, false));
    queue
}

#[test]
fn every_class_of_batches_gets_a_turn_beside_live_ones() {
    for waits in 2..=4 {
        let mut queue = full();
        queue.waiting.retain(|pending| pending.sequence() == waits);
        queue.loaded.retain(|pending| pending.sequence() == waits);
        queue.searches.retain(|search| search.sequence() == waits);
        queue.fresh.push_back(pending(5));
        let order: Vec<_> = std::iter::from_fn(|| number(queue.pick(false))).collect();
        assert_eq!(order, [1, waits, 5]);
    }
    // With three batches that wait for their first attempt, nothing else is sent.
    for (live, second) in [(3, 9), (4, 1)] {
        let mut queue = SendQueue::default();
        queue.fresh.extend((0..live).map(|_| pending(1)));
        queue.waiting.push_back(pending(9));
        let picked = [(); 2].map(|()| number(queue.pick(false)));
        assert_eq!(picked, [Some(1), Some(second)], "{live} live");
    }
}

#[test]
fn after_a_failure_batches_that_have_not_failed_go_first_in_every_class() {
    for (place, expected) in [(0, 7), (1, 7), (2, 7), (3, 1)] {
        let mut queue = SendQueue::default();
        queue.fresh.push_back(failed(1));
        queue.waiting.push_back(failed(2));
        queue.loaded.push_back(failed(3));
        assert!(!queue.has_untried());
        let SendQueue { fresh, waiting, loaded, .. } = &mut queue;
        if let Some(place) = [fresh, waiting, loaded].get_mut(place) {
            place.push_back(pending(7));
        }
        assert_eq!(queue.has_untried(), place < 3);
        assert_eq!(number(queue.pick(true)), Some(expected), "{place}");
    }
}

#[test]
fn suspect_batches_are_distinguished_from_others() {
    let mut suspect = failed(1);
    suspect.history.beside_successes = 1;
    for (next, expected) in [
        (Next::Batch(failed(1)), false),
        (Next::Batch(suspect), true),
        (Next::Search(Box::new(search(1, false))), true),
        (Next::Search(Box::new(search(1, true))), false),
    ] {
        assert_eq!(next.is_suspect(), expected, "{next:?}");
    }
}

#[test]
fn a_returned_batch_is_the_next_of_its_class() {
    let mut queue = full();
    queue.put_back_front(Next::Batch(pending(11)));
    queue.put_back_front(Next::Search(Box::new(search(12, false))));
    assert_eq!((queue.waiting[0].sequence(), queue.searches[0].sequence()), (11, 12));
    assert_eq!((queue.fresh.len(), queue.loaded.len()), (1, 1));
}

#[test]
fn memory_is_freed_from_doubtful_lines_then_the_oldest_batch_then_searches() {
    let mut queue = SendQueue::default();
    assert!(!queue.may_evict());
    queue.loaded.push_back(pending(1));
    assert!(!queue.may_evict(), "it is on disk, too");
    queue.searches.push_back(search(2, false));
    assert!(queue.may_evict() && queue.evict().is_none(), "its lines are as good as others");
    queue.waiting.push_back(pending(5));
    queue.fresh.push_back(pending(4));
    assert!(queue.may_evict());
    let evicted = std::iter::from_fn(|| number(queue.evict())).collect::<Vec<_>>();
    assert_eq!(evicted, [4, 5]);
    assert_eq!(number(queue.evict_search()), Some(2));
    assert!(queue.evict_search().is_none() && !queue.may_evict());
    for is_waiting in [true, false] {
        let mut queue = SendQueue::default();
        if is_waiting { &mut queue.waiting } else { &mut queue.fresh }.push_back(pending(1));
        assert!(queue.may_evict());
    }
}

#[test]
fn a_flush_waits_for_one_more_attempt_of_each_batch() {
    let mut queue = full();
    for pending in queue.fresh.iter_mut().chain(&mut queue.waiting) {
        pending.history.tried_since_flush = true;
    }
    let untried =
        |queue: &SendQueue| queue.not_tried_since_flush().map(BatchRef::sequence).collect::<Vec<_>>();
    assert_eq!(untried(&queue), [4], "a search goes on; what is on disk is not waited for");
    queue.ask_for_flush();
    assert_eq!(untried(&queue), [1, 2, 4]);
}

#[tokio::test(start_paused = true)]
async fn batches_expire_by_their_age_without_the_blocked_time() {
    let limit = Duration::from_secs(60);
    let start = Instant::now();
    let mut queue = full();
    assert_eq!(queue.next_expiry(limit, Duration::ZERO), Some(start + limit));
    let blocked = Duration::from_secs(5);
    assert_eq!(queue.next_expiry(limit, blocked), Some(start + limit + blocked));
    assert!(queue.take_expired(start + limit, limit, blocked).is_empty());
    let taken = queue.take_expired(start + limit, limit, Duration::ZERO);
    assert_eq!(taken.iter().map(|next| next.batch().sequence()).collect::<Vec<_>>(), [1, 2, 3, 4]);
    assert!(queue.is_empty() && queue.next_expiry(limit, Duration::ZERO).is_none());
}

#[test]
fn memory_is_that_of_all_batches_or_only_of_those_that_are_not_on_disk() {
    let mut queue = full();
    let loaded = queue.loaded[0].memory();
    let each = [queue.fresh[0].memory(), queue.waiting[0].memory(), loaded, queue.searches[0].memory()];
    assert_eq!(queue.memory(), each.iter().sum::<usize>());
    assert_eq!(queue.memory_beside_loaded(), queue.memory() - loaded);
    assert!(each.iter().all(|memory| *memory > 8));
    queue.loaded.clear();
    assert_eq!(queue.memory_beside_loaded(), queue.memory());
}
