//! Tags of handlers as labels, whatever their names are.

use std::collections::{BTreeMap, BTreeSet};

use axum::{Router, body::Body, extract::Request, routing::get};
use tower::ServiceExt;
use tower_influx::{
    Monitor, MonitoringData, Settings,
    settings::{MetricNames, Storage},
};

use crate::support::{
    live::{self, PROMTOOL},
    prometheus::complaints,
};

/// Names that Prometheus keeps to itself, that our metrics have, and that are the same once their
/// letters are replaced. At most eight together.
const GROUPS: [&[&str]; 5] = [
    &["le", "le_", "quantile", "quantile_", "LE", "__name__", "__anything", "___"],
    &["_", "__", "ключ", "имя", "_x", "9lives", "_9lives", "tag__"],
    &["a b", "a-b", "a_b", "a_b_", "a.b", "a:b", "é", "\u{1F600}"],
    &["http_request_method", "http_route", "http_response_status_code", "error_type", "error_type_", "path"],
    &["path_", "job", "tag_", "tag_le", "service_", "__meta_x", "__address__", "route_"],
];

/// The value of the tag of this index.
fn value(index: usize) -> String {
    format!("value-{index}")
}

/// Returns the exposition after a request for each tag alone, and for all together, once good and
/// once failed.
async fn scrape(names: MetricNames, tags: &'static [&'static str]) -> String {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::None;
    settings.metrics.names = Some(names);
    settings.rollup.tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    let monitor = Monitor::start(settings).expect("starts");
    let handler = move |request: Request| async move {
        let data = request.extensions().get::<MonitoringData>().expect("inserted").clone();
        let (which, failed) = request.uri().query().expect("a query").split_once('&').expect("two parts");
        for (index, tag) in tags.iter().enumerate() {
            if which == "all" || which == index.to_string() {
                data.tag(tag, value(index));
            }
        }
        if failed == "good" { http::StatusCode::OK } else { http::StatusCode::NOT_FOUND }
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer().insert_data(true));
    let app = app.route("/metrics", monitor.metrics_route().expect("metrics are on")).with_state(());
    let alone = (0..tags.len()).map(|index| index.to_string());
    for which in alone.chain(["all".to_owned()]) {
        for end in ["good", "failed"] {
            let request = Request::get(format!("/?{which}&{end}")).body(Body::empty());
            app.clone().oneshot(request.expect("a request")).await.expect("never fails");
        }
    }
    let request = Request::get("/metrics").body(Body::empty()).expect("a request");
    let response = app.oneshot(request).await.expect("never fails");
    let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.expect("a body");
    String::from_utf8(body.to_vec()).expect("text")
}

/// Returns the labels of a line. No value here has an escape, a comma or a brace.
fn labels(line: &str) -> Vec<(&str, &str)> {
    let inside = line.rsplit_once("} ").and_then(|(before, _)| before.split_once('{'));
    let inside = inside.map_or("", |(_, inside)| inside);
    let pairs = inside.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').expect("a label")).collect()
}

#[tokio::test]
async fn every_tag_has_one_label_of_its_own_in_all_rows() {
    for names in [MetricNames::OpenTelemetry, MetricNames::Luna] {
        for tags in GROUPS {
            let exposition = scrape(names, tags).await;
            if live::ready("every_tag_has_one_label_of_its_own_in_all_rows", &[PROMTOOL]) {
                assert_eq!(complaints(&exposition), "", "{names:?} {tags:?}: {exposition}");
            }
            let mut found = BTreeMap::<String, BTreeSet<&str>>::new();
            for line in exposition.lines().filter(|line| !line.starts_with('#')) {
                let labels = labels(line);
                let names: BTreeSet<_> = labels.iter().map(|(name, _)| *name).collect();
                assert_eq!(names.len(), labels.len(), "a label twice: {line}");
                for (name, text) in labels {
                    let mut letters = name.chars();
                    let is_first = |letter: char| letter.is_ascii_alphabetic() || letter == '_';
                    assert!(letters.next().is_some_and(is_first), "{line}");
                    assert!(letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_'), "{line}");
                    assert!(!name.starts_with("__"), "reserved: {line}");
                    if let Some(tag) = text.trim_matches('"').strip_prefix("value-") {
                        assert!(!["le", "quantile"].contains(&name), "reserved: {line}");
                        found.entry(tag.to_owned()).or_default().insert(name);
                    }
                }
            }
            assert_eq!(found.len(), tags.len(), "{names:?} {tags:?}: {found:?}");
            let all: BTreeSet<_> = found.values().flatten().collect();
            assert!(found.values().all(|labels| labels.len() == 1), "{names:?} {tags:?}: {found:?}");
            assert_eq!(all.len(), tags.len(), "{names:?} {tags:?}: {found:?}");
        }
    }
}
