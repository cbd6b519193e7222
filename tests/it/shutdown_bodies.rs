//! Bodies that are still being sent when the monitor is shut down.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::Response,
    routing::get,
};
use futures_util::{FutureExt, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::ServiceExt;
use tower_influx::MonitoringData;

use crate::support::watched::Watched;

type Frames = stream::BoxStream<'static, Result<Frame<Bytes>, &'static str>>;

fn frames(count: usize) -> impl futures_util::Stream<Item = Result<Frame<Bytes>, &'static str>> + Send {
    stream::iter((0..count).map(|_| Ok(Frame::data(Bytes::from_static(b"event")))))
}

/// Returns a body of this many events that never ends.
fn endless(count: usize) -> Response<Body> {
    let frames: Frames = Box::pin(frames(count).chain(stream::pending()));
    Response::new(Body::new(StreamBody::new(frames)))
}

async fn response(watched: &Watched, handler: axum::routing::MethodRouter) -> Response<Body> {
    let app: Router = Router::new().route("/events", handler).layer(watched.layer().track_body());
    let request = Request::builder().uri("/events").body(Body::empty()).expect("a valid request");
    app.oneshot(request).await.expect("axum never fails")
}

async fn shut_down(watched: &Watched) {
    let report = watched.monitor.shutdown(Duration::from_millis(50)).await;
    assert_eq!((report.unfinished, report.dropped), (0, 0), "{report}");
    let stats = watched.monitor.stats();
    assert!(stats.balances() && stats.recorder.refused_closed == 0, "{stats}");
}

/// Returns how the bodies of all points ended, and how many bytes they had.
fn ends(watched: &Watched) -> Vec<(String, i64)> {
    let points = watched.sink.measurement("requests");
    let end = |point: &tower_influx::DataPoint| {
        assert_eq!((point.tag("route"), point.tag("status_code")), (Some("GET:/events"), Some("200")));
        let end = point.field("body_end").and_then(|end| end.as_str()).expect("it was tracked");
        (end.to_owned(), point.field("body_bytes").and_then(|bytes| bytes.as_i64()).expect("it was counted"))
    };
    points.iter().map(end).collect()
}

#[tokio::test(start_paused = true)]
async fn an_open_stream_has_its_point_however_much_was_read() {
    for read in 0..4 {
        let watched = Watched::start("open");
        let mut body = response(&watched, get(async || endless(2))).await.into_body();
        for _ in 0..read {
            // The third frame never comes.
            let _ = body.frame().now_or_never();
        }
        shut_down(&watched).await;
        let expected = ("unfinished".to_owned(), 5 * read.min(2));
        assert_eq!(ends(&watched), std::slice::from_ref(&expected), "{read} frames were read");
        // Later events change nothing.
        let _ = body.frame().now_or_never();
        drop(body);
        assert_eq!(ends(&watched), [expected]);
        assert!(watched.monitor.stats().balances());
    }
}

#[tokio::test(start_paused = true)]
async fn a_body_of_known_length_has_its_point_once_it_was_read_from() {
    let watched = Watched::start("open");
    let handler = get(async || {
        let body = Body::new(StreamBody::new(frames(3).chain(stream::pending())));
        Response::builder().header("content-length", "15").body(body).expect("a response")
    });
    let mut half = response(&watched, handler.clone()).await.into_body();
    let mut whole = response(&watched, handler).await.into_body();
    half.frame().await.expect("a frame").expect("no error");
    for _ in 0..3 {
        whole.frame().await.expect("a frame").expect("no error");
    }
    shut_down(&watched).await;
    let mut ends = ends(&watched);
    ends.sort();
    assert_eq!(ends, [("complete".to_owned(), 15), ("unfinished".to_owned(), 5)]);
}

/// A middleware may hold the body, for example while it waits for a slow client.
#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_polls_has_its_point_whether_its_length_is_known_or_not() {
    let stream = |length: &'static str| {
        get(move || async move {
            let body = Body::new(StreamBody::new(frames(1)));
            let builder = Response::builder();
            let builder = if length.is_empty() { builder } else { builder.header("content-length", length) };
            builder.body(body).expect("a response")
        })
    };
    for (name, handler) in [
        ("text", get(async || "known")),
        ("promised", stream("5")),
        ("promised by zero, with a body that does not know it", stream("0")),
        ("unknown", stream("")),
    ] {
        let watched = Watched::start("open");
        // The second body reuses the entry of the first one.
        let first = response(&watched, handler.clone()).await.into_body();
        assert_eq!(first.collect().await.expect("a body").to_bytes().len(), 5, "{name}");
        let unpolled = response(&watched, handler).await.into_body();
        shut_down(&watched).await;
        let mut found = ends(&watched);
        found.sort();
        let end = if name.starts_with("promised by zero") { "complete" } else { "unfinished" };
        let mut expected = [("complete".to_owned(), 5), (end.to_owned(), 0)];
        expected.sort();
        assert_eq!(found, expected, "{name}");
        drop(unpolled);
        assert_eq!(ends(&watched).len(), 2, "{name}");
        assert!(watched.monitor.stats().balances());
    }
}

#[tokio::test(start_paused = true)]
async fn extras_of_the_handler_are_in_the_point_and_a_later_body_is_not_awaited() {
    let watched = Watched::start("open");
    let handler = get(async |data: MonitoringData| {
        data.tag("room", "chat");
        endless(1)
    });
    let mut open = response(&watched, handler).await.into_body();
    open.frame().await.expect("a frame").expect("no error");
    let ended = response(&watched, get(async || "short")).await.into_body();
    assert_eq!(ended.collect().await.expect("a body").to_bytes(), "short");
    shut_down(&watched).await;
    let points = watched.sink.measurement("requests");
    assert_eq!(points.len(), 2);
    assert!(points.iter().any(|point| point.tag("room") == Some("chat")));
}
