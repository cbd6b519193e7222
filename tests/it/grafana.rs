//! The queries of `docs/grafana`, run as Grafana does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::support::{
    influx::Influx,
    influx2::Influx2,
    live::{self, INFLUXD},
};

mod rollups;

pub(super) const DASHBOARD: &str = include_str!("../../docs/grafana/dashboards/influxql.json");
pub(super) const FLUX_DASHBOARD: &str = include_str!("../../docs/grafana/dashboards/flux.json");
const ALERTS: &str = include_str!("../../docs/grafana/alerts-influxql.json");
const FLUX_ALERTS: &str = include_str!("../../docs/grafana/provisioning/alerting/flux.json");

/// What the panels must show of the lines of [`driven`]: panel, tag, column, number.
const SHOWN: &[(&str, &str, &str, f64)] = &[
    ("Requests", "", "requests", 100.0),
    ("Failures", "", "failures", 10.0),
    ("Half answered within", "", "half", 0.050),
    ("95 % answered within", "", "most", 0.095),
    ("Requests a second", "200", "rate", 1.5),
    ("Requests a second", "503", "rate", 10.0 / 60.0),
    ("Failures a second", "11009", "rate", 10.0 / 60.0),
    ("Execution time", "", "50 %", 0.050),
    ("Execution time", "", "95 %", 0.095),
    ("Execution time", "", "99 %", 0.099),
    ("Execution time by route", "GET:/items/{id}", "95 %", 0.086),
    ("Execution time by route", "GET:/slow", "95 %", 0.100),
    ("Slowest routes", "GET:/slow", "95 %", 0.100),
    ("Slowest routes", "GET:/slow", "longest", 0.100),
    ("Slowest routes", "GET:/slow", "requests", 10.0),
    ("Error codes", "11009", "failures", 10.0),
    ("Days left", "shop", "days", 9.0),
    ("Licence checks", "", "license_period_rest", 9.0),
    ("Points a second", "shop", "taken", 2.0),
    ("Points a second", "shop", "stored", 1.5),
    ("Points that wait", "shop", "collected", 10.0),
    ("Points that wait", "shop", "in batches", 5.0),
    ("Points that wait", "shop", "on disk", 7.0),
    ("Points lost", "shop", "rejected", 3.0),
    ("Points lost", "shop", "given up", 5.0),
    ("Points lost", "shop", "not taken", 4.0),
    ("Points lost", "shop", "invalid", 1.0),
    ("Time of a write", "shop", "half of the writes", 0.01),
    ("Time of a write", "shop", "99 % of the writes", 0.02),
    ("Time of a write", "shop", "99 % waited", 0.03),
];

/// What panels without numbers must show.
const TEXTS: &[(&str, &str)] =
    &[("State of delivery", "\"backoff\""), ("Failed requests", "\"4bf92f3577b34da6a3ce929d0e0e4736\"")];

/// The same for the alert rules.
const WATCHED: &[(&str, &str, &str, f64)] = &[
    ("More than 5 % of the requests fail with 5xx", "shop", "failed", 10.0),
    ("More than 5 % of the requests fail with 5xx", "shop", "all", 100.0),
    ("95 % of a route take longer than a second", "GET:/slow", "most", 0.1),
    ("A licence ends within 14 days", "shop", "days", 9.0),
    ("The monitoring loses points", "shop", "lost", 9.0),
];

#[tokio::test(flavor = "multi_thread")]
async fn every_influxql_query_returns_the_driven_numbers() {
    if !live::ready("every_influxql_query_returns_the_driven_numbers", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let start = (now / 60 - 5) * 60;
    assert_eq!(influx.write("monitoring", driven(start)).await.status, 204);

    let dashboard: Value = serde_json::from_str(DASHBOARD).expect("JSON");
    let mut panels = BTreeSet::new();
    for (title, query) in queries(&dashboard) {
        let result = influx.query("monitoring", &filled_in(query, start)).await;
        let wanted: Vec<_> = SHOWN.iter().filter(|(panel, ..)| *panel == title).collect();
        match TEXTS.iter().find(|(panel, _)| *panel == title) {
            Some((_, text)) => assert!(result.to_string().contains(text), "{title}: {result}"),
            None => assert!(!wanted.is_empty(), "{title}: say in this test what the panel must show"),
        }
        assert!(!result.to_string().contains("other-service"), "{title} shows another service: {result}");
        for (_, tag, column, number) in wanted {
            assert_number(&result, title, tag, column, *number);
        }
        panels.insert(title);
    }
    assert!(SHOWN.iter().all(|(panel, ..)| panels.contains(panel)), "{panels:?}");

    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        let query = variable["query"].as_str().expect("a query").replace("$service", "shop");
        let result = influx.query("monitoring", &query).await.to_string();
        assert!(result.contains("shop") || result.contains("GET:/slow"), "{query}: {result}");
    }

    let alerts: Value = serde_json::from_str(ALERTS).expect("JSON");
    let rules = rules(&alerts);
    assert_eq!(rules.len(), WATCHED.len());
    for ((title, query), (expected, tag, column, number)) in rules.into_iter().zip(WATCHED) {
        assert_eq!(title, *expected);
        let result = influx.query("monitoring", &filled_in(query, start)).await;
        assert_number(&result, title, tag, column, *number);
        if *column == "lost" {
            // Its counters started again at a restart, and then two points were lost.
            assert_number(&result, title, "restarted", column, 2.0);
        }
    }
}

