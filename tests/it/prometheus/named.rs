//! Outgoing calls by target and long connections by kind, as metrics.

use std::convert::Infallible;

use axum::{Router, body::Body};
use http::{Request, Response, StatusCode};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_influx::{Monitor, settings::MetricNames};

use super::monitor;
use crate::support::{
    live::{self, PROMTOOL},
    prometheus::complaints,
};

/// One call that succeeds, two that fail, and one that hangs, which is returned.
async fn call(monitor: &Monitor, target: &'static str) -> impl Future {
    let inner = service_fn(|request: Request<()>| async move {
        if request.uri() == "/hangs" {
            std::future::pending::<()>().await;
        }
        let status = if request.uri() == "/good" { StatusCode::OK } else { StatusCode::BAD_GATEWAY };
        Ok::<_, Infallible>(Response::builder().status(status).body(String::new()).expect("a response"))
    });
    let mut client = monitor.client_layer(target).layer(inner);
    let request = |path: &str| Request::get(path).body(()).expect("a request");
    for path in ["/good", "/bad", "/bad"] {
        client.call(request(path)).await.expect("never fails");
    }
    client.call(request("/hangs"))
}

async fn scrape(monitor: &Monitor) -> String {
    let app = Router::new().route("/metrics", monitor.metrics_route().expect("metrics are on"));
    let request = Request::get("/metrics").body(Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("never fails");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

/// The lines of what is counted by target and by kind.
fn named(exposition: &str) -> Vec<&str> {
    let is_named = |line: &&str| {
        line.starts_with("tower_influx_client_") || line.starts_with("tower_influx_connections_")
    };
    exposition.lines().filter(is_named).collect()
}

#[tokio::test]
async fn outgoing_calls_and_open_connections_are_metrics() {
    let monitor = monitor(MetricNames::OpenTelemetry);
    assert_eq!(named(&scrape(&monitor).await), [""; 0]);
    let hanging = [call(&monitor, "payments").await, call(&monitor, "a \"b\"\n\\c").await];
    let open = [monitor.connection("chat"), monitor.connection("chat"), monitor.connection("events")];
    drop(monitor.connection("chat"));
    let exposition = scrape(&monitor).await;
    if live::ready("outgoing_calls_and_open_connections_are_metrics", &[PROMTOOL]) {
        assert_eq!(complaints(&exposition), "", "{exposition}");
    }
    let expected = [
        "tower_influx_client_requests_total{target=\"a \\\"b\\\"\\n\\\\c\"} 3",
        "tower_influx_client_requests_total{target=\"payments\"} 3",
        "tower_influx_client_errors_total{target=\"a \\\"b\\\"\\n\\\\c\"} 2",
        "tower_influx_client_errors_total{target=\"payments\"} 2",
        "tower_influx_client_active_requests{target=\"a \\\"b\\\"\\n\\\\c\"} 1",
        "tower_influx_client_active_requests{target=\"payments\"} 1",
        "tower_influx_connections_open{connection=\"chat\"} 2",
        "tower_influx_connections_open{connection=\"events\"} 1",
        "tower_influx_connections_ended_total{connection=\"chat\"} 1",
        "tower_influx_connections_ended_total{connection=\"events\"} 0",
    ];
    assert_eq!(named(&exposition), expected);
    // A call that is given up has failed.
    drop((hanging, open));
    let exposition = scrape(&monitor).await;
    for line in [
        "tower_influx_client_requests_total{target=\"payments\"} 4",
        "tower_influx_client_errors_total{target=\"payments\"} 3",
        "tower_influx_client_active_requests{target=\"payments\"} 0",
        "tower_influx_connections_ended_total{connection=\"chat\"} 3",
        "tower_influx_connections_open{connection=\"chat\"} 0",
        "tower_influx_connections_open{connection=\"events\"} 0",
    ] {
        assert!(named(&exposition).contains(&line), "{line}: {exposition}");
    }
}

#[tokio::test]
async fn targets_and_kinds_beyond_the_bound_share_one_label() {
    let monitor = monitor(MetricNames::Luna);
    for number in 0..300 {
        drop(monitor.client_layer(format!("target {number}")));
        drop(monitor.connection(format!("kind {number}")));
    }
    let exposition = scrape(&monitor).await;
    for (name, count) in [
        ("tower_influx_client_requests_total{", 257),
        ("tower_influx_client_active_requests{", 257),
        ("tower_influx_connections_open{", 257),
    ] {
        let lines = exposition.lines().filter(|line| line.starts_with(name));
        assert_eq!(lines.count(), count, "{name}");
    }
    assert!(exposition.contains("tower_influx_connections_ended_total{connection=\"other\"} 44\n"));
}
