//! The gRPC service, called by tonic's own client.

use std::collections::BTreeMap;

use tonic::{Code, transport::Channel};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::example::{Example, LastLine};

const ROUNDS: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn tonic_service_names_methods_and_codes() {
    let mut example = Example::start("tonic_service", &["127.0.0.1:0"]);
    let endpoint = Channel::from_shared(example.url().await).expect("a valid address");
    let mut client = HealthClient::new(endpoint.connect().await.expect("it listens"));
    let asking = |service: &str| HealthCheckRequest { service: service.to_owned() };
    // Dropped after the first message, and before the calls, so that a busy server has time to
    // notice it.
    for _ in 0..ROUNDS {
        let mut stream = client.watch(asking("")).await.expect("it answers").into_inner();
        assert!(stream.message().await.expect("a message").is_some());
    }
    for _ in 0..ROUNDS {
        let answer = client.check(asking("")).await.expect("it answers").into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving);
        assert_eq!(client.check(asking("other")).await.expect_err("no such service").code(), Code::NotFound);
    }
    // This client reads the stream to its end.
    let mut last = client.watch(asking("")).await.expect("it answers").into_inner();
    let first = last.message().await.expect("a message").expect("a message");
    assert_eq!(first.status(), ServingStatus::Serving);
    let watching = tokio::spawn(async move {
        let second = last.message().await.expect("a message").expect("a message");
        assert_eq!(second.status(), ServingStatus::NotServing);
        assert!(last.message().await.expect("an end").is_none());
    });
    drop(client);
    let end = example.terminate().await;
    watching.await.expect("the stream ends in order");
    let rounds = ROUNDS as u64;
    assert_eq!(end, LastLine::all_written(4 * rounds + 1));

    let points = example.points();
    let count = |measurement: &str, keys: [&str; 2], field: &str| {
        points[measurement].iter().fold(BTreeMap::new(), |mut all, point| {
            let field = point.fields.get(field).and_then(|value| value.as_str()).unwrap_or_default();
            *all.entry(format!("{} {} {field}", point.tag(keys[0]), point.tag(keys[1]))).or_default() += 1;
            all
        })
    };
    let (check, watch) = ("POST:/grpc.health.v1.Health/Check", "POST:/grpc.health.v1.Health/Watch");
    let expected = [
        (format!("{check} 200 complete"), 2 * rounds),
        (format!("{watch} 200 complete"), 1),
        (format!("{watch} 200 dropped"), rounds),
    ];
    assert_eq!(count("requests", ["route", "status_code"], "body_end"), BTreeMap::from(expected));
    let expected = BTreeMap::from([(format!("{check} 5 other"), rounds)]);
    assert_eq!(count("errors", ["route", "error_code"], "name"), expected);
}