/// Over points of all measurements: a query that works on one may fail on others in the same
/// bucket.
#[tokio::test(flavor = "multi_thread")]
async fn every_flux_query_returns_the_driven_numbers() {
    let test = "every_flux_query_returns_the_driven_numbers";
    let Some(influx) = Influx2::from_environment(test) else { return };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    let (start, service) = ((now.as_secs() / 60 - 5) * 60, format!("flux-{}", now.as_nanos()));
    let lines = driven(start) + &rollups::driven(start);
    influx.write(lines.replace("service=shop", &format!("service={service}"))).await;
    let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
    let dashboards = [FLUX_DASHBOARD, rollups::FLUX_DASHBOARD].map(read);
    let alerts = [FLUX_ALERTS, rollups::FLUX_ROLLUP_ALERTS].map(read);
    let variables = format!(
        "option v = {{defaultBucket: {:?}, timeRangeStart: -1h, timeRangeStop: now(), windowPeriod: 1m}}",
        influx.bucket
    );
    let mut cells = BTreeMap::<&str, Vec<f64>>::new();
    for (title, query) in dashboards.iter().flat_map(queries).chain(alerts.iter().flat_map(rules)) {
        let query = query.replace("${service:regex}", &service).replace("${route:regex}", ".*");
        // Fails the test if the server refuses it.
        let rows = influx.query(&format!("{variables}\n{query}")).await;
        let numbers = rows.iter().flat_map(|row| row.values()).filter_map(|cell| cell.parse::<f64>().ok());
        cells.entry(title).or_default().extend(numbers);
    }
    for (title, _, column, number) in SHOWN {
        // The percentiles of Flux are estimates.
        let is_near = |cell: &f64| (cell - number).abs() <= number * 0.02;
        assert!(cells[title].iter().any(is_near), "{title}: no {column} of {number}: {:?}", cells[title]);
    }
    assert!(cells["By route, status and error code"].contains(&0.005), "{cells:?}");
}

#[test]
fn both_languages_have_the_same_panels_and_rules() {
    let read = |text| serde_json::from_str::<Value>(text).expect("JSON");
    let titles = |text| -> Vec<(String, Value)> {
        let panels = read(text)["panels"].as_array().expect("panels").clone();
        panels.iter().map(|panel| (panel["title"].to_string(), panel["gridPos"].clone())).collect()
    };
    assert_eq!(titles(DASHBOARD), titles(FLUX_DASHBOARD));
    let (influxql, flux) = (read(ALERTS), read(FLUX_ALERTS));
    // A rule may take several queries in one language and a single one in the other.
    let names = |alerts: &Value| {
        let mut names: Vec<_> = rules(alerts).into_iter().map(|(title, _)| title.to_owned()).collect();
        names.dedup();
        names
    };
    assert_eq!(names(&influxql), names(&flux));
    let uids: BTreeSet<_> = [DASHBOARD, FLUX_DASHBOARD].map(|text| read(text)["uid"].to_string()).into();
    assert_eq!(uids.len(), 2);
}

/// Returns the titles and queries of all panels.
pub(super) fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let panels = dashboard["panels"].as_array().expect("panels").iter();
    let targets = panels.filter(|panel| panel["type"] != "row").flat_map(|panel| {
        let title = panel["title"].as_str().expect("a title");
        let targets = panel["targets"].as_array().expect("targets").iter();
        targets.map(move |target| (title, target["query"].as_str().expect("a query")))
    });
    targets.collect()
}

/// Collects the URLs of all links of a dashboard.
fn urls<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("url").and_then(Value::as_str));
            object.values().for_each(|value| urls(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| urls(value, found)),
        _ => {}
    }
}

