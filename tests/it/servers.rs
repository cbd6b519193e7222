//! The behaviour of the servers themselves, on which the other live tests rely.

use crate::support::{
    certificates::{Authority, Validity},
    http::{Http, token},
    influx::Influx,
    live::{self, INFLUXD, NGINX, OPENSSL, VICTORIA_METRICS},
    nginx::{Fault, Nginx, NginxOptions, STATUSES, Upstream},
    process::Process,
    victoria::Victoria,
};

const TOKEN: &str = "a-token";

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_returns_what_it_accepted() {
    if !live::ready("influxdb_returns_what_it_accepted", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    assert_eq!(influx.write("test", "m f=1 1").await.status, 404, "there is no database yet");
    influx.create_database("test").await;
    let lines = "m,tag=one,other=\\,\\ \\= float=0.5,text=\"a \\\"b\\\" \\\\ c\",whole=7i,yes=true 1000000001\n\
                 m,tag=two float=2,whole=-9223372036854775808i 1000000002\n";
    assert_eq!(influx.write("test", lines).await.status, 204);
    let points = influx.points("test", "m").await;
    assert_eq!(points.len(), 2);
    assert_eq!((points[0].time, points[0].tag("tag"), points[0].tag("other")), (1000000001, "one", ", ="));
    assert_eq!(points[0].fields["text"], "a \"b\" \\ c");
    assert_eq!(points[0].fields["float"], 0.5);
    assert_eq!(points[1].fields["whole"], i64::MIN);
    assert!(!points[1].tags.contains_key("other") && !points[1].fields.contains_key("yes"));
    let types = influx.field_types("test", "m").await;
    let types: Vec<_> = types.iter().map(|(key, kind)| (key.as_str(), kind.as_str())).collect();
    assert_eq!(types, [("float", "float"), ("text", "string"), ("whole", "integer"), ("yes", "boolean")]);
    assert_eq!(influx.count("test", "m", "whole").await, 2);
    assert_eq!(influx.count("test", "nothing", "whole").await, 0);
    assert_eq!(influx.count_by("test", "m", "whole", "tag").await["two"], 1);
    assert_eq!(influx.measurements("test").await, ["m"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_writes_the_good_lines_of_a_bad_body() {
    if !live::ready("influxdb_writes_the_good_lines_of_a_bad_body", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("test").await;
    let answer = influx.write("test", "m f=1 1\nm f= 2\nm f=3 3\n").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("partial write: unable to parse 'm f= 2'"), "{}", answer.text());
    assert_eq!(influx.count("test", "m", "f").await, 2);
    // A type that differs from the stored one loses only its own line.
    let answer = influx.write("test", "m f=5i 5\nm f=6 6\n").await;
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("partial write: field type conflict"), "{}", answer.text());
    assert_eq!(influx.count("test", "m", "f").await, 3);
    // Two types for a new field within one body: the first one wins …
    let answer = influx.write("test", "n f=5i 5\nn f=6 6\nn f=7i 7\n").await;
    assert!(answer.text().contains("partial write: field type conflict"), "{}", answer.text());
    assert_eq!(influx.count("test", "n", "f").await, 2);
    // … except in the very first body of a shard, of which nothing is written until it is sent a
    // second time.
    influx.create_database("fresh").await;
    let body = "n f=5i 5\nn f=6 6\n";
    for (message, count) in [("field type conflict", 0), ("partial write: field type conflict: ", 1)] {
        let answer = influx.write("fresh", body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json()["error"].as_str().is_some_and(|text| text.starts_with(message)), "{answer:?}");
        assert_eq!(influx.count("fresh", "n", "f").await, count);
    }
    let answer = influx.write("test", "m f=1 -1\n# a comment\n\n").await;
    assert_eq!(answer.status, 204, "comments and blank lines are no points");
    // The same point again is the same point.
    assert_eq!(influx.write("test", "m f=6 6\n").await.status, 204);
    assert_eq!(influx.count("test", "m", "f").await, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn influxdb_keeps_what_it_acknowledged_when_it_is_killed() {
    if !live::ready("influxdb_keeps_what_it_acknowledged_when_it_is_killed", &[INFLUXD]) {
        return;
    }
    let mut influx = Influx::start().await;
    influx.create_database("test").await;
    for round in 1..=3 {
        let lines: String = (0..1000).map(|line| format!("m f=1i {}\n", round * 1_000_000 + line)).collect();
        assert_eq!(influx.write("test", lines).await.status, 204);
        influx.kill();
        influx.restart().await;
        assert_eq!(influx.count("test", "m", "f").await, round as u64 * 1000);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_translates_version_2_to_version_1() {
    if !live::ready("nginx_translates_version_2_to_version_1", &[INFLUXD, NGINX]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("a bucket").await;
    let mut nginx = Nginx::before(Upstream::Influx(influx.port()), TOKEN).await;
    let http = Http::new();
    let url = format!("{}/api/v2/write?org=o&bucket=a%20bucket&precision=ns", nginx.url());
    let authorization = token(TOKEN);
    let headers = [(authorization.0, authorization.1.as_str())];

    let answer = http.post(&url, &headers, "m f=1i 1").await.expect("an answer");
    assert_eq!((answer.status.as_u16(), answer.text().as_str()), (204, ""));
    let answer = http.post(&url, &[], "m f=1i 2").await.expect("an answer");
    assert_eq!(answer.status, 401);
    assert_eq!(answer.json()["code"], "unauthorized");
    let answer = http.post(&url, &headers, vec![b'#'; 1024 * 1024 + 1]).await.expect("an answer");
    assert_eq!(answer.status, 413, "nginx takes 1 MiB by default");

    for status in STATUSES {
        nginx.set_fault(Fault::Status(status));
        let answer = http.post(&url, &headers, "m f=1i 3").await.expect("an answer");
        assert_eq!(answer.status, status);
    }
    nginx.set_fault(Fault::Unauthorized);
    assert_eq!(http.post(&url, &headers, "m f=1i 3").await.expect("an answer").status, 401);
    nginx.set_fault(Fault::Close);
    http.post(&url, &headers, "m f=1i 3").await.expect_err("nginx closes the connection");
    nginx.heal();
    nginx.stop();
    http.post(&url, &headers, "m f=1i 3").await.expect_err("nobody listens");
    nginx.resume_service().await;
    assert_eq!(influx.count("a bucket", "m", "f").await, 1);
    assert_eq!(http.post(&url, &headers, "m f=1i 4").await.expect("an answer").status, 204);
    assert_eq!(influx.count("a bucket", "m", "f").await, 2);
    // It writes its log after it has answered.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(5);
    while nginx.log().iter().filter(|one| one.status == 204).count() != 2 {
        assert!(std::time::Instant::now() < deadline, "{:?}", nginx.log());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_server_answers_when_it_continues() {
    if !live::ready("a_paused_server_answers_when_it_continues", &[INFLUXD]) {
        return;
    }
    let mut influx = Influx::start().await;
    influx.create_database("test").await;
    influx.process().pause();
    let url = format!("{}/write?db=test", influx.url());
    let writing = tokio::spawn(async move { Http::new().post(&url, &[], "m f=1 1").await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!writing.is_finished());
    influx.process().resume();
    let answer = writing.await.expect("the task ends").expect("an answer");
    assert_eq!(answer.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn victoria_metrics_counts_invalid_lines() {
    if !live::ready("victoria_metrics_counts_invalid_lines", &[VICTORIA_METRICS, NGINX]) {
        return;
    }
    let victoria = Victoria::start().await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_nanos();
    let lines = format!("m,tag=one f=0.5,g=7i,text=\"abc\" {now}\nm,tag=one f=1.5 {}\n", now + 1);
    assert_eq!(victoria.write(lines).await.status, 204);
    assert_eq!(victoria.wait_for_count("m_f", 2).await, 2, "two samples within a millisecond are two");
    let series = victoria.export("m_.*").await;
    assert_eq!(
        series.iter().map(|one| one.name.as_str()).collect::<std::collections::BTreeSet<_>>().len(),
        3
    );
    assert!(series.iter().all(|one| one.labels["tag"] == "one" && one.labels.len() == 1), "{series:?}");
    assert_eq!((victoria.invalid_rows().await, victoria.inserted_rows().await), (0, 4));
    assert_eq!(victoria.write("m f=1\nthis is no line of line protocol at all\n").await.status, 204);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while victoria.invalid_rows().await != 1 {
        assert!(std::time::Instant::now() < deadline, "one invalid row is counted");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let nginx = Nginx::start(NginxOptions {
        upstream: Upstream::AsItIs(victoria.port()),
        token: TOKEN.to_owned(),
        max_body_size: Some("64k".to_owned()),
        certificate: None,
    })
    .await;
    let url = format!("{}/api/v2/write?bucket=test&precision=ns", nginx.url());
    let authorization = token(TOKEN);
    let headers = [(authorization.0, authorization.1.as_str())];
    let answer = Http::new().post(&url, &headers, format!("n f=1 {now}")).await.expect("an answer");
    assert_eq!(answer.status, 204);
    assert_eq!(victoria.wait_for_count("n_f", 1).await, 1);
    let answer = Http::new().post(&url, &headers, vec![b'#'; 65 * 1024]).await.expect("an answer");
    assert_eq!(answer.status, 413);
}

/// A test's process that dies without dropping anything leaves no server behind.
#[tokio::test(flavor = "multi_thread")]
async fn servers_die_with_the_test() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut command = std::process::Command::new("sleep");
    let process = Process::start("sleep", command.arg("600"), directory.path());
    let id = process.id();
    let runs = || std::path::Path::new(&format!("/proc/{id}")).exists();
    assert!(runs());
    drop(process);
    assert!(!runs(), "the process is gone, and has been waited for");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_speaks_tls_with_a_certificate_of_the_test() {
    if !live::ready("nginx_speaks_tls_with_a_certificate_of_the_test", &[NGINX, OPENSSL]) {
        return;
    }
    let authority = Authority::new();
    for (validity, trusted) in [(Validity::Valid, true), (Validity::Expired, false)] {
        let certificate = authority.issue(&format!("{validity:?}"), "IP:127.0.0.1", validity);
        let nginx = Nginx::start(NginxOptions {
            upstream: Upstream::AsItIs(1),
            token: TOKEN.to_owned(),
            max_body_size: None,
            certificate: Some((certificate.certificate, certificate.key)),
        })
        .await;
        let output = std::process::Command::new(OPENSSL.path())
            .args(["s_client", "-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"])
            .arg(authority.certificate())
            .args(["-connect", &format!("127.0.0.1:{}", nginx.port())])
            .stdin(std::process::Stdio::null())
            .output()
            .expect("openssl starts");
        let text = String::from_utf8_lossy(&output.stderr) + String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.success(), trusted, "{validity:?}: {text}");
        assert!(trusted || text.contains("certificate has expired"), "{text}");
    }
}
