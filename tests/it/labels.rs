//! The route that each composition of routers yields, the extras of handlers, and their bounds.

use std::sync::Arc;

use axum::{
    Extension, Router,
    body::Body,
    extract::Request,
    http::{Response, StatusCode},
    middleware::{Next, from_fn},
    routing::get,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, ErrorCode, Monitor, MonitoringData, Point, Settings, point::Value, sink::MemorySink,
};

pub(crate) fn monitor(settings: Settings) -> (Monitor, MemorySink) {
    let sink = MemorySink::new();
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("settings are right");
    (monitor, sink)
}

async fn call(app: &Router, path: &str) {
    let request = Request::builder().uri(path).body(Body::empty()).expect("a valid request");
    app.clone().oneshot(request).await.expect("axum never fails");
}

pub(crate) async fn points(monitor: &Monitor, sink: &MemorySink, measurement: &str) -> Vec<DataPoint> {
    monitor.flush().await.expect("the monitor runs");
    assert_eq!(monitor.stats().recorder.running_requests, 0);
    sink.measurement(measurement)
}

fn tag<'a>(point: &'a DataPoint, key: &str) -> &'a str {
    point.tag(key).unwrap_or_else(|| panic!("no tag {key} in {point:?}"))
}

/// Returns the routes of the requests, one for each path, in this order.
async fn routes_of(build: impl FnOnce(&Monitor) -> Router, paths: &[&str]) -> Vec<String> {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let app = build(&monitor).with_state(());
    for path in paths {
        call(&app, path).await;
    }
    let mut points = points(&monitor, &sink, "requests").await;
    points.sort_by_key(DataPoint::time);
    points.iter().map(|point| tag(point, "route").to_owned()).collect()
}

fn items() -> Router {
    Router::new().route("/items/{id}", get(|| async {}))
}

fn items_with_extractor() -> Router {
    Router::new().route("/items/{id}", get(|_: MonitoringData| async {}))
}

#[tokio::test]
async fn route_yields_its_template() {
    let routes =
        routes_of(|monitor| items().layer(monitor.layer()), &["/items/1", "/items/2", "/nowhere"]).await;
    assert_eq!(routes, ["GET:/items/{id}", "GET:/items/{id}", "GET:unmatched"]);
}

#[tokio::test]
async fn nest_yields_the_whole_template() {
    let build = |monitor: &Monitor| Router::new().nest("/api/{version}", items()).layer(monitor.layer());
    let routes = routes_of(build, &["/api/v1/items/1", "/api/v1/nowhere"]).await;
    assert_eq!(routes, ["GET:/api/{version}/items/{id}", "GET:unmatched"]);
}

#[tokio::test]
async fn a_layer_inside_a_nested_router_yields_the_whole_template() {
    let build = |monitor: &Monitor| Router::new().nest("/api", items().layer(monitor.layer()));
    let routes = routes_of(build, &["/api/items/1", "/nowhere"]).await;
    assert_eq!(routes, ["GET:/api/items/{id}"], "what is outside of the layer is not seen");
}

#[tokio::test]
async fn merge_keeps_templates_and_routes_merged_after_the_layer_are_not_monitored() {
    let build = |monitor: &Monitor| {
        let seen = Router::new().merge(items()).layer(monitor.layer());
        seen.merge(Router::new().route("/unseen", get(|| async {})))
    };
    assert_eq!(routes_of(build, &["/items/1", "/unseen"]).await, ["GET:/items/{id}"]);
}

#[tokio::test]
async fn fallbacks_are_unmatched_and_those_after_the_layer_are_not_monitored() {
    let build = |monitor: &Monitor| items().fallback(|| async { "none" }).layer(monitor.layer());
    assert_eq!(routes_of(build, &["/nowhere", "/.env"]).await, ["GET:unmatched"; 2]);
    let build = |monitor: &Monitor| items().layer(monitor.layer()).fallback(|| async { "none" });
    assert_eq!(routes_of(build, &["/nowhere", "/items/1"]).await, ["GET:/items/{id}"]);
}

#[tokio::test]
async fn route_layer_sees_only_what_matches() {
    let build = |monitor: &Monitor| items().route_layer(monitor.layer());
    assert_eq!(routes_of(build, &["/items/1", "/nowhere"]).await, ["GET:/items/{id}"]);
}

