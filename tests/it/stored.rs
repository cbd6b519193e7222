//! A service whose every request is stored in a real database: driven over sockets, and queried
//! exactly.

use std::{collections::BTreeSet, time::Duration};

use axum::body::Body;
use http::Request;
use tokio::task::JoinSet;
use tower::ServiceExt;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, Storage, Token},
};

use crate::support::{
    influx::{Influx, Stored},
    influx2::Influx2,
    live::{self, INFLUXD, NGINX, VICTORIA_METRICS},
    nginx::{Nginx, Upstream},
    service::{Counts, Service, app, drive, expected, plan},
    victoria::Victoria,
};

const TOKEN: &str = "a-token";
const BUCKET: &str = "monitoring";
const SERVICE: &str = "luna-licenses";

/// Returns settings that write to `url`, with short pauses, so that tests need not wait.
pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(SERVICE);
    settings.storage = Storage::Influx;
    settings.influx.url = url.to_owned();
    settings.influx.organization = "organization".to_owned();
    settings.influx.bucket = BUCKET.to_owned();
    settings.influx.token = Token::from(TOKEN);
    settings.flush_interval = Duration::from_millis(100);
    settings.retry_interval = Duration::from_millis(50);
    settings.max_retry_interval = Duration::from_millis(500);
    settings
}

/// The clients and paths to one InfluxDB 1.x that must behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// The `influxdb2` crate, through nginx, which translates version 2 to version 1.
    Influxdb2,
    /// The client `reqwest`, through nginx.
    Http,
    /// The client `reqwest`, directly to `/write`.
    Direct,
}

impl Way {
    pub(crate) const ALL: [Self; 3] = [Self::Influxdb2, Self::Http, Self::Direct];
    /// Those that go through nginx.
    pub(crate) const PROXIED: [Self; 2] = [Self::Influxdb2, Self::Http];

    pub(crate) fn settings(self, influx: &Influx, nginx: &Nginx) -> Settings {
        let mut settings = settings(&nginx.url());
        settings.influx.client =
            if self == Self::Influxdb2 { InfluxClient::Influxdb2 } else { InfluxClient::Reqwest };
        if self == Self::Direct {
            settings.influx.url = influx.url();
            settings.influx.api = InfluxApi::V1;
            settings.influx.token = Token::default();
            settings.influx.organization = String::new();
        }
        settings
    }
}

/// Starts InfluxDB with the bucket's database, behind nginx.
pub(crate) async fn influx_behind_nginx() -> (Influx, Nginx) {
    let influx = Influx::start().await;
    influx.create_database(BUCKET).await;
    let nginx = Nginx::before(Upstream::Influx(influx.port()), TOKEN).await;
    (influx, nginx)
}

