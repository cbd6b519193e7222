//! A typical application of thirty routes, called by many clients at once. Its points are compared
//! with the clients' own ledger.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use tokio::{
    net::TcpListener,
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_influx::{DataPoint, Monitor, Point, Settings, sink::MemorySink};

use self::{
    client::{Made, make},
    requests::{CASES, Send},
};
use crate::support::http::Http;

mod app;
mod client;
mod requests;

/// The content of a request's point: route, status, error code, extras.
type Seen = (String, String, String, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_strangers_application_has_its_points() {
    run(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_and_body_of_a_strangers_application_has_its_points() {
    run(true).await;
}

async fn run(tracked: bool) {
    let files = tempfile::tempdir().expect("a temporary directory");
    std::fs::write(files.path().join("app.js"), "x".repeat(10_000)).expect("a writable directory");
    let sink = MemorySink::new();
    let mut settings = Settings::new("stranger");
    settings.filter.ignore = vec!["GET:/health".to_owned()];
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("settings are right");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    let app = app::app(&monitor, files.path(), tracked);
    tokio::spawn(async move { axum::serve(listener, app).await });

    let made = timeout(PATIENCE, drive(&address)).await.expect("the requests end in time");
    let sockets: Vec<_> = made.iter().filter_map(|one| messages(one.case.send)).collect();
    timeout(PATIENCE, all_has_ended(&monitor, &sink, sockets.len())).await.expect("nothing runs for ever");

    let points = sink.points();
    let (requests, errors) = expected(&made);
    assert_same(&seen(&points, "requests"), &requests);
    assert_same(&seen(&points, "errors"), &errors);
    assert_eq!(requests.keys().collect::<HashSet<_>>().len(), requests.len());
    if tracked {
        assert_bodies(&points, &made);
    }
    let mut found: Vec<_> =
        sink.measurement("sockets").iter().filter_map(|point| point.field("messages")?.as_i64()).collect();
    found.sort_unstable();
    let mut sockets: Vec<_> = sockets.into_iter().map(i64::from).collect();
    sockets.sort_unstable();
    assert_eq!(found, sockets, "messages of each socket");

    let identities: HashSet<_> = points.iter().map(identity).collect();
    assert_eq!(identities.len(), points.len(), "no two points have measurement, tags and time in common");
    let stats = monitor.stats();
    assert!(stats.balances(), "{stats}");
    let all = (requests.len() + errors.len() + found.len()) as u64;
    assert_eq!(
        (stats.ledger.accepted, stats.ledger.written, stats.ledger.offered),
        (all, all, all),
        "{stats}"
    );
    let recorder = stats.recorder;
    let left_out =
        recorder.late_extras + recorder.refused_extras + recorder.excess_extras + recorder.type_conflicts;
    assert_eq!((left_out, recorder.sanitized, recorder.truncated), (0, 0, 0), "{recorder:?}");
}

/// Sends every case equally often, in random order, from many clients at once.
async fn drive(address: &str) -> Vec<Made> {
    let mut plan: Vec<_> = (0..ROUNDS).flat_map(|_| CASES).copied().enumerate().collect();
    fastrand::Rng::with_seed(SEED).shuffle(&mut plan);
    let plan = Arc::new(plan);
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (plan, address) = (Arc::clone(&plan), address.to_owned());
        clients.spawn(async move {
            let (http, mut made) = (Http::new(), Vec::new());
            for (number, case) in plan.iter().skip(client).step_by(CLIENTS) {
                made.push(make(&http, &address, *number, *case).await);
            }
            made
        });
    }
    clients.join_all().await.concat()
}

async fn all_has_ended(monitor: &Monitor, sink: &MemorySink, sockets: usize) {
    loop {
        let running = monitor.stats().recorder.running_requests;
        monitor.flush().await.expect("the monitor runs");
        if running == 0 && sink.measurement("sockets").len() >= sockets {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}

fn messages(send: Send) -> Option<u32> {
    match send {
        Send::Socket(messages) => Some(messages),
        _ => None,
    }
}

/// Returns the expected points of `requests` and `errors`, by request id.
fn expected(made: &[Made]) -> (BTreeMap<String, Seen>, BTreeMap<String, Seen>) {
    let (mut requests, mut errors) = (BTreeMap::new(), BTreeMap::new());
    for one in made.iter().filter(|one| one.case.send != Send::Unseen) {
        let case = one.case;
        let seen = |code: &str| (case.route.into(), case.status.to_string(), code.into(), case.extras.into());
        requests.insert(one.number.to_string(), seen(""));
        if !case.error_code.is_empty() {
            errors.insert(one.number.to_string(), seen(case.error_code));
        }
    }
    (requests, errors)
}

/// Returns the points of a measurement, by request id. Fails if a request has two.
fn seen(points: &[DataPoint], measurement: &str) -> BTreeMap<String, Seen> {
    let mut all = BTreeMap::new();
    for point in points.iter().filter(|point| point.measurement() == measurement) {
        let tag = |key| point.tag(key).unwrap_or_default().to_owned();
        let said = (tag("route"), tag("status_code"), tag("error_code"), extras(point));
        if let Some(other) = all.insert(text(point, "request_id"), said) {
            panic!("one request has two points in `{measurement}`: {point:?} and {other:?}");
        }
    }
    all
}

/// Returns all tags and fields that are not the layer's own, in the order of their names.
fn extras(point: &DataPoint) -> String {
    let tags = point.tags().filter(|(key, _)| !OWN.contains(key));
    let fields = point.fields().filter(|(key, _)| !OWN.contains(key));
    let mut extras: Vec<_> = tags
        .map(|(key, value)| format!("{key}={value}"))
        .chain(fields.map(|(key, value)| match key.strip_suffix("_time") {
            Some(_) => key.to_owned(),
            None => format!("{key}={value}"),
        }))
        .collect();
    extras.sort_unstable();
    extras.join(" ")
}

/// Asserts that the bytes of every body are those that the client has read. Only clients that have
/// disconnected have another ending.
fn assert_bodies(points: &[DataPoint], made: &[Made]) {
    let requests = points.iter().filter(|point| point.measurement() == "requests");
    let points: BTreeMap<_, _> = requests.map(|point| (text(point, "request_id"), point)).collect();
    for one in made.iter().filter(|one| one.case.send != Send::Unseen) {
        let (case, point) = (one.case, points[&one.number.to_string()]);
        let end = match (case.send, case.error_code) {
            (_, "panic") => "",
            (Send::AndLeave, _) => "dropped",
            _ => "complete",
        };
        assert_eq!(text(point, "body_end"), end, "{case:?}");
        let bytes = point.field("body_bytes").and_then(|bytes| bytes.as_i64());
        if let (Some(read), "complete", true) = (one.body_bytes, end, case.method != "HEAD") {
            assert_eq!(bytes, Some(read as i64), "{case:?}");
        }
    }
}

fn assert_same(found: &BTreeMap<String, Seen>, expected: &BTreeMap<String, Seen>) {
    assert_eq!(counts(found), counts(expected));
    assert!(found == expected, "the counts are right, but not each request has what was its own");
}

fn counts(seen: &BTreeMap<String, Seen>) -> BTreeMap<&Seen, usize> {
    seen.values().fold(BTreeMap::new(), |mut counts, one| {
        *counts.entry(one).or_default() += 1;
        counts
    })
}

fn text(point: &DataPoint, key: &str) -> String {
    point.field(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned()
}

/// Returns what distinguishes points in InfluxDB.
fn identity(point: &DataPoint) -> String {
    let tags: Vec<_> = point.tags().collect();
    format!("{} {tags:?} {:?}", point.measurement(), point.time())
}

const OWN: [&str; 9] = [
    "service",
    "route",
    "status_code",
    "error_code",
    "request_id",
    "execution_time",
    "response_time",
    "body_bytes",
    "body_end",
];
const ROUNDS: usize = 60;
const CLIENTS: usize = 16;
const SEED: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(120);