#[tokio::test]
async fn a_layer_around_the_whole_router_learns_routes_from_within() {
    let around =
        |monitor: &Monitor, inner: Router| Router::new().fallback_service(monitor.layer().layer(inner));
    let routes = routes_of(|monitor| around(monitor, items()), &["/items/1"]).await;
    assert_eq!(routes, ["GET:unmatched"], "outside of the router no route is known");
    let routes = routes_of(|monitor| around(monitor, items_with_extractor()), &["/items/1"]).await;
    assert_eq!(routes, ["GET:/items/{id}"], "the extractor tells it");
    let routes = routes_of(|monitor| around(monitor, items().layer(monitor.layer())), &["/items/1"]).await;
    assert_eq!(
        routes,
        ["GET:/items/{id}"],
        "an inner layer of the same monitor tells it, and counts no second time"
    );
}

#[tokio::test]
async fn nest_service_yields_the_route_that_is_known_inside() {
    let nested = |inner: Router| Router::new().nest_service("/files", inner);
    let routes =
        routes_of(|monitor| nested(items()).layer(monitor.layer()), &["/files/items/1", "/files"]).await;
    assert_eq!(
        routes,
        ["GET:unmatched", "GET:/files"],
        "only the prefix itself is a route of the outer router"
    );
    let build = |monitor: &Monitor| nested(items_with_extractor()).layer(monitor.layer());
    assert_eq!(routes_of(build, &["/files/items/1"]).await, ["GET:/files/items/{id}"]);
    let build = |monitor: &Monitor| nested(items().layer(monitor.layer())).layer(monitor.layer());
    assert_eq!(routes_of(build, &["/files/items/1"]).await, ["GET:/files/items/{id}"]);
}

#[tokio::test]
async fn a_route_function_names_routes_without_axum() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let layer = monitor
        .layer()
        .route(|request| request.uri.path().starts_with("/items/").then(|| "/items/{id}".into()));
    let service = layer.layer(service_fn(|_: Request| async { Ok::<_, ()>(Response::new(Body::empty())) }));
    for path in ["/items/7", "/.env"] {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a valid request");
        service.clone().oneshot(request).await.expect("it always answers");
    }
    let points = points(&monitor, &sink, "requests").await;
    assert_eq!(tag(&points[0], "route"), "GET:/items/{id}");
    assert_eq!(tag(&points[1], "route"), "GET:unmatched");
}

#[tokio::test]
async fn extras_go_to_both_points() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let handler = |data: MonitoringData| async move {
        data.tag("tenant", "acme");
        data.tag("shard", 3);
        data.field("size", 7);
        data.field("share", 0.5);
        data.field("cached", true);
        data.field("note", String::from("two\nlines"));
        data.time("load_time", async {}).await;
        drop(data.timer("rest_time"));
        (StatusCode::CONFLICT, ErrorCode::from(12012))
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    call(&app, "/").await;
    for measurement in ["requests", "errors"] {
        let points = points(&monitor, &sink, measurement).await;
        let [point] = &points[..] else { panic!("one point in {measurement}: {points:?}") };
        assert_eq!(tag(point, "tenant"), "acme");
        assert_eq!(tag(point, "shard"), "3");
        assert_eq!(point.field("size"), Some(&Value::Integer(7)));
        assert_eq!(point.field("share"), Some(&Value::Float(0.5)));
        assert_eq!(point.field("cached"), Some(&Value::Boolean(true)));
        assert_eq!(
            point.field("note"),
            Some(&"two\\nlines".into()),
            "a line break is written as two characters"
        );
        assert!(matches!(point.field("load_time"), Some(Value::Float(_))), "{point:?}");
        assert!(matches!(point.field("rest_time"), Some(Value::Float(_))), "{point:?}");
        assert_eq!(point.tag("error_code"), (measurement == "errors").then_some("12012"));
    }
}

