//! Several layers and several attempts: which of them are one request, and which are separate ones.

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::{HeaderName, HeaderValue, Method, Response, StatusCode},
    routing::{delete, get},
};
use futures_util::future::join_all;
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{DataPoint, MonitoringData, Settings};

use crate::labels::{monitor, points};

fn request() -> Request {
    Request::new(Body::empty())
}

fn id(point: &DataPoint) -> &str {
    point.field("request_id").and_then(|id| id.as_str()).expect("each has one")
}

#[tokio::test]
async fn each_call_of_another_monitors_service_counts() {
    let (server, server_sink) = monitor(Settings::new("server"));
    let (client, client_sink) = monitor(Settings::new("client"));
    let answer = service_fn(|_: Request| async {
        tokio::task::yield_now().await;
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    });
    let calls = client.layer().layer(answer);
    let handler = |data: MonitoringData| async move {
        data.tag("tenant", "acme");
        for _ in 0..2 {
            calls.clone().oneshot(request()).await.expect("it answers");
        }
        join_all((0..3).map(|_| calls.clone().oneshot(request()))).await;
    };
    let app: Router = Router::new().route("/", get(handler)).layer(server.layer());
    app.oneshot(request()).await.expect("axum never fails");
    let served = points(&server, &server_sink, "requests").await;
    let called = points(&client, &client_sink, "requests").await;
    assert_eq!((served.len(), called.len()), (1, 5));
    for point in &called {
        assert_eq!((id(point), point.tag("tenant")), (id(&served[0]), Some("acme")));
    }
}

#[tokio::test]
async fn alternating_layers_of_several_monitors_write_a_point_for_each() {
    let (first, first_sink) = monitor(Settings::new("first"));
    let (second, second_sink) = monitor(Settings::new("second"));
    let (third, third_sink) = monitor(Settings::new("third"));
    let mut app = Router::new().route("/", get(|| async {}));
    for monitor in [&first, &second, &third] {
        app = app.layer(monitor.layer());
    }
    app = app.layer(second.layer().request_id_header(HeaderName::from_static("x-inner")));
    for monitor in [&first, &third] {
        app = app.layer(monitor.layer());
    }
    let mut request = request();
    request.headers_mut().insert("x-inner", HeaderValue::from_static("inner"));
    request.headers_mut().insert("x-request-id", HeaderValue::from_static("outer"));
    app.oneshot(request).await.expect("axum never fails");
    for (monitor, sink) in [(&first, &first_sink), (&second, &second_sink), (&third, &third_sink)] {
        let points = points(monitor, sink, "requests").await;
        assert_eq!(points.iter().map(id).collect::<Vec<_>>(), ["outer"]);
    }
}

