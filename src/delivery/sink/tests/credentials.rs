//! Tokens: read from files, read again when refused, never seen.

use std::{
    fs, io,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{
    Blocked, InfluxClient, WriteErrorKind,
    fault_server::{FaultServer, Step},
    for_each_client, influx, kind, settings, write,
};
use crate::settings::Token;

for_each_client!(
    a_rotated_token_heals_by_itself,
    an_unchanged_token_is_not_tried_twice,
    no_token_means_no_header,
    no_secret_is_ever_seen,
);

async fn a_rotated_token_heals_by_itself(client: InfluxClient) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    fs::write(&file, "old-token\n").expect("a token file");
    let server = FaultServer::start(|request| {
        Step::status(if request.header("authorization") == Some("Token new-token") { 204 } else { 401 })
    })
    .await;
    let mut settings = settings(client, &server.url());
    settings.token = Token::default();
    settings.token_file = Some(file.clone());
    let sink = influx(&settings).expect("settings that work");
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Blocked(Blocked::Authorization));
    assert_eq!(server.received().len(), 1);
    fs::write(&file, "new-token\n").expect("a token file");
    write(&sink, 1).await.expect("read again, and tried at once");
    write(&sink, 1).await.expect("kept");
    assert_eq!(server.received().len(), 4);
    fs::remove_file(&file).expect("a token file");
    write(&sink, 1).await.expect("read only when refused");
}

async fn an_unchanged_token_is_not_tried_twice(client: InfluxClient) {
    let server = FaultServer::start(|_| Step::status(401)).await;
    let mut settings = settings(client, &server.url());
    let sink = influx(&settings).expect("settings that work");
    kind(&sink, 1).await;
    settings.token = Token::default();
    settings.token_file = Some("/no/such/file".into());
    let error = influx(&settings).err().expect("a token file that cannot be read");
    assert!(error.to_string().contains("token_file"), "{error}");
    assert_eq!(server.received().len(), 1);
}

async fn no_token_means_no_header(client: InfluxClient) {
    let server = FaultServer::scripted([]).await;
    let mut settings = settings(client, &server.url());
    settings.token = Token::default();
    write(&influx(&settings).expect("settings that work"), 1).await.expect("204");
    assert_eq!(server.received()[0].header("authorization"), None);
}

/// A server that sends back what it got, as some proxies do in their pages, at every status that makes another message.
async fn no_secret_is_ever_seen(client: InfluxClient) {
    let log = Log::default();
    let subscriber =
        tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    let guard = tracing::subscriber::set_default(subscriber);
    let mut seen = String::new();
    let statuses = [200, 202, 301, 400, 401, 403, 404, 413, 422, 429, 500, 503];
    let mut next = 0;
    let server = FaultServer::start(move |request| {
        if request.body.len() > 10_000 {
            return Step::status(200);
        }
        next += 1;
        // Wherever a message is cut, in one of the answers the token lies across it.
        let padding = "x".repeat(350 + next % 60);
        let header = request.header("authorization").unwrap_or_default();
        Step::text(statuses[next % statuses.len()], format!("{padding} {header} {:?}", request.headers))
    })
    .await;
    let settings = settings(client, &server.url());
    seen.push_str(&format!("{settings:?}"));
    let sink = influx(&settings).expect("settings that work");
    for number in 0..120 {
        let error = write(&sink, 1 + number % 100).await.expect_err("a body is no yes");
        seen.push_str(&format!("{error} {error:?}"));
    }
    write(&sink, 1_000).await.expect("an odd yes, which is logged");
    drop(server);
    seen.push_str(&format!("{:?} {} {}", write(&sink, 1).await, sink.describe(), sink.target()));
    drop(guard);
    assert!(
        seen.contains("xxxx") && log.text().contains("InfluxDB answers 204"),
        "the test sees what is said"
    );
    seen.push_str(&log.text());
    for part in ["hunt", "nter2", "r2-s", "2-secret"] {
        assert!(!seen.contains(part), "{seen}");
    }
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