#[tokio::test]
async fn a_timed_future_that_is_dropped_still_counts() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let handler = |data: MonitoringData| async move {
        let mut timed = Box::pin(data.time("wait_time", std::future::pending::<()>()));
        let _ = futures_util::FutureExt::now_or_never(&mut timed);
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    call(&app, "/").await;
    let points = points(&monitor, &sink, "requests").await;
    assert!(matches!(points[0].field("wait_time"), Some(Value::Float(_))), "{points:?}");
}

#[tokio::test]
async fn extras_come_from_middleware_tasks_and_extensions() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let inner = from_fn(|data: MonitoringData, request: Request, next: Next| async move {
        data.tag("inner", "yes");
        next.run(request).await
    });
    let outer = from_fn(|mut request: Request, next: Next| async move {
        let data = MonitoringData::new();
        data.tag("outer", "yes");
        request.extensions_mut().insert(data);
        next.run(request).await
    });
    let handler = |data: MonitoringData| async move {
        tokio::spawn(async move { data.tag("task", "yes") }).await.expect("no panic");
        let answer = MonitoringData::new();
        answer.tag("answer", "yes");
        answer.error_code(7);
        (StatusCode::BAD_REQUEST, Extension(answer))
    };
    let app = Router::new()
        .route("/", get(handler))
        .layer(inner)
        .layer(monitor.layer())
        .layer(outer)
        .with_state(());
    call(&app, "/").await;
    for measurement in ["requests", "errors"] {
        let points = points(&monitor, &sink, measurement).await;
        assert_eq!(points.len(), 1);
        for key in ["outer", "inner", "task", "answer"] {
            assert_eq!(points[0].tag(key), Some("yes"), "{key} in {measurement}");
        }
    }
    assert_eq!(tag(&sink.measurement("errors")[0], "error_code"), "7");
}

#[tokio::test]
async fn a_task_between_layer_and_handler_needs_the_data_inserted() {
    let spawning = || {
        from_fn(|request: Request, next: Next| async move {
            tokio::spawn(next.run(request)).await.expect("no panic")
        })
    };
    let handler = |data: MonitoringData| async move { data.tag("tenant", "acme") };
    for insert in [false, true] {
        let (monitor, sink) = monitor(Settings::new("labels"));
        let app = Router::new()
            .route("/", get(handler))
            .layer(spawning())
            .layer(monitor.layer().insert_data(insert))
            .with_state(());
        call(&app, "/").await;
        let points = points(&monitor, &sink, "requests").await;
        assert_eq!(points[0].tag("tenant"), insert.then_some("acme"), "insert_data({insert})");
    }
}

#[tokio::test]
async fn late_and_reserved_extras_are_counted() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let kept: Arc<std::sync::Mutex<Option<MonitoringData>>> = Arc::default();
    let handler = {
        let kept = Arc::clone(&kept);
        move |data: MonitoringData| async move {
            for key in
                ["route", "service", "status_code", "error_code", "request_id", "execution_time", "time", ""]
            {
                data.tag(key, "mine");
                data.field(key, "mine");
            }
            data.field("nothing", f64::NAN);
            *kept.lock().expect("no panic") = Some(data);
        }
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    call(&app, "/").await;
    let late = kept.lock().expect("no panic").take().expect("the handler has run");
    late.tag("late", "yes");
    let points = points(&monitor, &sink, "requests").await;
    assert_eq!(points.len(), 1);
    assert_eq!(
        (tag(&points[0], "route"), points[0].tag("late"), points[0].field("nothing")),
        ("GET:/", None, None)
    );
    let recorder = monitor.stats().recorder;
    assert_eq!((recorder.refused_extras, recorder.late_extras), (17, 1), "{recorder:?}");
}