/// Returns the counts by the tags that describe an ending.
pub(crate) fn counts(points: &[Stored]) -> Counts {
    let mut counts = Counts::new();
    for point in points {
        let key = ["route", "status_code", "error_code"].map(|tag| point.tag(tag).to_owned());
        *counts.entry(key.into()).or_default() += 1;
    }
    counts
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_in_influxdb_with_its_tags_and_typed_fields() {
    if !live::ready("every_request_is_in_influxdb_with_its_tags_and_typed_fields", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        every_request_is_stored(way).await;
    }
}

async fn every_request_is_stored(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    monitor.probe().await.expect("the server takes our points");
    let service = Service::start(&monitor).await;
    let plan = plan(1_000);
    let (requests, errors) = expected(&plan);
    let failures: u64 = errors.values().sum();
    drive(&format!("http://{}", service.address), plan, 8).await;
    service.stop().await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.accepted, report.written), (1_000 + failures, 1_000 + failures), "{report}");
    assert_eq!(
        (report.rejected, report.dropped, report.spooled, report.unfinished),
        (0, 0, 0, 0),
        "{report}"
    );

    let stored = influx.points(BUCKET, "requests").await;
    let failed = influx.points(BUCKET, "errors").await;
    assert_eq!(counts(&stored), requests);
    assert_eq!(counts(&failed), errors);
    assert_eq!(influx.measurements(BUCKET).await, ["errors", "requests"]);

    let ids: BTreeSet<_> = stored.iter().map(|point| point.fields["request_id"].to_string()).collect();
    assert_eq!(ids.len(), 1_000, "every request has an id of its own");
    let keys: BTreeSet<_> = stored.iter().map(|point| (&point.tags, point.time)).collect();
    assert_eq!(keys.len(), 1_000);
    for point in &stored {
        assert_eq!(point.tag("service"), SERVICE);
        assert!(point.fields["execution_time"].as_f64().is_some_and(|seconds| seconds > 0.0), "{point:?}");
        let item = point.tag("route") == "GET:/items/{id}";
        let expected: &[&str] = match item {
            true => &["execution_time", "item", "known", "load_time", "name", "ratio", "request_id"],
            false => &["execution_time", "request_id"],
        };
        assert_eq!(point.fields.keys().collect::<Vec<_>>(), expected);
        if item {
            let id = point.fields["item"].as_i64().expect("an integer");
            assert_eq!(point.tag("kind"), if id % 2 == 0 { "even" } else { "odd" });
            assert_eq!(point.fields["ratio"].as_f64(), Some(id as f64 / 4.0));
            assert_eq!(point.fields["name"], format!("item \"{id}\"\\"));
            assert_eq!(point.fields["known"], id != 0);
        }
    }
    // The point in `errors` belongs to the same request: same stamp, same id, same extras.
    for point in &failed {
        let request = stored.iter().find(|one| one.fields["request_id"] == point.fields["request_id"]);
        let request = request.expect("every error has its request");
        assert_eq!((request.time, request.tag("route")), (point.time, point.tag("route")));
        assert_eq!(request.fields.get("item"), point.fields.get("item"));
    }
    let types = influx.field_types(BUCKET, "requests").await;
    let types: Vec<_> = types.iter().map(|(key, kind)| (key.as_str(), kind.as_str())).collect();
    let expected = [
        ("execution_time", "float"),
        ("item", "integer"),
        ("known", "boolean"),
        ("load_time", "float"),
        ("name", "string"),
        ("ratio", "float"),
        ("request_id", "string"),
    ];
    assert_eq!(types, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_in_victoria_metrics() {
    if !live::ready("every_request_is_in_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let monitor = Monitor::start(settings(&victoria.url())).expect("the settings are good");
    let service = Service::start(&monitor).await;
    let plan = plan(1_000);
    let (requests, errors) = expected(&plan);
    let failures: u64 = errors.values().sum();
    drive(&format!("http://{}", service.address), plan, 8).await;
    service.stop().await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!((report.accepted, report.written), (1_000 + failures, 1_000 + failures), "{report}");

    assert_eq!(victoria.wait_for_count("requests_execution_time", 1_000).await, 1_000);
    assert_eq!(victoria.wait_for_count("errors_request_id", failures as usize).await as u64, failures);
    assert_eq!(victoria.invalid_rows().await, 0);
    for (name, expected) in [("requests_execution_time", requests), ("errors_request_id", errors)] {
        let mut found = Counts::new();
        for series in victoria.export(name).await {
            let key = ["route", "status_code", "error_code"]
                .map(|label| series.labels.get(label).cloned().unwrap_or_default());
            assert_eq!(series.labels["service"], SERVICE);
            *found.entry(key.into()).or_default() += series.samples.len() as u64;
        }
        assert_eq!(found, expected, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_is_in_an_influxdb_of_version_2() {
    let Some(influx) = Influx2::from_environment("every_request_is_in_an_influxdb_of_version_2") else {
        return;
    };
    let mut settings = settings(&influx.url);
    // Separate from earlier runs, whose points the bucket may still contain.
    settings.service = format!("test-{}", std::process::id());
    settings.influx.organization = influx.organization.clone();
    settings.influx.bucket = influx.bucket.clone();
    settings.influx.token = Token::from(influx.token.as_str());
    let name = settings.service.clone();
    let monitor = Monitor::start(settings).expect("the settings are good");
    monitor.probe().await.expect("the server takes our points");
    let service = Service::start(&monitor).await;
    let plan = plan(1_000);
    let (_, errors) = expected(&plan);
    drive(&format!("http://{}", service.address), plan, 8).await;
    service.stop().await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!(report.accepted, report.written, "{report}");
    assert_eq!(influx.count("requests", "execution_time", &name).await, 1_000);
    assert_eq!(influx.count("errors", "request_id", &name).await, errors.values().sum::<u64>());
}

/// Most of them go straight into the router, without sockets: otherwise the test would spend its
/// time on the client.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_thousand_requests_are_two_hundred_thousand_points() {
    if !live::ready("two_hundred_thousand_requests_are_two_hundred_thousand_points", &[INFLUXD, NGINX]) {
        return;
    }
    const OVER_SOCKETS: usize = 20_000;
    const TASKS: usize = 9;
    const EACH: usize = 20_000;
    let (influx, nginx) = influx_behind_nginx().await;
    let monitor = Monitor::start(settings(&nginx.url())).expect("the settings are good");
    let service = Service::start(&monitor).await;
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        let app = app(&monitor).with_state(());
        tasks.spawn(async move {
            for number in 0..EACH {
                let request = Request::get("/version").body(Body::empty()).expect("a valid request");
                let response = app.clone().oneshot(request).await.expect("a router does not fail");
                assert!(response.status().is_success());
                if number % 100 == 0 {
                    tokio::task::yield_now().await;
                }
            }
        });
    }
    let plan = plan(OVER_SOCKETS);
    let failures: u64 = expected(&plan).1.values().sum();
    drive(&format!("http://{}", service.address), plan, 16).await;
    while let Some(ended) = tasks.join_next().await {
        ended.expect("the requests are answered");
    }
    service.stop().await;
    let report = monitor.shutdown(Duration::from_secs(60)).await;
    let requests = (OVER_SOCKETS + TASKS * EACH) as u64;
    assert_eq!(requests, 200_000);
    assert_eq!((report.accepted, report.written), (requests + failures, requests + failures), "{report}");
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, requests);
    assert_eq!(influx.count(BUCKET, "errors", "request_id").await, failures);
}
