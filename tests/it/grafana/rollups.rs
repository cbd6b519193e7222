//! The dashboard and the alert rules that read rollups, compared with the counts in the process.

use std::{
    collections::BTreeSet,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::get};
use serde_json::Value;
use tower::ServiceExt;
use tower_influx::{
    ErrorCode, Monitor, Settings,
    settings::{InfluxApi, InfluxClient, KeepRequests, Storage},
    stats::RollupRow,
};

use super::{FLUX_ALERTS, assert_number, filled_in, queries, rules};
use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
};

pub(super) const DASHBOARD: &str = include_str!("../../../docs/grafana/dashboards/rollups-influxql.json");
pub(super) const FLUX_DASHBOARD: &str = include_str!("../../../docs/grafana/dashboards/rollups-flux.json");
const ALERTS: &str = include_str!("../../../docs/grafana/alerts-rollups-influxql.json");
pub(super) const FLUX_ROLLUP_ALERTS: &str = include_str!("../../../docs/grafana/alerts-rollups-flux.json");

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Sends requests for two routes, of which some fail and two hang, to a service that stores no
/// points.
async fn drive(influx: &Influx) -> (Monitor, tokio::task::JoinSet<()>) {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::Influx;
    settings.influx.url = influx.url();
    settings.influx.bucket = "monitoring".to_owned();
    (settings.influx.client, settings.influx.api) = (InfluxClient::Reqwest, InfluxApi::V1);
    settings.instance = Some("one".to_owned());
    // A single interval ends with the flush, so its percentiles are those of the totals.
    settings.rollup.interval = Some(Duration::from_secs(3600));
    settings.requests.keep = KeepRequests::Failed;
    settings.trace_id = true;
    settings.process.interval = Some(Duration::from_secs(1));
    let monitor = Monitor::start(settings).expect("starts");
    let gone = || async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) };
    let slow = || async { tokio::time::sleep(Duration::from_millis(5)).await };
    let app = Router::new()
        .route("/items/{id}", get(|| async { "item" }))
        .route("/gone", get(gone))
        .route("/broken", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/slow", get(slow))
        .route("/hangs", get(std::future::pending::<()>))
        .layer(monitor.layer())
        .with_state(());
    let call = |path: &str| {
        let request = Request::get(path).header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"));
        let request = request.body(Body::empty()).expect("a request");
        let app = app.clone();
        async move { _ = app.oneshot(request).await }
    };
    for (path, times) in [("/items/1", 60), ("/gone", 7), ("/broken", 12), ("/slow", 5)] {
        for _ in 0..times {
            call(path).await;
        }
    }
    let mut hanging = tokio::task::JoinSet::new();
    (0..2).for_each(|_| _ = hanging.spawn(call("/hangs")));
    while monitor.rollup().is_none_or(|rollup| rollup.running != [("GET:/hangs".to_owned(), 2)]) {
        tokio::task::yield_now().await;
    }
    monitor.flush().await.expect("runs");
    // Each point of the process follows the one before by a second, or somewhat less if that was
    // late. Three are in two different seconds.
    while influx.count("monitoring", "process", "threads").await < 3 {
        monitor.flush().await.expect("runs");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    (monitor, hanging)
}

/// Returns lines of a minute of a shop, for servers that no process of the test writes to.
pub(super) fn driven(start: u64) -> String {
    let tags = "requests_rollup,instance=one,route=GET:/items/{id},service=shop,status_code";
    let fields = "count=90i,execution_time_max=0.09,execution_time_min=0.001,execution_time_p50=0.01,\
                  execution_time_p95=0.08,execution_time_p99=0.09,execution_time_sum=0.45,interval=10,kept=0i";
    let trace = format!("example_trace_id=\"{TRACE}\"");
    let process = "cpu_time=1.5,open_files=12i,max_open_files=1024i,resident_memory=4096i,threads=3i,\
                   runtime_alive_tasks=2i,runtime_busy_time=0.5,runtime_queue_depth=0i,runtime_workers=2i";
    format!(
        "{tags}=200 {fields},{trace} {start}000000000\n\
         requests_rollup,instance=one,route=GET:/items/{{id}},service=shop running=2i {start}000000001\n\
         process,instance=one,service=shop {process} {start}000000000\n"
    )
}

/// Returns what a panel or rule must show: a tag, a column, a number.
fn expected(title: &str, rows: &[RollupRow]) -> Vec<(String, &'static str, f64)> {
    let of = |keep: &dyn Fn(&RollupRow) -> bool| -> Vec<RollupRow> {
        rows.iter().filter(|row| keep(row)).cloned().collect()
    };
    let count = |rows: &[RollupRow]| rows.iter().map(|row| row.count).sum::<u64>() as f64;
    let mean = |rows: &[RollupRow]| rows.iter().map(|row| row.total.as_secs_f64()).sum::<f64>() / count(rows);
    let worst = |rows: &[RollupRow]| rows.iter().map(|row| row.p95.as_secs_f64()).fold(0.0, f64::max);
    let longest = |rows: &[RollupRow]| rows.iter().map(|row| row.max.as_secs_f64()).fold(0.0, f64::max);
    let failed = of(&|row| row.error_code.is_some());
    let route = |route: &str| of(&|row| row.route == route);
    let (items, slow) = (route("GET:/items/{id}"), route("GET:/slow"));
    let one = |tag: &str, column, number| vec![(tag.to_owned(), column, number)];
    let whole = String::new();
    match title {
        "Requests" => one("", "requests", count(rows)),
        "Failures" => one("", "failures", count(&failed)),
        "Mean execution time" => one("", "mean", mean(rows)),
        "Worst 95 % within" => one("", "worst", worst(rows)),
        "Requests a second" => one("200", "rate", count(&of(&|row| row.status_code == 200)) / 3600.0),
        "Failures a second" => one("11009", "rate", 7.0 / 3600.0),
        "Execution time" => vec![
            (whole.clone(), "mean", mean(rows)),
            (whole.clone(), "worst 95 %", worst(rows)),
            (whole, "longest", longest(rows)),
        ],
        "Worst 95 % by route" => one("GET:/slow", "worst 95 %", worst(&slow)),
        "Slowest routes" => vec![
            ("GET:/slow".to_owned(), "mean", mean(&slow)),
            ("GET:/slow".to_owned(), "worst 95 %", worst(&slow)),
            ("GET:/slow".to_owned(), "longest", longest(&slow)),
            ("GET:/items/{id}".to_owned(), "requests", count(&items)),
        ],
        "Slowest request by route" => one("GET:/slow", "longest", longest(&slow)),
        "Error codes" => one("11009", "failures", 7.0),
        "Requests that run" => one("GET:/hangs", "running", 2.0),
        "Requests and points a second" => vec![
            (whole.clone(), "requests", count(rows) / 3600.0),
            (whole, "points", count(&failed) / 3600.0),
        ],
        "By route, status and error code" => vec![
            ("GET:/items/{id}".to_owned(), "requests", 60.0),
            ("11009".to_owned(), "requests", 7.0),
            ("500".to_owned(), "requests", 12.0),
            ("GET:/slow".to_owned(), "mean", mean(&slow)),
        ],
        "More than 5 % of the requests fail with 5xx" => {
            vec![("shop".to_owned(), "failed", 12.0), ("shop".to_owned(), "all", count(rows))]
        }
        "95 % of a route take longer than a second" => one("GET:/slow", "most", worst(&slow)),
        _ => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_query_of_rollups_returns_what_was_counted_in_the_process() {
    let test = "every_query_of_rollups_returns_what_was_counted_in_the_process";
    if !live::ready(test, &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let (monitor, mut hanging) = drive(&influx).await;
    let rows = monitor.rollup().expect("rollups are on").rows;
    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let alerts: Value = serde_json::from_str(ALERTS).expect("JSON");
    let of_rules = rules(&alerts);
    assert_eq!(of_rules.len(), 3);
    let mut shown = BTreeSet::new();
    for (title, query) in queries(&dashboard).into_iter().chain(of_rules) {
        // All rollups are in one interval, and each point of the process has one of its own.
        let (interval, milliseconds) =
            if query.contains("\"process\"") { ("1s", "1000") } else { ("1h", "3600000") };
        let query = query.replace("$__interval_ms", milliseconds).replace("$__interval", interval);
        let query = filled_in(&query, now - 120);
        let result = influx.query("monitoring", &query).await;
        if title == "Slowest request by route" {
            assert!(result.to_string().contains(TRACE), "{result}");
        }
        let wanted = expected(title, &rows);
        for (tag, column, number) in wanted.iter().filter(|(_, column, _)| query.contains(column)) {
            assert_number(&result, title, tag, column, *number);
            shown.insert((title.to_owned(), column.to_string()));
        }
        if wanted.is_empty() {
            of_the_process(title, &result);
        }
    }
    assert_eq!(shown.len(), 24, "{shown:?}");
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = variable["query"].as_str().expect("a query").replace("$service", "shop");
        let result = influx.query("monitoring", &query).await.to_string();
        assert!(result.contains("shop") || result.contains("GET:/slow"), "{query}: {result}");
    }
    hanging.abort_all();
    while hanging.join_next().await.is_some() {}
    monitor.shutdown(Duration::from_secs(5)).await;
}

/// Asserts that the panels of the process show some number. A test cannot know which.
fn of_the_process(title: &str, result: &Value) {
    let known = ["Processors in use", "Memory", "Open files and threads", "Runtime"];
    assert!(known.contains(&title), "{title}: say in this test what it must show");
    let columns = result["series"][0]["columns"].as_array().unwrap_or_else(|| panic!("{title}: {result}"));
    let rows = result["series"][0]["values"].as_array().expect("rows");
    for (place, column) in columns.iter().enumerate() {
        let number = rows.iter().find_map(|row| row[place].as_f64());
        assert!(number.is_some_and(|number| number >= 0.0), "{title}: {column}: {result}");
    }
}

#[test]
fn rollups_have_the_same_panels_and_rules_in_both_languages_and_a_switch_to_requests() {
    let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
    let panels = |text| -> Vec<(String, Value, Value)> {
        let panels = read(text)["panels"].as_array().expect("panels").clone();
        let one = |panel: &Value| {
            (panel["title"].to_string(), panel["gridPos"].clone(), panel["fieldConfig"].clone())
        };
        panels.iter().map(one).collect()
    };
    assert_eq!(panels(DASHBOARD), panels(FLUX_DASHBOARD));
    let names = |text| {
        let alerts = read(text);
        let mut names: Vec<_> = rules(&alerts).iter().map(|(title, _)| (*title).to_owned()).collect();
        names.dedup();
        names
    };
    assert_eq!(names(ALERTS), names(FLUX_ROLLUP_ALERTS));
    assert!(names(FLUX_ALERTS).starts_with(&names(FLUX_ROLLUP_ALERTS)), "they take the place of these");
    for (raw, rollups) in [(super::DASHBOARD, DASHBOARD), (super::FLUX_DASHBOARD, FLUX_DASHBOARD)] {
        let (raw, rollups) = (read(raw), read(rollups));
        for (one, other) in [(&raw, &rollups), (&rollups, &raw)] {
            let link = &one["links"][0];
            assert_eq!(link["url"], format!("/d/{}", other["uid"].as_str().expect("a uid")));
            assert_eq!((&link["keepTime"], &link["includeVars"]), (&true.into(), &true.into()));
        }
    }
}
