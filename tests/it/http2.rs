//! Identity of requests over HTTP/2, where requests of one connection run at the same time and
//! carry an authority.

use axum::{
    Router,
    body::Body,
    extract::Request,
    http::{StatusCode, Version},
    routing::get,
};
use futures_util::future::join_all;
use http_body_util::BodyExt;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tower::ServiceExt;
use tower_influx::MonitoringData;

use crate::{
    endings::serve,
    in_process::{calling, inner},
    support::watched::Watched,
};

type Http2 = Client<HttpConnector, Body>;

fn client() -> Http2 {
    Client::builder(TokioExecutor::new()).http2_only(true).build_http()
}

/// Sends requests to all paths at once, over one connection.
async fn ask_all(app: Router, paths: &[&str]) {
    let address = serve(app).await;
    let client = client();
    let ask = async |path: &&str| {
        let uri = format!("http://{address}{path}").parse().expect("a URI");
        let response = client.get(uri).await.expect("an answer");
        assert_eq!((response.status(), response.version()), (StatusCode::OK, Version::HTTP_2), "{path}");
        response.into_body().collect().await.expect("a body");
    };
    // The first request opens the connection that the others share.
    ask(&paths[0]).await;
    join_all(paths[1..].iter().map(ask)).await;
}

#[tokio::test]
async fn calls_in_process_are_requests_of_their_own_over_http2() {
    for (path, called, asked, expected) in [
        ("/status", &["/health"][..], "/status", &["GET:/health 200", "GET:/status 200"][..]),
        ("/status", &["/status/health"], "/status", &["GET:/status 200", "GET:/status/health 200"]),
        ("/health", &["/health"], "/health", &["GET:/health 200", "GET:/health 200"]),
        ("/users/{id}", &["/users/7"], "/users/7", &["GET:/users/{id} 200", "GET:/users/{id} 200"]),
        ("/", &["/health", "/"], "/", &["GET:/ 200", "GET:/ 200", "GET:/health 200"]),
        ("/batch", &["/", "/nowhere"], "/batch", &["GET:/ 200", "GET:/batch 200", "GET:unmatched 404"]),
    ] {
        let watched = Watched::start("http2");
        ask_all(calling(&watched, path, called), &[asked; 8]).await;
        let mut requests: Vec<_> = expected.iter().flat_map(|point| [*point; 8]).collect();
        requests.sort_unstable();
        let failed = if called.contains(&"/nowhere") { &["GET:unmatched 404 404"; 8][..] } else { &[] };
        watched.expect(&requests, failed).await;
    }
}

#[tokio::test]
async fn a_request_that_is_passed_to_an_inner_service_is_one_over_http2() {
    let watched = Watched::start("http2");
    let app = Router::new().nest_service("/files", inner(watched.layer())).layer(watched.layer());
    ask_all(app, &["/files/users/7", "/files/health", "/files/users/8"]).await;
    let users = "GET:/files/users/{id} 200";
    watched.expect(&["GET:/files/health 200", users, users], &[]).await;
}

/// A proxy that passes on the whole request, with another host in its URI or with the same one.
#[tokio::test]
async fn a_forwarded_request_is_another_one_over_http2() {
    let watched = Watched::start("http2");
    let upstream = Router::new()
        .route("/api/{id}", get(async |data: MonitoringData| data.tag("at", "upstream")))
        .layer(watched.layer());
    let upstream = serve(upstream).await;
    let client = client();
    let handler = async move |mut request: Request| {
        let path = request.uri().path().to_owned();
        *request.uri_mut() = format!("http://{upstream}{path}").parse().expect("a URI");
        client.request(request).await.expect("an answer").map(Body::new)
    };
    let app = Router::new().route("/{*rest}", get(handler)).layer(watched.layer());
    ask_all(app, &["/api/1", "/api/2", "/api/3"]).await;
    let (proxy, served) = ("GET:/{*rest} 200", "GET:/api/{id} 200");
    watched.expect(&[served, served, served, proxy, proxy, proxy], &[]).await;
}

/// In one process and without a task in between. Only the text of the path and the host distinguish
/// the requests.
#[tokio::test]
async fn a_request_sent_on_in_process_with_another_host_is_another_one_over_http2() {
    let watched = Watched::start("http2");
    let called = inner(watched.layer()).with_state::<()>(());
    let handler = async move |mut request: Request| {
        let mut parts = request.uri().clone().into_parts();
        parts.authority = Some("upstream:3000".parse().expect("a host"));
        *request.uri_mut() = parts.try_into().expect("a URI");
        called.oneshot(request).await
    };
    let app = Router::new().fallback(handler).layer(watched.layer());
    ask_all(app, &["/users/1", "/users/2", "/health"]).await;
    let (own, users) = ("GET:unmatched 200", "GET:/users/{id} 200");
    watched.expect(&["GET:/health 200", users, users, own, own, own], &[]).await;
}
