//! What is read of the bodies of requests, from real clients that send them whole, in part or not
//! at all.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{Response, StatusCode},
    routing::{get, post},
};
use futures_util::{StreamExt, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::Notify,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, MonitoringLayer,
    classify::{Classification, Classifier, Outcome, RequestBodyEnding, StatusClassifier},
};

use crate::{endings::serve, support::watched::Watched};

/// Handlers that read everything, a part or nothing, and one that passes the body to a task that
/// waits.
fn app(layer: tower_influx::layer::TrackBodiesLayer, read: Arc<Notify>) -> Router {
    let late = async move |request: Request| {
        let mut body = request.into_body();
        let _ = body.frame().await;
        tokio::spawn(async move {
            read.notified().await;
            let _ = body.collect().await;
        });
    };
    let part = async |request: Request| {
        let _ = request.into_body().frame().await;
    };
    Router::new()
        .route("/all", get(async |_: Bytes| ()).post(async |_: Bytes| ()))
        .route("/bad", post(async |_: Bytes| StatusCode::BAD_REQUEST))
        .route("/part", post(part))
        .route("/nothing", post(async || ()))
        .route("/late", post(late))
        .layer(layer)
}

/// Distinguishes aborted uploads from invalid ones.
fn aborted(outcome: &Outcome<'_>) -> Classification {
    match outcome.request_body() {
        Some(RequestBodyEnding::Error) => {
            Classification::failure(outcome.status(), Some("upload_aborted".into()))
        }
        _ => StatusClassifier.classify(outcome),
    }
}

/// Returns `request_body_end request_body_bytes [request_bytes]` of a point.
fn summary(point: &DataPoint) -> String {
    let number = |key| point.field(key).and_then(|bytes| bytes.as_i64()).map(|bytes| bytes.to_string());
    let end = point.field("request_body_end").and_then(|end| end.as_str()).map(str::to_owned);
    let parts = [end, number("request_body_bytes"), number("request_bytes")];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Sends these bytes, then closes the connection or waits for the answer.
async fn send(address: &str, text: &str, closes: bool) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    if closes {
        return drop(stream);
    }
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.starts_with(b"HTTP/1.1 "), "{}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_point_records_how_much_of_an_upload_was_read_and_how_it_ended() {
    let length = |path: &str, length: usize, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
        )
    };
    let chunked = |path: &str, body: &str| {
        format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{body}"
        )
    };
    let empty = "GET /all HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".to_owned();
    let (end, half) = ("4\r\n1234\r\n3\r\n567\r\n0\r\n\r\n", "4\r\n1234\r\n3\r\n5");
    for (text, closes, body, point) in [
        (length("/all", 7, "1234567"), false, "complete 7 7", "POST:/all 200"),
        (chunked("/all", end), false, "complete 7", "POST:/all 200"),
        (empty, false, "complete 0", "GET:/all 200"),
        (length("/all", 0, ""), false, "complete 0 0", "POST:/all 200"),
        (length("/all", 7, "1234"), true, "error 4 7", "POST:/all 400 upload_aborted"),
        (chunked("/all", half), true, "error", "POST:/all 400 upload_aborted"),
        (chunked("/all", "4\r\n1234\r\nno size\r\n"), false, "error 4", "POST:/all 400 upload_aborted"),
        (length("/bad", 7, "1234567"), false, "complete 7 7", "POST:/bad 400 400"),
        (length("/part", 70_000, &"x".repeat(70_000)), false, "dropped", "POST:/part 200"),
        (length("/part", 7, "1234567"), false, "complete 7 7", "POST:/part 200"),
        (length("/nothing", 7, "1234567"), false, "unread 0 7", "POST:/nothing 200"),
        (chunked("/nothing", end), false, "unread 0", "POST:/nothing 200"),
        (length("/late", 7, "1"), true, "unfinished 1 7", "POST:/late 200"),
    ] {
        let watched = Watched::start("uploads");
        let layer = watched.layer().sizes(true).classifier(aborted).track_bodies();
        let address = serve(app(layer, Arc::new(Notify::new()))).await;
        send(&address, &text, closes).await;
        let found = point_of(&watched).await;
        assert!(summary(&found).starts_with(body), "{text:.90}: {found:?}");
        let expected: Vec<_> = point.split(' ').collect();
        assert_eq!(found.tag("route"), Some(expected[0]), "{text:.90}");
        assert_eq!(found.tag("status_code"), Some(expected[1]), "{text:.90}: {found:?}");
        let errors = watched.sink.measurement("errors");
        assert_eq!(errors.first().and_then(|error| error.tag("error_code")), expected.get(2).copied());
        assert!(errors.iter().all(|error| summary(error) == summary(&found)), "{errors:?}");
    }
}

