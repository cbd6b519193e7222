//! What the layer adds by itself: traces, sizes and results of callbacks; and also sums and skipped
//! requests.

use std::{convert::Infallible, future::ready, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderValue, Response, StatusCode},
    routing::{get, post},
};
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, Monitor, MonitoringData, MonitoringLayer, Settings,
    classify::{Classification, Classifier, Outcome, StatusClassifier},
    point::Value,
    settings::KeepRequests,
};

use crate::{
    labels::{monitor, points},
    support::watched::Watched,
};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Returns the points of requests with these headers through a layer, in order.
async fn points_of(
    build: impl Fn(MonitoringLayer) -> MonitoringLayer,
    requests: Vec<axum::http::request::Builder>,
) -> (Vec<DataPoint>, Watched) {
    let (monitor, sink) = monitor(Settings::new("context"));
    let watched = Watched { monitor, sink };
    let app = Router::new()
        .route("/", get(async || ([("content-length", "2")], "ok")).post(async || StatusCode::NOT_FOUND))
        .layer(build(watched.layer()))
        .with_state(());
    for request in requests {
        let request = request.body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    let mut points = points(&watched.monitor, &watched.sink, "requests").await;
    points.sort_by_key(tower_influx::Point::time);
    (points, watched)
}

fn text<'a>(point: &'a DataPoint, key: &str) -> Option<&'a str> {
    point.field(key).and_then(Value::as_str)
}

#[tokio::test]
async fn the_trace_of_a_valid_header_is_on_both_points() {
    let header = |value: String| Request::post("/").header("traceparent", value);
    let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let twice = header(valid.clone()).header("traceparent", &valid);
    let requests = vec![header(valid.clone()), header("00-0-0-00".to_owned()), Request::post("/"), twice];
    let (points, watched) = points_of(|layer| layer.trace_id(true), requests).await;
    let ids: Vec<_> = points.iter().map(|point| text(point, "trace_id")).collect();
    assert_eq!(ids, [Some(TRACE), None, None, None]);
    let errors = watched.sink.measurement("errors");
    assert_eq!(errors.iter().filter(|error| text(error, "trace_id") == Some(TRACE)).count(), 1);
    assert_eq!((errors.len(), watched.monitor.stats().recorder.invalid_traces), (4, 2));
    // It is off by default.
    let (points, watched) = points_of(|layer| layer, vec![header(valid), header("bad".to_owned())]).await;
    assert!(points.iter().all(|point| point.field("trace_id").is_none()));
    assert_eq!(watched.monitor.stats().recorder.invalid_traces, 0);
}

/// A call in a handler sends the trace of its request, unless it has a header of its own.
#[tokio::test]
async fn a_call_passes_the_trace_of_its_request_on() {
    let valid = format!("00-{TRACE}-00f067aa0ba902b7-01");
    let (valid, own) = (valid.as_str(), "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    for (reads, passes, came, states, own, expected) in [
        (true, true, Some(valid), &["a=1"][..], None, [Some(valid), Some("a=1")]),
        (true, true, Some(valid), &[], None, [Some(valid), None]),
        (true, true, Some(valid), &["a=1", "b=2"], None, [Some(valid), None]),
        (true, true, Some(valid), &["a=1"], Some(own), [Some(own), None]),
        (true, true, Some("00-0-0-00"), &["a=1"], None, [None, None]),
        (true, true, None, &["a=1"], None, [None, None]),
        (true, false, Some(valid), &["a=1"], None, [None, None]),
        (false, true, Some(valid), &["a=1"], None, [None, None]),
    ] {
        let (monitor, _) = monitor(Settings::new("context"));
        let upstream = |request: Request| {
            let sent = ["traceparent", "tracestate"].map(|name| request.headers().get(name).cloned());
            let response = Response::builder().extension(sent).body(Body::empty()).expect("a response");
            ready(Ok::<_, Infallible>(response))
        };
        let client = monitor.client_layer("upstream").propagate_trace(passes).layer(service_fn(upstream));
        let handler = move || {
            let builder = Request::builder();
            let builder = own.into_iter().fold(builder, |builder, own| builder.header("traceparent", own));
            client.oneshot(builder.body(Body::empty()).expect("a request"))
        };
        let app: Router = Router::new().route("/", get(handler)).layer(monitor.layer().trace_id(reads));
        let request =
            states.iter().fold(Request::get("/"), |request, state| request.header("tracestate", *state));
        let request = came.into_iter().fold(request, |request, came| request.header("traceparent", came));
        let response =
            app.oneshot(request.body(Body::empty()).expect("a request")).await.expect("never fails");
        let sent: &[Option<HeaderValue>; 2] = response.extensions().get().expect("the call was made");
        let sent = sent.each_ref().map(|value| value.as_ref().and_then(|value| value.to_str().ok()));
        assert_eq!(sent, expected, "{reads} {passes} {came:?} {states:?} {own:?}");
    }
    // Outside of a request there is no trace, and a disabled monitor adds none.
    for monitor in [monitor(Settings::new("context")).0, Monitor::disabled()] {
        let upstream = service_fn(|request: Request| {
            assert!(request.headers().is_empty());
            ready(Ok::<_, Infallible>(Response::new(Body::empty())))
        });
        let client = monitor.client_layer("upstream").propagate_trace(true).layer(upstream);
        client.oneshot(Request::new(Body::empty())).await.expect("answers");
    }
}

