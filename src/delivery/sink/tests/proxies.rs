//! Proxies of the environment, which a process reads only once. Each test runs itself again as a
//! child with another environment.

use std::{env, process::Command};

use super::{
    InfluxClient,
    fault_server::{FaultServer, Step},
    for_each_client, influx, settings,
};

for_each_client!(proxies_of_the_environment_are_used, no_proxy_is_used_for_this_host);

async fn proxies_of_the_environment_are_used(client: InfluxClient) {
    let proxy = FaultServer::scripted([]).await;
    write_in_child(client, "http://influx.example:8086", &proxy).await;
    let received = proxy.received();
    assert_eq!(received.len(), 1);
    let request = &received[0];
    assert!(request.target.starts_with("http://influx.example:8086/api/v2/write?"), "{}", request.target);
    assert!(!request.lines().is_empty());
}

async fn no_proxy_is_used_for_this_host(client: InfluxClient) {
    let proxy = FaultServer::scripted([]).await;
    let server = FaultServer::scripted([]).await;
    write_in_child(client, &server.url(), &proxy).await;
    assert_eq!((server.received().len(), proxy.connections()), (1, 0));
}

#[cfg(feature = "tls-ring")]
#[tokio::test]
async fn https_goes_through_a_tunnel() {
    let proxy = FaultServer::start(|_| Step::Close).await;
    write_in_child(InfluxClient::Reqwest, "https://influx.example:8087", &proxy).await;
    let targets: Vec<_> = proxy
        .received()
        .into_iter()
        .map(|request| format!("{} {}", request.method, request.target))
        .collect();
    assert_eq!(targets, ["CONNECT influx.example:8087"]);
}

/// Points and their token must not bypass the configured proxy.
#[tokio::test]
async fn an_unusable_proxy_prevents_the_start() {
    for client in [InfluxClient::Influxdb2, InfluxClient::Reqwest] {
        let said = child_says(client, "http://influx.example:8086", "http://user:s3cr et@proxy:3128").await;
        assert!(said.contains("HTTP_PROXY") && said.contains("percent-encoded"), "{said}");
        assert!(!said.contains("s3cr"), "{said}");
    }
}

/// Covers every form in which the proxy may return the password.
#[tokio::test]
async fn a_password_of_a_proxy_is_in_no_message() {
    for client in [InfluxClient::Influxdb2, InfluxClient::Reqwest] {
        let proxy = FaultServer::start(|request| {
            let header = request.header("proxy-authorization").unwrap_or_default().to_owned();
            Step::text(407, format!("no {header} and s3%40cret-word and s3@cret-word\n"))
        });
        let proxy = proxy.await;
        let url = format!("http://user:s3%40cret-word@{}", proxy.address());
        let said = child_says(client, "http://influx.example:8086", &url).await;
        assert!(said.contains("failed: ") && said.contains("proxy"), "{said}");
        // The encoded form of `user:s3@cret-word`.
        for secret in ["s3%40cret-word", "s3@cret-word", "dXNlcjpzM0BjcmV0LXdvcmQ"] {
            assert!(!said.contains(secret), "{said}");
        }
    }
}

/// The child of the tests above: writes once to the URL in the environment.
#[tokio::test]
#[ignore = "run as a child by the other tests of this file"]
async fn child() {
    let client = if env::var("TEST_CLIENT").as_deref() == Ok("Reqwest") {
        InfluxClient::Reqwest
    } else {
        InfluxClient::Influxdb2
    };
    let settings = settings(client, &env::var("TEST_URL").expect("set by the parent"));
    // The parent looks at what arrived.
    match influx(&settings) {
        Ok(sink) => {
            if let Err(error) = super::write(&sink, 1).await {
                println!("failed: {error} {error:?}");
            }
        }
        Err(error) => println!("refused at start: {error} {error:?}"),
    }
}

async fn write_in_child(client: InfluxClient, url: &str, proxy: &FaultServer) {
    let said = child_says(client, url, &proxy.url()).await;
    assert!(!said.contains("refused at start"), "{said}");
}

async fn child_says(client: InfluxClient, url: &str, proxy: &str) -> String {
    let mut command = Command::new(env::current_exe().expect("this binary"));
    command.args(["--exact", "delivery::sink::tests::proxies::child", "--ignored", "--nocapture"]);
    for name in ["NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "http_proxy", "https_proxy"] {
        command.env_remove(name);
    }
    command.env("HTTP_PROXY", proxy).env("http_proxy", proxy).env("HTTPS_PROXY", proxy);
    command.env("TEST_URL", url).env("TEST_CLIENT", format!("{client:?}"));
    let output =
        tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("a child");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    said
}
