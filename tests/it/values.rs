//! Conversions of values, error codes and ids: what is stored, and what the client receives.

use std::time::Duration;

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::get,
};
use tower::{ServiceBuilder, ServiceExt};
use tower_http::{
    cors::CorsLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer},
    timeout::TimeoutLayer,
};
use tower_influx::{DataPoint, ErrorCode, MonitoringData, Settings, point::Value};

use crate::{
    endings::{ask, serve},
    labels::{monitor, points},
    support::watched::Watched,
};

async fn answer(app: &Router, request: axum::http::request::Builder) -> Response {
    let request = request.body(Body::empty()).expect("a valid request");
    app.clone().oneshot(request).await.expect("axum never fails")
}

#[tokio::test]
async fn each_conversion_stores_its_value() {
    let (monitor, sink) = monitor(Settings::new("values"));
    let add = |data: MonitoringData| async move {
        data.field("some", Some(1));
        data.field("none", None::<i64>);
        data.field("nested", Some(Some("text")));
        data.field("duration", Duration::from_millis(1_500));
        data.field("status", StatusCode::IM_A_TEAPOT);
        data.field("u128", u128::MAX);
        data.field("small", 7_u128);
        data.field("i128", i128::MIN);
        data.field("kept", 1);
        data.field("kept", None::<i64>);
        data.tag("plan", Some("gold"));
        data.tag("no_plan", None::<&str>);
        data.tag("waited", Duration::from_millis(250));
    };
    let app = Router::new().route("/", get(add)).layer(monitor.layer()).with_state(());
    answer(&app, Request::get("/")).await;
    let own =
        DataPoint::new("jobs").with_field("n", 1).with_field("none", None::<f64>).with_tag("a", None::<&str>);
    monitor.record(&own);
    let point = &points(&monitor, &sink, "requests").await[0];
    for (key, expected) in [
        ("some", Some(Value::Integer(1))),
        ("none", None),
        ("nested", Some(Value::from("text"))),
        ("duration", Some(Value::Float(1.5))),
        ("status", Some(Value::Integer(418))),
        ("u128", Some(Value::Integer(i64::MAX))),
        ("small", Some(Value::Integer(7))),
        ("i128", Some(Value::Integer(i64::MIN))),
        ("kept", Some(Value::Integer(1))),
    ] {
        assert_eq!(point.field(key), expected.as_ref(), "{key}");
    }
    assert_eq!(
        (point.tag("plan"), point.tag("no_plan"), point.tag("waited")),
        (Some("gold"), None, Some("0.25"))
    );
    let own = &sink.measurement("jobs")[0];
    assert_eq!((own.fields().count(), own.tag("a")), (1, None));
    let counted = monitor.stats().recorder;
    assert_eq!((counted.sanitized, counted.refused_extras), (1, 0), "the saturated one, and no `None`");
}

#[tokio::test]
async fn an_error_code_alone_is_a_failure_and_a_part_of_another_response_is_not() {
    let watched = Watched::start("codes");
    let app = Router::new()
        .route("/alone", get(async || ErrorCode::from(11009)))
        .route("/error", get(async || Err::<String, ErrorCode>(11009.into())))
        .route("/ok", get(async || (StatusCode::OK, ErrorCode::from(7), "ok")))
        .route("/missing", get(async || (StatusCode::NOT_FOUND, ErrorCode::from(u64::MAX))))
        .route("/gone", get(async || (StatusCode::GONE, ErrorCode::from(StatusCode::GONE))))
        .route("/usize", get(async || (StatusCode::CONFLICT, ErrorCode::from(12_usize))))
        .layer(watched.layer())
        .with_state(());
    for (path, status) in
        [("/alone", 500), ("/error", 500), ("/ok", 200), ("/missing", 404), ("/gone", 410), ("/usize", 409)]
    {
        assert_eq!(answer(&app, Request::get(path)).await.status().as_u16(), status, "{path}");
    }
    let requests = [
        "GET:/alone 500",
        "GET:/error 500",
        "GET:/gone 410",
        "GET:/missing 404",
        "GET:/ok 200",
        "GET:/usize 409",
    ];
    let errors = [
        "GET:/alone 500 11009",
        "GET:/error 500 11009",
        "GET:/gone 410 410",
        "GET:/missing 404 18446744073709551615",
        "GET:/usize 409 12",
    ];
    watched.expect(&requests, &errors).await;
}

