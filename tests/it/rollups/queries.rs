//! The documented queries, and quantiles from histograms beside those of the raw points, on InfluxDB 1.x.

use std::{collections::BTreeMap, time::Duration};

use axum::{Router, extract::Path, routing::get};
use serde_json::Value;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, Storage},
};

use super::exact::get_path;
use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
};

fn settings(influx: &Influx, instance: &str) -> Settings {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::Influx;
    settings.influx.url = influx.url();
    settings.influx.bucket = "monitoring".to_owned();
    (settings.influx.client, settings.influx.api) = (InfluxClient::Reqwest, InfluxApi::V1);
    settings.instance = Some(instance.to_owned());
    settings.rollup.interval = Some(Duration::from_millis(100));
    settings
}

async fn waits(Path(microseconds): Path<u64>) {
    tokio::time::sleep(Duration::from_micros(microseconds)).await;
}

/// Two replicas, several intervals each, with times from a few microseconds to some 60 milliseconds.
async fn record(influx: &Influx) -> i64 {
    let mut requests = 0;
    for instance in ["one", "two"] {
        let monitor = Monitor::start(settings(influx, instance)).expect("starts");
        let app = Router::new().route("/{microseconds}", get(waits));
        let app = app.layer(monitor.layer()).with_state(());
        let mut running = tokio::task::JoinSet::new();
        for number in 0..600u64 {
            let app = app.clone();
            running.spawn(async move { get_path(&app, &format!("/{}", number * number % 60_000)).await });
            if number % 100 == 0 {
                tokio::time::sleep(Duration::from_millis(120)).await;
            }
            requests += 1;
        }
        running.join_all().await;
        let report = monitor.shutdown(Duration::from_secs(10)).await;
        assert_eq!((report.dropped, report.rejected, report.in_time), (0, 0, true), "{report}");
    }
    requests
}

#[tokio::test(flavor = "multi_thread")]
async fn quantiles_of_all_replicas_and_intervals_are_those_of_the_raw_points() {
    if !live::ready("quantiles_of_all_replicas_and_intervals_are_those_of_the_raw_points", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let requests = record(&influx).await;
    let of_all = influx.query("monitoring", "SELECT sum(count) FROM requests_rollup").await;
    assert_eq!(of_all["series"][0]["values"][0][1], requests);

    let histogram = influx.query("monitoring", &document_query("sum(/^bucket_/)")).await;
    let buckets = buckets(&histogram["series"][0]);
    assert_eq!(buckets.values().sum::<u64>() as i64, requests);
    for percent in [10, 50, 90, 95, 99] {
        let query = format!("SELECT percentile(execution_time, {percent}) FROM requests");
        let exact = influx.query("monitoring", &query).await;
        let exact = exact["series"][0]["values"][0][1].as_f64().expect("a number");
        let told = quantile(&buckets, percent) as f64 / 1e9;
        let told = told * if (100e-6..=60.0).contains(&told) { 0.953 } else { 0.873 };
        let error = (told / exact - 1.0).abs();
        // What the raw points' percentile is off by its own rank is beneath a request.
        assert!(error <= 0.055, "p{percent}: {told} s for {exact} s");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn documented_queries_of_rollups_work_in_influxdb_1() {
    if !live::ready("documented_queries_of_rollups_work_in_influxdb_1", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let monitor = Monitor::start(settings(&influx, "one")).expect("starts");
    let app = Router::new()
        .route("/{microseconds}", get(waits))
        .route("/hangs", get(std::future::pending::<()>))
        .layer(monitor.layer())
        .with_state(());
    for _ in 0..3 {
        get_path(&app, "/1000").await;
    }
    let hanging = tokio::spawn(async move { get_path(&app, "/hangs").await });
    while monitor.rollup().is_none_or(|rollup| rollup.running.is_empty()) {
        tokio::task::yield_now().await;
    }
    monitor.flush().await.expect("runs");
    let queries = queries();
    assert_eq!(queries.len(), 5);
    let row = |result: &Value, route: &str| {
        let series = result["series"].as_array().expect("series").iter();
        let one = series.rev().find(|one| one["tags"]["route"] == route).expect("the route");
        one["values"].as_array().expect("rows").last().expect("a row").clone()
    };
    for query in &queries {
        let result = influx.query("monitoring", query).await;
        let found = |route: &str| row(&result, route);
        match query {
            query if query.contains("/ 60") => assert_eq!(found("GET:/{microseconds}")[1], 0.05),
            query if query.contains("\"mean\"") => {
                let row = found("GET:/{microseconds}");
                let (mean, longest) = (row[1].as_f64().expect("mean"), row[2].as_f64().expect("longest"));
                assert!(mean >= 0.001 && longest >= mean, "{row}");
            }
            query if query.contains("error_code") => assert_eq!(found("GET:/{microseconds}")[1], 3),
            query if query.contains("running") => assert_eq!(found("GET:/hangs")[1], 1),
            query => {
                let series = result["series"].as_array().expect("series").iter();
                let one = series.rev().find(|one| one["tags"]["route"] == "GET:/{microseconds}");
                assert_eq!(buckets(one.expect("the route")).values().sum::<u64>(), 3, "{query}");
            }
        }
    }
    hanging.abort();
    monitor.shutdown(Duration::from_secs(5)).await;
}

/// Counts by the end of their bucket in nanoseconds.
fn buckets(series: &Value) -> BTreeMap<u64, u64> {
    let columns = series["columns"].as_array().expect("columns").iter();
    let values = series["values"][0].as_array().expect("values");
    let named = columns.zip(values).filter_map(|(column, value)| {
        let (_, end) = column.as_str()?.split_once("bucket_")?;
        let end = end.parse::<f64>().ok().filter(|end| end.is_finite());
        Some((end.map_or(u64::MAX, |end| (end * 1e9).round() as u64), value.as_u64()?))
    });
    named.collect()
}

fn quantile(buckets: &BTreeMap<u64, u64>, percent: u64) -> u64 {
    let rank = (buckets.values().sum::<u64>() * percent).div_ceil(100);
    let mut seen = 0;
    let found = buckets.iter().find(|(_, count)| {
        seen += **count;
        seen >= rank
    });
    *found.expect("something was counted").0
}

fn document_query(part: &str) -> String {
    queries().into_iter().find(|query| query.contains(part)).expect("a query")
}

fn queries() -> Vec<String> {
    let document = include_str!("../../../docs/rollups.md");
    let blocks = document.split("```sql\n").skip(1);
    blocks.filter_map(|rest| rest.split("```").next()).map(str::to_owned).collect()
}
