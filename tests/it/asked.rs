//! The layer does what it is configured for, and nothing else.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use axum::{
    Extension, Router,
    body::{Body, HttpBody},
    extract::{ConnectInfo, Request},
    response::Response,
    routing::get,
};
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tower::{ServiceExt, service_fn};
use tower_influx::{
    MonitoringData, Point, Settings,
    classify::{BodyOutcome, Classification, Classifier, Outcome, StatusClassifier},
    point::Value,
};

use crate::{
    labels::{monitor, points},
    support::log::Log,
};

async fn answer(app: &Router, request: http::request::Builder) -> Response {
    let request = request.body(Body::empty()).expect("a valid request");
    app.clone().oneshot(request).await.expect("axum never fails")
}

#[tokio::test]
async fn a_layer_adds_no_size_and_no_header_unless_configured() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let layer = monitor.layer().on_request(|_, _| {}).on_response(|_, _| {});
    let layer = layer.classifier(|outcome: &Outcome<'_>| StatusClassifier.classify(outcome));
    let app = Router::new().route("/", get(|| async { "body" })).layer(layer).with_state(());
    let response = answer(&app, Request::get("/").header("content-length", "0")).await;
    assert!(!response.headers().contains_key("x-request-id"));
    let point = &points(&monitor, &sink, "requests").await[0];
    assert_eq!((point.field("request_bytes"), point.field("response_bytes")), (None, None));
}

#[tokio::test]
async fn an_id_that_the_handler_has_put_into_the_response_is_kept() {
    let (monitor, _) = monitor(Settings::new("asked"));
    let handler = || async { [("x-request-id", "of-the-handler")] };
    let layer = monitor.layer().propagate_request_id(true);
    let app = Router::new().route("/", get(handler)).layer(layer).with_state(());
    let response = answer(&app, Request::get("/").header("x-request-id", "of-the-client")).await;
    let ids: Vec<_> = response.headers().get_all("x-request-id").iter().collect();
    assert_eq!(ids, ["of-the-handler"]);
}

/// The address of the client, which axum puts into the extensions of the request.
#[tokio::test]
async fn a_function_for_requests_knows_the_address_of_the_client() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let layer = monitor.layer().on_request(|request, data| {
        let client = request.extensions.get::<ConnectInfo<SocketAddr>>();
        data.field("client", client.map(|ConnectInfo(address)| address.to_string()));
    });
    let app = Router::new().route("/", get(|| async { "body" })).layer(layer);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(async move { axum::serve(listener, service).await });
    let mut client = TcpStream::connect(address).await.expect("it listens");
    let own = client.local_addr().expect("a bound socket").to_string();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    client.write_all(request).await.expect("it reads");
    let mut answer = String::new();
    client.read_to_string(&mut answer).await.expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let points = points(&monitor, &sink, "requests").await;
    assert_eq!(points[0].field("client").and_then(Value::as_str), Some(own.as_str()));
}

#[tokio::test]
async fn a_request_that_its_handler_skips_is_counted_with_and_without_rollups() {
    let mut counted_elsewhere = Settings::new("asked");
    counted_elsewhere.rollup.interval = Some(Duration::from_secs(10));
    for settings in [Settings::new("asked"), counted_elsewhere] {
        let (monitor, sink) = monitor(settings);
        let app = Router::new()
            .route("/skipped", get(|data: MonitoringData| async move { data.skip() }))
            .route("/", get(|| async { "body" }))
            .layer(monitor.layer());
        for path in ["/skipped", "/", "/skipped"] {
            answer(&app, Request::get(path)).await;
        }
        assert_eq!(points(&monitor, &sink, "requests").await.len(), 1);
        let stats = monitor.stats();
        assert!(stats.balances(), "{stats}");
        assert_eq!((stats.recorder.skipped, stats.recorder.filtered), (2, 0));
        assert_eq!(stats.rollup.map_or(2, |rollup| rollup.filtered), 2);
    }
}

#[derive(Clone, Copy, Debug)]
struct Code(&'static str);

/// Recognizes failures by an extension of the response, and by trailers.
struct ByParts;

impl Classifier for ByParts {
    fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        match outcome.extensions().and_then(|extensions| extensions.get::<Code>()) {
            Some(Code(code)) => Classification::failure(outcome.status(), Some((*code).into())),
            None => StatusClassifier.classify(outcome),
        }
    }

    fn classify_body(&self, head: Classification, body: &BodyOutcome<'_>) -> Classification {
        match body.trailers().and_then(|trailers| trailers.get("x-code")?.to_str().ok()) {
            Some(code) => Classification::failure(StatusCode::OK, Some(code.to_owned().into())),
            None => head,
        }
    }
}

