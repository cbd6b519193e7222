//! A real tonic server and client with the layer. They use the health service, which needs no
//! generated code.

use axum::{Router, body::Body, http::HeaderMap, response::IntoResponse, routing::post};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::net::TcpListener;
use tonic::{
    Code,
    service::Routes,
    transport::{Channel, Server, server::TcpIncoming},
};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower_influx::{MonitoringLayer, classify::GrpcClassifier};

use crate::support::watched::Watched;

fn layer(watched: &Watched) -> MonitoringLayer {
    watched.layer().classifier(GrpcClassifier)
}

/// Returns a listener and a client of it. The client connects at the first call.
async fn listen() -> (TcpIncoming, HealthClient<Channel>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    let endpoint = Channel::from_shared(format!("http://{address}")).expect("a valid address");
    (TcpIncoming::from(listener), HealthClient::new(endpoint.connect_lazy()))
}

fn health() -> Routes {
    // The reporter may be dropped: the whole server, under the empty name, is serving from the
    // start.
    let (_, service) = tonic_health::server::health_reporter();
    Routes::new(service)
}

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

/// Makes one call that succeeds, one that fails, and one stream that the client drops.
async fn call(mut client: HealthClient<Channel>) {
    let answer = client.check(asking("")).await.expect("the server is there").into_inner();
    assert_eq!(answer.status(), tonic_health::pb::health_check_response::ServingStatus::Serving);
    let error = client.check(asking("unknown")).await.expect_err("no such service");
    assert_eq!(error.code(), Code::NotFound);
    let mut stream = client.watch(asking("")).await.expect("the server is there").into_inner();
    assert!(stream.message().await.expect("a message").is_some());
}

#[tokio::test]
async fn a_layer_of_the_server_counts_every_call_by_its_grpc_status() {
    let watched = Watched::start("grpc");
    let (incoming, client) = listen().await;
    let server = Server::builder().layer(layer(&watched).track_body()).add_routes(health());
    tokio::spawn(server.serve_with_incoming(incoming));
    call(client).await;
    // Around tonic's router, where no route is known yet.
    watched
        .expect(
            &["POST:unmatched 200 complete", "POST:unmatched 200 complete", "POST:unmatched 200 dropped"],
            &["POST:unmatched 200 5"],
        )
        .await;
}

#[tokio::test]
async fn without_body_tracking_a_status_in_the_head_is_still_seen() {
    let watched = Watched::start("grpc");
    let (incoming, client) = listen().await;
    let server = Server::builder().layer(layer(&watched)).add_routes(health());
    tokio::spawn(server.serve_with_incoming(incoming));
    call(client).await;
    // tonic sends the status in the head if a call fails before its first message.
    watched.expect(&["POST:unmatched 200"; 3], &["POST:unmatched 200 5"]).await;
}

#[tokio::test]
async fn a_layer_inside_tonics_router_knows_the_service() {
    let watched = Watched::start("grpc");
    let (incoming, client) = listen().await;
    let layered = health().into_axum_router().layer(layer(&watched).track_body());
    tokio::spawn(Server::builder().add_routes(Routes::from(layered)).serve_with_incoming(incoming));
    call(client).await;
    let route = "POST:/grpc.health.v1.Health/{*rest}";
    watched
        .expect(
            &[
                &format!("{route} 200 complete"),
                &format!("{route} 200 complete"),
                &format!("{route} 200 dropped"),
            ],
            &[&format!("{route} 200 5")],
        )
        .await;
}

#[tokio::test]
async fn a_route_function_knows_the_method() {
    let watched = Watched::start("grpc");
    let (incoming, client) = listen().await;
    let layer = layer(&watched).route(|request| match request.uri.path() {
        "/grpc.health.v1.Health/Check" => Some("/grpc.health.v1.Health/Check".into()),
        "/grpc.health.v1.Health/Watch" => Some("/grpc.health.v1.Health/Watch".into()),
        _ => None,
    });
    tokio::spawn(Server::builder().layer(layer).add_routes(health()).serve_with_incoming(incoming));
    call(client).await;
    let check = "POST:/grpc.health.v1.Health/Check";
    watched
        .expect(
            &[&format!("{check} 200"), &format!("{check} 200"), "POST:/grpc.health.v1.Health/Watch 200"],
            &[&format!("{check} 200 5")],
        )
        .await;
}

/// A stream that fails after its first message reports that in its trailers, at the end of the
/// body.
#[tokio::test]
async fn a_status_in_the_trailers_is_seen_with_body_tracking_only() {
    async fn failing() -> impl IntoResponse {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "13".parse().expect("a header value"));
        // An uncompressed message of zero bytes.
        let frames = [Frame::data(axum::body::Bytes::from_static(&[0; 5])), Frame::trailers(trailers)];
        let body = StreamBody::new(stream::iter(frames.map(Ok::<_, std::convert::Infallible>)));
        ([("content-type", "application/grpc")], Body::new(body))
    }

    for tracked in [true, false] {
        let watched = Watched::start("grpc");
        let router = Router::new().route("/grpc.health.v1.Health/Watch", post(failing));
        let router = match tracked {
            true => router.layer(layer(&watched).track_body()),
            false => router.layer(layer(&watched)),
        };
        let (incoming, mut client) = listen().await;
        tokio::spawn(Server::builder().add_routes(Routes::from(router)).serve_with_incoming(incoming));
        let mut stream = client.watch(asking("")).await.expect("a head").into_inner();
        assert!(stream.message().await.expect("a message").is_some());
        assert_eq!(stream.message().await.expect_err("then it fails").code(), Code::Internal);
        let route = "POST:/grpc.health.v1.Health/Watch 200";
        match tracked {
            true => watched.expect(&[&format!("{route} complete")], &[&format!("{route} 13")]).await,
            false => watched.expect(&[route], &[]).await,
        }
    }
}