#[tokio::test]
async fn the_client_and_the_point_have_the_same_id_whatever_its_origin() {
    let name = HeaderName::from_static("x-request-id");
    for propagate in [false, true] {
        let (monitor, sink) = monitor(Settings::new("ids"));
        let give = ServiceBuilder::new()
            .layer(SetRequestIdLayer::new(name.clone(), MakeRequestUuid))
            .layer(PropagateRequestIdLayer::new(name.clone()));
        let failing = get(async || StatusCode::BAD_REQUEST);
        let app = Router::new()
            .route("/", failing)
            .layer(give)
            .layer(monitor.layer().propagate_request_id(propagate))
            .with_state(());
        let mut seen = Vec::new();
        for own in [None, Some("its-own")] {
            let mut request = Request::get("/");
            if let Some(id) = own {
                request = request.header(&name, id);
            }
            let response = answer(&app, request).await;
            let id = response.headers()[&name].to_str().expect("visible").to_owned();
            assert!(own.is_none_or(|own| own == id) && !id.is_empty());
            seen.push(Value::from(id));
        }
        for measurement in ["requests", "errors"] {
            let mut points = points(&monitor, &sink, measurement).await;
            points.sort_by_key(tower_influx::Point::time);
            let ids: Vec<_> =
                points.iter().map(|point| point.field("request_id").expect("each has one")).collect();
            assert_eq!(ids, seen.iter().collect::<Vec<_>>(), "{measurement}, propagate: {propagate}");
        }
    }
}

#[tokio::test]
async fn an_id_that_is_changed_or_cut_is_counted() {
    let (monitor, sink) = monitor(Settings::new("ids"));
    let long = "x".repeat(300);
    let header = |id: &'static str| get(async move || [("x-request-id", id)]);
    let app = Router::new()
        .route("/", get(async || ()))
        .route("/given", header("given inside"))
        .route("/empty", header(""))
        .layer(monitor.layer())
        .with_state(());
    let requests = [("/", "two words"), ("/", &long), ("/", "a,b-c"), ("/given", ""), ("/empty", "")];
    for (path, id) in requests {
        let mut request = Request::get(path);
        if !id.is_empty() {
            request = request.header("x-request-id", id);
        }
        answer(&app, request).await;
    }
    let mut points = points(&monitor, &sink, "requests").await;
    points.sort_by_key(tower_influx::Point::time);
    let ids: Vec<_> = points
        .iter()
        .map(|point| point.field("request_id").and_then(Value::as_str).expect("an id"))
        .collect();
    assert_eq!(ids[..4], ["twowords", &"x".repeat(128), "a,b-c", "giveninside"]);
    assert_eq!((ids[4].len(), &ids[4][12..13]), (23, "-"), "one is made instead of an empty one");
    let counted = monitor.stats().recorder;
    assert_eq!((counted.sanitized, counted.truncated), (2, 1));
}

#[tokio::test]
async fn layers_that_answer_themselves_fit_outside_of_body_tracking() {
    let watched = Watched::start("default");
    let service = ServiceBuilder::new()
        .layer(CorsLayer::permissive())
        .layer(TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(60)))
        .layer(watched.layer().track_body())
        .service(Router::new().route("/", get(async || "ok")));
    let preflight =
        Request::options("/").header("origin", "http://test").header("access-control-request-method", "GET");
    let preflight = preflight.body(Body::empty()).expect("a valid request");
    let response = service.clone().oneshot(preflight).await.expect("no layer fails");
    assert_eq!(response.status(), StatusCode::OK, "answered outside, by a default body");
    let response = service.oneshot(Request::new(Body::empty())).await.expect("no layer fails");
    let body = http_body_util::BodyExt::collect(response.into_body()).await.expect("a body");
    assert_eq!(body.to_bytes(), "ok");
    watched.expect(&["GET:unmatched 200 complete"], &[]).await;
}