#[tokio::test]
async fn a_classifier_sees_the_extensions_of_the_response_and_the_trailers_of_its_body() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let trailers = || async {
        let trailers =
            HeaderMap::from_iter([("x-code".parse().expect("a name"), "7".parse().expect("text"))]);
        let frames = [Frame::data("data".into()), Frame::trailers(trailers)];
        let frames = frames.map(Ok::<Frame<bytes::Bytes>, std::convert::Infallible>);
        Response::new(Body::new(StreamBody::new(futures_util::stream::iter(frames))))
    };
    let app = Router::new()
        .route("/extension", get(|| async { (Extension(Code("12")), "") }))
        .route("/trailers", get(trailers))
        .route("/good", get(|| async { "" }))
        .layer(monitor.layer().classifier(ByParts).track_body())
        .with_state(());
    for path in ["/extension", "/trailers", "/good"] {
        answer(&app, Request::get(path)).await.into_body().collect().await.expect("no error");
    }
    let mut codes: Vec<_> = points(&monitor, &sink, "errors").await;
    codes.sort_by_key(tower_influx::Point::time);
    let codes: Vec<_> = codes.iter().map(|point| point.tag("error_code")).collect();
    assert_eq!(codes, [Some("12"), Some("7")]);
}

/// Servers frame a body by the size that it reports.
#[tokio::test]
async fn a_tracked_body_says_that_it_is_empty() {
    let (monitor, _) = monitor(Settings::new("asked"));
    let inner = |request: Request<tower_influx::layer::RequestBody<Body>>| async move {
        assert!(request.body().is_end_stream());
        Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
    };
    let service = tower::ServiceBuilder::new().layer(monitor.layer().track_bodies()).service_fn(inner);
    let response = service.oneshot(Request::new(Body::empty())).await.expect("never fails");
    assert!(response.body().is_end_stream());
}

#[tokio::test]
async fn with_both_bodies_tracked_head_requests_end_with_the_head_and_others_with_the_body() {
    for (method, accepted) in [(Method::HEAD, 1), (Method::GET, 0)] {
        let (monitor, _) = monitor(Settings::new("asked"));
        let app = Router::new()
            .route("/", get(|| async { "body" }))
            .layer(monitor.layer().track_bodies())
            .with_state(());
        let response = answer(&app, Request::builder().method(&method).uri("/")).await;
        assert_eq!(monitor.stats().ledger.accepted, accepted, "{method}");
        drop(response);
        assert_eq!(monitor.stats().ledger.accepted, 1, "{method}");
    }
}

#[tokio::test]
async fn data_of_a_middleware_joins_the_request_and_the_id_is_that_of_its_header() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let data = MonitoringData::new();
    let outside = data.clone();
    let handler = move || async move { outside.tag("from", "outside") };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    answer(&app, Request::get("/").extension(data).header("x-request-id", "its-own")).await;
    let point = &points(&monitor, &sink, "requests").await[0];
    assert_eq!(point.tag("from"), Some("outside"));
    assert_eq!(point.field("request_id"), Some(&Value::from("its-own")));
}

#[tokio::test]
async fn options_set_in_two_places_do_not_undo_each_other() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let both = |data: MonitoringData| async move {
        let other = MonitoringData::new();
        data.skip();
        other.skip();
        Extension(other)
    };
    let app = Router::new()
        .route("/skipped", get(both))
        .route("/recorded", get(|| async {}))
        .layer(monitor.layer())
        .with_state(());
    answer(&app, Request::get("/skipped")).await;
    answer(&app, Request::get("/recorded")).await;
    let points = points(&monitor, &sink, "requests").await;
    let routes: Vec<_> = points.iter().map(|point| point.tag("route")).collect();
    assert_eq!(routes, [Some("GET:/recorded")]);
}

/// In the spawned task the thread's current request is missing or another one.
#[tokio::test]
async fn a_layer_in_a_spawned_task_refines_the_route_if_the_data_is_inserted() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    let inner = Router::new().route("/items/{id}", get(|| async {})).layer(monitor.layer()).with_state(());
    let spawned = service_fn(move |request: Request| {
        let inner = inner.clone();
        async move { tokio::spawn(inner.oneshot(request)).await.expect("no panic") }
    });
    let service = tower::ServiceBuilder::new().layer(monitor.layer().insert_data(true)).service(spawned);
    for path in ["/items/7", "/nowhere"] {
        let request = Request::get(path).body(Body::empty()).expect("a valid request");
        service.clone().oneshot(request).await.expect("never fails");
    }
    let points = points(&monitor, &sink, "requests").await;
    let mut routes: Vec<_> = points.iter().filter_map(|point| point.tag("route")).collect();
    routes.sort_unstable();
    assert_eq!(routes, ["GET:/items/{id}", "GET:unmatched"]);
}

