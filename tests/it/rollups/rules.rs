//! Which requests get points of their own, and what rollups count meanwhile.

use std::{
    future::{pending, poll_fn},
    slice,
    sync::{Arc, OnceLock},
    task::Poll,
    time::{Duration, SystemTime},
};

use axum::{Router, extract::Path, routing::get};
use http::StatusCode;
use tower_influx::{
    DataPoint, Monitor, MonitoringData, Point, Settings,
    classify::{Classification, Outcome},
    point::Value,
    settings::{KeepRequests, Storage},
    sink::MemorySink,
};

use super::exact::{count, get_path, settings};

fn app(monitor: &Monitor) -> Router {
    let slow = || async { tokio::time::sleep(Duration::from_millis(5)).await };
    let kept = |data: MonitoringData| async move { data.keep() };
    Router::new()
        .route("/good", get(|| async {}))
        .route("/slow", get(slow))
        .route("/failed", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .route("/kept", get(kept))
        .layer(monitor.layer())
        .with_state(())
}

async fn run(settings: Settings, sink: &MemorySink) -> Monitor {
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("starts");
    let app = app(&monitor);
    for path in ["/good", "/slow", "/failed", "/kept"] {
        get_path(&app, path).await;
    }
    monitor
}

fn routes(sink: &MemorySink) -> Vec<String> {
    let points = sink.measurement("requests");
    let routes = points.iter().map(|point| point.tag("route").expect("a route").to_owned());
    let mut routes: Vec<_> = routes.collect();
    routes.sort();
    routes
}

/// Returns whether a machine under load made this request take as long as a slow one.
fn was_slow(sink: &MemorySink, route: &str) -> bool {
    let lines = sink.measurement("requests_rollup");
    let line = lines.iter().find(|line| line.tag("route") == Some(route)).expect("it is counted");
    matches!(line.field("execution_time_max"), Some(Value::Float(longest)) if *longest >= 0.005)
}

#[tokio::test]
async fn each_rule_keeps_its_points_and_all_are_counted() {
    let cases = [
        (KeepRequests::All, &["GET:/failed", "GET:/good", "GET:/kept", "GET:/slow"][..]),
        (KeepRequests::Slow, &["GET:/failed", "GET:/kept", "GET:/slow"]),
        (KeepRequests::Failed, &["GET:/failed", "GET:/kept"]),
        (KeepRequests::None, &["GET:/kept"]),
    ];
    for (keep, expected) in cases {
        let mut settings = settings();
        settings.requests.keep = keep;
        settings.requests.slow = (keep == KeepRequests::Slow).then_some(Duration::from_millis(5));
        let (monitor, sink) = loop {
            let sink = MemorySink::new();
            let monitor = run(settings.clone(), &sink).await;
            monitor.shutdown(Duration::from_secs(5)).await;
            if keep != KeepRequests::Slow || !was_slow(&sink, "GET:/good") {
                break (monitor, sink);
            }
        };
        assert_eq!(routes(&sink), expected, "{keep:?}");
        let lines = sink.measurement("requests_rollup");
        assert_eq!((count(&lines, "count"), count(&lines, "kept")), (4, expected.len() as i64), "{keep:?}");
        let failed = usize::from(keep != KeepRequests::None);
        assert_eq!(sink.measurement("errors").len(), failed, "{keep:?}");
        let rollup = monitor.stats().rollup.expect("rollups are on");
        assert_eq!((rollup.ended, rollup.kept), (4, expected.len() as u64));
        assert!(monitor.stats().balances());
    }
}

#[tokio::test]
async fn a_classifier_can_keep_a_request() {
    let sink = MemorySink::new();
    let mut settings = settings();
    settings.requests.keep = KeepRequests::Failed;
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("starts");
    let classifier = |outcome: &Outcome<'_>| {
        let mut classification = Classification::success(outcome.status());
        classification.keep = outcome.status() == StatusCode::ACCEPTED;
        classification
    };
    // Demands of two do not undo each other: the handler and the classifier, or two sets of data.
    let both = |data: MonitoringData| async move {
        data.keep();
        StatusCode::ACCEPTED
    };
    let twice = |data: MonitoringData| async move {
        let other = MonitoringData::new();
        data.keep();
        other.keep();
        axum::Extension(other)
    };
    let app = Router::new()
        .route("/good", get(|| async {}))
        .route("/accepted", get(|| async { StatusCode::ACCEPTED }))
        .route("/both", get(both))
        .route("/twice", get(twice))
        .layer(monitor.layer().classifier(classifier))
        .with_state(());
    for path in ["/good", "/accepted", "/both", "/twice"] {
        get_path(&app, path).await;
    }
    monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(routes(&sink), ["GET:/accepted", "GET:/both", "GET:/twice"]);
    assert_eq!(count(&sink.measurement("requests_rollup"), "count"), 4);
}

