//! Metrics as the real Prometheus reads them, compared with what the driver has sent.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request, http::header, routing::get};
use http::StatusCode;
use prometheus_client::{encoding::text, registry::Registry};
use tokio::net::TcpListener;
use tower::ServiceExt;
use tower_influx::{
    ErrorCode, Monitor, MonitoringData, Settings,
    settings::{MetricNames, Storage},
};

use crate::support::{
    http::Http,
    live::{self, PROMETHEUS, PROMTOOL},
    prometheus::{Prometheus, complaints},
};

mod hostile_tags;
mod named;
mod two_monitors;

fn monitor(names: MetricNames) -> Monitor {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::None;
    settings.metrics.names = Some(names);
    settings.rollup.tags = vec!["a tenant".to_owned(), "http_route".to_owned()];
    Monitor::start(settings).expect("starts")
}

fn app(monitor: &Monitor) -> Router {
    let failing = || async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) };
    let slow = || async { tokio::time::sleep(Duration::from_millis(6)).await };
    let tagged = |data: MonitoringData| async move {
        data.tag("a tenant", "acme \"x\"\\");
        data.tag("http_route", "y");
    };
    let router = Router::new()
        .route("/items/{id}", get(|| async { "item" }).post(|| async { "item" }))
        .route("/missing", get(failing))
        .route("/slow", get(slow))
        .route("/tagged", get(tagged))
        .route("/hangs", get(std::future::pending::<()>))
        .layer(monitor.layer());
    router.route("/metrics", monitor.metrics_route().expect("metrics are on"))
}

