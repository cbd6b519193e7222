//! Tests when a batch is searched, and for which failures single lines of it are rejected.

use std::time::Duration;

use tokio::time::sleep;

use super::support::{Rig, line, lines, text};
use crate::{
    delivery::{batch::Batch, sink::WriteError},
    settings::Settings,
    stats::{Blocked, DeliveryState, RejectReason},
};

fn batches_of_ten(settings: &mut Settings) {
    settings.batch_size = 10;
}

/// Returns a server that refuses a whole batch, and answers by `then` after that.
fn refused_first(
    whole: usize,
    mut then: impl FnMut(&Batch) -> Result<(), WriteError> + Send + 'static,
) -> impl FnMut(&Batch) -> Result<(), WriteError> + Send + 'static {
    move |batch| if batch.len() == whole { Err(WriteError::refused("400 Bad Request")) } else { then(batch) }
}

#[tokio::test(start_paused = true)]
async fn pieces_that_are_too_large_are_halved_and_the_state_stays_healthy() {
    let rig = Rig::start(refused_first(100, |batch| match batch.len() {
        4.. => Err(WriteError::too_large("413 Payload Too Large")),
        _ if text(batch).contains(&line(42)) => Err(WriteError::refused("400 Bad Request")),
        _ => Ok(()),
    }));
    rig.push(0..100);
    let report = rig.flusher.flush().await.expect("runs");
    assert_eq!((report.written, report.rejected, report.waiting), (99, 1, 0), "{:?}", rig.sink.sizes());
    assert_eq!(rig.flusher.stats().delivery.state, DeliveryState::Healthy);
}

/// If not even a single line is accepted, the line is not the cause: a proxy accepts nothing, which
/// somebody has to fix.
#[tokio::test(start_paused = true)]
async fn a_line_of_a_search_is_too_large_only_if_smaller_bodies_are_accepted() {
    let too_large = || WriteError::too_large("413 Payload Too Large");
    let rig = Rig::start(refused_first(8, move |_| Err(too_large())));
    rig.push(0..8);
    sleep(Duration::from_secs(600)).await;
    let stats = rig.flusher.stats();
    assert_eq!(stats.delivery.state, DeliveryState::Blocked(Blocked::Configuration), "{stats}");
    assert_eq!((stats.ledger.rejected_total(), stats.ledger.in_flight), (0, 8), "{stats}");

    // It accepts half of a hundred lines, and then not a single one.
    let rig = Rig::start(move |batch| match batch.len() {
        100 => Err(too_large()),
        8 => Err(WriteError::refused("400 Bad Request")),
        _ if text(batch).contains(&line(105)) => Err(too_large()),
        _ => Ok(()),
    });
    rig.push(0..100);
    rig.flusher.flush().await.expect("runs");
    rig.push(100..108);
    rig.flusher.flush().await.expect("runs");
    rig.assert_ledger(107, 1, 0);
    assert_eq!(rig.flusher.stats().ledger.rejected[&RejectReason::TooLarge], 1);
}

#[tokio::test(start_paused = true)]
async fn a_failing_batch_is_searched_only_if_no_other_batch_can_show_the_cause() {
    for (points, searched) in [(10, true), (20, false)] {
        let rig = Rig::with(batches_of_ten, None, |_| Err(WriteError::transient("503")));
        rig.push(0..points);
        sleep(Duration::from_secs(600)).await;
        let divided = rig.sink.sizes().iter().any(|size| *size < 10);
        assert_eq!(divided, searched, "{points}: {:?}", rig.sink.sizes());
    }
}

/// A check can be wrong about a whole server.
#[tokio::test(start_paused = true)]
async fn after_a_successful_check_only_one_batch_is_divided() {
    let rig = Rig::with(batches_of_ten, None, |_| Err(WriteError::blocked(Blocked::Authorization, "401")));
    rig.push(0..30);
    sleep(Duration::from_secs(3 * 3_600)).await;
    let sizes = rig.sink.sizes();
    let divided = sizes.iter().position(|size| *size < 10).expect("one batch is divided");
    assert!(sizes[divided..].contains(&10), "others are tried, too: {sizes:?}");
    assert_eq!(rig.flusher.stats().ledger.in_flight, 30);
    rig.sink.behave(|_| Ok(()));
    sleep(Duration::from_secs(600)).await;
    assert_eq!(rig.sink.stored(), lines(0..30));
    // The rest of the one, and two whole ones.
    let since = &rig.sink.sizes()[sizes.len()..];
    assert_eq!(since.iter().filter(|size| **size == 10).count(), 2, "{since:?}");
}
