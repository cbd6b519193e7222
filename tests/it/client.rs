//! Outgoing calls: real clients against servers that fail in each phase, and connections that
//! outlive their request.

use std::{convert::Infallible, io, time::Duration};

use axum::{
    Router, body::Body, extract::WebSocketUpgrade, http::StatusCode, response::Response, routing::get,
};
use http::{HeaderName, Request};
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, Error},
    rt::TokioExecutor,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::{Layer, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_influx::{DataPoint, Monitor, MonitoringData, Settings, sink::MemorySink};

use crate::labels::monitor;

/// How a faulty server answers its only connection.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The connection is closed before the first byte of the answer.
    NoHead,
    /// The server never answers.
    Silent,
    /// The head declares a longer body than is sent.
    CutBody,
}

pub(crate) async fn faulty(fault: Fault) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            match fault {
                Fault::NoHead => {}
                Fault::Silent => std::future::pending().await,
                Fault::CutBody => {
                    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
                    let _ = stream.write_all(head).await;
                }
            }
        }
    });
    format!("http://{address}/")
}

async fn good() -> String {
    let app = Router::new().route("/items/{id}", get(|| async { "an item" })).route(
        "/id",
        get(|headers: http::HeaderMap| async move { format!("{:?}", headers.get("x-request-id")) }),
    );
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    format!("http://{address}")
}

pub(crate) async fn points(monitor: &Monitor, sink: &MemorySink) -> Vec<DataPoint> {
    monitor.flush().await.expect("the monitor runs");
    sink.points()
}

pub(crate) fn of<'p>(points: &'p [DataPoint], measurement: &str) -> Vec<&'p DataPoint> {
    use tower_influx::Point;
    points.iter().filter(|point| point.measurement() == measurement).collect()
}

fn get_request(uri: &str) -> Request<Body> {
    Request::builder().uri(uri).body(Body::empty()).expect("a request")
}

/// Returns the status code and the error code of each point of one call.
pub(crate) async fn ended(monitor: &Monitor, sink: &MemorySink) -> Vec<(Option<String>, Option<String>)> {
    let points = points(monitor, sink).await;
    let errors = of(&points, "client_errors");
    of(&points, "client_requests")
        .into_iter()
        .map(|call| {
            use tower_influx::Point;
            let error = errors.iter().find(|error| error.time() == call.time());
            let text = |point: &DataPoint, key| point.tag(key).map(str::to_owned);
            (text(call, "status_code"), error.and_then(|error| text(error, "error_code")))
        })
        .collect()
}

pub(crate) fn some(status: &str, code: &str) -> (Option<String>, Option<String>) {
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    (text(status), text(code))
}

#[tokio::test]
async fn hyper_utils_client_is_recorded_in_every_phase() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        format!("http://{}/", listener.local_addr().expect("an address"))
    };
    let good = good().await;
    for (uri, expected) in [
        (format!("{good}/items/7"), some("200", "")),
        (format!("{good}/nothing"), some("404", "404")),
        (refused, some("", "connect")),
        ("http://no-such-host.invalid/".to_owned(), some("", "connect")),
        (faulty(Fault::NoHead).await, some("", "client_error")),
        (faulty(Fault::CutBody).await, some("200", "body_error")),
        (faulty(Fault::Silent).await, some("", "canceled")),
    ] {
        let (monitor, sink) = monitor(Settings::new("shop"));
        let client: Client<_, Body> = Client::builder(TokioExecutor::new()).build_http();
        let mut client = monitor.client_layer("items").error_type::<Error>().track_body().layer(client);
        let call = async {
            let response = client.ready().await.expect("always ready").call(get_request(&uri)).await;
            if let Ok(response) = response {
                let _ = response.into_body().collect().await;
            }
        };
        // Only silence needs it. A name server may be slow.
        let patience = if expected == some("", "canceled") { 300 } else { 60_000 };
        let _ = tokio::time::timeout(Duration::from_millis(patience), call).await;
        assert_eq!(ended(&monitor, &sink).await, [expected], "{uri}");
        let target = monitor.stats().targets["items"];
        assert_eq!((target.calls, target.running), (1, 0), "{uri}");
        assert!(monitor.stats().balances());
    }
}