async fn serve(monitor: &Monitor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let app = app(monitor);
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

async fn drive(address: SocketAddr) {
    let http = Http::new();
    for (path, times) in [("/items/1", 30), ("/missing", 7), ("/slow", 5), ("/tagged", 3)] {
        for _ in 0..times {
            http.get(&format!("http://{address}{path}")).await.expect("answers");
        }
    }
    for _ in 0..2 {
        http.post(&format!("http://{address}/items/2"), &[], Body::empty()).await.expect("answers");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_what_the_driver_has_sent_by_the_names_of_opentelemetry() {
    let test = "prometheus_reads_what_the_driver_has_sent_by_the_names_of_opentelemetry";
    if !live::ready(test, &[PROMETHEUS]) {
        return;
    }
    let monitor = monitor(MetricNames::OpenTelemetry);
    let address = serve(&monitor).await;
    let prometheus = Prometheus::start(address).await;
    drive(address).await;
    let hanging = tokio::spawn(async move { Http::new().get(&format!("http://{address}/hangs")).await });
    let count = "http_server_request_duration_seconds_count";
    prometheus.wait_for(&format!("sum({count})"), 47.0).await;
    let items =
        |method: &str| format!("{count}{{http_request_method=\"{method}\",http_route=\"/items/{{id}}\"}}");
    assert_eq!(prometheus.number(&items("GET")).await, Some(30.0));
    assert_eq!(prometheus.number(&items("POST")).await, Some(2.0));
    let failed = format!("{count}{{http_response_status_code=\"404\",error_type=\"11009\"}}");
    assert_eq!(prometheus.number(&failed).await, Some(7.0));
    let tagged = format!("{count}{{http_route=\"/tagged\",a_tenant=\"acme \\\"x\\\"/\",http_route_=\"y\"}}");
    assert_eq!(prometheus.number(&tagged).await, Some(3.0));
    let bucket =
        |le: &str| format!("http_server_request_duration_seconds_bucket{{http_route=\"/slow\",le=\"{le}\"}}");
    assert_eq!(prometheus.number(&bucket("0.005")).await, Some(0.0));
    assert_eq!(prometheus.number(&bucket("+Inf")).await, Some(5.0));
    let sum = "http_server_request_duration_seconds_sum{http_route=\"/slow\"}";
    assert!(prometheus.number(sum).await.expect("a sum") >= 0.03);
    let active = "http_server_active_requests{http_route=\"/hangs\"}";
    prometheus.wait_for(active, 1.0).await;
    hanging.abort();
    assert_eq!(prometheus.number("tower_influx_points_offered_total").await, Some(0.0));
    // A scrape during and after the shutdown still returns everything.
    monitor.shutdown(Duration::from_secs(1)).await;
    prometheus.wait_for(&format!("sum({count}{{http_route!=\"/hangs\"}})"), 47.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn prometheus_reads_the_names_of_the_luna_services() {
    if !live::ready("prometheus_reads_the_names_of_the_luna_services", &[PROMETHEUS]) {
        return;
    }
    let monitor = monitor(MetricNames::Luna);
    let address = serve(&monitor).await;
    let prometheus = Prometheus::start(address).await;
    drive(address).await;
    prometheus.wait_for("sum(request_count_total{service=\"shop\"})", 47.0).await;
    // By path, so it covers both methods.
    let items = "request_count_total{path=\"/items/{id}\",status_code=\"200\"}";
    assert_eq!(prometheus.number(items).await, Some(32.0));
    assert_eq!(
        prometheus.number("errors_count_total{error_code=\"11009\",path=\"/missing\"}").await,
        Some(7.0)
    );
    let ends = prometheus.rows("requests_bucket{route=\"GET:/slow\",status_code=\"200\"}").await;
    assert_eq!(ends.len(), 20, "19 boundaries and infinity");
    let count = "requests_count{route=\"GET:/slow\",status_code=\"200\",service=\"shop\"}";
    assert_eq!(prometheus.number(count).await, Some(5.0));
}

#[tokio::test]
async fn both_formats_are_well_formed_and_chosen_by_accept() {
    for names in [MetricNames::OpenTelemetry, MetricNames::Luna] {
        let monitor = monitor(names);
        let app = app(&monitor).with_state(());
        for path in ["/items/1", "/missing", "/tagged"] {
            let request = Request::get(path).body(Body::empty()).expect("a request");
            app.clone().oneshot(request).await.expect("never fails");
        }
        let accepts = [
            (None, false),
            (Some("text/plain"), false),
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,*/*;q=0.1",
                ),
                true,
            ),
            (Some("text/html, Application/OpenMetrics-Text"), true),
            (Some("application/openmetrics-text;q=0, text/plain"), false),
        ];
        for (accept, open) in accepts {
            let mut request = Request::get("/metrics");
            if let Some(accept) = accept {
                request = request.header(header::ACCEPT, accept);
            }
            let request = request.body(Body::empty()).expect("a request");
            let response = app.clone().oneshot(request).await.expect("never fails");
            let kind = response.headers()[header::CONTENT_TYPE].to_str().expect("text").to_owned();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
            let body = String::from_utf8(body.to_vec()).expect("text");
            assert_eq!(body.ends_with("# EOF\n"), open, "{accept:?}");
            let expected = if open {
                "application/openmetrics-text; version=1.0.0"
            } else {
                "text/plain; version=0.0.4"
            };
            assert!(kind.starts_with(expected), "{accept:?}: {kind}");
            if !open && live::ready("both_formats_are_well_formed_and_chosen_by_accept", &[PROMTOOL]) {
                assert_eq!(complaints(&body), "", "{body}");
            }
        }
    }
}

#[tokio::test]
async fn an_application_registers_the_collector_beside_its_own_metrics() {
    let monitor = monitor(MetricNames::OpenTelemetry);
    let mut registry = Registry::with_prefix("shop");
    registry.register_collector(Box::new(monitor.collector().expect("metrics are on")));
    let mut body = String::new();
    text::encode(&mut body, &registry).expect("text");
    assert!(body.contains("# TYPE shop_http_server_request_duration_seconds histogram\n"), "{body}");
}

#[tokio::test]
async fn without_names_there_are_no_metrics_and_a_disabled_monitor_has_none() {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::None;
    let monitor = Monitor::start(settings).expect("starts");
    let error = monitor.collector().expect_err("no names").to_string();
    assert_eq!(
        error,
        "setting `metrics.names`: missing, so there are no metrics; write `opentelemetry` or `luna`"
    );
    assert!(Monitor::disabled().metrics_route().is_ok());
}
