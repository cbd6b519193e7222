//! Tests that good points are stored in bounded time, whatever failure others meet. Covers every
//! kind of failure, without and with a spool, for one line, for one batch, and for the whole
//! server.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::support::{Rig, line, lines, text};
use crate::{
    delivery::{
        batch::Batch,
        sink::{WriteError, WriteErrorKind},
    },
    settings::SpoolMode,
    stats::Blocked,
};

/// Every kind of answer that is not a success and does not name lines.
#[derive(Clone, Copy, Debug, PartialEq)]
enum FailedAnswer {
    Authorization,
    Target,
    Configuration,
    TooLarge,
    Throttled,
    GatewayTimeout,
    Transient,
    Broken,
    Timeout,
}

const FAILURES: [FailedAnswer; 9] = [
    FailedAnswer::Authorization,
    FailedAnswer::Target,
    FailedAnswer::Configuration,
    FailedAnswer::TooLarge,
    FailedAnswer::Throttled,
    FailedAnswer::GatewayTimeout,
    FailedAnswer::Transient,
    FailedAnswer::Broken,
    FailedAnswer::Timeout,
];

const SPOOLS: [Option<SpoolMode>; 3] = [None, Some(SpoolMode::OnFailure), Some(SpoolMode::Ahead)];

impl FailedAnswer {
    fn error(self) -> WriteError {
        match self {
            Self::Authorization => WriteError::blocked(Blocked::Authorization, "403 Forbidden"),
            Self::Target => WriteError::blocked(Blocked::Target, "404 bucket not found"),
            Self::Configuration => WriteError::blocked(Blocked::Configuration, "405 Method Not Allowed"),
            Self::TooLarge => WriteError::too_large("413 Request Entity Too Large"),
            Self::Throttled => WriteError::throttled(None, "429 Too Many Requests"),
            Self::GatewayTimeout => WriteError::throttled(None, "504 Gateway Timeout").with_status(504),
            Self::Transient => WriteError::transient("500 Internal Server Error"),
            Self::Broken => WriteError::new(WriteErrorKind::Broken, "the connection broke"),
            Self::Timeout => WriteError::timeout("no answer"),
        }
    }

    fn is_blocked(self) -> bool {
        matches!(self, Self::Authorization | Self::Target | Self::Configuration)
    }
}

/// Returns a rig with this spool, whose directory exists as long as the returned value.
fn rig(
    spool: Option<SpoolMode>,
    mut fails: impl FnMut(&Batch) -> Option<WriteError> + Send + 'static,
) -> (Rig, tempfile::TempDir) {
    let directory = tempfile::tempdir().expect("a directory");
    let place = spool.map(|mode| (directory.path(), mode));
    let rig = Rig::with(|_| {}, place, move |batch: &Batch| fails(batch).map_or(Ok(()), Err));
    (rig, directory)
}

/// A filter of a gateway refuses the id of one request, and forty later ones follow, as in a quiet
/// service.
#[tokio::test(start_paused = true)]
async fn one_bad_line_delays_no_other() {
    for failure in FAILURES {
        for spool in SPOOLS {
            let bad = line(3);
            let (rig, _directory) =
                rig(spool, move |batch| text(batch).contains(&bad).then(|| failure.error()));
            rig.push(0..10);
            for second in 10..50 {
                sleep(Duration::from_secs(1)).await;
                rig.push(second..second + 1);
            }
            let waited =
                until_stored(&rig, lines(0..50).into_iter().filter(|text| *text != line(3)).collect()).await;
            let context = format!("{failure:?}, {spool:?}: stored after {waited:?}");
            assert!(waited < Duration::from_secs(300), "{context}");
            let requests = rig.sink.requests();
            assert!(requests < 250, "{context}: {requests} requests");
            assert!(rig.flusher.stats().balances(), "{context}");
        }
    }
}

/// Nothing of one batch is accepted: its ten lines must not delay forty others.
#[tokio::test(start_paused = true)]
async fn one_bad_batch_delays_no_other() {
    for failure in FAILURES {
        for spool in SPOOLS {
            let bad = lines(0..10);
            let (rig, _directory) =
                rig(spool, move |batch| (!text(batch).is_disjoint(&bad)).then(|| failure.error()));
            rig.push(0..10);
            rig.flusher.flush().await.expect("runs");
            for second in 10..50 {
                sleep(Duration::from_secs(1)).await;
                rig.push(second..second + 1);
            }
            let waited = until_stored(&rig, lines(10..50)).await;
            let context = format!("{failure:?}, {spool:?}: stored after {waited:?}");
            assert!(waited < Duration::from_secs(300), "{context}");
            assert!(rig.flusher.stats().balances(), "{context}");
        }
    }
}

/// A server that accepts nothing for ten minutes, not even probes, gets few requests. Then
/// everything is stored.
#[tokio::test(start_paused = true)]
async fn an_unreachable_server_gets_only_probes_and_later_everything() {
    for failure in FAILURES {
        for spool in SPOOLS {
            let away = Arc::new(AtomicBool::new(true));
            let flag = Arc::clone(&away);
            let (rig, _directory) = rig(spool, move |_| flag.load(Ordering::SeqCst).then(|| failure.error()));
            let flag = Arc::clone(&away);
            rig.sink
                .probe_says(move || if flag.load(Ordering::SeqCst) { Err(failure.error()) } else { Ok(()) });
            for second in 0..600 {
                rig.push(second..second + 1);
                sleep(Duration::from_secs(1)).await;
            }
            let context = format!("{failure:?}, {spool:?}");
            let (requests, probes) = (rig.sink.requests(), rig.sink.probes());
            assert!(requests + probes < 150, "{context}: {requests} requests, {probes} probes");
            if failure.is_blocked() {
                assert!(requests <= 1, "{context}: {requests} requests, {probes} probes");
            }
            let stats = rig.flusher.stats();
            assert_eq!(
                (stats.ledger.rejected_total(), stats.ledger.dropped_total()),
                (0, 0),
                "{context}: {stats}"
            );
            away.store(false, Ordering::SeqCst);
            let waited = until_stored(&rig, lines(0..600)).await;
            assert!(waited < Duration::from_secs(400), "{context}: stored after {waited:?}");
            rig.assert_ledger(600, 0, 0);
            rig.end().await;
        }
    }
}

/// Waits until these lines are stored, at most an hour, and returns how long that took.
async fn until_stored(rig: &Rig, expected: std::collections::BTreeSet<String>) -> Duration {
    let started = Instant::now();
    while !expected.is_subset(&rig.sink.stored()) && started.elapsed() < Duration::from_secs(3600) {
        sleep(Duration::from_secs(1)).await;
    }
    started.elapsed()
}
