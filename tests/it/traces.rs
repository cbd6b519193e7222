//! Traces by setting, and the exemplars of rollups.

use std::time::{Duration, Instant};

use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::get};
use tower::ServiceExt;
use tower_influx::{DataPoint, Monitor, MonitoringData, MonitoringLayer, Settings, sink::MemorySink};

use crate::labels::monitor;

/// Returns the trace id with this number.
fn trace(number: u32) -> String {
    format!("{number:032x}")
}

fn settings(trace_id: bool) -> Settings {
    let mut settings = Settings::new("traces");
    settings.trace_id = trace_id;
    settings.rollup.interval = Some(Duration::from_secs(3600));
    settings
}

/// Handlers that on demand take longer than all earlier requests together, and set a trace of their
/// own.
fn app(layer: MonitoringLayer) -> Router {
    let first = Instant::now();
    let slow = async move |data: MonitoringData, request: Request| {
        let begin = Instant::now();
        let query = request.uri().query().unwrap_or_default();
        if let Some(own) = query.strip_prefix("own=") {
            data.field("trace_id", own);
        }
        while query == "slowest" && begin.elapsed() <= begin - first {
            tokio::task::yield_now().await;
        }
        if query == "fail" { StatusCode::NOT_FOUND } else { StatusCode::OK }
    };
    Router::new().route("/slow", get(slow)).route("/plain", get(async || ())).layer(layer)
}

async fn ask(app: &Router, uri: &str, number: u32) {
    let request = Request::get(uri);
    let request = match number {
        0 => request,
        number => request.header("traceparent", format!("00-{}-00f067aa0ba902b7-01", trace(number))),
    };
    let request = request.body(Body::empty()).expect("a valid request");
    app.clone().oneshot(request).await.expect("axum never fails");
}

/// Returns `route status exemplar` of the lines of one interval, sorted.
async fn examples(monitor: &Monitor, sink: &MemorySink) -> Vec<String> {
    monitor.flush().await.expect("the monitor runs");
    monitor.shutdown(Duration::from_secs(5)).await;
    let text = |point: &DataPoint| {
        let example = point.field("example_trace_id").and_then(|id| id.as_str());
        let parts = [point.tag("route"), point.tag("status_code"), example];
        parts.into_iter().flatten().map(|part| part.trim_start_matches('0')).collect::<Vec<_>>().join(" ")
    };
    let mut lines: Vec<_> = sink.measurement("requests_rollup").iter().map(text).collect();
    lines.sort();
    lines
}

#[tokio::test]
async fn the_setting_enables_traces_and_a_layer_may_override_it() {
    type Build = fn(MonitoringLayer) -> MonitoringLayer;
    let (as_set, on, off): (Build, Build, Build) =
        (|layer| layer, |layer| layer.trace_id(true), |layer| layer.trace_id(false));
    for (setting, build, expected) in [
        (true, as_set, true),
        (true, off, false),
        (false, as_set, false),
        (false, on, true),
        (true, |layer| layer.sizes(true), true),
    ] {
        let mut settings = Settings::new("traces");
        settings.trace_id = setting;
        let (monitor, sink) = monitor(settings);
        let app = app(build(monitor.layer()));
        ask(&app, "/plain", 7).await;
        monitor.flush().await.expect("the monitor runs");
        let points = sink.measurement("requests");
        let found = points[0].field("trace_id").and_then(|id| id.as_str().map(str::to_owned));
        assert_eq!(found, expected.then(|| trace(7)), "{setting}");
    }
    let (monitor, _) = monitor(settings(false));
    let refused = monitor.reload(settings(true)).await.expect_err("layers are made with it");
    assert!(refused.to_string().contains("`trace_id`"), "{refused}");
}

#[tokio::test]
async fn a_rollup_has_the_trace_of_its_slowest_request_that_has_one() {
    for (setting, layers) in [(true, false), (false, true), (false, false)] {
        let (monitor, sink) = monitor(settings(setting));
        let layer = monitor.layer();
        let app = app(if layers { layer.trace_id(true) } else { layer });
        for (uri, number) in [
            ("/slow", 1),
            ("/slow", 3),
            ("/slow?slowest", 2),
            // The slowest request of all has no trace.
            ("/slow?slowest", 0),
            ("/slow?fail", 4),
            ("/plain", 0),
            ("/plain", 5),
        ] {
            ask(&app, uri, number).await;
        }
        let with = ["GET:/plain 200 5", "GET:/slow 200 2", "GET:/slow 404 4"];
        let without = ["GET:/plain 200", "GET:/slow 200", "GET:/slow 404"];
        let expected = if setting || layers { with } else { without };
        assert_eq!(examples(&monitor, &sink).await, expected, "{setting} {layers}");
    }
}

