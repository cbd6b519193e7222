//! Answers of servers, received over a real connection.

use std::time::{Duration, SystemTime};

use super::{
    AUTHORIZATION, CONFIGURATION, InfluxClient, WriteErrorKind, batch,
    fault_server::{FaultServer, Step},
    for_each_client, kind, sink, write,
};
use crate::{
    delivery::sink::Hint,
    stats::{Blocked, RejectReason},
    test_log::logged_by,
};

for_each_client!(
    a_batch_arrives_as_it_is,
    redirects_are_not_followed,
    the_page_of_a_captive_portal_is_not_a_success,
    an_unusual_success_status_counts_as_written,
    an_endpoint_that_names_no_line_is_logged_once,
    refused_lines_are_named,
    a_body_refused_before_it_is_read_is_too_large,
    a_probe_writes_nothing,
    a_long_answer_is_understood,
    an_endless_answer_is_not_read_to_its_end,
    retry_after_is_honoured,
);

async fn a_batch_arrives_as_it_is(client: InfluxClient) {
    let server = FaultServer::scripted([]).await;
    let sink = sink(client, &server.url());
    let written = write(&sink, 3).await.expect("204");
    let received = server.received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert_eq!(request.method, "POST");
    let (path, query) = request.target.split_once('?').expect("a query");
    assert_eq!(path, "/api/v2/write");
    let mut query: Vec<_> = query.split('&').collect();
    query.sort_unstable();
    assert!(
        query == ["bucket=b%26cket", "org=o+rg", "precision=ns"]
            || query == ["bucket=b%26cket", "org=o%20rg", "precision=ns"]
    );
    assert_eq!(&request.body[..], &batch(3).bytes()[..]);
    assert_eq!(written.wire_bytes, request.body.len() as u64);
    assert_eq!(request.headers.iter().filter(|(name, _)| name == "authorization").count(), 1);
    assert_eq!(request.header("authorization"), Some("Token hunter2-secret"));
    assert_eq!(request.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(request.header("content-encoding"), None);
    assert!(request.header("user-agent").is_some_and(|agent| agent.starts_with("tower-influx/")));
}

async fn redirects_are_not_followed(client: InfluxClient) {
    let target = FaultServer::scripted([]).await;
    for status in [301, 302, 303, 307, 308] {
        let step = Step::status(status).with_header("location", &format!("{}/api/v2/write", target.url()));
        let server = FaultServer::scripted([step]).await;
        assert_eq!(kind(&sink(client, &server.url()), 1).await, CONFIGURATION, "{status}");
    }
    assert_eq!(target.connections(), 0);
}

async fn the_page_of_a_captive_portal_is_not_a_success(client: InfluxClient) {
    let page = "<html><head><title>Accept our terms</title></head></html>";
    let server = FaultServer::scripted([Step::text(200, page)]).await;
    let error = write(&sink(client, &server.url()), 1).await.expect_err("a page is no yes");
    assert_eq!(error.kind, CONFIGURATION);
    assert!(error.message().contains("Accept our terms"), "{error}");
}

async fn an_unusual_success_status_counts_as_written(client: InfluxClient) {
    let server = FaultServer::scripted([200, 202, 201].map(Step::status)).await;
    let sink = sink(client, &server.url());
    let log = logged_by(async {
        write(&sink, 1).await.expect("200 without a body");
        write(&sink, 1).await.expect("202 without a body");
        write(&sink, 1).await.expect("201 without a body");
    });
    let log = log.await;
    assert_eq!(log.matches("InfluxDB answers 204").count(), 1, "said once: {log}");
}

async fn an_endpoint_that_names_no_line_is_logged_once(client: InfluxClient) {
    let nothing = "write buffer error: parsing for line protocol failed";
    let server = FaultServer::start(move |_| Step::text(400, nothing)).await;
    let sink = sink(client, &server.url());
    let log = logged_by(async {
        for _ in 0..3 {
            assert!(matches!(kind(&sink, 1).await, WriteErrorKind::Refused(_)));
        }
    });
    let log = log.await;
    assert_eq!(log.matches("`/api/v3/write_lp` names each").count(), 1, "{log}");
    // Other answers must not log this hint.
    for (status, body) in [(400, "unable to parse 'm v=': missing field value"), (500, nothing)] {
        let server = FaultServer::scripted([Step::text(status, body)]).await;
        let sink = super::sink(client, &server.url());
        let log = logged_by(async { _ = kind(&sink, 1).await }).await;
        assert!(!log.contains("write_lp"), "{status}: {log}");
    }
}

async fn refused_lines_are_named(client: InfluxClient) {
    let body = r#"{"code":"invalid","message":"unable to parse 'm,t= v=1': missing tag value"}"#;
    let server = FaultServer::scripted([Step::text(400, body)]).await;
    let error = write(&sink(client, &server.url()), 1).await.expect_err("400");
    let WriteErrorKind::Refused(refused) = &error.kind else { panic!("{error:?}") };
    assert_eq!(refused.hint, Hint::Quoted(vec!["m,t= v=1".to_owned()]));
    assert_eq!(refused.reason, RejectReason::Malformed);
    assert_eq!(error.message(), "400 Bad Request: unable to parse '…': missing tag value");
}

async fn a_body_refused_before_it_is_read_is_too_large(client: InfluxClient) {
    let server = FaultServer::scripted([]).await;
    server.refuse_bodies_over(100);
    let mut settings = super::settings(client, &server.url());
    settings.gzip = Some(false);
    let sink = super::influx(&settings).expect("settings that work");
    // The body is larger than the buffers of the connection.
    assert_eq!(kind(&sink, 60_000).await, WriteErrorKind::TooLarge);
    assert!(server.received().is_empty());
    write(&sink, 1).await.expect("a short one is taken");
}

async fn a_probe_writes_nothing(client: InfluxClient) {
    let empty = r#"{"code":"invalid","message":"write buffer error: incoming write was empty"}"#;
    let missing = r#"{"code":"not found","message":"bucket \"b\" not found"}"#;
    let steps = [
        Step::status(204),
        Step::text(400, empty),
        Step::text(404, missing),
        Step::status(401),
        Step::status(503),
    ];
    let server = FaultServer::scripted(steps).await;
    let sink = sink(client, &server.url());
    sink.probe().await.expect("204 is yes");
    sink.probe().await.expect("InfluxDB 3 says yes by complaining that nothing came");
    let mut kinds = Vec::new();
    for _ in 0..3 {
        kinds.push(sink.probe().await.expect_err("no").kind);
    }
    assert_eq!(
        kinds,
        [
            WriteErrorKind::Blocked(Blocked::Target),
            WriteErrorKind::Blocked(Blocked::Authorization),
            WriteErrorKind::Throttled { retry_after: None },
        ]
    );
    assert!(server.received().iter().all(|request| request.body.is_empty()));
}

/// 2.x quotes every bad line, so its answer may be as long as the batch.
async fn a_long_answer_is_understood(client: InfluxClient) {
    let quoted: Vec<String> =
        (0..10_000).map(|number| format!("unable to parse 'm v= {number}': missing field value")).collect();
    let body = format!(r#"{{"code":"invalid","message":"{}"}}"#, quoted.join("\\n"));
    let server = FaultServer::scripted([Step::text(400, body)]).await;
    let error = write(&sink(client, &server.url()), 1).await.expect_err("400");
    let WriteErrorKind::Refused(refused) = &error.kind else { panic!("{error:?}") };
    let Hint::Quoted(lines) = &refused.hint else { panic!("{refused:?}") };
    assert!(lines.len() >= 1_000 && lines[0] == "m v= 0");
    assert!(error.message().len() < 1_024);
}

/// The server announces 3 GiB. A client that reads them all meets the end of the connection first.
async fn an_endless_answer_is_not_read_to_its_end(client: InfluxClient) {
    let mut page = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 3221225472\r\n\r\n".to_vec();
    page.resize(page.len() + 200_000, b'x');
    let server = FaultServer::scripted([Step::Raw(page)]).await;
    let sink = sink(client, &server.url());
    assert_eq!(kind(&sink, 1).await, AUTHORIZATION);
    write(&sink, 1).await.expect("the next one is taken");
}

async fn retry_after_is_honoured(client: InfluxClient) {
    let date = jiff::Timestamp::try_from(SystemTime::now() + Duration::from_secs(100)).expect("a time");
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&date).expect("a date");
    let steps = [
        Step::status(429).with_header("retry-after", "7"),
        Step::status(503).with_header("retry-after", &date),
        Step::status(503).with_header("retry-after", "later"),
    ];
    let server = FaultServer::scripted(steps).await;
    let sink = sink(client, &server.url());
    let mut waits = Vec::new();
    for _ in 0..3 {
        match kind(&sink, 1).await {
            WriteErrorKind::Throttled { retry_after } => waits.push(retry_after),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(waits[0], Some(Duration::from_secs(7)));
    assert!(waits[1].is_some_and(|wait| (90..=100).contains(&wait.as_secs())), "{waits:?}");
    assert_eq!(waits[2], None);
}