#[test]
fn each_dashboard_links_a_trace_to_the_query_that_the_page_names() {
    let page = include_str!("../../docs/requests.md");
    let shown =
        page.split_once("`/explore?").expect("the row of Tempo").1.split_once('`').expect("its end").0;
    // The page shows it for readers, not encoded.
    let (_, shown) = shown.split_once("panes=").expect("the panes");
    let shown: Value = serde_json::from_str(shown).expect("JSON");
    let query = &shown["t"]["queries"][0];
    assert_eq!((&query["queryType"], &query["query"]), (&"traceql".into(), &"${__value.raw}".into()));
    for dashboard in [DASHBOARD, FLUX_DASHBOARD, rollups::DASHBOARD, rollups::FLUX_DASHBOARD] {
        let dashboard: Value = serde_json::from_str(dashboard).expect("JSON");
        let mut all = Vec::new();
        urls(&dashboard, &mut all);
        let traces: Vec<_> = all.iter().filter_map(|url| url.strip_prefix("/explore?")).collect();
        assert_eq!(traces.len(), 1, "{all:?}");
        let pairs: BTreeMap<_, _> = url::form_urlencoded::parse(traces[0].as_bytes()).collect();
        assert_eq!(pairs["schemaVersion"], "1");
        assert_eq!(serde_json::from_str::<Value>(&pairs["panes"]).expect("JSON"), shown);
    }
}

fn rules(alerts: &Value) -> Vec<(&str, &str)> {
    let rules = alerts["groups"][0]["rules"].as_array().expect("rules").iter();
    let queries = rules.flat_map(|rule| {
        let title = rule["title"].as_str().expect("a title");
        let data = rule["data"].as_array().expect("queries and expressions").iter();
        data.filter_map(move |one| Some((title, one["model"]["query"].as_str()?)))
    });
    queries.collect()
}

/// Returns the query with values for Grafana's variables.
fn filled_in(query: &str, start: u64) -> String {
    let end = start + 240;
    let query = query
        .replace("$timeFilter", &format!("time >= {start}000ms AND time <= {end}000ms"))
        .replace("$__interval_ms", "60000")
        .replace("$__interval", "1m")
        .replace("$service", "(shop)")
        .replace("$route", ".*");
    assert_eq!(query.matches('$').count(), query.matches("$/").count(), "a variable is left in {query}");
    query
}

/// Asserts the greatest number of this column, in the series with this value of some tag.
fn assert_number(result: &Value, title: &str, tag: &str, column: &str, expected: f64) {
    let series = result["series"].as_array().cloned().unwrap_or_default();
    let of_tag = series.iter().filter(|one| {
        tag.is_empty() || one["tags"].as_object().is_some_and(|tags| tags.values().any(|value| value == tag))
    });
    let numbers = of_tag.flat_map(|one| {
        let columns = one["columns"].as_array().expect("columns");
        let place = columns.iter().position(|name| name == column);
        let rows = one["values"].as_array().expect("rows").iter();
        rows.filter_map(move |row| row[place?].as_f64()).collect::<Vec<_>>()
    });
    let found = numbers.fold(f64::NEG_INFINITY, f64::max);
    assert!(
        (found - expected).abs() < 1e-9,
        "{title}: {column} of {tag:?} is {found}, not {expected}: {result}"
    );
}

/// Returns lines of a minute of a shop, and a few of another service: 100 requests of 1 to 100 ms,
/// of which the slowest ten failed.
fn driven(start: u64) -> String {
    let mut lines = String::new();
    for number in 1..=100_u64 {
        let (route, status) = if number <= 90 { ("GET:/items/{id}", 200) } else { ("GET:/slow", 503) };
        let (time, seconds) = (start * 1_000_000_000 + number, number as f64 / 1000.0);
        let tags = format!("route={route},service=shop,status_code={status}");
        lines += &format!("requests,{tags} execution_time={seconds},request_id=\"{number}\" {time}\n");
        if status == 503 {
            let trace = "trace_id=\"4bf92f3577b34da6a3ce929d0e0e4736\"";
            lines += &format!("errors,error_code=11009,{tags} request_id=\"{number}\",{trace} {time}\n");
        }
        if number <= 5 {
            let tags = "route=GET:/items/{id},service=other-service,status_code=200";
            lines += &format!("requests,{tags} execution_time=9,request_id=\"o{number}\" {time}\n");
        }
    }
    lines += &format!(
        "licensing,license_status=warning,service=shop license_period_rest=9i,warnings=\"ends soon\",errors=\"\" {start}000000000\n"
    );
    let monitoring = [
        (start, "accepted=100i,written=90i,rejected=1i,dropped=2i,refused=0i,invalid=0i,state=\"healthy\""),
        (
            start + 60,
            "accepted=220i,written=180i,rejected=3i,dropped=5i,refused=4i,invalid=1i,state=\"backoff\"",
        ),
    ];
    for (time, fields) in monitoring {
        lines += &format!(
            "monitoring,service=shop buffered=10i,in_flight=5i,spooled=7i,write_time_p50=0.01,write_time_p99=0.02,queue_time_p99=0.03,{fields} {time}000000000\n"
        );
    }
    for (time, dropped) in [(start, 700), (start + 60, 0), (start + 120, 2)] {
        lines += &format!(
            "monitoring,service=restarted rejected=0i,dropped={dropped}i,refused=0i {time}000000000\n"
        );
    }
    lines
}
