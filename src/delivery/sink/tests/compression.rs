//! Compressed bodies, and servers that do not understand them.

use std::{
    io::{Read, Write},
    sync::Arc,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};

use super::{
    InfluxClient, Sink, WriteErrorKind, batch,
    fault_server::{FaultServer, Step},
    for_each_client, influx, kind, settings, write,
};

for_each_client!(
    only_large_bodies_are_compressed,
    nothing_is_compressed_towards_this_host_unless_configured,
    a_refused_encoding_turns_compression_off_for_a_while,
    a_proxy_that_damages_compressed_bodies_loses_no_points,
    other_errors_do_not_turn_compression_off,
);

fn compressing(client: InfluxClient, url: &str) -> Arc<dyn Sink> {
    let mut settings = settings(client, url);
    settings.gzip = Some(true);
    influx(&settings).expect("settings that work")
}

fn encodings(server: &FaultServer) -> Vec<bool> {
    server.received().iter().map(|request| request.header("content-encoding") == Some("gzip")).collect()
}

async fn only_large_bodies_are_compressed(client: InfluxClient) {
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

async fn nothing_is_compressed_towards_this_host_unless_configured(client: InfluxClient) {
    let server = FaultServer::scripted([]).await;
    write(&super::sink(client, &server.url()), 100).await.expect("204");
    assert_eq!(encodings(&server), [false]);
}

async fn a_refused_encoding_turns_compression_off_for_a_while(client: InfluxClient) {
    // InfluxDB 1.6.7 answers so if the header was removed, or if the body was compressed twice.
    let stripped = r#"{"error":"unable to parse '\u001f\ufffd\u0008\u0000h\ufffd': missing fields"}"#;
    // The bytes were changed, or some are missing.
    let damaged = [
        "gzip: invalid header",
        "gzip: invalid checksum",
        "flate: corrupt input before offset 5",
        "unexpected EOF",
    ];
    let damaged = damaged.map(|text| Step::text(400, format!(r#"{{"error":"{text}"}}"#)));
    for step in damaged.into_iter().chain([Step::text(400, stripped), Step::status(415)]) {
        let server = FaultServer::scripted([step]).await;
        let sink = compressing(client, &server.url());
        write(&sink, 100).await.expect("the plain body is taken");
        write(&sink, 100).await.expect("and so is the next");
        assert_eq!(encodings(&server), [true, false, false]);
        assert!(server.received().iter().all(|request| request.lines().as_bytes() == batch(100).bytes()));
    }
}

/// A real gzip reader behind a proxy that removes the header, damages a byte, or compresses the
/// body again.
async fn a_proxy_that_damages_compressed_bodies_loses_no_points(client: InfluxClient) {
    fn damaged(body: &[u8]) -> Vec<u8> {
        let mut damaged = body.to_vec();
        let checksum = damaged.len() - 6;
        damaged[checksum] ^= 1;
        damaged
    }
    fn twice(body: &[u8]) -> Vec<u8> {
        let mut again = GzEncoder::new(Vec::new(), Compression::fast());
        again.write_all(body).expect("memory takes all");
        again.finish().expect("memory takes all")
    }
    let without_header = None;
    for spoil in [without_header, Some(damaged as fn(&[u8]) -> Vec<u8>), Some(twice)] {
        let server = FaultServer::start(move |request| {
            if request.header("content-encoding") != Some("gzip") {
                return Step::status(204);
            }
            let mut lines = Vec::new();
            let read = match spoil {
                None => (&request.body[..]).read_to_end(&mut lines),
                Some(spoil) => GzDecoder::new(&spoil(&request.body)[..]).read_to_end(&mut lines),
            };
            let lines = String::from_utf8_lossy(&lines);
            let said = match read {
                Ok(_) => format!("unable to parse '{lines}': missing fields"),
                Err(_) => "gzip: invalid checksum".to_owned(),
            };
            Step::text(400, serde_json::json!({ "error": said }).to_string())
        })
        .await;
        let sink = compressing(client, &server.url());
        write(&sink, 100).await.expect("the plain body is taken");
        write(&sink, 100).await.expect("and so is the next");
        assert_eq!(encodings(&server), [true, false, false]);
    }
}

async fn other_errors_do_not_turn_compression_off(client: InfluxClient) {
    let unclear =
        || Step::text(500, r#"{"code":"internal error","message":"An internal error has occurred"}"#);
    let server = FaultServer::scripted([unclear(), unclear(), Step::status(503)]).await;
    let sink = compressing(client, &server.url());
    assert_eq!(kind(&sink, 100).await, WriteErrorKind::Transient);
    assert_eq!(kind(&sink, 100).await, WriteErrorKind::Throttled { retry_after: None });
    write(&sink, 100).await.expect("204");
    assert_eq!(encodings(&server), [true, false, true, true]);
}
