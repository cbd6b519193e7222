//! Calls through a tonic channel, to a real server and to servers that fail in each phase.

use std::time::Duration;

use tokio::net::TcpListener;
use tonic::transport::{Channel, Endpoint, Error, Server, server::TcpIncoming};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};
use tower::Layer;
use tower_influx::Settings;

use crate::{
    client::{Fault, ended, faulty, of, points, some},
    labels::monitor,
};

fn asking(service: &str) -> HealthCheckRequest {
    HealthCheckRequest { service: service.to_owned() }
}

#[tokio::test]
async fn a_tonic_channel_is_recorded_with_its_grpc_status() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    let (_, service) = tonic_health::server::health_reporter();
    let server = Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpIncoming::from(listener)));
    let (monitor, sink) = monitor(Settings::new("shop"));
    let channel = Channel::from_shared(format!("http://{address}")).expect("an address").connect_lazy();
    let layer = monitor
        .client_layer("health")
        .error_type::<Error>()
        .route(|parts| Some(parts.uri.path().to_owned().into()))
        .classify_response(|_, headers| {
            let status = headers.get("grpc-status")?.to_str().ok()?;
            (status != "0").then(|| status.to_owned().into())
        });
    let mut client = HealthClient::new(layer.layer(channel));
    client.check(asking("")).await.expect("serving");
    client.check(asking("unknown")).await.expect_err("no such service");
    assert_eq!(ended(&monitor, &sink).await, [some("200", ""), some("200", "5")]);
    let calls = points(&monitor, &sink).await;
    let route = of(&calls, "client_requests")[0].tag("route").map(str::to_owned);
    assert_eq!(route.as_deref(), Some("POST:/grpc.health.v1.Health/Check"));
}

/// Who ends a call to a server that does not answer.
#[derive(Clone, Copy, Debug)]
enum Limit {
    /// Nobody: the server ends it.
    None,
    /// The timeout of the channel.
    Channel,
    /// The deadline of the request, which tonic sends to the server, too.
    Deadline,
    /// The caller, who drops the call.
    Caller,
}

#[tokio::test]
async fn a_tonic_channel_is_recorded_in_every_phase_that_fails() {
    let refused = {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        format!("http://{}/", listener.local_addr().expect("an address"))
    };
    let silent = faulty(Fault::Silent).await;
    let soon = Duration::from_millis(50);
    for (uri, limit, code) in [
        (&refused, Limit::None, "connect"),
        (&"http://no-such-host.invalid/".to_owned(), Limit::None, "connect"),
        (&faulty(Fault::NoHead).await, Limit::None, "client_error"),
        (&silent, Limit::Channel, "timeout"),
        (&silent, Limit::Deadline, "timeout"),
        (&silent, Limit::Caller, "canceled"),
    ] {
        let (monitor, sink) = monitor(Settings::new("shop"));
        let mut endpoint = Endpoint::from_shared(uri.clone()).expect("an address");
        let mut request = tonic::Request::new(asking(""));
        let mut patience = Duration::from_secs(60);
        match limit {
            Limit::None => {}
            Limit::Channel => endpoint = endpoint.timeout(soon),
            Limit::Deadline => request.set_timeout(soon),
            Limit::Caller => patience = soon,
        }
        let layer = monitor.client_layer("health").error_type::<Error>();
        let mut client = HealthClient::new(layer.layer(endpoint.connect_lazy()));
        let answer = tokio::time::timeout(patience, client.check(request)).await;
        assert!(!matches!(answer, Ok(Ok(_))), "{uri} {limit:?}");
        assert_eq!(ended(&monitor, &sink).await, [some("", code)], "{uri} {limit:?}");
    }
}