#[tokio::test]
async fn a_service_is_warned_of_missing_routes_only_if_there_are_none() {
    for (path, warnings) in [("/", 0), ("/nowhere", 1)] {
        let (monitor, _) = monitor(Settings::new("asked"));
        let log = Log::capture();
        let app = Router::new().route("/", get(|| async {})).layer(monitor.layer()).with_state(());
        for _ in 0..200 {
            answer(&app, Request::get(path)).await;
        }
        assert_eq!(log.count("`MonitoringLayer::route`"), warnings, "{path}: {log}");
    }
}

#[tokio::test]
async fn a_timer_and_a_connection_record_their_time() {
    let mut settings = Settings::new("asked");
    settings.request_id = false;
    let (monitor, sink) = monitor(settings);
    let wanted = Duration::from_millis(2);
    let handler = move |data: MonitoringData| async move {
        let (timer, connection) = (data.timer("work"), data.connection("feed"));
        let opened = Instant::now();
        while opened.elapsed() < wanted {
            std::thread::yield_now();
        }
        let least = opened.elapsed();
        assert!(timer.elapsed() >= least && connection.elapsed() >= least);
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    assert_eq!(answer(&app, Request::get("/")).await.status(), StatusCode::OK);
    let request = &points(&monitor, &sink, "requests").await[0];
    let connection = &points(&monitor, &sink, "connections").await[0];
    for (point, field) in [(request, "work"), (connection, "duration")] {
        let Some(Value::Float(seconds)) = point.field(field) else { panic!("{point:?}") };
        assert!(*seconds >= wanted.as_secs_f64(), "{point:?}");
    }
    assert_eq!(connection.field("request_id"), None, "ids are off");
    // The time of a connection is that of its opening, not that of its end, which is just before
    // that of the request.
    let time = |point: &tower_influx::DataPoint| point.time().expect("a time").as_nanos();
    let Some(Value::Float(seconds)) = request.field("execution_time") else { panic!("{request:?}") };
    let before_the_end = time(request) + (seconds * 1e9) as i64 - time(connection);
    assert!(before_the_end >= wanted.as_nanos() as i64 - 10_000, "{before_the_end}");
}

#[tokio::test]
async fn a_connection_has_at_most_64_counters_and_these_continue_to_count() {
    let (monitor, sink) = monitor(Settings::new("asked"));
    // Keys are `&'static str`.
    let keys: Vec<_> = (0..65).map(|number| &*Box::leak(format!("c{number}").into_boxed_str())).collect();
    let added = keys.clone();
    let handler = move |data: MonitoringData| async move {
        let connection = data.connection("feed");
        for key in added.iter().chain(&added) {
            connection.add(key, 1);
        }
    };
    let app = Router::new().route("/", get(handler)).layer(monitor.layer()).with_state(());
    answer(&app, Request::get("/")).await;
    let connection = &points(&monitor, &sink, "connections").await[0];
    let counts: Vec<_> = keys.iter().map(|key| connection.field(key).cloned()).collect();
    assert!(counts[..64].iter().all(|count| *count == Some(Value::Integer(2))), "{connection:?}");
    assert_eq!(counts[64], None);
    assert_eq!(monitor.stats().recorder.excess_extras, 2);
}

/// A body that ends with a frame known to be the last, although its length is unknown.
struct Last {
    frames: Vec<Frame<bytes::Bytes>>,
    is_known: bool,
}

impl HttpBody for Last {
    type Data = bytes::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<bytes::Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.frames.pop().map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.is_known && self.frames.is_empty()
    }
}

#[tokio::test]
async fn an_upload_is_complete_with_its_last_frame_whether_that_is_data_or_trailers() {
    let data = || Frame::data(bytes::Bytes::from_static(b"data"));
    for (frame, is_known, expected) in [
        (data(), true, "complete"),
        (data(), false, "dropped"),
        (Frame::trailers(HeaderMap::new()), false, "complete"),
    ] {
        let (monitor, sink) = monitor(Settings::new("asked"));
        let read_one = |request: Request<tower_influx::layer::RequestBody<Last>>| async move {
            request.into_body().frame().await.expect("one frame").expect("no error");
            Ok::<_, std::convert::Infallible>(Response::new(Body::empty()))
        };
        let layer = monitor.layer().track_bodies();
        let service = tower::ServiceBuilder::new().layer(layer).service_fn(read_one);
        let body = Last { frames: vec![frame], is_known };
        let response = service.oneshot(Request::new(body)).await.expect("never fails");
        response.into_body().collect().await.expect("no error");
        let point = &points(&monitor, &sink, "requests").await[0];
        assert_eq!(point.field("request_body_end"), Some(&Value::from(expected)), "{is_known}");
    }
}