/// A field that a handler sets is used only if it is a valid trace id, and each interval has its
/// own exemplar.
#[tokio::test]
async fn an_exemplar_is_a_valid_trace_id_of_its_own_interval() {
    let (monitor, sink) = monitor(settings(true));
    let app = app(monitor.layer());
    let own = trace(0xabc);
    ask(&app, "/slow?own=no-trace", 0).await;
    ask(&app, &format!("/slow?own={}g", &own[1..]), 0).await;
    ask(&app, &format!("/slow?own={own}"), 1).await;
    monitor.flush().await.expect("the monitor runs");
    ask(&app, "/slow", 0).await;
    assert_eq!(examples(&monitor, &sink).await, ["GET:/slow 200", "GET:/slow 200 abc"]);
}

/// What handlers and middleware find is what the points have, also where the data is used again.
#[tokio::test]
async fn the_data_has_the_trace_that_the_layer_has_read() {
    type Build = fn(MonitoringLayer) -> MonitoringLayer;
    let ways: [(Build, Option<u128>); 6] = [
        (|layer| layer.trace_id(true), Some(7)),
        (|layer| layer.trace_id(true).on_request(|_, data| assert_eq!(data.trace_id(), Some(7))), Some(7)),
        (|layer| layer.trace_id(true).insert_data(true), Some(7)),
        (|layer| layer.trace_id_from(|_| Some(9)), Some(9)),
        (|layer| layer.trace_id_from(|_| None).sizes(true), None),
        (|layer| layer.sizes(true), None),
    ];
    for (number, (build, expected)) in ways.into_iter().enumerate() {
        let (monitor, sink) = monitor(Settings::new("traces"));
        let found = async |data: MonitoringData| {
            let spawned = data.clone();
            let in_task = tokio::spawn(async move { spawned.trace_id() }).await.expect("no panic");
            assert_eq!(data.trace_id(), in_task);
            data.trace_id().map(|id| format!("{id:032x}")).unwrap_or_default()
        };
        let app = Router::new().route("/", get(found)).layer(build(monitor.layer()));
        let mut answers = Vec::new();
        for parent in [format!("00-{}-00f067aa0ba902b7-01", trace(7)), "00-bad".to_owned()] {
            // The function that checks what it is given is asked only of the first.
            if number == 1 && parent == "00-bad" {
                break;
            }
            let request = Request::get("/").header("traceparent", parent).body(Body::empty()).expect("valid");
            let response = app.clone().oneshot(request).await.expect("axum never fails");
            let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
            answers.push(String::from_utf8(body.to_vec()).expect("text"));
        }
        let expected = expected.map(|id| format!("{id:032x}")).unwrap_or_default();
        assert_eq!(answers[0], expected, "{number}");
        monitor.flush().await.expect("the monitor runs");
        let points = sink.measurement("requests");
        for (answer, point) in answers.iter().zip(&points) {
            let stored = point.field("trace_id").and_then(|id| id.as_str()).unwrap_or_default();
            assert_eq!(answer, stored, "{number}");
        }
    }
    assert_eq!(MonitoringData::new().trace_id(), None);
}

/// Layers of two monitors around one request share its data.
#[tokio::test]
async fn a_layer_inside_of_another_monitors_shares_the_trace() {
    for (outer_reads, inner_reads) in [(true, false), (false, true), (true, true), (false, false)] {
        let ((outer, _), (inner, _)) = (monitor(Settings::new("outer")), monitor(Settings::new("inner")));
        let found = async |data: MonitoringData| data.trace_id().unwrap_or_default().to_string();
        let app = Router::new()
            .route("/", get(found))
            .layer(inner.layer().trace_id(inner_reads))
            .layer(outer.layer().trace_id(outer_reads));
        let parent = format!("00-{}-00f067aa0ba902b7-01", trace(7));
        let request = Request::get("/").header("traceparent", parent).body(Body::empty()).expect("valid");
        let response = app.oneshot(request).await.expect("axum never fails");
        let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
        let expected = if outer_reads || inner_reads { "7" } else { "0" };
        assert_eq!(body, expected, "{outer_reads} {inner_reads}");
    }
}