#[tokio::test]
async fn without_a_storage_requests_are_counted_and_no_point_is_made() {
    let sink = MemorySink::new();
    let mut settings = Settings::new("shop");
    settings.storage = Storage::None;
    let monitor = run(settings, &sink).await;
    let rollup = monitor.rollup().expect("counts");
    assert_eq!(rollup.rows.iter().map(|row| row.count).sum::<u64>(), 4);
    let failed = rollup.rows.iter().find(|row| row.status_code == 500).expect("a row");
    assert_eq!((failed.route.as_str(), failed.error_code.as_deref()), ("GET:/failed", Some("500")));
    let slow = rollup.rows.iter().find(|row| row.route == "GET:/slow").expect("a row");
    assert!(slow.min >= Duration::from_millis(5) && slow.total == slow.max && slow.p99 == slow.max);
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    let stats = monitor.stats();
    assert_eq!((report.accepted, stats.ledger.offered, sink.len()), (0, 0, 0));
    assert!(stats.balances());
}

#[tokio::test]
async fn tags_of_handlers_are_part_of_a_rollups_key_if_configured() {
    let sink = MemorySink::new();
    let mut settings = settings();
    settings.requests.keep = KeepRequests::None;
    settings.rollup.tags = vec!["tenant".to_owned(), "nobody sets this".to_owned()];
    settings.limits.tag_values = 2;
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("starts");
    let tagged = |axum::extract::Path(tenant): axum::extract::Path<String>, data: MonitoringData| async move {
        data.tag("other", "x");
        data.tag("tenant", tenant.as_str());
    };
    let app = Router::new().route("/{tenant}", get(tagged)).layer(monitor.layer()).with_state(());
    for path in ["/a,b", "/a,b", "/c", "/d", "/e"] {
        get_path(&app, path).await;
    }
    let rows = monitor.rollup().expect("rollups are on").rows;
    let mut tags: Vec<_> = rows.iter().map(|row| (row.tags.clone(), row.count)).collect();
    tags.sort();
    let tag = |value: &str, count| (vec![("tenant".to_owned(), value.to_owned())], count);
    assert_eq!(tags, [tag("a,b", 2), tag("c", 1), tag("other", 2)]);
    monitor.shutdown(Duration::from_secs(5)).await;
    let lines = sink.measurement("requests_rollup");
    let mut found: Vec<_> = lines.iter().map(|line| line.tag("tenant").expect("a tenant")).collect();
    found.sort_unstable();
    assert_eq!(found, ["a,b", "c", "other"]);
}

/// A tag that is neither in a rollup nor in a point is not stored.
#[tokio::test]
async fn tags_of_requests_without_points_do_not_count_towards_limits() {
    let sink = MemorySink::new();
    let mut settings = settings();
    settings.requests.keep = KeepRequests::Failed;
    settings.limits.tag_values = 1;
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("starts");
    let tagged = |axum::extract::Path(tenant): axum::extract::Path<String>, data: MonitoringData| async move {
        data.tag("tenant", tenant.as_str());
        if tenant == "failing" { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK }
    };
    let app = Router::new().route("/{tenant}", get(tagged)).layer(monitor.layer()).with_state(());
    for path in ["/a", "/b", "/failing"] {
        get_path(&app, path).await;
    }
    monitor.shutdown(Duration::from_secs(5)).await;
    let points = sink.measurement("requests");
    let tenants: Vec<_> = points.iter().map(|point| point.tag("tenant")).collect();
    assert_eq!(tenants, [Some("failing")]);
    assert_eq!(monitor.stats().recorder.overflowed_tags, 0);
}

#[tokio::test]
async fn filtered_requests_are_counted_as_filtered_and_are_in_no_line() {
    let sink = MemorySink::new();
    let mut settings = settings();
    settings.filter.ignore = vec!["GET:/good".to_owned()];
    let monitor = run(settings, &sink).await;
    let stats = monitor.stats();
    let rollup = stats.rollup.expect("rollups are on");
    assert_eq!((rollup.started, rollup.filtered, rollup.ended, rollup.running), (4, 1, 3, 0));
    assert!(stats.balances());
    monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(count(&sink.measurement("requests_rollup"), "count"), 3);
}

