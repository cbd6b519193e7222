//! TLS against nginx: which certificates the client `reqwest` trusts, and its errors otherwise.

use super::{
    CONFIGURATION, InfluxClient, Sink, influx, settings,
    support::{
        certificates::{Authority, Certificate, Validity},
        influx::Influx,
        live::{self, INFLUXD, NGINX, OPENSSL},
        nginx::{Nginx, NginxOptions, Upstream},
    },
    write,
};
use std::{path::PathBuf, sync::Arc};

const THIS_HOST: &str = "IP:127.0.0.1,DNS:localhost";

async fn nginx(upstream: u16, certificate: &Certificate) -> Nginx {
    Nginx::start(NginxOptions {
        upstream: Upstream::Influx(upstream),
        token: "hunter2-secret".to_owned(),
        max_body_size: None,
        certificate: Some((certificate.certificate.clone(), certificate.key.clone())),
    })
    .await
}

fn sink(url: &str, authority: Option<PathBuf>) -> Arc<dyn Sink> {
    let mut settings = settings(InfluxClient::Reqwest, url);
    settings.certificate_authority = authority;
    influx(&settings).expect("settings that work")
}

async fn refusal(validity: Validity, names: &str, trusted: bool) -> String {
    let authority = Authority::new();
    let nginx = nginx(1, &authority.issue("server", names, validity)).await;
    let other = Authority::new();
    let trusted = if trusted { authority.certificate() } else { other.certificate() };
    let error = write(&sink(&nginx.url(), Some(trusted)), 1).await.expect_err("not to be trusted");
    assert_eq!(error.kind, CONFIGURATION, "{error}");
    assert!(
        error.message().contains("is not trusted") && error.message().contains("certificate_authority"),
        "{error}"
    );
    error.message().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_trusted_is_refused() {
    if !live::ready("what_cannot_be_trusted_is_refused", &[NGINX, OPENSSL]) {
        return;
    }
    let unknown = refusal(Validity::Valid, THIS_HOST, false).await;
    // The certificate authorities of the tests share a name. The trusted one seems to have signed
    // this certificate, and has not.
    assert!(unknown.contains("UnknownIssuer") || unknown.contains("BadSignature"), "{unknown}");
    let expired = refusal(Validity::Expired, THIS_HOST, true).await;
    assert!(expired.contains("expired"), "{expired}");
    let other = refusal(Validity::Valid, "DNS:other.example", true).await;
    assert!(other.contains("not valid for") && other.contains("other.example"), "{other}");
}

#[tokio::test(flavor = "multi_thread")]
async fn points_go_through_tls() {
    if !live::ready("points_go_through_tls", &[INFLUXD, NGINX, OPENSSL]) {
        return;
    }
    let database = Influx::start().await;
    database.create_database("b&cket").await;
    let authority = Authority::new();
    let nginx = nginx(database.port(), &authority.issue("server", THIS_HOST, Validity::Valid)).await;
    let sink = sink(&nginx.url(), Some(authority.certificate()));
    sink.probe().await.expect("the certificate is trusted");
    write(&sink, 1_000).await.expect("204");
    assert_eq!(database.count("b&cket", "requests", "execution_time").await, 1_000);

    // Client and server use different protocols here.
    let plain = super::sink(InfluxClient::Reqwest, &nginx.url().replace("https", "http"));
    let error = write(&plain, 1).await.expect_err("nginx answers with a page");
    assert_eq!(error.kind, CONFIGURATION, "{error}");
    let secure = self::sink(&database.url().replace("http", "https"), None);
    let error = write(&secure, 1).await.expect_err("no TLS there");
    assert_eq!(error.kind, CONFIGURATION, "{error}");
    assert!(error.message().contains("check host, port"), "{error}");
}

/// A changed authority is read as soon as the server's certificate is refused, for writes and
/// probes.
#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_authority_is_read_again() {
    if !live::ready("a_rotated_authority_is_read_again", &[INFLUXD, NGINX, OPENSSL]) {
        return;
    }
    let database = Influx::start().await;
    database.create_database("b&cket").await;
    let (old, new) = (Authority::new(), Authority::new());
    let nginx = nginx(database.port(), &new.issue("server", THIS_HOST, Validity::Valid)).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("authority.pem");
    for probe in [false, true] {
        std::fs::copy(old.certificate(), &file).expect("a file");
        let sink = sink(&nginx.url(), Some(file.clone()));
        assert_eq!(sink.probe().await.expect_err("the old authority").kind, CONFIGURATION);
        std::fs::copy(new.certificate(), &file).expect("a file");
        if probe {
            sink.probe().await.expect("the new authority");
        } else {
            write(&sink, 1).await.expect("the new authority");
        }
    }
}

#[tokio::test]
async fn a_file_without_certificates_is_refused_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("authority.pem");
    for content in ["", "no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        std::fs::write(&file, content).expect("a file");
        let mut settings = settings(InfluxClient::Reqwest, "https://localhost:8086");
        settings.certificate_authority = Some(file.clone());
        let error = influx(&settings).err().expect("nothing to trust in there");
        assert!(error.is_setting() && error.to_string().contains("certificate_authority"), "{error}");
    }
}

#[cfg(all(feature = "influxdb2", not(any(feature = "native-tls", feature = "rustls-tls"))))]
#[tokio::test]
async fn without_the_feature_https_is_refused_at_start() {
    let error = influx(&settings(InfluxClient::Influxdb2, "https://localhost:8086"))
        .err()
        .expect("no TLS in this client");
    assert!(error.to_string().contains("`tls-ring`"), "{error}");
}
