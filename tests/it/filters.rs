//! The warnings about filters that do not do what their author meant.

use std::time::Duration;

use axum::{Router, body::Body, routing::get};
use http::Request;
use tokio::time::advance;
use tower::ServiceExt;
use tower_influx::{Monitor, Settings, sink::MemorySink};

use crate::support::log::Log;

fn start(ignore: &[&str], allow: &[&str]) -> Monitor {
    let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
    let mut settings = Settings::new("shop");
    (settings.filter.ignore, settings.filter.allow) = (owned(ignore), owned(allow));
    Monitor::builder(settings).sink(MemorySink::new()).on_current_runtime().start().expect("good settings")
}

async fn drive(monitor: &Monitor, requests: u32) {
    let app = Router::new()
        .route("/api/items/{id}", get(|| async {}))
        .route("/health", get(|| async {}))
        .layer(monitor.layer());
    for _ in 0..requests {
        let request = Request::get("/api/items/7").body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("a router does not fail");
    }
}

const MATCHED_NONE: &str = "has matched none";

#[tokio::test(start_paused = true)]
async fn a_pattern_that_matches_nothing_is_reported_at_the_shutdown() {
    let log = Log::capture();
    let monitor = start(&["/healthy"], &["/api/*", "/other"]);
    drive(&monitor, 150).await;
    assert_eq!(log.count(MATCHED_NONE), 0, "{log}");
    monitor.shutdown(Duration::from_secs(1)).await;
    monitor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(log.count(MATCHED_NONE), 2, "{log}");
    for pattern in ["/healthy", "/other"] {
        assert_eq!(log.count(&format!("pattern=\"{pattern}\"")), 1, "{log}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_pattern_that_matches_nothing_is_reported_after_minutes_of_traffic() {
    let log = Log::capture();
    let monitor = start(&["/healthy"], &[]);
    drive(&monitor, 150).await;
    for _ in 0..12 {
        advance(Duration::from_secs(60)).await;
        tokio::task::yield_now().await;
    }
    assert_eq!(log.count(MATCHED_NONE), 1, "{log}");
    drive(&monitor, 2_000).await;
    monitor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(log.count(MATCHED_NONE), 1, "{log}");
}

/// After next to no traffic, a pattern may have matched nothing because nobody used its route.
#[tokio::test(start_paused = true)]
async fn after_few_requests_only_a_filter_that_records_nothing_is_reported() {
    for (requests, ignore, allow, reported) in [
        (0, &[][..], &["/api"][..], 0),
        (1, &[], &["/api"], 1),
        (99, &["/healthy"], &["/api/*", "/other"], 0),
        (99, &["/healthy"], &["/api"], 1),
        (100, &["/healthy"], &["/api"], 2),
    ] {
        let log = Log::capture();
        let monitor = start(ignore, allow);
        drive(&monitor, requests).await;
        monitor.shutdown(Duration::from_secs(1)).await;
        assert_eq!(log.count(MATCHED_NONE), reported, "{requests} {ignore:?} {allow:?}: {log}");
    }
}

/// The first matching pattern decides, but later ones have matched, too.
#[tokio::test(start_paused = true)]
async fn a_matching_pattern_after_the_first_match_is_not_reported() {
    let log = Log::capture();
    let monitor = start(&["/api/*", "GET:/api/items/{id}"], &["/health", "/api/*"]);
    drive(&monitor, 1_500).await;
    monitor.shutdown(Duration::from_secs(1)).await;
    assert_eq!(log.count(MATCHED_NONE), 1, "only `/health`, which nobody asked for: {log}");
    assert_eq!(log.count("pattern=\"/health\""), 1, "{log}");
}

/// A function of the application may give such names to routes, so they are not an error.
#[tokio::test(start_paused = true)]
async fn the_syntax_of_other_routers_is_reported_at_the_start_and_works_for_named_routes() {
    let patterns = ["/api/[a-z]*", "/api/?", "/api/<id>", "/api/:id", "GET:/api/:id/x", "/api/#x"];
    for pattern in patterns {
        let log = Log::capture();
        let monitor = start(&[pattern], &[]);
        assert_eq!(log.count("pattern of `filter` is written as for another router"), 1, "{pattern}: {log}");
        assert_eq!(log.count(&format!("pattern=\"{pattern}\"")), 1, "{log}");
        drive(&monitor, 1_500).await;
        monitor.shutdown(Duration::from_secs(1)).await;
        assert_eq!(log.to_string().lines().count(), 1, "once for each: {log}");
    }
    let log = Log::capture();
    let monitor = start(&["/api/<id>"], &[]);
    let layer = monitor.layer().route(|_| Some("/api/<id>".into()));
    let app = Router::new().route("/api/{id}", get(|| async {})).layer(layer);
    let request = Request::get("/api/7").body(Body::empty()).expect("a valid request");
    app.oneshot(request).await.expect("a router does not fail");
    assert_eq!(monitor.stats().recorder.filtered, 1, "{log}");
    for template in ["/", "/a:b", "/v1/items/{id}:cancel", "/{*rest}", "/api/{id}*", "unmatched"] {
        let log = Log::capture();
        start(&[template], &[]);
        assert_eq!(log.count("another router"), 0, "{log}");
    }
}