#[tokio::test]
async fn running_requests_are_counted_with_every_rule() {
    for keep in [KeepRequests::All, KeepRequests::Failed, KeepRequests::None] {
        let mut settings = settings();
        settings.requests.keep = keep;
        settings.filter.ignore = vec!["GET:/slow".to_owned()];
        let monitor = run(settings, &MemorySink::new()).await;
        let running = || monitor.stats().recorder.running_requests;
        assert_eq!(running(), 0, "{keep:?}");
        let app = Router::new().route("/wait", get(pending::<()>)).layer(monitor.layer()).with_state(());
        let mut waiting = Box::pin(get_path(&app, "/wait"));
        poll_fn(|context| {
            assert!(waiting.as_mut().poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        assert_eq!(running(), 1, "{keep:?}");
        // The counts move from the threads' tables to the sums.
        assert_eq!(monitor.rollup().expect("rollups are on").rows.len(), 3);
        assert_eq!(running(), 1, "{keep:?}");
        drop(waiting);
        assert_eq!(running(), 0, "{keep:?}");
        monitor.shutdown(Duration::from_secs(5)).await;
        assert!(monitor.stats().balances(), "{keep:?}");
    }
}

/// Of two lines with the same tags and time, the database keeps the last one.
#[tokio::test]
async fn error_codes_that_a_line_cannot_distinguish_are_counted_in_one() {
    let sink = MemorySink::new();
    let monitor = Monitor::builder(settings()).sink(sink.clone()).start().expect("starts");
    let long = ["1", "2"].map(|end| "x".repeat(1_024) + end);
    let short = ["a\nb", "a\tb", "a_b", "c d", "\\,", "/,"].map(str::to_owned);
    let codes = Arc::new([short.to_vec(), long.to_vec()].concat());
    let given = Arc::clone(&codes);
    let fails = move |data: MonitoringData, Path(number): Path<usize>| async move {
        data.error_code(given[number].clone());
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let app = Router::new().route("/{number}", get(fails)).layer(monitor.layer());
    for number in 0..codes.len() {
        get_path(&app, &format!("/{number}")).await;
    }
    monitor.shutdown(Duration::from_secs(5)).await;
    let lines = sink.measurement("requests_rollup");
    let mut stored: Vec<_> =
        lines.iter().map(|line| (line.tag("error_code"), count(slice::from_ref(line), "count"))).collect();
    stored.sort();
    let long = "x".repeat(1_024);
    let expected = [("/,", 2), ("a_b", 3), ("c d", 1), (&*long, 2)];
    assert_eq!(stored, expected.map(|(code, count)| (Some(code), count)));
}

/// As with error codes. A function of the application may return any name.
#[tokio::test]
async fn routes_that_a_line_cannot_distinguish_are_counted_in_one() {
    let sink = MemorySink::new();
    let monitor = Monitor::builder(settings()).sink(sink.clone()).start().expect("starts");
    let long = ["1", "2"].map(|end| "x".repeat(1_024) + end);
    let short = ["/a\nb", "/a\tb", "/a_b", "/c d"].map(str::to_owned);
    let names = [short.to_vec(), long.to_vec()].concat();
    let count_of_names = names.len();
    let layer = monitor.layer().route(move |head| {
        let number: usize = head.uri.path()[1..].parse().expect("a number");
        Some(names[number].clone().into())
    });
    let app = Router::new().fallback(|| async {}).layer(layer);
    for number in 0..count_of_names {
        get_path(&app, &format!("/{number}")).await;
    }
    monitor.shutdown(Duration::from_secs(5)).await;
    let lines = sink.measurement("requests_rollup");
    let mut stored: Vec<_> =
        lines.iter().map(|line| (line.tag("route"), count(slice::from_ref(line), "count"))).collect();
    stored.sort();
    let long = format!("GET:{}", "x".repeat(1_020));
    let expected = [("GET:/a_b", 3), ("GET:/c d", 1), (&*long, 2)];
    assert_eq!(stored, expected.map(|(route, count)| (Some(route), count)));
}

/// Timestamps are those of the start, whatever the rule, and whatever other threads have recorded
/// until the request ends.
#[tokio::test]
async fn a_point_has_the_time_of_its_requests_start_under_each_rule() {
    const TAKES: Duration = Duration::from_millis(100);
    for keep in [KeepRequests::All, KeepRequests::Slow, KeepRequests::Failed, KeepRequests::None] {
        let (sink, mut settings) = (MemorySink::new(), settings());
        settings.requests.keep = keep;
        settings.requests.slow = (keep == KeepRequests::Slow).then_some(Duration::from_secs(60));
        let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("starts");
        let others = monitor.clone();
        let began = Arc::new(OnceLock::new());
        let begin = Arc::clone(&began);
        let handler = async move |data: MonitoringData| {
            let _ = begin.set(SystemTime::now());
            data.keep();
            tokio::time::sleep(TAKES).await;
            // More threads than there are sequences of timestamps.
            let point = DataPoint::new("jobs").with_field("number", 1);
            std::thread::scope(|scope| {
                for _ in 0..64 {
                    scope.spawn(|| others.record(&point));
                }
            });
        };
        let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
        get_path(&app, "/").await;
        monitor.shutdown(Duration::from_secs(5)).await;
        let points = sink.measurement("requests");
        let time = points[0].time().expect("a time").as_nanos();
        let before = began
            .get()
            .expect("the handler ran")
            .duration_since(SystemTime::UNIX_EPOCH)
            .expect("after 1970")
            .as_nanos() as i64;
        let late = i128::from(time) - i128::from(before);
        assert!(late < TAKES.as_nanos() as i128 / 2, "{keep:?}: {late} ns after the handler began");
    }
}
