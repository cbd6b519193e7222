//! How tracked bodies end, and what their points record.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderMap, Response, StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use futures_util::stream;
use http_body::{Frame, SizeHint};
use http_body_util::StreamBody;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    endings::{ask, serve},
    support::watched::Watched,
};

/// Returns a body with the given ending.
fn body(end: &'static str) -> Body {
    let frame = |text: &'static str| Ok::<_, &'static str>(Frame::data(Bytes::from_static(text.as_bytes())));
    let head = stream::iter([frame("12345"), frame("678")]);
    let tail: stream::BoxStream<'static, _> = match end {
        "complete" => Box::pin(stream::empty()),
        "error" => Box::pin(stream::iter([Err("torn")])),
        "panic" => Box::pin(stream::once(async { panic!("in the body") })),
        "trailers" => Box::pin(stream::iter([Ok(Frame::trailers(HeaderMap::new()))])),
        _ => Box::pin(stream::pending()),
    };
    Body::new(StreamBody::new(futures_util::StreamExt::chain(head, tail)))
}

/// Requests the path, and closes the connection when the last piece has arrived or the server has
/// closed.
async fn take(address: &str, path: &str) {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    while !String::from_utf8_lossy(&answer).contains("678") {
        // A connection may break before everything is read.
        if stream.read_buf(&mut answer).await.unwrap_or(0) == 0 {
            break;
        }
    }
}

#[tokio::test]
async fn a_tracked_body_records_how_it_ended() {
    for (end, ending, failed) in [
        ("complete", "complete", false),
        ("trailers", "complete", false),
        ("error", "error", true),
        ("panic", "error", true),
        ("endless", "dropped", false),
    ] {
        let watched = Watched::start("bodies");
        let app = Router::new()
            .route("/stream", get(move || async move { body(end) }))
            .layer(watched.layer().track_body());
        let address = serve(app).await;
        take(&address, "/stream").await;
        let errors: &[&str] = if failed { &["GET:/stream 200 body_error"] } else { &[] };
        watched.expect(&[&format!("GET:/stream 200 {ending}")], errors).await;
        let point = &watched.sink.measurement("requests")[0];
        assert_eq!(point.field("body_bytes"), Some(&8_i64.into()), "{end}: {point:?}");
        assert!(
            point.field("response_time").is_some() && point.field("execution_time").is_some(),
            "{point:?}"
        );
    }
}

#[tokio::test]
async fn a_body_that_is_never_polled_still_ends() {
    let watched = Watched::start("bodies");
    let app = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
        .route(
            "/unmodified",
            get(|| async { (StatusCode::NOT_MODIFIED, [(header::ETAG, "\"1\"")]).into_response() }),
        )
        .layer(watched.layer().track_body());
    let address = serve(app).await;
    ask(&address, "HEAD", "/ok").await;
    ask(&address, "GET", "/nothing").await;
    ask(&address, "GET", "/unmodified").await;
    watched
        .expect(&["GET:/nothing 204 complete", "GET:/unmodified 304 complete", "HEAD:/ok 200 complete"], &[])
        .await;
}

/// A body that knows its remaining length, but learns of its end only when it is polled once more.
struct Pieces(Vec<&'static str>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop().map(|piece| Ok(Frame::data(Bytes::from_static(piece.as_bytes())))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

#[tokio::test]
async fn a_body_is_complete_when_its_whole_length_was_read() {
    let watched = Watched::start("bodies");
    let promising =
        |length: u32| get(move || async move { ([(header::CONTENT_LENGTH, length)], body("endless")) });
    let app = Router::new()
        .route("/by/body", get(|| async { Response::new(Body::new(Pieces(vec!["678", "12345"]))) }))
        .route("/by/head", promising(8))
        .route("/more", promising(9))
        .layer(watched.layer().track_body());
    let address = serve(app).await;
    for path in ["/by/body", "/by/head", "/more"] {
        take(&address, path).await;
    }
    watched
        .expect(&["GET:/by/body 200 complete", "GET:/by/head 200 complete", "GET:/more 200 dropped"], &[])
        .await;
    for point in watched.sink.measurement("requests") {
        assert_eq!(point.field("body_bytes"), Some(&8_i64.into()), "{point:?}");
    }
}
