//! The same tests on every kind of server. `docs/targets.md` describes which ones run, and how
//! others are named.

use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};

use tokio::time::{sleep, timeout};
use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::{InfluxClient, Token},
    stats::DeliveryState,
};

use crate::support::{
    http::{Http, query},
    influx::Influx,
    live::{self, INFLUXD, VICTORIA_METRICS},
    service::{Service, drive, expected, plan},
    target::{Target, TargetKind},
    victoria::Victoria,
};

mod dashboards;

/// Returns a unique name, since a server may contain points of other runs and tests.
fn service() -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    format!("test-{}-{}", std::process::id(), NUMBER.fetch_add(1, SeqCst))
}

fn each(targets: &[Target]) -> impl Iterator<Item = (&Target, InfluxClient)> {
    targets.iter().flat_map(|target| target.kind.clients().iter().map(move |client| (target, *client)))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_stored_on_every_kind_of_server() {
    let targets = Target::all("every_request_is_stored_on_every_kind_of_server").await;
    for (target, client) in each(&targets) {
        let name = service();
        let monitor = Monitor::start(target.settings(&name, client)).expect("the settings are good");
        monitor.probe().await.expect("the server takes our points");
        let service = Service::start(&monitor).await;
        let plan = plan(500);
        let failures: u64 = expected(&plan).1.values().sum();
        drive(&format!("http://{}", service.address), plan, 8).await;
        service.stop().await;
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        assert_eq!((report.accepted, report.written), (500 + failures, 500 + failures), "{report}");
        let requests = target.wait_for_count("requests", "execution_time", &name, 500).await;
        let errors = target.wait_for_count("errors", "request_id", &name, failures).await;
        assert_eq!((requests, errors), (500, failures), "{:?} {client:?}", target.kind);
    }
}

/// Values that break line protocol unless they are escaped.
const HOSTILE: [&str; 12] = [
    "a b",
    "a,b",
    "a=b",
    "a\"b",
    "a\\b",
    "ends in \\",
    "\\",
    "line\nbreak",
    "\r\n",
    "\u{0}",
    "ä€😀",
    "requests,x=1 v=1 1\n",
];

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_break_nothing_on_any_kind_of_server() {
    let targets = Target::all("hostile_values_break_nothing_on_any_kind_of_server").await;
    for (target, client) in each(&targets) {
        let name = service();
        let monitor = Monitor::start(target.settings(&name, client)).expect("the settings are good");
        for (number, value) in HOSTILE.iter().cycle().take(240).enumerate() {
            let point = DataPoint::new("hostile").with_tag("value", *value).with_field("text", *value);
            monitor.record(&point.with_field("number", number as i64));
        }
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        assert_eq!((report.accepted, report.written), (240, 240), "{:?} {report}", target.kind);
        let found = target.wait_for_count("hostile", "number", &name, 240).await;
        assert_eq!(found, 240, "{:?} {client:?}", target.kind);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_field_loses_only_its_point() {
    let targets = Target::all("a_refused_field_loses_only_its_point").await;
    for (target, client) in each(&targets) {
        // A measurement of its own, since the server never changes the type of a field.
        let (name, measurement) = (service(), service());
        let settings = target.settings(&name, client);
        let first = Monitor::start(settings.clone()).expect("the settings are good");
        first.record(&DataPoint::new(measurement.clone()).with_field("value", 1_i64));
        assert_eq!(first.shutdown(Duration::from_secs(30)).await.written, 1);
        let monitor = Monitor::start(settings).expect("the settings are good");
        for number in 0..100 {
            let point = DataPoint::new(measurement.clone()).with_field("other", number);
            // Another monitor has not seen the type, so the server has to refuse it.
            let point = if number == 50 {
                DataPoint::new(measurement.clone()).with_field("value", 0.5)
            } else {
                point
            };
            monitor.record(&point);
        }
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        let rejected = u64::from(target.kind.has_types());
        assert_eq!(
            (report.written, report.rejected),
            (100 - rejected, rejected),
            "{:?} {report}",
            target.kind
        );
        let found = target.wait_for_count(&measurement, "other", &name, 99).await;
        assert_eq!(found, 99, "{:?} {client:?}", target.kind);
    }
}

/// Asserts that delivery is blocked with this message, and that the points are kept.
async fn assert_blocked(settings: Settings, what: &str) {
    let monitor = Monitor::start(settings).expect("only the server can tell");
    monitor.probe().await.expect_err(what);
    monitor.record(&DataPoint::new("kept").with_field("n", 1));
    monitor.flush().await.expect("runs");
    // While a probe or a trial runs, the state differs for a moment.
    let is_blocked = async {
        while !matches!(monitor.stats().delivery.state, DeliveryState::Blocked(_)) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), is_blocked)
        .await
        .unwrap_or_else(|_| panic!("{what}: {}", monitor.stats()));
    let stats = monitor.stats();
    assert_eq!((stats.ledger.rejected_total(), stats.ledger.dropped_total()), (0, 0), "{what}: {stats}");
    monitor.shutdown(Duration::ZERO).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_and_a_missing_bucket_block_and_lose_nothing() {
    let targets = Target::all("a_wrong_token_and_a_missing_bucket_block_and_lose_nothing").await;
    for (target, client) in each(&targets) {
        let mut settings = target.settings(&service(), client);
        if target.asks_for_a_token() {
            settings.influx.token = Token::from("wrong");
            assert_blocked(settings, "a wrong token").await;
        } else if target.kind == TargetKind::Influxdb1 && !settings.influx.username.is_empty() {
            settings.influx.password = Token::from("wrong");
            assert_blocked(settings, "a wrong password").await;
        }
        if target.kind.needs_a_bucket() {
            let mut settings = target.settings(&service(), client);
            settings.influx.bucket = "there-is-none".to_owned();
            assert_blocked(settings, "a missing bucket").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_of_the_server_loses_no_point() {
    let mut targets = Target::all("a_kill_of_the_server_loses_no_point").await;
    for target in &mut targets {
        let (name, kind) = (service(), target.kind);
        let client = kind.clients()[0];
        let monitor = Monitor::start(target.settings(&name, client)).expect("the settings are good");
        for number in 0..3_000 {
            monitor.record(&DataPoint::new("kept").with_field("n", number));
            if number % 1_000 == 500 {
                monitor.flush().await.expect("runs");
                if !target.restart().await {
                    break;
                }
            }
        }
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        assert_eq!(report.written, report.accepted, "{kind:?} {report}");
        let found = target.wait_for_count("kept", "n", &name, report.accepted).await;
        assert_eq!(found, report.accepted, "{kind:?}");
    }
}

/// Returns the blocks of one language in a section of `docs/targets.md`.
fn documented(section: &str, language: &str) -> Vec<&'static str> {
    let page = include_str!("../../docs/targets.md");
    let section = page.split("\n## ").find_map(|text| text.strip_prefix(section)).expect("a section");
    let fence = format!("```{language}\n");
    let blocks = section.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().expect("an end")).collect()
}

/// Sends requests to the service `shop`, as the page's settings name it. Returns how many of them
/// failed, and how many series their points have.
async fn serve(mut settings: Settings) -> (u64, u64) {
    settings.service = "shop".to_owned();
    settings.flush_interval = Duration::from_millis(100);
    let monitor = Monitor::start(settings).expect("the settings are good");
    let service = Service::start(&monitor).await;
    let plan = plan(100);
    let failures = expected(&plan).1.values().sum();
    drive(&format!("http://{}", service.address), plan, 4).await;
    service.stop().await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    // If the settings have rollups, their lines are counted, too.
    assert!(report.written == report.accepted && report.accepted >= 100 + failures, "{report}");
    (failures, monitor.stats().delivery.series)
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_settings_and_queries_work_on_influxdb_1() {
    if !live::ready("documented_settings_and_queries_work_on_influxdb_1", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let [settings] = documented("InfluxDB 1.x\n", "toml")[..] else { panic!("one block") };
    let (failures, series) = serve(settings_of(settings, &influx.url())).await;
    let [minutes, failed, slowest] = documented("InfluxDB 1.x\n", "sql")[..] else { panic!("three") };
    let sum = |result: &serde_json::Value| -> u64 {
        let series = result["series"].as_array().expect("series").iter();
        let rows = series.flat_map(|one| one["values"].as_array().expect("rows"));
        rows.filter_map(|row| row[1].as_u64()).sum()
    };
    assert_eq!(sum(&influx.query("monitoring", minutes).await), 100);
    let share = influx.query("monitoring", failed).await;
    assert_eq!(share["series"][0]["values"][0][1], failures as f64 / 100.0, "{share}");
    let slowest = influx.query("monitoring", slowest).await;
    assert!(slowest["series"].as_array().is_some_and(|series| series.len() > 1), "{slowest}");
    let [cardinality] = documented("Series\n", "sql")[..] else { panic!("one query") };
    let found = influx.query("monitoring", cardinality).await;
    let counts = found["series"].as_array().expect("series").iter().map(|one| &one["values"][0][0]);
    assert_eq!(counts.filter_map(serde_json::Value::as_u64).sum::<u64>(), series, "{found}");
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_settings_and_queries_work_on_victoria_metrics() {
    if !live::ready("documented_settings_and_queries_work_on_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let [settings] = documented("VictoriaMetrics\n", "toml")[..] else { panic!("one block") };
    let (failures, series) = serve(settings_of(settings, &victoria.url())).await;
    assert_eq!(victoria.wait_for_count("requests_execution_time", 100).await, 100);
    let [queries] = documented("VictoriaMetrics\n", "text")[..] else { panic!("one block") };
    let [cardinality] = documented("Series\n", "text")[..] else { panic!("one query") };
    let mut answers = Vec::new();
    for text in queries.split("\n\n").chain([cardinality.trim()]) {
        // Otherwise it would only consider points older than 30 seconds.
        let pairs = [("query", text), ("nocache", "1")];
        let url = format!("{}/api/v1/query?{}", victoria.url(), query(&pairs));
        let answer = Http::new().get(&url).await.expect("the server answers");
        assert!(answer.status.is_success(), "{text}: {}", answer.text());
        answers.push(answer.json()["data"]["result"].as_array().expect("a list").clone());
    }
    let [minute, failed, slowest, cardinality] = &answers[..] else { panic!("four queries") };
    let cardinality: Option<u64> = cardinality[0]["value"][1].as_str().and_then(|count| count.parse().ok());
    // One series for each field.
    assert!(cardinality > Some(series), "{cardinality:?} and {series}");
    assert_eq!(minute[0]["value"][1], "100");
    let share: f64 = failed[0]["value"][1].as_str().and_then(|share| share.parse().ok()).expect("a number");
    assert!((share - failures as f64 / 100.0).abs() < 1e-9 && failures > 0, "{share}");
    assert!(slowest.len() > 1, "{slowest:?}");
}

/// Returns the settings of the page, with the URL of this test's server.
fn settings_of(block: &str, url: &str) -> Settings {
    let table: toml::Table = block.parse().expect("valid");
    let mut settings: Settings = table["monitoring"].clone().try_into().expect("valid settings");
    settings.influx.url = url.to_owned();
    settings
}
