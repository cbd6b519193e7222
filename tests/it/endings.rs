//! One point for every ending of a request, over real sockets, compared with the driver's own
//! ledger.

use std::{
    convert::Infallible,
    future::pending,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Path, Request, ws::WebSocketUpgrade},
    http::{Response, StatusCode},
    response::Redirect,
    routing::{any, get},
};
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
};
use tower::{Layer, ServiceExt, service_fn};
use tower_http::{catch_panic::CatchPanicLayer, timeout::TimeoutLayer};
use tower_influx::{
    ErrorCode, MonitoringData,
    classify::{Classification, Outcome},
};

use crate::support::watched::Watched;

pub(crate) async fn serve(app: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound").to_string();
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends one request over HTTP/1, and returns everything that was received until the server closed.
pub(crate) async fn ask(address: &str, method: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let request = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn every_kind_of_response_counts_once() {
    let watched = Watched::start("endings");
    let app = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/nothing", get(|| async { StatusCode::NO_CONTENT }))
        .route("/unmodified", get(|| async { StatusCode::NOT_MODIFIED }))
        .route("/moved", get(|| async { Redirect::permanent("/ok") }))
        .route("/missing", get(|| async { StatusCode::NOT_FOUND }))
        .route("/broken", get(|| async { StatusCode::BAD_GATEWAY }))
        .layer(watched.layer());
    let address = serve(app).await;
    for path in ["/ok", "/nothing", "/unmodified", "/moved", "/missing", "/broken", "/unknown"] {
        assert!(ask(&address, "GET", path).await.starts_with("HTTP/1.1 "), "{path}");
    }
    ask(&address, "HEAD", "/ok").await;
    ask(&address, "POST", "/ok").await;
    watched
        .expect(
            &[
                "GET:/broken 502",
                "GET:/missing 404",
                "GET:/moved 308",
                "GET:/nothing 204",
                "GET:/ok 200",
                "GET:/unmodified 304",
                "GET:unmatched 404",
                "HEAD:/ok 200",
                "POST:/ok 405",
            ],
            &["GET:/broken 502 502", "GET:/missing 404 404", "GET:unmatched 404 404", "POST:/ok 405 405"],
        )
        .await;
}

#[tokio::test]
async fn an_error_code_of_the_response_comes_before_one_of_the_data() {
    let watched = Watched::start("endings");
    let handler = |Path(both): Path<bool>, data: MonitoringData| async move {
        data.error_code("of_the_data");
        (StatusCode::NOT_FOUND, both.then_some(ErrorCode::from_static("of_the_response")), "none")
    };
    let app = Router::new().route("/{both}", get(handler)).layer(watched.layer());
    let address = serve(app).await;
    ask(&address, "GET", "/true").await;
    ask(&address, "GET", "/false").await;
    let errors = ["GET:/{both} 404 of_the_data", "GET:/{both} 404 of_the_response"];
    watched.expect(&["GET:/{both} 404"; 2], &errors).await;
}

#[tokio::test]
async fn an_unknown_method_is_one_constant() {
    let watched = Watched::start("endings");
    let address = serve(Router::new().route("/any", any(|| async {})).layer(watched.layer())).await;
    for method in ["PROPFIND", "X1", "X2", "PURGE"] {
        ask(&address, method, "/any").await;
    }
    watched.expect(&["OTHER:/any 200"; 4], &[]).await;
}

#[tokio::test]
async fn an_error_of_the_inner_service_counts() {
    let watched = Watched::start("endings");
    let failing =
        watched.layer().layer(service_fn(|_: Request| async { Err::<Response<Body>, _>("out of order") }));
    let answer = failing.oneshot(Request::new(Body::empty())).await;
    assert_eq!(answer.expect_err("the error passes through"), "out of order");
    watched.expect(&["GET:unmatched 500"], &["GET:unmatched 500 service_error"]).await;
}

#[tokio::test]
async fn a_client_that_goes_away_before_the_head_counts() {
    let watched = Watched::start("endings");
    let reached = Arc::new(Notify::new());
    let handler = {
        let reached = Arc::clone(&reached);
        move || async move {
            reached.notify_one();
            pending::<()>().await;
        }
    };
    let address = serve(Router::new().route("/never", get(handler)).layer(watched.layer())).await;
    let mut stream = TcpStream::connect(&address).await.expect("the server listens");
    stream.write_all(b"GET /never HTTP/1.1\r\nhost: test\r\n\r\n").await.expect("the server reads");
    reached.notified().await;
    drop(stream);
    watched.expect(&["GET:/never 499"], &["GET:/never 499 cancelled"]).await;
}

#[tokio::test]
async fn a_timeout_outside_counts_as_cancelled_and_inside_as_its_response() {
    let watched = Watched::start("endings");
    // Long enough that it does not expire before the first poll on a busy machine: that request
    // would not reach the layer.
    let timeout = || TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_millis(500));
    let slow = || Router::new().route("/slow", get(pending::<()>));
    let outside = serve(slow().layer(watched.layer()).layer(timeout())).await;
    assert!(ask(&outside, "GET", "/slow").await.starts_with("HTTP/1.1 504"));
    let inside = serve(slow().layer(timeout()).layer(watched.layer())).await;
    assert!(ask(&inside, "GET", "/slow").await.starts_with("HTTP/1.1 504"));
    watched
        .expect(&["GET:/slow 499", "GET:/slow 504"], &["GET:/slow 499 cancelled", "GET:/slow 504 504"])
        .await;
}

#[tokio::test]
async fn a_panic_counts_with_and_without_a_layer_that_catches_it() {
    let watched = Watched::start("endings");
    let panicking = || Router::new().route("/panic", get(|| async { panic!("on purpose") as () }));
    let bare = serve(panicking().layer(watched.layer())).await;
    assert_eq!(ask(&bare, "GET", "/panic").await, "", "the connection is closed");
    watched.expect(&["GET:/panic 500"], &["GET:/panic 500 panic"]).await;

    watched.sink.clear();
    let outside = serve(panicking().layer(watched.layer()).layer(CatchPanicLayer::new())).await;
    assert!(ask(&outside, "GET", "/panic").await.starts_with("HTTP/1.1 500"));
    watched.expect(&["GET:/panic 500"], &["GET:/panic 500 panic"]).await;

    watched.sink.clear();
    let inside = serve(panicking().layer(CatchPanicLayer::new()).layer(watched.layer())).await;
    assert!(ask(&inside, "GET", "/panic").await.starts_with("HTTP/1.1 500"));
    watched.expect(&["GET:/panic 500"], &["GET:/panic 500 500"]).await;
}

/// A pending request that is dropped while another panic unwinds is cancelled, not panicked.
#[tokio::test]
async fn a_panic_of_another_task_does_not_count_for_this_request() {
    let watched = Watched::start("endings");
    let pending_service = watched
        .layer()
        .layer(service_fn(|_: Request| async { pending::<Result<Response<Body>, Infallible>>().await }));
    let joined = tokio::spawn(async move {
        let mut request = Box::pin(pending_service.oneshot(Request::new(Body::empty())));
        let _ = futures_util::FutureExt::now_or_never(&mut request);
        panic!("elsewhere");
    });
    assert!(joined.await.is_err());
    watched.expect(&["GET:unmatched 499"], &["GET:unmatched 499 cancelled"]).await;
}

#[tokio::test]
async fn a_classifier_or_route_function_that_panics_loses_no_point() {
    let watched = Watched::start("endings");
    let classifier = |_: &Outcome<'_>| -> Classification { panic!("in the classifier") };
    let layer = || watched.layer().classifier(classifier).route(|_| panic!("in the route function"));
    let routes = || {
        // The panic unwinds while the classifier runs.
        Router::new()
            .route("/ok", get(|| async { "ok" }))
            .route("/panic", get(|| async { panic!("on purpose") as () }))
    };
    for app in [routes().layer(layer()), routes().layer(layer().track_body())] {
        let address = serve(app).await;
        assert!(ask(&address, "GET", "/ok").await.starts_with("HTTP/1.1 200"));
        assert!(ask(&address, "GET", "/nowhere").await.starts_with("HTTP/1.1 404"));
        assert_eq!(ask(&address, "GET", "/panic").await, "");
    }
    let requests = [
        "GET:/ok 200",
        "GET:/ok 200 complete",
        "GET:/panic 500",
        "GET:/panic 500",
        "GET:unmatched 404",
        "GET:unmatched 404 complete",
    ];
    let errors = ["GET:/panic 500 panic", "GET:unmatched 404 404"].map(|error| [error; 2]);
    watched.expect(&requests, errors.as_flattened()).await;
}

#[tokio::test]
async fn an_upgrade_is_recorded_with_status_101() {
    let watched = Watched::start("endings");
    let handler = |upgrade: WebSocketUpgrade| async { upgrade.on_upgrade(|_| async {}) };
    let address = serve(Router::new().route("/socket", any(handler)).layer(watched.layer())).await;
    let mut stream = TcpStream::connect(&address).await.expect("the server listens");
    stream
        .write_all(
            b"GET /socket HTTP/1.1\r\nhost: test\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
              sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await
        .expect("the server reads");
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.expect("an answer");
    assert_eq!(&answer, b"HTTP/1.1 101");
    watched.expect(&["GET:/socket 101"], &[]).await;
}

#[tokio::test]
async fn each_http2_stream_is_recorded() {
    let watched = Watched::start("endings");
    let app = Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/never", get(pending::<()>))
        .layer(watched.layer());
    let address = serve(app).await;
    let stream = TokioIo::new(TcpStream::connect(&address).await.expect("the server listens"));
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.expect("HTTP/2");
    let driver = tokio::spawn(connection);
    let request = |path: &str| {
        let uri = format!("http://{address}{path}");
        Request::builder().uri(uri).body(Empty::<Bytes>::new()).expect("a valid request")
    };
    for _ in 0..3 {
        let response = client.send_request(request("/ok")).await.expect("an answer");
        response.into_body().collect().await.expect("a body");
    }
    let reset = client.send_request(request("/never"));
    let running = async {
        while watched.monitor.stats().recorder.running_requests == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = reset => panic!("it never answers"),
        () = running => {}
    }
    // The stream is reset, and the connection stays open.
    let response = client.send_request(request("/ok")).await.expect("an answer");
    response.into_body().collect().await.expect("a body");
    watched
        .expect(
            &["GET:/never 499", "GET:/ok 200", "GET:/ok 200", "GET:/ok 200", "GET:/ok 200"],
            &["GET:/never 499 cancelled"],
        )
        .await;
    drop(client);
    let _ = driver.await;
}

#[tokio::test]
async fn the_number_of_requests_in_flight_is_exact_at_any_moment() {
    let watched = Watched::start("endings");
    let release = Arc::new(Notify::new());
    let handler = {
        let release = Arc::clone(&release);
        move || async move { release.notified().await }
    };
    let app = Router::new().route("/wait", get(handler)).layer(watched.layer()).with_state(());
    let running: Arc<Mutex<Vec<_>>> = Arc::default();
    for expected in 1..=5 {
        let request = Request::builder().uri("/wait").body(Body::empty()).expect("a valid request");
        running.lock().expect("no panic").push(tokio::spawn(app.clone().oneshot(request)));
        while watched.monitor.stats().recorder.running_requests < expected {
            tokio::task::yield_now().await;
        }
        assert_eq!(watched.monitor.stats().recorder.running_requests, expected);
    }
    release.notify_waiters();
    watched.expect(&["GET:/wait 200"; 5], &[]).await;
    assert_eq!(watched.monitor.stats().recorder.running_requests, 0);
}