#[tokio::test]
async fn a_function_provides_the_trace() {
    let from = |layer: MonitoringLayer| {
        layer.trace_id_from(|parts| match parts.headers.get("x-trace")?.to_str().ok()? {
            "panic" => panic!("in the function"),
            number => number.parse().ok(),
        })
    };
    let request = |trace: &str| Request::get("/").header("x-trace", trace);
    let requests = vec![request("255"), request("0"), request("panic"), Request::get("/")];
    let (points, _) = points_of(from, requests).await;
    let ids: Vec<_> = points.iter().map(|point| text(point, "trace_id").map(str::to_owned)).collect();
    assert_eq!(ids, [Some(format!("{:032x}", 255)), None, None, None]);
}

#[tokio::test]
async fn sizes_are_those_that_the_heads_declare() {
    let sized = |length: &str| Request::get("/").header("content-length", length);
    let requests = vec![sized("12"), sized("twelve"), Request::get("/"), sized("18446744073709551615")];
    let (points, _) = points_of(|layer| layer.sizes(true), requests).await;
    let sizes: Vec<_> =
        points.iter().map(|point| point.field("request_bytes").and_then(Value::as_i64)).collect();
    assert_eq!(sizes, [Some(12), None, None, Some(i64::MAX)]);
    assert!(points.iter().all(|point| point.field("response_bytes") == Some(&Value::Integer(2))));
}

#[tokio::test]
async fn callbacks_add_to_the_points_and_a_panic_loses_only_their_additions() {
    let build = |layer: MonitoringLayer| {
        layer
            .on_request(|parts, data| {
                assert!(MonitoringData::current().is_some(), "it is called as a part of the request");
                data.tag("plan", parts.headers.get("x-plan").and_then(|plan| plan.to_str().ok()));
                assert!(!parts.headers.contains_key("x-panic"), "on purpose");
                data.field("agent", parts.headers.get("user-agent").and_then(|agent| agent.to_str().ok()));
            })
            .on_response(|parts, data| {
                data.field("status", parts.status);
                assert_ne!(parts.status, StatusCode::NOT_FOUND, "on purpose");
                data.field("length", parts.headers.len());
            })
    };
    let requests = vec![
        Request::get("/").header("x-plan", "gold").header("user-agent", "test"),
        Request::get("/").header("x-panic", "yes").header("x-plan", "free"),
        Request::post("/"),
    ];
    let (points, watched) = points_of(build, requests).await;
    let recorded: Vec<_> = points
        .iter()
        .map(|point| (point.tag("plan"), text(point, "agent"), point.field("status").and_then(Value::as_i64)))
        .collect();
    assert_eq!(
        recorded,
        [(Some("gold"), Some("test"), Some(200)), (Some("free"), None, Some(200)), (None, None, Some(404)),]
    );
    assert!(points[0].field("length").is_some() && points[2].field("length").is_none());
    assert_eq!(watched.monitor.stats().recorder.callback_panics, 2);
}

#[tokio::test]
async fn a_callback_sees_the_request_and_the_response_and_changes_neither() {
    let build = |layer: MonitoringLayer| layer.on_request(|_, _| ()).on_response(|_, _| ());
    let watched = Watched::start("context");
    let echo = async |request: Request| {
        let header = request.headers()["x-own"].clone();
        Response::builder()
            .status(StatusCode::ACCEPTED)
            .header("x-own", header)
            .body(request.into_body())
            .expect("a response")
    };
    let app = Router::new().route("/", post(echo)).layer(build(watched.layer()).track_body());
    let request =
        Request::post("/").header("x-own", "kept").body(Body::from("body")).expect("a valid request");
    let response = app.oneshot(request).await.expect("axum never fails");
    assert_eq!(
        (response.status(), &response.headers()["x-own"]),
        (StatusCode::ACCEPTED, &"kept".parse().expect("a value"))
    );
    assert_eq!(axum::body::to_bytes(response.into_body(), 100).await.expect("a body"), "body");
    watched.expect(&["POST:/ 202 complete"], &[]).await;
}