#[tokio::test]
async fn a_timeout_around_the_client_is_recorded_by_the_position_of_the_layer() {
    let silent = faulty(Fault::Silent).await;
    let client = || Client::builder(TokioExecutor::new()).build_http::<Body>();
    let (monitor, sink) = monitor(Settings::new("shop"));
    let outside = ServiceBuilder::new()
        .layer(monitor.client_layer("outside"))
        .timeout(Duration::from_millis(50))
        .service(client());
    assert!(outside.oneshot(get_request(&silent)).await.is_err());
    assert_eq!(ended(&monitor, &sink).await, [some("", "timeout")]);
    let (monitor, sink) = crate::labels::monitor(Settings::new("shop"));
    let inside = ServiceBuilder::new()
        .timeout(Duration::from_millis(50))
        .layer(monitor.client_layer("inside"))
        .service(client());
    assert!(inside.oneshot(get_request(&silent)).await.is_err());
    assert_eq!(ended(&monitor, &sink).await, [some("", "canceled")]);
}

#[tokio::test]
async fn retries_inside_the_layer_are_one_call_and_outside_one_call_each() {
    #[derive(Clone)]
    struct Twice(u32);
    impl tower::retry::Policy<Request<String>, http::Response<String>, io::Error> for Twice {
        type Future = std::future::Ready<()>;
        fn retry(
            &mut self,
            _: &mut Request<String>,
            result: &mut Result<http::Response<String>, io::Error>,
        ) -> Option<Self::Future> {
            self.0 -= u32::from(self.0 > 0);
            (result.is_err() && self.0 > 0).then(|| std::future::ready(()))
        }
        fn clone_request(&mut self, request: &Request<String>) -> Option<Request<String>> {
            Some(request.clone())
        }
    }
    let failing = service_fn(async |_: Request<String>| {
        Err::<http::Response<String>, _>(io::Error::from(io::ErrorKind::ConnectionRefused))
    });
    for (outside, calls) in [(true, 3), (false, 1)] {
        let (monitor, sink) = monitor(Settings::new("shop"));
        let layer = monitor.client_layer("flaky");
        let request = Request::new(String::new());
        if outside {
            let service = ServiceBuilder::new().retry(Twice(3)).layer(layer).service(failing);
            assert!(service.oneshot(request).await.is_err());
        } else {
            let service = ServiceBuilder::new().layer(layer).retry(Twice(3)).service(failing);
            assert!(service.oneshot(request).await.is_err());
        }
        assert_eq!(ended(&monitor, &sink).await, vec![some("", "connect"); calls]);
    }
}

#[tokio::test]
async fn a_call_inside_a_handler_does_not_change_its_request_and_carries_its_id() {
    let good = good().await;
    let (monitor, sink) = monitor(Settings::new("shop"));
    let layer = monitor
        .client_layer("items")
        .route(|parts| parts.uri.path().starts_with("/items/").then(|| "/items/{id}".into()))
        .propagate_request_id(HeaderName::from_static("x-request-id"));
    let client = layer.layer(Client::builder(TokioExecutor::new()).build_http::<Body>());
    // A service in the same process, with a layer of the same monitor, called through a client
    // layer.
    let inner = Router::new().route("/inner", get(|| async { "inner" })).layer(monitor.layer());
    let inner = monitor.client_layer("inner").layer(inner);
    let handler = async move |data: MonitoringData| {
        data.tag("tenant", "acme");
        let item = client.clone().oneshot(get_request(&format!("{good}/items/7"))).await.expect("an answer");
        assert_eq!(item.status(), StatusCode::OK);
        let id = client.clone().oneshot(get_request(&format!("{good}/id"))).await.expect("an answer");
        let mut own = get_request(&format!("{good}/id"));
        own.headers_mut().insert("x-request-id", "its own".parse().expect("a value"));
        let own = client.clone().oneshot(own).await.expect("an answer").into_body().collect().await;
        assert_eq!(own.expect("a body").to_bytes(), "Some(\"its own\")", "an id of the call is kept");
        let inner = inner.clone().oneshot(get_request("/inner")).await.expect("an answer");
        assert_eq!(inner.status(), StatusCode::OK);
        let id = id.into_body().collect().await.expect("a body").to_bytes();
        String::from_utf8_lossy(&id).into_owned()
    };
    let app = Router::new().route("/batch", get(handler)).layer(monitor.layer());
    let response = app.oneshot(get_request("/batch")).await.expect("axum never fails");
    let body = response.into_body().collect().await.expect("a body").to_bytes();
    let points = points(&monitor, &sink).await;
    let requests = of(&points, "requests");
    let outer =
        requests.iter().find(|point| point.tag("route") == Some("GET:/batch")).expect("its own route");
    assert!(requests.iter().any(|point| point.tag("route") == Some("GET:/inner")), "{requests:?}");
    assert_eq!((requests.len(), outer.tag("tenant")), (2, Some("acme")));
    let id = outer.field("request_id").and_then(|id| id.as_str()).expect("an id");
    assert!(String::from_utf8_lossy(&body).contains(id), "the call carries the id of its request");
    let calls = of(&points, "client_requests");
    let routes: Vec<_> = calls.iter().filter_map(|call| call.tag("route")).collect();
    assert_eq!(routes, ["GET:/items/{id}", "GET", "GET", "GET"]);
    let ids: Vec<_> = calls.iter().filter_map(|call| call.field("request_id")?.as_str()).collect();
    assert_eq!(ids, [id; 4]);
}

