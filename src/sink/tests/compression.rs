//! Compressed bodies, and servers that do not understand them.

use super::{
    Client, Sink, WriteErrorKind, batch,
    fault_server::{FaultServer, Step},
    for_each_client, influx, kind, settings, write,
};
use std::sync::Arc;

for_each_client!(
    only_bodies_worth_it_are_compressed,
    towards_this_host_nothing_is_compressed_unless_told,
    a_refused_encoding_falls_back_to_plain_for_a_while,
    another_trouble_does_not_turn_compression_off,
);

fn compressing(client: Client, url: &str) -> Arc<dyn Sink> {
    let mut settings = settings(client, url);
    settings.gzip = Some(true);
    influx(&settings).expect("settings that work")
}

fn encodings(server: &FaultServer) -> Vec<bool> {
    server.received().iter().map(|request| request.header("content-encoding") == Some("gzip")).collect()
}

async fn only_bodies_worth_it_are_compressed(client: Client) {
    let server = FaultServer::scripted([]).await;
    let sink = compressing(client, &server.url());
    let written = write(&sink, 100).await.expect("204");
    write(&sink, 2).await.expect("204");
    assert_eq!(encodings(&server), [true, false]);
    let received = server.received();
    assert_eq!(received[0].lines().as_bytes(), batch(100).bytes());
    assert_eq!(written.wire_bytes, received[0].body.len() as u64);
    assert!(received[0].body.len() * 3 < batch(100).bytes().len());
    assert_eq!(received[1].lines().as_bytes(), batch(2).bytes());
}

async fn towards_this_host_nothing_is_compressed_unless_told(client: Client) {
    let server = FaultServer::scripted([]).await;
    write(&super::sink(client, &server.url()), 100).await.expect("204");
    assert_eq!(encodings(&server), [false]);
}

async fn a_refused_encoding_falls_back_to_plain_for_a_while(client: Client) {
    let stripped = r#"{"error":"unable to parse '\u001f\ufffd\b': missing fields"}"#;
    for step in
        [Step::text(400, r#"{"error":"gzip: invalid header"}"#), Step::text(400, stripped), Step::status(415)]
    {
        let server = FaultServer::scripted([step]).await;
        let sink = compressing(client, &server.url());
        write(&sink, 100).await.expect("the plain body is taken");
        write(&sink, 100).await.expect("and so is the next");
        assert_eq!(encodings(&server), [true, false, false]);
        assert!(server.received().iter().all(|request| request.lines().as_bytes() == batch(100).bytes()));
    }
}

async fn another_trouble_does_not_turn_compression_off(client: Client) {
    let unclear =
        || Step::text(500, r#"{"code":"internal error","message":"An internal error has occurred"}"#);
    let server = FaultServer::scripted([unclear(), unclear(), Step::status(503)]).await;
    let sink = compressing(client, &server.url());
    assert_eq!(kind(&sink, 100).await, WriteErrorKind::Transient);
    assert_eq!(kind(&sink, 100).await, WriteErrorKind::Throttled { retry_after: None });
    write(&sink, 100).await.expect("204");
    assert_eq!(encodings(&server), [true, false, true, true]);
}