#[tokio::test]
async fn values_that_are_added_sum_up() {
    let (monitor, sink) = monitor(Settings::new("context"));
    let handler = async |data: MonitoringData| {
        for _ in 0..3 {
            data.add("hits", 1);
            data.add("db_time", Duration::from_millis(20));
            data.add("mixed", 1);
            data.add("largest", i64::MAX);
            data.add("nothing", None::<i64>);
            data.add_time("waited", async {}).await;
            drop(data.add_timer("timed"));
        }
        data.add("mixed", 0.5);
        data.field("text", "text");
        data.add("text", 1);
        data.add("hits", "one");
        data.field("set", 5);
        data.add("set", 2_u8);
        data.add("route", 1);
        data.tag("tag", "x");
        data.add("tag", 1);
    };
    let app: Router = Router::new().route("/", get(handler)).layer(monitor.layer());
    app.oneshot(Request::new(Body::empty())).await.expect("axum never fails");
    let point = &points(&monitor, &sink, "requests").await[0];
    for (key, expected) in [
        ("hits", Some(Value::Integer(3))),
        ("db_time", Some(Value::Float(0.06))),
        ("mixed", Some(Value::Float(3.5))),
        ("largest", Some(Value::Integer(i64::MAX))),
        ("nothing", None),
        ("text", Some(Value::from("text"))),
        ("set", Some(Value::Integer(7))),
        ("tag", None),
    ] {
        assert_eq!(point.field(key), expected.as_ref(), "{key}");
    }
    for key in ["waited", "timed"] {
        assert!(point.field(key).and_then(Value::as_f64).is_some_and(|time| time > 0.0), "{key}");
    }
    assert_eq!(point.tag("tag"), Some("x"));
    // Refused were: a number added to text, text added to a number, a reserved name, and the name
    // of a tag.
    assert_eq!(monitor.stats().recorder.refused_extras, 4);
}

