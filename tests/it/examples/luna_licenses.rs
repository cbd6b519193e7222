//! The licence server, with its points in files, in InfluxDB and in VictoriaMetrics.

use std::fs;

use crate::{
    stored::{counts, influx_behind_nginx},
    support::{
        example::{Example, LastLine},
        http::Http,
        live::{self, INFLUXD, NGINX, PROMTOOL, VICTORIA_METRICS},
        prometheus::complaints,
        service::{Planned, drive, expected},
        victoria::Victoria,
    },
};

/// Starts it with a configuration file if one is given, and waits until it answers.
async fn start(configuration: Option<&str>) -> (Example, String) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let configuration = configuration.map(|text| {
        fs::write(directory.path().join("config.toml"), text).expect("a writable directory");
        ["--config", "config.toml"]
    });
    let mut example = Example::start_in("luna_licenses", directory, |command| {
        command.args(["--listen", "127.0.0.1:0"]).args(configuration.into_iter().flatten());
    });
    let url = example.url().await;
    (example, url)
}

/// A thousand requests of all kinds that the example supports.
fn plan() -> Vec<Planned> {
    let planned = |path: String, route, status, error_code| Planned {
        method: http::Method::GET,
        path,
        route,
        status,
        error_code,
    };
    (0..1_000)
        .map(|number| match number {
            0..4 => planned("/slow".to_owned(), "GET:/slow", 200, None),
            number if number % 5 == 0 => {
                planned("/items/0".to_owned(), "GET:/items/{id}", 404, Some("11009"))
            }
            number if number % 5 == 1 => planned(format!("/{number}"), "GET:unmatched", 404, Some("11005")),
            number if number % 5 == 2 => planned("/version".to_owned(), "GET:/version", 200, None),
            number => planned(format!("/items/{number}"), "GET:/items/{id}", 200, None),
        })
        .collect()
}

