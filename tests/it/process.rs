//! Values of the process as stored by real servers, compared with those of the kernel.

use std::{fs, net::SocketAddr, time::Duration};

use axum::Router;
use tokio::net::TcpListener;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, MetricNames, Storage},
};

use crate::support::{
    influx::Influx,
    live::{self, INFLUXD, PROMETHEUS, PROMTOOL},
    prometheus::{Prometheus, complaints},
};

/// Returns a number from a line such as `Threads: 4` in `/proc/self/status`.
fn status(key: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("readable");
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()).expect("the line");
    number.parse().expect("a number")
}

fn settings() -> Settings {
    let mut settings = Settings::new("shop");
    settings.process.interval = Some(Duration::from_secs(1));
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn influxdb_stores_the_kernels_values_of_the_process() {
    if !live::ready("influxdb_stores_the_kernels_values_of_the_process", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let mut settings = settings();
    settings.storage = Storage::Influx;
    settings.influx.url = influx.url();
    settings.influx.bucket = "monitoring".to_owned();
    (settings.influx.client, settings.influx.api) = (InfluxClient::Reqwest, InfluxApi::V1);
    settings.instance = Some("one".to_owned());
    let monitor = Monitor::start(settings).expect("starts");
    // The first point comes at start, the second one a second later.
    while monitor.stats().ledger.accepted < 2 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    monitor.shutdown(Duration::from_secs(10)).await;
    let points = influx.points("monitoring", "process").await;
    assert!(points.len() >= 2, "{points:?}");
    let first = &points[0];
    assert_eq!((first.tag("service"), first.tag("instance")), ("shop", "one"));
    let value = |key: &str| first.fields[key].as_f64().expect("a number");
    assert_eq!(value("runtime_workers"), 2.0);
    for key in ["runtime_alive_tasks", "cpu_time", "open_files", "threads", "start_time"] {
        assert!(value(key) > 0.0, "{first:?}");
    }
    // Other tests of this process use and free memory, too.
    let resident = status("VmRSS") * 1024.0;
    assert!((0.05..20.0).contains(&(value("resident_memory") / resident)), "{first:?} {resident}");
    for pair in points.windows(2) {
        assert!(pair[0].fields["cpu_time"].as_f64() <= pair[1].fields["cpu_time"].as_f64(), "{pair:?}");
        assert_eq!(pair[0].fields["start_time"], pair[1].fields["start_time"]);
    }
    let types = influx.field_types("monitoring", "process").await;
    assert_eq!((types["cpu_time"].as_str(), types["threads"].as_str()), ("float", "integer"));
}

fn app(interval: bool) -> (Monitor, Router) {
    let mut settings = settings();
    settings.storage = Storage::None;
    settings.metrics.names = Some(MetricNames::OpenTelemetry);
    settings.process.interval = settings.process.interval.filter(|_| interval);
    let monitor = Monitor::start(settings).expect("starts");
    let router = Router::new().route("/metrics", monitor.metrics_route().expect("metrics are on"));
    (monitor, router)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prometheus_reads_the_process_by_its_standard_names() {
    let test = "prometheus_reads_the_process_by_its_standard_names";
    if !live::ready(test, &[PROMETHEUS, PROMTOOL]) {
        return;
    }
    let (_monitor, app) = app(true);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address: SocketAddr = listener.local_addr().expect("a bound socket");
    tokio::spawn(async move { axum::serve(listener, app).await });
    let text = crate::support::http::Http::new().get(&format!("http://{address}/metrics")).await;
    assert_eq!(complaints(&text.expect("answers").text()), "");
    let prometheus = Prometheus::start(address).await;
    prometheus.wait_for("tokio_workers", 2.0).await;
    let start = prometheus.number("process_start_time_seconds").await.expect("a start");
    let age = prometheus.number("time() - process_start_time_seconds").await.expect("an age");
    assert!(start > 1.7e9 && (-2.0..36_000.0).contains(&age), "{start} {age}");
    for name in [
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_threads",
        "process_open_fds",
        "process_max_fds",
        "tokio_alive_tasks",
        "tokio_worker_busy_seconds_total",
    ] {
        let value = prometheus.number(name).await;
        assert!(value.is_some_and(|value| value > 0.0), "{name} is {value:?}");
    }
    assert!(prometheus.number("tokio_global_queue_depth").await.is_some());
    let resident = prometheus.number("process_resident_memory_bytes").await.expect("a value");
    assert!((0.05..20.0).contains(&(resident / (status("VmRSS") * 1024.0))), "{resident}");
}

#[tokio::test]
async fn without_the_setting_there_are_no_metrics_of_the_process() {
    for interval in [false, true] {
        let (_monitor, app) = app(interval);
        let request = axum::extract::Request::get("/metrics").body(axum::body::Body::empty());
        let response = tower::ServiceExt::oneshot(app, request.expect("a request")).await;
        let body = response.expect("never fails").into_body();
        let body = axum::body::to_bytes(body, usize::MAX).await.expect("a body");
        let body = String::from_utf8(body.to_vec()).expect("text");
        let has = |name: &str| body.lines().any(|line| line.starts_with(name));
        assert_eq!((has("process_"), has("tokio_")), (interval, interval), "{body}");
    }
}
