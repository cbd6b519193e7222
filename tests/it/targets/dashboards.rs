//! The dashboard in the language of each kind of server, and the types of the stored values.

use serde_json::Value;
use tower_influx::Monitor;

use super::*;
use crate::{
    grafana::{self, queries},
    support::{influx2::Influx2, target::TargetKind},
};

#[tokio::test(flavor = "multi_thread")]
async fn dashboards_and_types_hold_on_every_kind_of_server() {
    let targets = Target::all("dashboards_and_types_hold_on_every_kind_of_server").await;
    for target in &targets {
        let name = service();
        let monitor = Monitor::start(target.settings(&name, target.kind.clients()[0])).expect("starts");
        let running = Service::start(&monitor).await;
        let plan = plan(200);
        let failures: u64 = expected(&plan).1.values().sum();
        drive(&format!("http://{}", running.address), plan, 4).await;
        running.stop().await;
        let report = monitor.shutdown(Duration::from_secs(30)).await;
        assert_eq!(report.written, 200 + failures, "{:?} {report}", target.kind);
        assert_eq!(target.wait_for_count("requests", "execution_time", &name, 200).await, 200);
        assert_eq!(target.wait_for_count("errors", "request_id", &name, failures).await, failures);
        match target.kind {
            TargetKind::Influxdb1 | TargetKind::Influxdb3 => influxql(target, &name, [200, failures]).await,
            TargetKind::Influxdb2 => flux(&name, [200, failures]).await,
            TargetKind::VictoriaMetrics => metricsql(target, &name).await,
            TargetKind::Telegraf => telegraf(target, &name),
        }
    }
}

/// Runs every panel. Those of counts must show these.
async fn influxql(target: &Target, name: &str, counts: [u64; 2]) {
    let dashboard: Value = serde_json::from_str(grafana::DASHBOARD).expect("JSON");
    for (title, query) in queries(&dashboard) {
        let query = query
            .replace("$timeFilter", "time > now() - 1h")
            .replace("$__interval_ms", "60000")
            .replace("$__interval", "1m")
            .replace("$service", &format!("({name})"))
            .replace("$route", ".*");
        let answer = target.influxql(&query).await;
        assert!(answer.get("error").is_none(), "{:?} {title}: {answer}", target.kind);
        let count = &answer["series"][0]["values"][0][1];
        for (panel, expected) in ["Requests", "Failures"].iter().zip(counts) {
            assert!(title != *panel || *count == expected, "{:?} {title}: {answer}", target.kind);
        }
    }
    for (measurement, field, kind) in TYPES {
        let answer = target.influxql(&format!("SHOW FIELD KEYS FROM \"{measurement}\"")).await;
        let rows = answer["series"][0]["values"].as_array().cloned().unwrap_or_default();
        assert!(rows.contains(&serde_json::json!([field, kind])), "{:?} {field}: {answer}", target.kind);
    }
}

/// `every_flux_query_returns_the_driven_numbers` checks the numbers of every panel.
async fn flux(name: &str, counts: [u64; 2]) {
    let server = Influx2::from_environment("dashboards").expect("named by the environment");
    let dashboard: Value = serde_json::from_str(grafana::FLUX_DASHBOARD).expect("JSON");
    let variables = format!(
        "option v = {{defaultBucket: {:?}, timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 1m}}",
        server.bucket
    );
    for (title, query) in queries(&dashboard) {
        let query = query.replace("${service:regex}", name).replace("${route:regex}", ".*");
        // Fails the test if the server refuses it.
        let rows = server.query(&format!("{variables}\n{query}")).await;
        for (panel, expected) in ["Requests", "Failures"].iter().zip(counts) {
            let has_count =
                || rows.iter().flat_map(|row| row.values()).any(|cell| *cell == expected.to_string());
            assert!(title != *panel || has_count(), "{title}: {rows:?}");
        }
    }
    for (measurement, field, kind) in TYPES {
        // Fails on a value of another type.
        let function = if kind == "float" { "float" } else { "string" };
        let rows = server
            .query(&format!(
                "import \"types\"\nfrom(bucket: {:?}) |> range(start: -1h) |> filter(fn: (r) => r._measurement == \
                 {measurement:?} and r._field == {field:?} and r.service == {name:?}) |> filter(fn: (r) => \
                 types.isType(v: r._value, type: {function:?})) |> group() |> count()",
                server.bucket
            ))
            .await;
        assert!(rows.first().is_some_and(|row| row["_value"] != "0"), "{field}: {rows:?}");
    }
}

/// All values are floats there. The queries of the page are the dashboard.
async fn metricsql(target: &Target, name: &str) {
    let [queries] = documented("VictoriaMetrics\n", "text")[..] else { panic!("one block") };
    for query in queries.split("\n\n") {
        let answer = target.metricsql(&query.replace("\"shop\"", &format!("\"{name}\""))).await;
        let rows = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        assert!(!rows.is_empty(), "{query}: {answer}");
    }
}

/// Its output has the types of the lines that it received.
fn telegraf(target: &Target, name: &str) {
    let lines: Vec<_> = target.lines(name);
    assert!(!lines.is_empty());
    for line in lines {
        let point =
            influxdb_line_protocol::parse_lines(&line).next().expect("a line").expect("line protocol");
        for (field, value) in &point.field_set {
            use influxdb_line_protocol::FieldValue::{F64, String};
            match field.as_str() {
                "execution_time" | "load_time" => assert!(matches!(value, F64(_)), "{line}"),
                "request_id" => assert!(matches!(value, String(_)), "{line}"),
                _ => {}
            }
        }
    }
}

const TYPES: [(&str, &str, &str); 5] = [
    ("requests", "execution_time", "float"),
    ("requests", "request_id", "string"),
    ("requests", "load_time", "float"),
    ("requests", "name", "string"),
    ("errors", "request_id", "string"),
];