#[tokio::test]
async fn the_limits_of_one_monitor_do_not_change_the_extras_of_another() {
    let mut few = Settings::new("inner");
    few.limits.tag_values = 1;
    let (inner, inner_sink) = monitor(few);
    let (outer, outer_sink) = monitor(Settings::new("outer"));
    let handler =
        |Path(tenant): Path<String>, data: MonitoringData| async move { data.tag("tenant", tenant) };
    let app = Router::new().route("/{tenant}", get(handler)).layer(inner.layer()).layer(outer.layer());
    for path in ["/acme", "/globex"] {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    for (monitor, sink, second) in [(&inner, &inner_sink, "other"), (&outer, &outer_sink, "globex")] {
        let points = points(monitor, sink, "requests").await;
        let tenants: Vec<_> = points.iter().map(|point| point.tag("tenant").expect("an extra")).collect();
        assert_eq!(tenants, ["acme", second]);
    }
}

#[tokio::test]
async fn a_second_attempt_with_the_data_of_the_first_is_a_request_of_its_own() {
    let (monitor, sink) = monitor(Settings::new("nested"));
    let handler = |data: MonitoringData| async move { data.tag("tenant", "acme") };
    let app: Router = Router::new().route("/", get(handler)).layer(monitor.layer());
    let data = MonitoringData::new();
    data.tag("zone", "west");
    for _ in 0..2 {
        let mut request = request();
        request.extensions_mut().insert(data.clone());
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    let points = points(&monitor, &sink, "requests").await;
    assert_ne!(id(&points[0]), id(&points[1]));
    for point in &points {
        assert_eq!((point.tag("tenant"), point.tag("zone")), (Some("acme"), Some("west")));
    }
    assert_eq!(monitor.stats().recorder.late_extras, 0);
}

#[tokio::test]
async fn a_second_attempt_is_skipped_or_kept_as_the_first_was() {
    let mut settings = Settings::new("nested");
    settings.rollup.interval = Some(std::time::Duration::from_secs(60));
    settings.requests.keep = tower_influx::settings::KeepRequests::None;
    for (keep, settings) in [(false, Settings::new("nested")), (true, settings)] {
        let (monitor, sink) = monitor(settings);
        let app: Router = Router::new().route("/", get(async || {})).layer(monitor.layer());
        let other = request();
        let data = MonitoringData::new();
        if keep {
            data.keep()
        } else {
            data.skip()
        }
        for _ in 0..3 {
            let mut request = request();
            request.extensions_mut().insert(data.clone());
            app.clone().oneshot(request).await.expect("axum never fails");
        }
        app.oneshot(other).await.expect("axum never fails");
        let expected = if keep { 3 } else { 1 };
        assert_eq!(points(&monitor, &sink, "requests").await.len(), expected, "keep: {keep}");
    }
}

#[tokio::test]
async fn an_optional_extractor_refines_the_route_like_a_plain_one() {
    let (monitor, sink) = monitor(Settings::new("optional"));
    let router: Router = Router::new()
        .route("/plain/{id}", get(|_: MonitoringData| async {}))
        .route("/optional/{id}", get(|_: Option<MonitoringData>| async {}));
    // Around the whole router, where no path is matched yet.
    let service = monitor.layer().layer(router);
    for path in ["/optional/7", "/plain/7"] {
        let request = Request::get(path).body(Body::empty()).expect("a valid request");
        service.clone().oneshot(request).await.expect("it answers");
    }
    let found = points(&monitor, &sink, "requests").await;
    let routes: Vec<_> = found.iter().map(|point| point.tag("route")).collect();
    assert_eq!(routes, [Some("GET:/optional/{id}"), Some("GET:/plain/{id}")]);
}

#[tokio::test]
async fn alternating_monitors_on_one_thread_keep_their_own_limits_and_lines() {
    let mut few = Settings::new("few");
    few.limits.extras = 1;
    let (few, few_sink) = monitor(few);
    let (many, many_sink) = monitor(Settings::new("many"));
    let routes = Router::new().route(
        "/items/{id}",
        get(|data: MonitoringData| async move {
            data.tag("a", "1");
            data.tag("z", "2");
        })
        .post(async || ()),
    );
    let apps = [routes.clone().layer(few.layer()).with_state(()), routes.layer(many.layer()).with_state(())];
    // Request data is reused, and the start of a line is cached: each for its own monitor.
    for app in apps.iter().cycle().take(20) {
        for method in ["GET", "POST"] {
            let request = Request::builder()
                .method(method)
                .uri("/items/7")
                .body(Body::empty())
                .expect("a valid request");
            app.clone().oneshot(request).await.expect("axum never fails");
        }
    }
    for (monitor, sink, service, extras) in
        [(&few, &few_sink, "few", [Some("1"), None]), (&many, &many_sink, "many", [Some("1"), Some("2")])]
    {
        let points = points(monitor, sink, "requests").await;
        let told = |point: &&DataPoint| point.tag("route") == Some("GET:/items/{id}");
        assert!(points.iter().all(|point| point.tag("service") == Some(service)));
        assert_eq!((points.len(), points.iter().filter(told).count()), (20, 10));
        assert!(points.iter().filter(told).all(|point| [point.tag("a"), point.tag("z")] == extras));
        assert!(
            points
                .iter()
                .filter(|point| !told(point))
                .all(|point| point.tag("route") == Some("POST:/items/{id}"))
        );
        let excess = monitor.stats().recorder.excess_extras;
        assert_eq!(excess, if service == "few" { 10 } else { 0 });
    }
}

#[tokio::test]
async fn reused_request_data_contains_nothing_of_the_earlier_request() {
    let (monitor, sink) = monitor(Settings::new("again"));
    let failing = |data: MonitoringData| async move {
        data.tag("tenant", "acme");
        data.field("size", 7);
        data.error_code("broken");
        StatusCode::INTERNAL_SERVER_ERROR
    };
    let inner = Router::new().route("/full", get(failing));
    let app = Router::new()
        .route("/empty", get(|_: MonitoringData| async { StatusCode::INTERNAL_SERVER_ERROR }))
        .nest_service("/inner", inner)
        .layer(monitor.layer())
        .with_state(());
    for path in ["/inner/full", "/empty", "/inner/full", "/empty"] {
        let request = Request::builder().uri(path).header("x-request-id", path);
        app.clone()
            .oneshot(request.body(Body::empty()).expect("a valid request"))
            .await
            .expect("axum never fails");
    }
    // It does not belong to a request yet, so it has no id. It gets that of the request that it is
    // put into.
    let own = MonitoringData::new();
    own.tag("tenant", "own");
    assert_eq!(own.request_id().to_string(), "");
    let request = Request::builder().uri("/empty").extension(own.clone()).body(Body::empty());
    app.clone().oneshot(request.expect("a valid request")).await.expect("axum never fails");
    let id = own.request_id().to_string();
    assert_ne!(id, "");
    let errors = points(&monitor, &sink, "errors").await;
    let told = |route: &str, tenant, size, code: &str, id: &str| {
        let is_told = |point: &&DataPoint| {
            point.tag("route") == Some(route)
                && point.tag("tenant") == tenant
                && point.field("size").is_some() == size
                && point.tag("error_code") == Some(code)
                && point.field("request_id").and_then(|id| id.as_str()) == Some(id)
        };
        errors.iter().filter(is_told).count()
    };
    assert_eq!(told("GET:/inner/full", Some("acme"), true, "broken", "/inner/full"), 2, "{errors:?}");
    assert_eq!(told("GET:/empty", None, false, "500", "/empty"), 2, "{errors:?}");
    assert_eq!(told("GET:/empty", Some("own"), false, "500", &id), 1, "{errors:?}");
}

#[tokio::test]
async fn a_method_that_an_inner_middleware_changes_does_not_change_the_points() {
    let (monitor, sink) = monitor(Settings::new("override"));
    let routes =
        Router::new().route("/items/{id}", delete(async || StatusCode::NOT_FOUND)).layer(monitor.layer());
    let overriding = move |mut request: Request| {
        *request.method_mut() = Method::DELETE;
        routes.clone().oneshot(request)
    };
    let app = monitor.layer().layer(service_fn(overriding));
    for _ in 0..4 {
        let request =
            Request::builder().method("POST").uri("/items/7").body(Body::empty()).expect("a valid request");
        app.clone().oneshot(request).await.expect("axum never fails");
    }
    for measurement in ["requests", "errors"] {
        let points = points(&monitor, &sink, measurement).await;
        let routes: Vec<_> = points.iter().map(|point| point.tag("route").expect("each has one")).collect();
        assert_eq!(routes, ["POST:/items/{id}"; 4]);
    }
}
