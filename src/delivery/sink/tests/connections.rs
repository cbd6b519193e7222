//! Connections that are refused, break, hang, or lead to another server.

use std::time::{Duration, Instant};

use tokio::net::TcpListener;

use super::{
    CONFIGURATION, InfluxClient, WriteErrorKind,
    fault_server::{Blackhole, FaultServer, Step},
    for_each_client, influx, kind, settings, sink, write,
};

for_each_client!(
    connections_are_reused,
    the_target_is_the_database_and_never_changes,
    the_name_of_a_failing_server_is_resolved_again,
    a_closed_idle_connection_fails_no_write,
    a_refused_connection_is_tried_again,
    an_unknown_host_is_tried_again,
    a_connection_that_is_never_established_is_tried_again,
    broken_answers_are_tried_again,
    silence_is_a_timeout,
    a_server_that_does_not_speak_http_blocks,
    a_dropped_write_does_not_harm_the_next_one,
);

/// If the target changed, the batches in existing spools would never be sent.
async fn the_target_is_the_database_and_never_changes(client: InfluxClient) {
    let sink = sink(client, "http://influx.example:8086");
    assert_eq!(sink.target(), "influx\nhttp://influx.example:8086/\no rg\nb&cket\n");
    assert_eq!(sink.describe(), "InfluxDB at http://influx.example:8086/, bucket `b&cket`");
}

async fn connections_are_reused(client: InfluxClient) {
    let server = FaultServer::scripted([]).await;
    let sink = sink(client, &server.url());
    for _ in 0..5 {
        write(&sink, 1).await.expect("204");
    }
    assert_eq!((server.connections(), server.received().len()), (1, 5));
}

/// The name may resolve to another address by now. Only a new connection resolves it again.
async fn the_name_of_a_failing_server_is_resolved_again(client: InfluxClient) {
    let failing = (0..3).map(|_| Step::text(500, "panic"));
    let server = FaultServer::scripted(failing).await;
    let sink = sink(client, &server.url());
    for _ in 0..3 {
        assert_eq!(kind(&sink, 1).await, WriteErrorKind::Transient);
        assert_eq!(server.connections(), 1);
    }
    for _ in 0..3 {
        write(&sink, 1).await.expect("204");
        assert_eq!(server.connections(), 2);
    }
}

async fn a_closed_idle_connection_fails_no_write(client: InfluxClient) {
    let step = Step::text(204, "").with_header("connection", "close");
    let server = FaultServer::scripted([step]).await;
    let sink = sink(client, &server.url());
    write(&sink, 1).await.expect("204");
    write(&sink, 1).await.expect("204 on a new connection");
}

async fn a_refused_connection_is_tried_again(client: InfluxClient) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("bound");
    drop(listener);
    let error = write(&sink(client, &format!("http://{address}")), 1).await.expect_err("nobody listens");
    assert_eq!(error.kind, WriteErrorKind::Transient);
    assert!(error.message().contains("cannot connect"), "{error}");
    assert!(!error.message().contains("hunter2"), "{error}");
}

async fn an_unknown_host_is_tried_again(client: InfluxClient) {
    let mut settings = settings(client, "http://no-such-host.invalid:8086");
    // Limits the wait where no resolver answers.
    settings.connect_timeout = Duration::from_secs(1);
    let error = write(&influx(&settings).expect("settings that work"), 1).await.expect_err("no such host");
    assert_eq!(error.kind, WriteErrorKind::Transient, "{error}");
}

async fn a_connection_that_is_never_established_is_tried_again(client: InfluxClient) {
    let hole = Blackhole::open().await.expect("a full queue");
    let mut settings = settings(client, &hole.url());
    settings.connect_timeout = Duration::from_millis(200);
    let begin = Instant::now();
    let error = write(&influx(&settings).expect("settings that work"), 1).await.expect_err("a full queue");
    // A connect timeout is not a write timeout, after which the batch would be halved.
    assert_eq!(error.kind, WriteErrorKind::Transient, "{error}");
    assert!(begin.elapsed() < Duration::from_secs(20), "the connect timeout does not hold");
}

async fn broken_answers_are_tried_again(client: InfluxClient) {
    let long = || Step::text(400, vec![b'x'; 1_000]);
    for step in
        [Step::Reset, Step::Close, long().reset_after_headers(), long().cut(), Step::text(500, "x").cut()]
    {
        let server = FaultServer::scripted([step.clone()]).await;
        let sink = sink(client, &server.url());
        let kind = kind(&sink, 1).await;
        assert_eq!(kind, WriteErrorKind::Broken, "{step:?}");
        write(&sink, 1).await.expect("the next one is taken");
        assert_eq!(server.received().len(), 2, "nothing is repeated behind our back");
    }
}

async fn silence_is_a_timeout(client: InfluxClient) {
    let server = FaultServer::scripted([Step::Stall]).await;
    let mut settings = settings(client, &server.url());
    // The first write must have reached the server by then.
    settings.timeout = Duration::from_secs(2);
    let sink = influx(&settings).expect("settings that work");
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Timeout);
    write(&sink, 1).await.expect("the next one is taken");
}

async fn a_server_that_does_not_speak_http_blocks(client: InfluxClient) {
    let server = FaultServer::scripted([Step::Raw(b"220 mail.example ESMTP\r\n".to_vec())]).await;
    assert_eq!(kind(&sink(client, &server.url()), 1).await, CONFIGURATION);
}

async fn a_dropped_write_does_not_harm_the_next_one(client: InfluxClient) {
    let server = FaultServer::scripted([Step::Stall]).await;
    let sink = sink(client, &server.url());
    let received = async {
        while server.received().is_empty() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = write(&sink, 1) => panic!("the server answers nothing"),
        () = received => {}
    }
    write(&sink, 1).await.expect("the next one is taken");
}