#[tokio::test]
async fn invalid_input_causes_no_panic() {
    let (monitor, sink) = monitor(Settings::new("shop"));
    let service = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let panicking = monitor.client_layer("a\nb").route(|_| panic!("a route function")).layer(service);
    panicking.oneshot(Request::new(String::new())).await.expect("answers");
    let disabled = Monitor::disabled().client_layer("none").layer(service);
    disabled.oneshot(Request::new(String::new())).await.expect("answers");
    let broken =
        service_fn(async |_: Request<String>| -> Result<Response<String>, Infallible> { panic!("a client") });
    let broken = monitor.client_layer("broken").layer(broken);
    assert!(tokio::spawn(broken.oneshot(Request::new(String::new()))).await.is_err());
    let found = points(&monitor, &sink).await;
    let calls = of(&found, "client_requests");
    let targets: Vec<_> = calls.iter().filter_map(|call| call.tag("target")).collect();
    assert_eq!(targets, ["a_b", "broken"]);
    assert_eq!(calls[0].tag("route"), Some("GET"));
    assert_eq!(of(&found, "client_errors")[0].tag("error_code"), Some("panic"));
}

/// A route function that returns paths makes at most `limits.tag_values` of them series.
#[tokio::test]
async fn routes_that_are_paths_are_capped() {
    let (monitor, sink) = monitor(Settings::new("shop"));
    let service = service_fn(async |_: Request<String>| Ok::<_, Infallible>(Response::new(String::new())));
    let layer = monitor.client_layer("payments");
    let mut client = layer.route(|request| Some(request.uri.path().to_owned().into())).layer(service);
    for number in 0..1_500 {
        let request = Request::get(format!("/invoices/{number}")).body(String::new()).expect("a request");
        client.call(request).await.expect("answers");
    }
    let found = points(&monitor, &sink).await;
    let routes: Vec<_> = found.iter().filter_map(|point| point.tag("route")).collect();
    let distinct: std::collections::BTreeSet<_> = routes.iter().collect();
    assert_eq!((routes.len(), distinct.len()), (1_500, 1_001));
    assert_eq!(routes.iter().filter(|route| **route == "other").count(), 500);
    assert_eq!(monitor.stats().recorder.overflowed_tags, 500);
}

#[tokio::test]
async fn a_custom_error_is_classified_by_its_type() {
    #[derive(Debug)]
    struct OutOfCredit;
    let (monitor, sink) = monitor(Settings::new("shop"));
    let service = service_fn(async |_: Request<String>| Err::<Response<String>, _>(OutOfCredit));
    let layer = monitor
        .client_layer("payments")
        .classify_error(|_: &io::Error| Some("wrong type".into()))
        .classify_error(|_: &OutOfCredit| Some(4711.into()));
    assert!(layer.layer(service).oneshot(Request::new(String::new())).await.is_err());
    assert_eq!(ended(&monitor, &sink).await, [some("", "4711")]);
}

