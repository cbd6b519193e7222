//! The order in which batches go, without a sink.

use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use super::*;
use crate::delivery::{batch::Batch, flusher::pending::History};

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
fn others_get_every_other_turn_at_most() {
    let mut queue = SendQueue::default();
    queue.fresh.extend([pending(1), pending(2)]);
    queue.waiting.extend([pending(11), pending(12)]);
    queue.loaded.extend([pending(21)]);
    let order = order(&mut queue, |_| {});
    assert_eq!((order.len(), order[0], order[2]), (5, 1, 2), "{order:?}");
    assert_eq!(order.iter().filter(|number| **number > 10).count(), 3);
}

#[test]
fn while_live_batches_pile_up_others_wait() {
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
