//! A server that breaks connections in every way, and misleading answers. Nothing is lost, and a
//! failure of one batch does not delay the others.

use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep};
use tower_influx::{
    Monitor, Point, Settings,
    point::Value,
    settings::InfluxClient,
    stats::{DeliveryState, RejectReason},
};

use super::{Auditor, probe_until_well, wait_for};
use crate::{
    stored,
    support::{
        fault_server::{Blackhole, FaultServer, Received, Step},
        numbered::{difference, record},
    },
};

const PATIENCE: Duration = Duration::from_secs(30);
const CLIENTS: [InfluxClient; 2] = [InfluxClient::Influxdb2, InfluxClient::Reqwest];

/// The points that a server has written, by their numbers.
type Database = Arc<Mutex<BTreeSet<i64>>>;

fn settings(client: InfluxClient, url: &str) -> Settings {
    let mut settings = stored::settings(url);
    settings.influx.client = client;
    settings.influx.timeout = Duration::from_millis(300);
    settings.influx.connect_timeout = Duration::from_millis(300);
    settings
}

fn write(database: &Database, request: &Received) {
    let lines = request.lines();
    let numbers =
        lines.lines().filter_map(|line| line.split_once("number=")?.1.split_once('i')?.0.parse::<i64>().ok());
    database.lock().expect("no panic").extend(numbers);
}

fn assert_stored(database: &Database, all: i64) {
    let (expected, found) = ((0..all).collect(), database.lock().expect("no panic").clone());
    assert!(found == expected, "{}", difference(&expected, &found));
}

/// Breaks before the answer, in its headers, in its body, or never. Whether the points were written
/// is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn connections_that_break_anywhere_lose_nothing() {
    for client in CLIENTS {
        let (database, heal) = (Database::default(), Arc::new(AtomicBool::new(false)));
        let (written, healed) = (Arc::clone(&database), Arc::clone(&heal));
        let server = FaultServer::start(move |request| {
            let fate = if healed.load(Ordering::Relaxed) { 0 } else { fastrand::u32(..9) };
            // The points may or may not have reached the disk.
            if fate < 2 || fastrand::bool() {
                write(&written, request);
            }
            let answer = || Step::text(500, r#"{"code":"internal error","message":"timeout"}"#);
            match fate {
                0 | 1 => Step::status(204),
                2 => Step::Reset,
                3 => Step::Close,
                4 => answer().reset_after_headers(),
                5 => answer().cut(),
                6 => Step::Raw(b"HTTP/1.1 20".to_vec()),
                7 => answer(),
                _ => Step::Stall,
            }
        })
        .await;
        let monitor = Monitor::start(settings(client, &server.url())).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        let (mut all, end) = (0, Instant::now() + Duration::from_secs(4));
        while Instant::now() < end {
            record(&monitor, "numbered", all..all + 20);
            all += 20;
            sleep(Duration::from_millis(10)).await;
        }
        heal.store(true, Ordering::Relaxed);
        probe_until_well(&monitor).await;
        wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == all as u64).await;
        auditor.stop().await;
        let report = monitor.shutdown(PATIENCE).await;
        assert_eq!((report.written, report.rejected, report.dropped), (all as u64, 0, 0), "{report}");
        let delivery = monitor.stats().delivery;
        assert!(delivery.resent > 0 && delivery.writes.total() > delivery.writes.written, "{delivery:?}");
        assert_stored(&database, all);
    }
}

/// A proxy that answers 413 and closes the connection, when its answer is lost with the connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_up_on_large_bodies_gets_smaller_ones() {
    for client in CLIENTS {
        let database = Database::default();
        let written = Arc::clone(&database);
        let server = FaultServer::start(move |request| {
            if request.body.len() > 200_000 {
                return Step::Reset;
            }
            write(&written, request);
            Step::status(204)
        })
        .await;
        let mut settings = settings(client, &server.url());
        settings.flush_interval = Duration::from_secs(1);
        let monitor = Monitor::start(settings).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        record(&monitor, "numbered", 0..5_000);
        wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == 5_000).await;
        auditor.stop().await;
        assert_eq!(monitor.shutdown(PATIENCE).await.written, 5_000);
        assert!(
            server.received().iter().any(|request| request.body.len() > 200_000),
            "nothing was too large"
        );
        assert_stored(&database, 5_000);
    }
}

/// The packets are neither answered nor refused, and nothing is reset.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_that_ignores_connections_loses_nothing() {
    let hole = Blackhole::open().await.expect("a full queue");
    for client in CLIENTS {
        let database = Database::default();
        let written = Arc::clone(&database);
        let server = FaultServer::start(move |request| {
            write(&written, request);
            Step::status(204)
        })
        .await;
        let monitor = Monitor::start(settings(client, &hole.url())).expect("the settings are good");
        record(&monitor, "numbered", 0..300);
        wait_for(&monitor, "a failure", PATIENCE, |stats| stats.delivery.state == DeliveryState::Backoff)
            .await;
        monitor.reload(settings(client, &server.url())).await.expect("the settings are good");
        wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == 300).await;
        monitor.shutdown(PATIENCE).await;
        assert_stored(&database, 300);
    }
}

/// A point on which the server fails instead of refusing it.
struct Unbearable;

impl Point for Unbearable {
    fn measurement(&self) -> &str {
        "unbearable"
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        visit("value", 1.into());
    }
}

/// InfluxDB 3 answers 400 when its own log fails. InfluxDB 2 answers some bodies with 500 for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_transient_400_is_retried_and_a_permanent_500_does_not_delay_other_batches() {
    for client in CLIENTS {
        let database = Database::default();
        let (written, mut writes) = (Arc::clone(&database), 0);
        let server = FaultServer::start(move |request| {
            writes += u32::from(!request.body.is_empty());
            if writes <= 5 {
                let text = "write buffer error: error from wal: wal buffer full with 100000 ops";
                return Step::text(400, format!(r#"{{"code":"invalid","message":"{text}"}}"#));
            }
            if request.lines().contains("unbearable") {
                return Step::text(500, r#"{"code":"internal error","message":"panic"}"#);
            }
            write(&written, request);
            Step::status(204)
        })
        .await;
        let mut settings = settings(client, &server.url());
        (settings.retry_interval, settings.max_retry_interval) =
            (Duration::from_millis(10), Duration::from_millis(50));
        let monitor = Monitor::start(settings).expect("the settings are good");
        let auditor = Auditor::watch(&monitor);
        record(&monitor, "numbered", 0..100);
        wait_for(&monitor, "delivery", PATIENCE, |stats| stats.ledger.written == 100).await;
        assert_eq!(monitor.stats().ledger.rejected_total(), 0, "a 400 that says nothing about the points");
        monitor.record(&Unbearable);
        let (mut all, began) = (100, Instant::now());
        while monitor.stats().ledger.rejected_total() == 0 {
            assert!(began.elapsed() < PATIENCE, "{:?}", monitor.stats());
            record(&monitor, "numbered", all..all + 10);
            all += 10;
            let before = all as u64 - 10;
            wait_for(&monitor, "others", PATIENCE, |stats| stats.ledger.written >= before - 100).await;
            sleep(Duration::from_millis(50)).await;
        }
        auditor.stop().await;
        let report = monitor.shutdown(PATIENCE).await;
        assert_eq!((report.written, report.rejected, report.dropped), (all as u64, 1, 0), "{report}");
        assert_eq!(monitor.stats().ledger.rejected.get(&RejectReason::Other), Some(&1));
        assert_stored(&database, all);
    }
}