#[tokio::test]
async fn a_request_that_is_skipped_has_no_point() {
    let watched = Watched::start("context");
    let app = Router::new()
        .route("/skip", get(async |data: MonitoringData| data.skip()))
        .route(
            "/fail",
            get(async |data: MonitoringData| {
                data.skip();
                StatusCode::NOT_FOUND
            }),
        )
        .route("/keep", get(async |_: MonitoringData| ()))
        .layer(watched.layer())
        .with_state(());
    for path in ["/skip", "/fail", "/keep", "/skip", "/keep"] {
        let request = Request::get(path).body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    watched.expect(&["GET:/keep 200", "GET:/keep 200"], &[]).await;
}

#[tokio::test]
async fn a_classifier_sees_method_and_route() {
    let watched = Watched::start("context");
    let classifier = |outcome: &Outcome<'_>| match (outcome.method(), outcome.route(), outcome.status()) {
        ("GET", Some("/items/{id}"), status @ StatusCode::NOT_FOUND) => Classification::success(status),
        (_, None, status) => Classification::success(status),
        _ => StatusClassifier.classify(outcome),
    };
    let app = Router::new()
        .route("/items/{id}", get(async || StatusCode::NOT_FOUND).post(async || StatusCode::NOT_FOUND))
        .layer(watched.layer().classifier(classifier))
        .with_state(());
    for (method, path) in [("GET", "/items/7"), ("POST", "/items/7"), ("GET", "/nowhere")] {
        let request =
            Request::builder().method(method).uri(path).body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    let requests = ["GET:/items/{id} 404", "GET:unmatched 404", "POST:/items/{id} 404"];
    watched.expect(&requests, &["POST:/items/{id} 404 404"]).await;
}

const ERROR_CODE: usize = 3;
const KEEP: usize = 5;

/// What a function does to the data, and a check of the points.
type Effect = (fn(&MonitoringData), fn(&[DataPoint]) -> bool);

type AddFunction = fn(MonitoringLayer, fn(&MonitoringData)) -> MonitoringLayer;

#[tokio::test]
async fn every_change_that_a_function_makes_to_the_data_is_kept() {
    let all: [Effect; 8] = [
        (|_| {}, |points| points.len() == 1),
        (|data| data.tag("a", "b"), |points| points[0].tag("a") == Some("b")),
        (|data| data.field("a", 1), |points| points[0].field("a").is_some()),
        // Visible only in the point of a failure.
        (|data| data.error_code(7), |points| points[1].tag("error_code") == Some("7")),
        (MonitoringData::skip, <[_]>::is_empty),
        // Visible only with a rule.
        (MonitoringData::keep, |points| points.len() == 1),
        (
            |data| std::thread::scope(|scope| _ = scope.spawn(|| data.tag("a", "b"))),
            |points| points[0].tag("a") == Some("b"),
        ),
        (
            |_| MonitoringData::current().expect("the request is running").tag("a", "b"),
            |points| points[0].tag("a") == Some("b"),
        ),
    ];
    for (number, (effect, expected)) in all.into_iter().enumerate() {
        let layers: [AddFunction; 2] = [
            |layer, effect| layer.on_request(move |_, data| effect(data)),
            |layer, effect| layer.on_response(move |_, data| effect(data)),
        ];
        for layer in layers {
            let mut settings = Settings::new("context");
            if number == KEEP {
                settings.rollup.interval = Some(Duration::from_secs(60));
                settings.requests.keep = KeepRequests::Failed;
            }
            let (monitor, sink) = monitor(settings);
            let status = if number == ERROR_CODE { StatusCode::NOT_FOUND } else { StatusCode::OK };
            let app: Router =
                Router::new().route("/", get(async move || status)).layer(layer(monitor.layer(), effect));
            app.oneshot(Request::new(Body::empty())).await.expect("axum never fails");
            let watched = Watched { monitor, sink };
            let mut found = points(&watched.monitor, &watched.sink, "requests").await;
            found.extend(watched.sink.measurement("errors"));
            assert!(expected(&found), "{number}: {found:?}");
        }
    }
}

/// An inner layer of another monitor has the trace of its request, and so has a call through one.
/// Its own layer may override that.
#[tokio::test]
async fn layers_of_other_monitors_see_the_trace() {
    let (outer, _) = monitor(Settings::new("outer"));
    let (inner, sink) = monitor(Settings::new("inner"));
    let called = Router::new().route("/called", get(async || "ok")).layer(inner.layer()).with_state(());
    let call = move || async move {
        let request = Request::get("/called").body(Body::empty()).expect("a request");
        called.oneshot(request).await.expect("axum never fails")
    };
    let app: Router = Router::new()
        .route("/", get(async || "ok").layer(inner.layer()))
        .route("/call", get(call))
        .layer(outer.layer().trace_id(true).sizes(true));
    for path in ["/", "/call"] {
        let request = Request::get(path)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .header("content-length", "12");
        let request = request.body(Body::empty()).expect("a request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    let mut points = points(&inner, &sink, "requests").await;
    points.sort_by_key(tower_influx::Point::time);
    assert_eq!(points.len(), 2);
    assert!(points.iter().all(|point| text(point, "trace_id") == Some(TRACE)), "{points:?}");
    let sizes: Vec<_> = points.iter().map(|point| point.field("request_bytes").is_some()).collect();
    assert_eq!(sizes, [true, false], "a call is another request, with a size of its own");
}

/// A handler may use the name of a field that the layer adds. A field of the same type is stored
/// instead, and a tag is left out.
#[tokio::test]
async fn a_handlers_field_with_the_name_of_an_added_one_is_stored_and_its_tag_is_not() {
    let (monitor, sink) = monitor(Settings::new("context"));
    let app: Router = Router::new()
        .route("/", get(async |data: MonitoringData| data.field("request_bytes", 7)))
        .route("/tag", get(async |data: MonitoringData| data.tag("trace_id", "mine")))
        .layer(monitor.layer().trace_id(true).sizes(true));
    for path in ["/", "/tag"] {
        let request = Request::get(path)
            .header("traceparent", format!("00-{TRACE}-00f067aa0ba902b7-01"))
            .header("content-length", "12");
        let request = request.body(Body::empty()).expect("a request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    let mut points = points(&monitor, &sink, "requests").await;
    points.sort_by_key(tower_influx::Point::time);
    assert_eq!(points[0].field("request_bytes"), Some(&Value::Integer(7)));
    // The layer's field came first. The tag is a second kind for the name, and is left out.
    assert_eq!((points[1].tag("trace_id"), text(&points[1], "trace_id")), (None, Some(TRACE)));
    assert_eq!(monitor.stats().recorder.type_conflicts, 1);
}