/// Sends the requests, and returns the numbers of requests and of failures. Points that the example
/// writes about itself, such as its licence, are not included.
async fn ask(url: &str) -> (u64, u64) {
    let plan = plan();
    let (requests, errors) = expected(&plan);
    drive(url, plan, 8).await;
    (requests.values().sum(), errors.values().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_files() {
    let (mut example, url) = start(None).await;
    let (requests, failures) = ask(&url).await;
    let stats = Http::new().get(&format!("{url}/monitoring/stats")).await.expect("the stats");
    let accepted = stats.json()["accepted"].as_u64().expect("the stats are the ledger");
    let last = example.terminate().await;
    assert_eq!(last, LastLine::all_written(accepted));

    let points = example.points();
    assert_eq!((points["requests"].len() as u64, points["errors"].len() as u64), (requests, failures));
    let (expected_requests, expected_errors) = expected(&plan());
    assert_eq!(
        (counts(&points["requests"]), counts(&points["errors"])),
        (expected_requests, expected_errors)
    );
    assert_eq!(points.values().map(Vec::len).sum::<usize>() as u64, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_influxdb() {
    if !live::ready("the_example_writes_every_request_to_influxdb", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    let (mut example, url) = start(Some(&configuration(&nginx.url()))).await;
    let (requests, failures) = ask(&url).await;
    let last = example.terminate().await;
    assert_eq!(last, LastLine::all_written(last.accepted));
    assert_eq!(influx.count("monitoring", "requests", "execution_time").await, requests);
    assert_eq!(influx.count("monitoring", "errors", "request_id").await, failures);
    let (expected_requests, expected_errors) = expected(&plan());
    let by_route = influx.count_by("monitoring", "requests", "execution_time", "route").await;
    for (route, count) in by_route {
        let expected: u64 =
            expected_requests.iter().filter(|(key, _)| key.0 == route).map(|(_, count)| count).sum();
        assert_eq!(count, expected, "{route}");
    }
    let by_code = influx.count_by("monitoring", "errors", "request_id", "error_code").await;
    let expected: u64 =
        expected_errors.iter().filter(|(key, _)| key.2 == "11009").map(|(_, count)| count).sum();
    assert_eq!(by_code["11009"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_victoria_metrics() {
    if !live::ready("the_example_writes_every_request_to_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let (mut example, url) = start(Some(&configuration(&victoria.url()))).await;
    let (requests, failures) = ask(&url).await;
    let last = example.terminate().await;
    assert_eq!(last, LastLine::all_written(last.accepted));
    let count = victoria.wait_for_count("requests_execution_time", requests as usize).await;
    assert_eq!(count as u64, requests);
    let count = victoria.wait_for_count("errors_request_id", failures as usize).await;
    assert_eq!(count as u64, failures);
    assert_eq!(victoria.invalid_rows().await, 0);
}

#[tokio::test]
async fn the_environment_wins_over_the_file_of_the_example() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = "[other]\nkey = 1\n[monitoring]\ninstance = 'a'\ntags = { Zone = 'A' }\n";
    fs::write(directory.path().join("config.toml"), file).expect("a writable directory");
    let mut example = Example::start_in("luna_licenses", directory, |command| {
        command.args(["--config", "config.toml", "--listen", "127.0.0.1:0"]);
        // The second variable is that of a Kubernetes service `monitoring`.
        command.env("MONITORING__INSTANCE", "b").env("MONITORING_PORT", "tcp://10.96.0.17:80");
    });
    let url = example.url().await;
    assert_eq!(Http::new().get(&format!("{url}/version")).await.expect("an answer").status, 200);
    example.terminate().await;
    let point = &example.points()["requests"][0];
    assert_eq!(["service", "instance", "Zone"].map(|key| point.tag(key)), ["luna-licenses", "b", "A"]);
}

#[tokio::test]
async fn the_example_serves_metrics_by_the_chosen_names() {
    let count = "http_server_request_duration_seconds_count{http_request_method=\"GET\",http_route=\"/version\",http_response_status_code=\"200\"} 1\n";
    let luna = "request_count_total{status_code=\"200\",path=\"/version\",service=\"luna-licenses\"} 1\n";
    let file = "[monitoring.metrics]\nnames = \"luna\"\n";
    // The second has a section of its own that does not name metrics.
    for (configuration, expected) in
        [(None, count), (Some("[monitoring]\ninstance = \"a\"\n"), count), (Some(file), luna)]
    {
        let (mut example, url) = start(configuration).await;
        let http = Http::new();
        assert_eq!(http.get(&format!("{url}/version")).await.expect("an answer").status, 200);
        let scrape = http.get(&format!("{url}/metrics")).await.expect("an answer");
        assert_eq!(scrape.status, 200, "{configuration:?}");
        assert!(scrape.text().contains(expected), "{configuration:?}: {}", scrape.text());
        if live::ready("the_example_serves_metrics_by_the_chosen_names", &[PROMTOOL]) {
            assert_eq!(complaints(&scrape.text()), "");
        }
        let last = example.terminate().await;
        // The request and the licence: scrapes are not recorded.
        assert_eq!(last, LastLine::all_written(2), "{configuration:?}");
    }
}

#[tokio::test]
async fn the_example_does_not_start_with_metrics_by_unknown_names() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut example = Example::start_in("luna_licenses", directory, |command| {
        command.args(["--listen", "127.0.0.1:0"]).env("MONITORING__METRICS__NAMES", "statsd");
    });
    assert!(!example.ended().await.success());
    let output = example.output();
    for part in ["metrics.names", "statsd", "opentelemetry", "luna"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

/// Returns settings with the names of the reference beside our own.
fn configuration(url: &str) -> String {
    format!(
        r#"
[monitoring]
send_data_for_monitoring = 1
storage_type = "influx"
flushing_period = 1
url = "{url}"
organization = "luna"
bucket = "monitoring"
token = "a-token"
"#
    )
}
