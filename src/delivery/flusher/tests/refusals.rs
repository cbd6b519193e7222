//! Tests refusals at the rate of a service, with databases that answer as real ones do: how long
//! points wait, and how many requests that costs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use super::{
    database::{Database, Words},
    support::{Answer, Rig},
};
use crate::{delivery::buffer::Pushed, line_protocol::ColumnKind, stats::RejectReason};

type SharedDatabase = Arc<Mutex<Database>>;

/// Returns a flusher with the default settings, and a database with this delay before each answer.
fn start(database: Database, latency: Duration) -> (Rig, SharedDatabase) {
    let database = Arc::new(Mutex::new(database));
    let sink = Arc::clone(&database);
    let rig =
        Rig::start(move |batch| Answer::After(latency, sink.lock().expect("not poisoned").write(batch)));
    (rig, database)
}

fn push(rig: &Rig, line: &str) {
    assert_eq!(rig.buffer.push(format!("{line}\n").as_bytes(), 1, false), Pushed::Accepted);
}

fn request(number: usize, extra: &str) -> String {
    format!("requests,route=GET:/items/{{id}},service=test execution_time=0.25{extra} {number}")
}

#[tokio::test(start_paused = true)]
async fn a_field_that_is_refused_without_being_named_delays_no_point() {
    for every in [10, 2] {
        let mut database = Database::new(Words::V3Silent);
        database.types.insert(("requests", "size"), ColumnKind::String);
        let (rig, database) = start(database, Duration::from_millis(50));
        for number in 0..6_000 {
            push(&rig, &request(number, if number.is_multiple_of(every) { ",size=7i" } else { "" }));
            sleep(Duration::from_millis(5)).await;
        }
        sleep(Duration::from_secs(5)).await;
        let database = database.lock().expect("not poisoned");
        assert_eq!(database.stored.len(), 6_000, "one of {every}");
        assert!(database.stored.values().all(|line| !line.contains("size")));
        assert!(database.requests < 100, "one of {every}: {} requests", database.requests);
        let stats = rig.flusher.stats();
        let stripped: u64 = stats.delivery.stripped.values().sum();
        assert_eq!(stripped, 6_000 / every as u64, "{stats}");
        rig.assert_ledger(6_000, 0, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn partial_writes_cost_a_handful_of_requests() {
    let mut database = Database::new(Words::V2);
    database.types.insert(("orders", "v"), ColumnKind::Float);
    let (rig, database) = start(database, Duration::from_millis(30));
    for number in 0..4_000 {
        let value = if number % 4 == 0 { "\"text\"" } else { "1" };
        push(&rig, &format!("orders,shop=a v={value} {number}"));
    }
    rig.flusher.flush().await.expect("runs");
    assert!(database.lock().expect("not poisoned").requests <= 10);
    rig.assert_ledger(3_000, 1_000, 0);
    assert_eq!(rig.flusher.stats().ledger.rejected[&RejectReason::FieldType], 1_000);

    let mut database = Database::new(Words::V2);
    database.lower_bound = 2_000;
    let (rig, database) = start(database, Duration::from_millis(30));
    for number in 0..6_000 {
        push(&rig, &format!("orders,shop=a v=1 {}", number * 7 % 6_000));
    }
    rig.flusher.flush().await.expect("runs");
    assert!(database.lock().expect("not poisoned").requests <= 10);
    rig.assert_ledger(4_000, 2_000, 0);
    assert_eq!(rig.flusher.stats().ledger.rejected[&RejectReason::Retention], 2_000);
}

/// How the single refused lines differ from the others.
#[derive(Clone, Copy, Debug)]
enum Alike {
    /// By one value, within the same shape.
    Shape,
    /// By one value, and each has a shape of its own.
    Nothing,
}

/// Delivers a minute of 100 requests a second, of which some are refused. Returns the longest wait
/// of a good point.
async fn longest_wait(percent: usize, alike: Alike) -> Duration {
    let mut database = Database::new(Words::V3Silent);
    database.unparsable = Some("route=bad");
    let latency = Duration::from_millis(10);
    let (rig, database) = start(database, latency);
    let mut random = fastrand::Rng::with_seed(7);
    let (mut pushed, mut bad) = (Vec::new(), BTreeSet::new());
    for number in 0..6_000_usize {
        let mut line = request(number, "");
        if random.usize(..100) < percent {
            bad.insert(number);
            line = match alike {
                Alike::Shape => line.replace("route=GET:/items/{id}", "route=bad"),
                Alike::Nothing => {
                    request(number, &format!(",f{number}=1")).replace("route=GET:/items/{id}", "route=bad")
                }
            };
        }
        pushed.push(Instant::now());
        push(&rig, &line);
        sleep(Duration::from_millis(10)).await;
    }
    sleep(Duration::from_secs(5)).await;
    let database = database.lock().expect("not poisoned");
    let wait = |(number, pushed): (usize, &Instant)| {
        let stored = database.first_stored.get(&("requests".to_owned(), number as i64));
        stored.unwrap_or_else(|| panic!("{number} is not stored")).duration_since(*pushed) + latency
    };
    let good = pushed.iter().enumerate().filter(|(number, _)| !bad.contains(number));
    let longest = good.map(wait).max().expect("points");
    rig.assert_ledger((6_000 - bad.len()) as u64, bad.len() as u64, 0);
    longest
}

#[tokio::test(start_paused = true)]
async fn single_refused_lines_delay_no_fresh_point_for_long() {
    for percent in [1, 3, 10, 20] {
        for alike in [Alike::Shape, Alike::Nothing] {
            let longest = longest_wait(percent, alike).await;
            assert!(longest <= Duration::from_secs(5), "{percent} %, {alike:?}: {longest:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_in_the_middle_of_a_search_writes_accepted_shapes_first() {
    let mut database = Database::new(Words::V3Silent);
    database.types.insert(("orders", "v"), ColumnKind::Float);
    let (rig, database) = start(database, Duration::from_millis(200));
    for number in 0..100 {
        push(&rig, &request(number, ""));
        push(&rig, "orders,shop=a v=\"text\" 1");
    }
    sleep(Duration::from_millis(2_500)).await;
    for number in 100..1_000 {
        push(&rig, &request(number, ""));
        push(&rig, "orders,shop=a v=\"text\" 1");
    }
    let report = rig.flusher.shutdown(Duration::from_secs(2)).await;
    assert!(report.in_time, "{report}");
    let stored = database.lock().expect("not poisoned").stored.len();
    assert_eq!(stored, 1_000, "{report}");
    assert!(rig.flusher.stats().balances());
}
