//! The functions of a layer get the request's data only lent. Whatever they do with it belongs to
//! the request's point, and to no other one.

use std::sync::{Arc, Mutex};

use axum::{Router, body::Body, extract::Request, routing::get};
use tower::ServiceExt;
use tower_influx::{DataPoint, MonitoringData, MonitoringLayer, Settings, point::Value};

use crate::labels::{monitor, points};

/// What a function, and then the handler, do. A function may leave a clone for later.
struct Use {
    name: &'static str,
    function: fn(&MonitoringData, &Kept),
    handler: fn(&Kept),
    /// The tags of the point, if the function is called on the request, or on the response.
    tags: [&'static str; 2],
}

type Kept = Arc<Mutex<Option<MonitoringData>>>;

fn current(tag: &'static str) {
    MonitoringData::current().expect("a request is running").tag(tag, "1");
}

fn keep(data: &MonitoringData, kept: &Kept) {
    *kept.lock().expect("no panic") = Some(data.clone());
}

fn later(kept: &Kept, tag: &'static str) {
    if let Some(data) = &*kept.lock().expect("no panic") {
        data.tag(tag, "1");
    }
}

const USES: [Use; 11] = [
    Use { name: "nothing", function: |_, _| {}, handler: |_| {}, tags: ["", ""] },
    Use { name: "only read", function: |data, _| _ = data.trace_id(), handler: |_| {}, tags: ["", ""] },
    Use { name: "its own", function: |data, _| data.tag("a", "1"), handler: |_| {}, tags: ["a", "a"] },
    Use { name: "the current one", function: |_, _| current("b"), handler: |_| {}, tags: ["b", "b"] },
    Use {
        name: "its own, then the current one",
        function: |data, _| {
            data.tag("a", "1");
            current("b");
        },
        handler: |_| {},
        tags: ["ab", "ab"],
    },
    Use {
        name: "the current one, then its own",
        function: |data, _| {
            current("b");
            data.tag("a", "1");
        },
        handler: |_| {},
        tags: ["ab", "ab"],
    },
    Use { name: "a handler adds", function: |_, _| {}, handler: |_| current("c"), tags: ["c", "c"] },
    Use {
        name: "both add",
        function: |data, _| data.tag("a", "1"),
        handler: |_| current("c"),
        tags: ["ac", "ac"],
    },
    Use {
        name: "a clone is used later",
        function: keep,
        handler: |kept| later(kept, "d"),
        // After the response, no handler runs.
        tags: ["d", ""],
    },
    Use {
        name: "a clone is used later, and the current one was asked for",
        function: |data, kept| {
            current("b");
            keep(data, kept);
        },
        handler: |kept| later(kept, "d"),
        tags: ["bd", "b"],
    },
    Use {
        name: "a clone is used later, and one of the current one is held",
        function: |data, kept| {
            current("b");
            std::mem::forget(MonitoringData::current());
            keep(data, kept);
        },
        // Without a trace the two differ, and what is added to the other one is counted as late.
        handler: |_| {},
        tags: ["b", "b"],
    },
];

fn tags(point: &DataPoint) -> String {
    ["a", "b", "c", "d"].into_iter().filter(|tag| point.tag(tag).is_some()).collect()
}

type AddFunction = fn(MonitoringLayer, fn(&MonitoringData, &Kept), Kept) -> MonitoringLayer;

#[tokio::test]
async fn what_a_function_does_with_its_data_belongs_to_its_request_alone() {
    let on: [AddFunction; 2] = [
        |layer, function, kept| layer.on_request(move |_, data| function(data, &kept)),
        |layer, function, kept| layer.on_response(move |_, data| function(data, &kept)),
    ];
    for used in USES {
        for (moment, on) in on.into_iter().enumerate() {
            for traced in [false, true] {
                let (monitor, sink) = monitor(Settings::new("lent"));
                let kept = Kept::default();
                let layer = on(monitor.layer().trace_id(traced), used.function, Arc::clone(&kept));
                let handler = used.handler;
                let for_handler = Arc::clone(&kept);
                // The data is reused by the next request of the thread.
                let app = Router::new()
                    .route("/plain", get(async || "plain").layer(monitor.layer()))
                    .route("/", get(async move || handler(&for_handler)).layer(layer))
                    .with_state(());
                for path in ["/plain", "/", "/plain", "/", "/plain"] {
                    kept.lock().expect("no panic").take();
                    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
                    let request = Request::get(path).header("traceparent", trace);
                    let request = request.body(Body::empty()).expect("a valid request");
                    app.clone().oneshot(request).await.expect("axum never fails");
                    // Too late for the point, and not for that of the next request.
                    later(&kept, "d");
                }
                let points = points(&monitor, &sink, "requests").await;
                let what = format!("{} {moment} {traced}", used.name);
                assert_eq!(points.len(), 5, "{what}");
                for point in points {
                    let is_plain = point.tag("route") == Some("GET:/plain");
                    assert_eq!(
                        tags(&point),
                        if is_plain { "" } else { used.tags[moment] },
                        "{what}: {point:?}"
                    );
                    let trace = point.field("trace_id").and_then(Value::as_str);
                    assert_eq!(trace.is_some(), traced && !is_plain, "{what}: {point:?}");
                }
                let stats = monitor.stats();
                assert!(stats.balances() && stats.recorder.callback_panics == 0, "{what}: {stats:?}");
                let keeps = used.name.starts_with("a clone is used later");
                assert_eq!(stats.recorder.late_extras, if keeps { 2 } else { 0 }, "{what}");
            }
        }
    }
}

/// Requests that run at the same time have data of their own, also while it is only lent.
#[tokio::test]
async fn functions_of_requests_that_run_inside_each_other_have_data_of_their_own() {
    let (monitor, sink) = monitor(Settings::new("lent"));
    let inner: Router = Router::new()
        .route("/inner", get(async || "inner"))
        .layer(monitor.layer().on_request(|_, data| data.tag("b", "1")));
    let call = move || {
        let request = Request::get("/inner").body(Body::empty()).expect("a valid request");
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        let answered = std::pin::pin!(inner.clone().oneshot(request)).poll(&mut context).is_ready();
        assert!(answered, "this handler never waits");
    };
    let layer = monitor.layer().on_request(move |_, data| {
        data.tag("a", "1");
        call();
        data.tag("c", "1");
    });
    let app: Router = Router::new().route("/", get(async || "outer")).layer(layer);
    app.oneshot(Request::new(Body::empty())).await.expect("axum never fails");
    let mut all: Vec<_> = points(&monitor, &sink, "requests").await.iter().map(tags).collect();
    all.sort();
    assert_eq!(all, ["ac", "b"]);
}

/// A handler finds the trace of the application's function in its data, whatever else the functions
/// have done with it.
#[tokio::test]
async fn the_trace_of_a_function_is_in_the_data_that_another_one_has_changed_or_kept() {
    for used in USES {
        let (monitor, _) = monitor(Settings::new("lent"));
        let kept = Kept::default();
        let function = used.function;
        let layer = monitor.layer().trace_id_from(|_| Some(7));
        let layer = layer.on_request(move |_, data| function(data, &kept));
        let handler = async |data: MonitoringData| format!("{:?}", data.trace_id().is_some());
        let app: Router = Router::new().route("/", get(handler)).layer(layer);
        let response = app.oneshot(Request::new(Body::empty())).await.expect("axum never fails");
        let body = axum::body::to_bytes(response.into_body(), 100).await.expect("a body");
        assert_eq!(body, "true", "{}", used.name);
    }
}