/// Returns the only point, as soon as it exists.
async fn point_of(watched: &Watched) -> DataPoint {
    let ended = async {
        while watched.monitor.stats().ledger.accepted == 0
            || watched.monitor.stats().recorder.running_requests > 0
        {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the request ends");
    watched.monitor.flush().await.expect("the monitor runs");
    let points = watched.sink.measurement("requests");
    assert!(points.len() == 1 && watched.monitor.stats().balances(), "{points:?}");
    points[0].clone()
}

#[tokio::test]
async fn a_body_without_a_header_reports_its_own_size() {
    for (body, expected) in [
        (Body::from("1234567"), "complete 7 7"),
        (Body::from_stream(stream::iter([Ok::<_, Infallible>("1234567")])), "complete 7"),
        (Body::empty(), "complete 0 0"),
    ] {
        let watched = Watched::start("uploads");
        let app: Router = Router::new()
            .route("/", post(async |_: Bytes| "an answer"))
            .layer(watched.layer().sizes(true).track_bodies());
        let request = Request::post("/").body(body).expect("a valid request");
        let response = app.oneshot(request).await.expect("axum never fails");
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "an answer");
        let point = point_of(&watched).await;
        assert_eq!(summary(&point), expected);
        assert_eq!(point.field("response_bytes").and_then(|bytes| bytes.as_i64()), Some(9));
    }
}

/// Bodies that no server creates: a frame of trailers, an error without a connection, and one that
/// never arrives.
#[tokio::test]
async fn every_end_of_a_body_has_its_own_value() {
    type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, &'static str>>;
    let data = || stream::iter([Ok(Frame::data(Bytes::from_static(b"1234567")))]);
    let trailers = || stream::iter([Ok(Frame::trailers(axum::http::HeaderMap::new()))]);
    for (end, frames, expected) in [
        ("end", Box::pin(data()) as Frames, "complete 7"),
        ("trailers", Box::pin(data().chain(trailers())), "complete 7"),
        ("error", Box::pin(data().chain(stream::iter([Err("torn")]))), "error 7"),
        ("pending", Box::pin(data().chain(stream::pending())), "dropped 7"),
        ("nothing", Box::pin(stream::pending()), "dropped 0"),
    ] {
        let watched = Watched::start("uploads");
        let app: Router = Router::new().fallback(async |_: Bytes| ()).layer(watched.layer().track_bodies());
        let request = Request::new(Body::new(StreamBody::new(frames)));
        let call = app.oneshot(request);
        let _ = tokio::time::timeout(Duration::from_millis(20), call).await;
        assert_eq!(summary(&point_of(&watched).await), expected, "{end}");
    }
}

#[tokio::test]
async fn nested_layers_count_a_body_once() {
    let (watched, other) = (Watched::start("outer"), Watched::start("other"));
    let inner = Router::new().route("/", post(async |_: Bytes| ())).layer(watched.layer().track_bodies());
    let app: Router = inner.layer(other.layer().track_bodies()).layer(watched.layer().track_bodies());
    let request = Request::post("/").body(Body::from("1234567")).expect("a valid request");
    app.oneshot(request).await.expect("axum never fails");
    for watched in [&watched, &other] {
        assert_eq!(summary(&point_of(watched).await), "complete 7");
    }
}

#[tokio::test]
async fn bodies_are_not_tracked_by_default() {
    type Build = fn(MonitoringLayer) -> MonitoringLayer;
    let builds: [Build; 2] = [|layer| layer, |layer| layer.classifier(unknown)];
    fn unknown(outcome: &Outcome<'_>) -> Classification {
        assert_eq!(outcome.request_body(), None);
        StatusClassifier.classify(outcome)
    }
    for build in builds {
        let watched = Watched::start("uploads");
        let app: Router = Router::new().fallback(async |_: Bytes| ()).layer(build(watched.layer()));
        app.oneshot(Request::new(Body::from("1234567"))).await.expect("axum never fails");
        assert_eq!(summary(&point_of(&watched).await), "");
    }
}

/// A service without axum, whose request was cancelled while it read.
#[tokio::test]
async fn a_cancelled_request_records_what_was_read() {
    let watched = Watched::start("uploads");
    let service = service_fn(async |request: http::Request<tower_influx::layer::RequestBody<Body>>| {
        assert_eq!(request.body().size_hint().exact(), Some(7));
        request.into_body().collect().await.expect("a body");
        pending::<()>().await;
        Ok::<_, Infallible>(Response::new(Body::empty()))
    });
    let call = watched.layer().track_bodies().layer(service).oneshot(Request::new(Body::from("1234567")));
    let _ = tokio::time::timeout(Duration::from_millis(20), call).await;
    let point = point_of(&watched).await;
    assert_eq!((summary(&point).as_str(), point.tag("status_code")), ("complete 7", Some("499")));
}