/// A point without this tag would be missing from each count by error code.
#[tokio::test]
async fn an_empty_error_code_becomes_the_default_one() {
    let (monitor, sink) = monitor(Settings::new("shop"));
    let layer = monitor
        .client_layer("payments")
        .classify_error(|_: &io::Error| Some("".into()))
        .classify_response(|_, _| Some("".into()));
    let call = async |result: Result<u16, io::ErrorKind>| {
        let client = layer.layer(service_fn(async |_: Request<String>| {
            let status = result.map_err(io::Error::from)?;
            Response::builder().status(status).body(String::new()).map_err(io::Error::other)
        }));
        let _ = client.oneshot(Request::new(String::new())).await;
    };
    for result in [Ok(200), Ok(502), Err(io::ErrorKind::TimedOut)] {
        call(result).await;
    }
    let expected = [some("200", "200"), some("502", "502"), some("", "client_error")];
    assert_eq!(ended(&monitor, &sink).await, expected);
}

#[tokio::test]
async fn a_connection_is_one_point_when_it_ends() {
    let (monitor, sink) = monitor(Settings::new("shop"));
    let handler = async |upgrade: WebSocketUpgrade, data: MonitoringData| {
        let connection = data.connection("chat");
        upgrade.on_upgrade(async move |mut socket| {
            while let Some(Ok(message)) = socket.recv().await {
                let is_text = matches!(message, axum::extract::ws::Message::Text(_));
                connection.add("messages_in", is_text.into());
                let _ = socket.send(message).await;
            }
            connection.end("client_left");
        })
    };
    let app = Router::new().route("/chat", get(handler)).layer(monitor.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, app).await.expect("serves") });
    let stream = tokio::net::TcpStream::connect(address).await.expect("connects");
    let (mut socket, _) =
        tokio_tungstenite::client_async(format!("ws://{address}/chat"), stream).await.expect("upgrades");
    use futures_util::{SinkExt, StreamExt};
    for _ in 0..3 {
        socket.send("hello".into()).await.expect("sends");
        socket.next().await.expect("an echo").expect("no error");
    }
    assert_eq!(monitor.stats().connections["chat"].open, 1);
    socket.close(None).await.expect("closes");
    while socket.next().await.is_some() {}
    let ended = async {
        while monitor.stats().connections["chat"].open > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), ended).await.expect("the connection ends");
    let kept = monitor.connection("kept");
    let points = points(&monitor, &sink).await;
    let chat = of(&points, "connections");
    assert_eq!(chat.len(), 1);
    assert_eq!((chat[0].tag("connection"), chat[0].tag("end")), (Some("chat"), Some("client_left")));
    assert_eq!(chat[0].field("messages_in").and_then(|count| count.as_i64()), Some(3));
    assert_eq!(chat[0].field("request_id"), of(&points, "requests")[0].field("request_id"));
    // A guard that is kept for ever delays nothing, and is visible.
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert!(report.in_time);
    assert_eq!(monitor.stats().connections["kept"].open, 1);
    drop(kept);
    assert_eq!(monitor.stats().recorder.refused_closed, 1);
    assert!(monitor.stats().balances());
}

#[tokio::test]
async fn reqwests_client_is_recorded() {
    // reqwest is built with TLS here. Its client requires a provider even if no URL uses TLS.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let good = good().await;
    let refused = "http://127.0.0.1:1/".to_owned();
    for (uri, expected) in [
        (format!("{good}/items/7"), some("200", "")),
        (format!("{good}/nothing"), some("404", "404")),
        (refused, some("", "connect")),
        (faulty(Fault::CutBody).await, some("200", "body_error")),
        (faulty(Fault::Silent).await, some("", "timeout")),
    ] {
        let (monitor, sink) = monitor(Settings::new("shop"));
        let patience = if expected == some("", "timeout") { 200 } else { 60_000 };
        let client = reqwest::Client::builder().timeout(Duration::from_millis(patience));
        let client = client.build().expect("a client");
        let service = ServiceBuilder::new()
            .layer(monitor.client_layer("items").track_body())
            .map_request(|request: Request<reqwest::Body>| {
                reqwest::Request::try_from(request).expect("an absolute address")
            })
            .map_response(http::Response::<reqwest::Body>::from)
            .service(client);
        let request = Request::builder().uri(&uri).body(reqwest::Body::default()).expect("a request");
        if let Ok(response) = service.oneshot(request).await {
            let _ = response.into_body().collect().await;
        }
        assert_eq!(ended(&monitor, &sink).await, [expected], "{uri}");
    }
}