#[tokio::test]
async fn tag_values_beyond_the_limit_become_other() {
    let mut settings = Settings::new("labels");
    settings.limits.tag_values = 10;
    let (monitor, sink) = monitor(settings);
    let handler = |request: Request| async move {
        let data = MonitoringData::current().expect("a monitored request is running");
        data.tag("guest", request.uri().query().unwrap_or_default());
        (StatusCode::BAD_REQUEST, ErrorCode::from(request.uri().query().unwrap_or_default().to_owned()))
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    for number in 0..100 {
        call(&app, &format!("/?{number}")).await;
    }
    for (measurement, key) in [("requests", "guest"), ("errors", "guest"), ("errors", "error_code")] {
        let points = points(&monitor, &sink, measurement).await;
        let values: std::collections::BTreeSet<&str> = points.iter().map(|point| tag(point, key)).collect();
        assert_eq!(
            (points.len(), values.len()),
            (100, 11),
            "{key} of {measurement}: ten and the overflow value: {values:?}"
        );
    }
    assert!(monitor.stats().recorder.overflowed_tags >= 180);
}

#[tokio::test]
async fn one_field_has_one_type() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let handler = |request: Request| async move {
        let data = MonitoringData::current().expect("a monitored request is running");
        match request.uri().query() {
            Some("float") => data.field("size", 1.5),
            Some("text") => data.field("size", "large"),
            _ => data.field("size", 2),
        }
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    for query in ["float", "integer", "text"] {
        call(&app, &format!("/?{query}")).await;
    }
    let mut points = points(&monitor, &sink, "requests").await;
    points.sort_by_key(DataPoint::time);
    let sizes: Vec<_> = points.iter().map(|point| point.field("size").cloned()).collect();
    // `2` was widened to a float. A whole float in canonical form is read back as a float.
    assert_eq!(sizes, [Some(Value::Float(1.5)), Some(Value::Float(2.0)), None]);
    assert_eq!(monitor.stats().recorder.type_conflicts, 1);
}

#[tokio::test]
async fn filtered_requests_are_not_recorded() {
    let mut settings = Settings::new("labels");
    settings.filter.ignore = vec!["GET:/health".to_owned()];
    let (monitor, sink) = monitor(settings);
    let app = Router::new()
        .route("/health", get(|| async {}))
        .route("/items/{id}", get(|| async {}))
        .layer(monitor.layer())
        .with_state(());
    for path in ["/health", "/items/1", "/health"] {
        call(&app, path).await;
    }
    let points = points(&monitor, &sink, "requests").await;
    assert_eq!(points.len(), 1);
    assert_eq!(tag(&points[0], "route"), "GET:/items/{id}");
}

#[tokio::test]
async fn two_monitors_both_get_the_extras() {
    let (first, first_sink) = monitor(Settings::new("first"));
    let (second, second_sink) = monitor(Settings::new("second"));
    let handler = |data: MonitoringData| async move {
        data.tag("tenant", "acme");
        StatusCode::NOT_FOUND
    };
    let app =
        Router::new().route("/", get(handler)).layer(first.layer()).layer(second.layer()).with_state(());
    call(&app, "/").await;
    for (monitor, sink, service) in [(&first, &first_sink, "first"), (&second, &second_sink, "second")] {
        for measurement in ["requests", "errors"] {
            let points = points(monitor, sink, measurement).await;
            assert_eq!(points.len(), 1, "{measurement} of {service}");
            assert_eq!((tag(&points[0], "service"), tag(&points[0], "tenant")), (service, "acme"));
        }
    }
}

#[tokio::test]
async fn the_request_id_is_kept_passed_on_and_returned() {
    let (monitor, sink) = monitor(Settings::new("labels"));
    let app = Router::new()
        .route("/", get(|data: MonitoringData| async move { data.request_id().to_string() }))
        .layer(monitor.layer().propagate_request_id(true))
        .with_state(());
    let mut seen = Vec::new();
    for own in [Some("1536751345,6a5c2191"), None] {
        let mut request = Request::builder().uri("/");
        if let Some(id) = own {
            request = request.header("x-request-id", id);
        }
        let request = request.body(Body::empty()).expect("a valid request");
        let response = app.clone().oneshot(request).await.expect("axum never fails");
        let header = response.headers()["x-request-id"].to_str().expect("visible").to_owned();
        let body = axum::body::to_bytes(response.into_body(), 1000).await.expect("a body");
        assert_eq!(header.as_bytes(), body);
        assert!(own.is_none_or(|own| own == header) && !header.is_empty());
        seen.push(Some(Value::from(header)));
    }
    let mut points = points(&monitor, &sink, "requests").await;
    points.sort_by_key(DataPoint::time);
    let ids: Vec<_> = points.iter().map(|point| point.field("request_id").cloned()).collect();
    assert_eq!(ids, seen);
}
