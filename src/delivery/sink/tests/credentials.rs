//! Tokens are read from files, read again when refused, and never printed.

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex},
};

use tracing_subscriber::fmt::MakeWriter;

use super::{
    Blocked, InfluxClient, WriteErrorKind,
    fault_server::{FaultServer, Step},
    for_each_client, influx, kind, settings, write,
};
use crate::settings::{InfluxSettings, Token};

for_each_client!(
    a_rotated_token_is_used_without_a_restart,
    an_unchanged_token_is_not_tried_twice,
    a_write_that_succeeds_is_not_repeated_for_a_changed_token,
    a_secret_that_is_mounted_by_symlinks_is_read_again,
    a_token_from_a_pipe_is_read_once,
    a_token_that_no_header_can_carry_is_refused,
    no_token_means_no_header,
    no_secret_is_ever_seen,
);

async fn a_rotated_token_is_used_without_a_restart(client: InfluxClient) {
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

fn with_token_file(client: InfluxClient, url: &str, file: &Path) -> InfluxSettings {
    let mut settings = settings(client, url);
    settings.token = Token::default();
    settings.token_file = Some(file.to_owned());
    settings
}

/// Accepts only this token.
async fn guarded(token: &'static str) -> FaultServer {
    FaultServer::start(move |request| {
        let right =
            request.header("authorization").and_then(|value| value.strip_prefix("Token ")) == Some(token);
        Step::status(if right { 204 } else { 401 })
    })
    .await
}

/// Kubernetes mounts a secret as links to a directory that is replaced as a whole.
#[cfg(unix)]
async fn a_secret_that_is_mounted_by_symlinks_is_read_again(client: InfluxClient) {
    use std::os::unix::fs::symlink;

    let mount = tempfile::tempdir().expect("a directory");
    let at = |name: &str| mount.path().join(name);
    for version in ["first", "second"] {
        fs::create_dir(at(version)).expect("a version");
        fs::write(at(version).join("token"), version).expect("a token");
    }
    symlink("first", at("..data")).expect("a link");
    symlink("..data/token", at("token")).expect("a link");
    let server = guarded("second").await;
    let sink = influx(&with_token_file(client, &server.url(), &at("token"))).expect("settings that work");
    assert_eq!(sink.probe().await.expect_err("401").kind, WriteErrorKind::Blocked(Blocked::Authorization));
    symlink("second", at("..new")).expect("a link");
    fs::rename(at("..new"), at("..data")).expect("swapped");
    sink.probe().await.expect("read again, and tried at once");
}

#[cfg(unix)]
async fn a_token_from_a_pipe_is_read_once(client: InfluxClient) {
    let directory = tempfile::tempdir().expect("a directory");
    let pipe = directory.path().join("token");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().is_ok_and(|status| status.success()));
    let writer = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(writer, "from-a-pipe\n"));
    let server = guarded("from-a-pipe").await;
    let mut given = crate::settings::Settings::new("shop");
    given.storage = crate::settings::Storage::Influx;
    given.influx = with_token_file(client, &server.url(), &pipe);
    given.validate().expect("the pipe is not read yet");
    let sink = influx(&given.influx).expect("read here");
    writer.join().expect("no panic").expect("written");
    write(&sink, 1).await.expect("204");
    // Nothing writes to the pipe any more, so reading it again would never end.
    let other = guarded("another").await;
    let writer = pipe.clone();
    let writer = std::thread::spawn(move || fs::write(writer, "from-a-pipe\n"));
    let sink = influx(&with_token_file(client, &other.url(), &pipe)).expect("read here");
    writer.join().expect("no panic").expect("written");
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Blocked(Blocked::Authorization));
}

async fn a_token_that_no_header_can_carry_is_refused(client: InfluxClient) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("token");
    let server = guarded("hunter2").await;
    fs::write(&file, "\u{feff}hunter2\r\n").expect("a token file");
    let sink = influx(&with_token_file(client, &server.url(), &file)).expect("a byte order mark is stripped");
    write(&sink, 1).await.expect("204");
    for token in ["hüntér2", "hunter2\u{200b}", "hun\u{feff}ter2", "“hunter2”"] {
        fs::write(&file, token).expect("a token file");
        let error = influx(&with_token_file(client, &server.url(), &file)).err().expect(token).to_string();
        assert!(
            error.contains("token_file") && error.contains("ASCII") && !error.contains("ter2"),
            "{error}"
        );
    }
    // If the file holds such a byte when it is read again, the working token is kept.
    fs::write(&file, "wrong").expect("a token file");
    let sink = influx(&with_token_file(client, &server.url(), &file)).expect("settings that work");
    fs::write(&file, "hünter2").expect("a token file");
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Blocked(Blocked::Authorization));
    assert_eq!(server.received().len(), 2, "the broken token is never sent");
    fs::write(&file, "hunter2").expect("a token file");
    write(&sink, 1).await.expect("read again");
}

async fn a_write_that_succeeds_is_not_repeated_for_a_changed_token(client: InfluxClient) {
    let file = tempfile::NamedTempFile::new().expect("a token file");
    fs::write(file.path(), "before").expect("writes");
    for status in [204, 400, 503] {
        let server = FaultServer::start(move |_| Step::status(status)).await;
        let sink = influx(&with_token_file(client, &server.url(), file.path())).expect("settings that work");
        fs::write(file.path(), format!("after {status}").replace(' ', "-")).expect("writes");
        assert_eq!(write(&sink, 1).await.is_ok(), status == 204);
        assert_eq!(server.received().len(), 1, "{status}");
    }
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

/// A server that returns what it received, as some proxies do, with every status that has a message
/// of its own.
async fn no_secret_is_ever_seen(client: InfluxClient) {
    let log = CapturedLog::default();
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
        // At one of these lengths the token lies across the point where the message is cut.
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
struct CapturedLog(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

impl io::Write for CapturedLog {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for CapturedLog {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}
