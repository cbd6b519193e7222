//! A gRPC service with tonic: points by service and method, failures by gRPC status, and streams
//! that are followed to their end.
//!
//! Run `cargo run --example tonic_service`. It prints how to call it with curl. The points are in
//! `monitoring-data/*.lp`. `route` contains service and method. A failed call has a second line, in
//! `errors`, whose `error_code` is the gRPC status. `-- ADDRESS` sets another address to listen on.
//!
//! The example serves gRPC's health service, whose code is in `tonic-health`. Your own service is
//! used in the same way.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{borrow::Cow, env, error::Error, time::Duration};

use futures_util::{
    StreamExt,
    stream::{self, BoxStream},
};
use tokio::{net::TcpListener, sync::watch};
use tonic::{
    Request, Response, Status,
    transport::{Server, server::TcpIncoming},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus,
    health_server::{Health, HealthServer},
};
use tower_influx::{Monitor, MonitoringData, Settings, classify::GrpcClassifier, head::RequestHead};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::start(Settings::new("tonic_service"))?;
    // If a stream fails, its status is in the trailers after the body. So the body is followed.
    let layer = monitor.layer().classifier(GrpcClassifier).route(route).track_body();

    let (running, status) = watch::channel(ServingStatus::Serving);
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:50051")).await?;
    greet(&format!("http://{}", listener.local_addr()?));
    let server = Server::builder().layer(layer).add_service(HealthServer::new(Checks { status }));
    let stopping = async move {
        shutdown_signal().await;
        // Ends the streams, for which the server waits.
        let _ = running.send(ServingStatus::NotServing);
    };
    server.serve_with_incoming_shutdown(TcpIncoming::from(listener), stopping).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Outside of tonic's router only the path is known, and the client chooses it. So only the listed
/// methods become routes.
fn route(request: &RequestHead<'_>) -> Option<Cow<'static, str>> {
    METHODS.iter().find(|method| **method == request.uri.path()).map(|method| Cow::Borrowed(*method))
}

const METHODS: [&str; 2] = ["/grpc.health.v1.Health/Check", "/grpc.health.v1.Health/Watch"];

struct Checks {
    status: watch::Receiver<ServingStatus>,
}

#[tonic::async_trait]
impl Health for Checks {
    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        // The data of the current request, as the extractor returns it in axum.
        if let Some(data) = MonitoringData::current() {
            data.field("name", &request.get_ref().service);
        }
        match request.get_ref().service.as_str() {
            "" => Ok(Response::new(answer(*self.status.borrow()))),
            _ => Err(Status::not_found("no such service")),
        }
    }

    type WatchStream = BoxStream<'static, Result<HealthCheckResponse, Status>>;

    /// Sends the current status, and the new one after each change.
    async fn watch(&self, _: Request<HealthCheckRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let updates = stream::unfold((self.status.clone(), true), |(mut status, first)| async move {
            if !first {
                status.changed().await.ok()?;
            }
            let message = answer(*status.borrow_and_update());
            Some((Ok(message), (status, false)))
        });
        Ok(Response::new(updates.boxed()))
    }
}

fn answer(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

fn greet(address: &str) {
    println!(
        "listening on {address}. Type in another terminal (the zeros and what follows are an encoded message):"
    );
    let curl = "curl -s --http2-prior-knowledge -H 'content-type: application/grpc' -H 'te: trailers' -D - -o /dev/null";
    println!("  printf '\\0\\0\\0\\0\\0' | {curl} --data-binary @- {address}{}", METHODS[0]);
    println!(
        "  printf '\\0\\0\\0\\0\\3\\n\\1x' | {curl} --data-binary @- {address}{}   fails with 5",
        METHODS[0]
    );
    println!(
        "  printf '\\0\\0\\0\\0\\0' | timeout 3 {curl} --data-binary @- {address}{}   a stream",
        METHODS[1]
    );
}
