//! Features that only the client `reqwest` has.

use std::sync::Arc;

use super::{
    InfluxClient, Sink, WriteErrorKind, batch,
    fault_server::{FaultServer, Received, Step},
    influx, kind, settings, write,
};
use crate::{
    delivery::sink::Hint,
    settings::{InfluxApi, InfluxAuthorization, InfluxSettings, Token},
};

fn sink(url: &str, change: impl FnOnce(&mut InfluxSettings)) -> Arc<dyn Sink> {
    let mut settings = settings(InfluxClient::Reqwest, url);
    change(&mut settings);
    influx(&settings).expect("settings that work")
}

async fn received(change: impl FnOnce(&mut InfluxSettings)) -> Received {
    let server = FaultServer::scripted([]).await;
    write(&sink(&server.url(), change), 1).await.expect("204");
    server.received().remove(0)
}

#[tokio::test]
async fn version_1_accepts_user_and_password_in_a_header() {
    let request = received(|settings| {
        settings.api = InfluxApi::V1;
        settings.token = Token::default();
        settings.username = "Aladdin".to_owned();
        settings.password = "open sesame".into();
        settings.retention_policy = Some("year".to_owned());
    })
    .await;
    assert_eq!(request.target, "/write?db=b%26cket&rp=year&precision=ns");
    assert_eq!(request.header("authorization"), Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    assert_eq!(&request.body[..], &batch(1).bytes()[..]);
}

#[tokio::test]
async fn version_3_has_its_own_endpoint() {
    let request = received(|settings| {
        settings.api = InfluxApi::V3;
        settings.authorization = InfluxAuthorization::Bearer;
        settings.no_sync = true;
    })
    .await;
    assert_eq!(
        request.target,
        "/api/v3/write_lp?db=b%26cket&precision=nanosecond&accept_partial=true&no_sync=true"
    );
    assert_eq!(request.header("authorization"), Some("Bearer hunter2-secret"));
}

#[tokio::test]
async fn base_paths_and_further_headers_are_sent() {
    let server = FaultServer::scripted([]).await;
    let sink = sink(&format!("{}/insert/0/influx/", server.url()), |settings| {
        settings.headers.insert("X-Scope-OrgID".to_owned(), "tenant".into());
        settings.headers.insert("User-Agent".to_owned(), "ours".into());
    });
    write(&sink, 1).await.expect("204");
    let request = server.received().remove(0);
    assert!(request.target.starts_with("/insert/0/influx/api/v2/write?"), "{}", request.target);
    assert_eq!(request.header("x-scope-orgid"), Some("tenant"));
    assert_eq!(request.headers.iter().filter(|(name, _)| name == "user-agent").count(), 1);
    assert_eq!(request.header("user-agent"), Some("ours"));
}

#[tokio::test]
async fn a_secret_header_is_never_seen() {
    let echo = |request: &Received| Step::text(400, format!("{:?}", request.headers));
    let server = FaultServer::start(echo).await;
    let sink = sink(&server.url(), |settings| {
        settings.token = Token::default();
        settings.authorization = InfluxAuthorization::Basic;
        settings.username = "Aladdin".to_owned();
        settings.password = "open sesame".into();
        settings.headers.insert("x-key".to_owned(), "open-the-door".into());
    });
    let error = write(&sink, 1).await.expect_err("400");
    for secret in ["open", "sesame", "QWxhZGRpbjpvcGVuIHNlc2FtZQ"] {
        assert!(!format!("{error} {error:?}").contains(secret), "{error}");
    }
}

#[tokio::test]
async fn version_3_names_the_refused_lines() {
    let body = r#"{"error":"partial write of line protocol occurred","data":[{"error_message":"No fields were provided","line_number":2,"original_line":"m "}]}"#;
    let server = FaultServer::scripted([Step::text(400, body)]).await;
    let WriteErrorKind::Refused(refused) =
        kind(&sink(&server.url(), |settings| settings.api = InfluxApi::V3), 1).await
    else {
        panic!("400 refuses");
    };
    assert_eq!(refused.hint, Hint::Lines(vec![1]));
}

fn auto(url: &str) -> Arc<dyn Sink> {
    sink(url, |settings| settings.api = InfluxApi::Auto)
}

/// Answers to `/ping` as the servers do.
fn pong(version: &str, build: &str) -> Step {
    let mut pong = Step::status(204);
    for (name, value) in [("x-influxdb-version", version), ("x-influxdb-build", build)] {
        if !value.is_empty() {
            pong = pong.with_header(name, value);
        }
    }
    pong
}

#[tokio::test]
async fn the_server_is_asked_once_which_endpoint_is_best() {
    for (version, build, path) in [
        ("1.6.7", "OSS", "/write"),
        ("v2.9.1", "OSS", "/api/v2/write"),
        ("3.7.0", "Core", "/api/v3/write_lp"),
        ("Telegraf unknown", "telegraf", "/api/v2/write"),
        ("1.0", "", "/write"),
        ("", "", "/api/v2/write"),
    ] {
        let server = FaultServer::scripted([pong(version, build)]).await;
        let sink = auto(&format!("{}/base/", server.url()));
        for _ in 0..3 {
            write(&sink, 1).await.expect("204");
        }
        let targets: Vec<String> = server
            .received()
            .iter()
            .map(|request| request.target.split('?').next().unwrap_or_default().to_owned())
            .collect();
        let write = format!("/base{path}");
        assert_eq!(targets, ["/base/ping", &write, &write, &write], "{version} {build}");
    }
}

/// `database/policy` is a bucket for 1.8. `/write` of 1.x would use it as the name of a database.
#[tokio::test]
async fn a_bucket_with_a_policy_goes_to_the_endpoint_that_knows_buckets() {
    for (bucket, path) in [("shop", "/write?"), ("shop/year", "/api/v2/write?")] {
        let server = FaultServer::scripted([pong("1.8.10", "OSS")]).await;
        let sink = sink(&server.url(), |settings| {
            settings.api = InfluxApi::Auto;
            settings.bucket = bucket.to_owned();
        });
        write(&sink, 1).await.expect("204");
        assert!(server.received()[1].target.starts_with(path), "{bucket}");
    }
}

#[tokio::test]
async fn an_unidentified_server_is_written_to_as_version_2() {
    for step in [Step::status(401), Step::status(404), Step::text(200, "<html>"), pong("dev", "")] {
        let server = FaultServer::scripted([step]).await;
        write(&auto(&server.url()), 1).await.expect("204");
        assert!(server.received()[1].target.starts_with("/api/v2/write?"));
    }
    let server = FaultServer::scripted([Step::Reset]).await;
    let sink = auto(&server.url());
    assert_eq!(kind(&sink, 1).await, WriteErrorKind::Broken);
    assert_eq!(server.received().len(), 1, "nothing is written where nothing answers");
    write(&sink, 1).await.expect("asked again");
}

#[tokio::test]
async fn a_replaced_server_is_detected() {
    // The earlier endpoint is gone, or several requests in a row fail.
    for failures in [vec![Step::text(404, "not found")], vec![Step::text(500, "starting"); 3]] {
        let count = failures.len();
        let steps = [pong("v2.9.1", "OSS")].into_iter().chain(failures).chain([pong("3.7.0", "Core")]);
        let server = FaultServer::scripted(steps).await;
        let sink = auto(&server.url());
        for _ in 0..count {
            write(&sink, 1).await.expect_err("another server is there");
        }
        write(&sink, 1).await.expect("204");
        let last = server.received().pop().expect("a write");
        assert!(last.target.starts_with("/api/v3/write_lp?"), "{}", last.target);
    }
}
