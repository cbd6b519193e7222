//! The queries of `docs/recipes.md`, over the requests of two tenants.

use std::time::Duration;

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::Request;
use tower::ServiceExt;
use tower_influx::{
    Monitor, MonitoringData, Settings,
    settings::{InfluxApi, InfluxClient, Storage},
};

use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
};

#[tokio::test(flavor = "multi_thread")]
async fn documented_queries_by_tenant_work_in_influxdb_1() {
    if !live::ready("documented_queries_by_tenant_work_in_influxdb_1", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let mut settings = Settings::new("shop");
    settings.storage = Storage::Influx;
    settings.influx.url = influx.url();
    settings.influx.bucket = "monitoring".to_owned();
    settings.influx.client = InfluxClient::Reqwest;
    settings.influx.api = InfluxApi::V1;
    let monitor = Monitor::start(settings).expect("the settings are good");
    let app: Router = Router::new()
        .route("/acme", get(async |data: MonitoringData| data.tag("tenant", "acme")))
        .route(
            "/globex",
            get(async |data: MonitoringData| {
                data.tag("tenant", "globex");
                StatusCode::CONFLICT
            }),
        )
        .layer(monitor.layer());
    for path in ["/acme", "/globex", "/acme", "/acme"] {
        let request = Request::get(path).body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum answers");
    }
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    assert_eq!(report.written, 5, "{report}");

    let queries: Vec<_> = include_str!("../../docs/recipes.md").split("```sql\n").skip(1).collect();
    let counts = async |query: &str| {
        let result = influx.query("monitoring", query.split("```").next().expect("an end")).await;
        let series = result["series"].as_array().expect("series").clone();
        let sum = |one: &serde_json::Value| -> u64 {
            let rows = one["values"].as_array().expect("rows").iter();
            rows.filter_map(|row| row[1].as_u64()).sum()
        };
        let of = |one: &serde_json::Value| {
            (one["tags"]["tenant"].as_str().unwrap_or_default().to_owned(), sum(one))
        };
        series.iter().map(of).collect::<Vec<_>>()
    };
    let [requests, errors] = queries[..] else { panic!("two queries") };
    assert_eq!(counts(requests).await, [("acme".to_owned(), 3), ("globex".to_owned(), 1)]);
    assert_eq!(counts(errors).await, [("globex".to_owned(), 1)]);
}