/// As documented in docs/requests.md.
#[tokio::test]
async fn body_tracking_is_optional_and_served_where_its_body_is_mapped() {
    let watched = Watched::start("optional");
    for tracked in [true, false] {
        let layer = tracked.then(|| {
            ServiceBuilder::new()
                .map_response(|response: Response<_>| response.map(Body::new))
                .layer(watched.layer().track_body())
                .into_inner()
        });
        let app = Router::new().route("/", get(async || "ok")).layer(tower::util::option_layer(layer));
        assert!(ask(&serve(app).await, "GET", "/").await.ends_with("ok"));
    }
    let around = ServiceBuilder::new()
        .map_response(IntoResponse::into_response)
        .layer(watched.layer().track_body())
        .service(Router::new().route("/", get(async || "ok")));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address").to_string();
    let server = tokio::spawn(axum::serve(listener, tower::make::Shared::new(around)).into_future());
    assert!(ask(&address, "GET", "/").await.ends_with("ok"));
    server.abort();
    watched.expect(&["GET:/ 200 complete", "GET:unmatched 200 complete"], &[]).await;
}

#[tokio::test]
async fn a_name_is_permanently_a_tag_or_a_field() {
    let mut settings = Settings::new("kinds");
    settings.tags.insert("region".to_owned(), "eu".to_owned());
    let (monitor, sink) = monitor(settings);
    let app = Router::new()
        .route("/tag", get(async |data: MonitoringData| data.tag("plan", "gold")))
        .route("/field", get(async |data: MonitoringData| data.field("plan", "gold")))
        .route("/size", get(async |data: MonitoringData| data.field("size", 1)))
        .route("/size-tag", get(async |data: MonitoringData| data.tag("size", "1")))
        .layer(monitor.layer())
        .with_state(());
    for _ in 0..3 {
        for path in ["/tag", "/field", "/size", "/size-tag"] {
            answer(&app, Request::get(path)).await;
        }
    }
    let points = points(&monitor, &sink, "requests").await;
    let told = |route: &str| {
        let of_route = points.iter().filter(|point| point.tag("route") == Some(route));
        let told = of_route.map(|point| {
            [
                point.tag("plan").is_some(),
                point.field("plan").is_some(),
                point.tag("size").is_some(),
                point.field("size").is_some(),
            ]
        });
        told.collect::<Vec<_>>()
    };
    assert_eq!(told("GET:/tag"), [[true, false, false, false]; 3]);
    assert_eq!(told("GET:/field"), [[false; 4]; 3]);
    assert_eq!(told("GET:/size"), [[false, false, false, true]; 3]);
    assert_eq!(told("GET:/size-tag"), [[false; 4]; 3]);
    assert_eq!(monitor.stats().recorder.type_conflicts, 6);

    // Other measurements have names of their own, and static tags are tags of those, too.
    monitor.record(&DataPoint::new("jobs").with_field("plan", 1).with_field("n", 1));
    monitor.record(
        &DataPoint::new("jobs").with_tag("plan", "gold").with_field("region", "us").with_field("n", 1),
    );
    monitor.record(&DataPoint::new("own").with_field("region", "us"));
    monitor.record(&DataPoint::new("own").with_field("n", 1));
    monitor.flush().await.expect("the monitor runs");
    let (jobs, own) = (sink.measurement("jobs"), sink.measurement("own"));
    assert_eq!((jobs[0].field("plan"), jobs[1].tag("plan")), (Some(&Value::Integer(1)), None));
    assert_eq!((jobs[1].field("region"), jobs[1].tag("region")), (None, Some("eu")));
    assert_eq!((own[0].tag("region"), own[1].tag("region")), (None, None));
    assert_eq!(monitor.stats().recorder.type_conflicts, 9);
    assert!(monitor.stats().balances());
}
