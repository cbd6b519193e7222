//! The documented queries on InfluxDB 1.x, and quantiles of histograms compared with those of the
//! raw points.

use std::{collections::BTreeMap, time::Duration};

use axum::{Router, extract::Path, routing::get};
use serde_json::Value;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, RollupHistogram, Storage},
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

/// Two replicas with several intervals each, and times from a few microseconds to about 60
/// milliseconds.
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
        // The rank of the raw points' percentile is exact to less than one request.
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
    assert_eq!(queries.len(), 6);
    let rows = |result: &Value, route: &str| {
        let series = result["series"].as_array().expect("series").iter();
        let one = series.rev().find(|one| one["tags"]["route"] == route).expect("the route");
        one["values"].as_array().expect("rows").clone()
    };
    let row = |result: &Value, route: &str| rows(result, route).last().expect("a row").clone();
    for query in &queries {
        let result = influx.query("monitoring", query).await;
        let found = |route: &str| row(&result, route);
        match query {
            query if query.contains("/ 60") => {
                let rows = rows(&result, "GET:/{microseconds}");
                // A minute may have ended meanwhile.
                let sum: f64 = rows.iter().filter_map(|row| row[1].as_f64()).sum();
                assert!((sum - 0.05).abs() < 1e-9, "{rows:?}");
            }
            query if query.contains("error_code") => {
                assert_eq!(found("GET:/{microseconds}")[1], 3);
                assert!(found("GET:/{microseconds}")[2].as_f64().is_some_and(|mean| mean >= 0.001));
            }
            query if query.contains("\"mean\"") => {
                let row = found("GET:/{microseconds}");
                let (mean, longest) = (row[1].as_f64().expect("mean"), row[2].as_f64().expect("longest"));
                assert!(mean >= 0.001 && longest >= mean, "{row}");
            }
            // This one needs other boundaries: see below.
            query if query.contains("floor") => {}
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

/// Two replicas of a process with the boundaries of the document, some of which are above all
/// times.
#[tokio::test(flavor = "multi_thread")]
async fn one_query_of_influxql_finds_quantiles_with_a_few_boundaries() {
    if !live::ready("one_query_of_influxql_finds_quantiles_with_a_few_boundaries", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let query = document_query("floor");
    let mut counted = BTreeMap::<u64, u64>::new();
    for instance in ["one", "two"] {
        let mut settings = settings(&influx, instance);
        let ends = [10, 50, 100, 500, 1000].map(Duration::from_millis);
        settings.rollup.histogram = RollupHistogram::Boundaries(ends.to_vec());
        let monitor = Monitor::start(settings).expect("starts");
        let app = Router::new().route("/{microseconds}", get(waits)).layer(monitor.layer()).with_state(());
        let mut running = tokio::task::JoinSet::new();
        for number in 0..60 {
            let app = app.clone();
            // None takes 100 to 500 ms, so nobody has written to that bucket.
            let wait = if number < 55 { number * 1_500 } else { 501_000 };
            running.spawn(async move { get_path(&app, &format!("/{wait}")).await });
        }
        running.join_all().await;
        for row in monitor.rollup().expect("rollups are on").rows {
            for (end, count) in row.buckets {
                // Under load one may take a second. The longest time then represents it.
                let end = end.map_or(u64::MAX, |end| end.as_nanos() as u64);
                *counted.entry(end).or_default() += count;
            }
        }
        monitor.shutdown(Duration::from_secs(10)).await;
    }
    assert_eq!(counted.values().sum::<u64>(), 120);
    for percent in [1, 10, 25, 50, 90, 95, 99] {
        let query = query.replace("n * 95", &format!("n * {percent}"));
        let result = influx.query("monitoring", &query).await;
        let found = result["series"][0]["values"][0][1].as_f64().unwrap_or_else(|| panic!("{result}"));
        let exact = quantile(&counted, percent) as f64 / 1e9;
        let exact = if exact > 1.0 { found.max(1.0) } else { exact };
        assert!((found - exact).abs() < 1e-9, "p{percent} is {found}, not {exact}: {counted:?}");
    }
    // Beyond all boundaries, the longest time represents the quantile.
    let line = "requests_rollup,route=GET:/long,service=shop bucket_1=9i,bucket_inf=1i,count=10i,execution_time_max=7.5";
    assert_eq!(influx.write("monitoring", line).await.status, 204);
    let result = influx.query("monitoring", &query).await;
    let series = result["series"].as_array().expect("series");
    let long = series.iter().find(|one| one["tags"]["route"] == "GET:/long").expect("the route");
    assert_eq!(long["values"][0][1], 7.5);
}

/// Returns the counts by the end of their bucket in nanoseconds.
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
