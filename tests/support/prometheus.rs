//! Runs Prometheus as packaged by Debian, which scrapes one service, and its checker.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    time::Duration,
};

use serde_json::Value;
use tempfile::TempDir;
use tokio::time::sleep;

use super::{
    http::{Http, query},
    live::{PROMETHEUS, PROMTOOL},
    process::{Process, free_port},
};

/// A running `prometheus` with its own data directory.
#[derive(Debug)]
pub(crate) struct Prometheus {
    port: u16,
    http: Http,
    _process: Process,
    // Dropped after the process that writes there.
    _directory: TempDir,
}

impl Prometheus {
    /// Starts it. It scrapes `/metrics` of this address ten times a second.
    pub(crate) async fn start(target: SocketAddr) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let configuration = format!(
            "global:\n  scrape_interval: 100ms\n  scrape_timeout: 100ms\nscrape_configs:\n  - job_name: service\n    static_configs:\n      - targets: ['{target}']\n"
        );
        fs::write(directory.path().join("prometheus.yml"), configuration).expect("a writable directory");
        let mut command = Command::new(PROMETHEUS.path());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data", "--log.level=error"]);
        command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start("prometheus", &mut command, directory.path());
        let http = Http::new();
        http.wait_for(&format!("http://127.0.0.1:{port}/-/ready")).await;
        Self { port, http, _process: process, _directory: directory }
    }

    /// Returns the rows of an instant query.
    pub(crate) async fn rows(&self, expression: &str) -> Vec<Value> {
        let url = format!("http://127.0.0.1:{}/api/v1/query?{}", self.port, query(&[("query", expression)]));
        let answer = self.http.get(&url).await.expect("prometheus answers").json();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        answer["data"]["result"].as_array().expect("a vector").clone()
    }

    /// Returns the only number of an instant query. A scrape that a busy machine did not answer in
    /// time hides all numbers until the next one, so it waits for a row. `None` if there is never
    /// one.
    pub(crate) async fn number(&self, expression: &str) -> Option<f64> {
        for _ in 0..200 {
            if let Some(number) = self.number_now(expression).await {
                return Some(number);
            }
            sleep(Duration::from_millis(50)).await;
        }
        None
    }

    async fn number_now(&self, expression: &str) -> Option<f64> {
        let rows = self.rows(expression).await;
        assert!(rows.len() <= 1, "{expression}: {rows:?}");
        rows.first()?["value"][1].as_str()?.parse().ok()
    }

    /// Waits until a query returns this number.
    pub(crate) async fn wait_for(&self, expression: &str, expected: f64) {
        for _ in 0..200 {
            if self.number_now(expression).await == Some(expected) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
        panic!("{expression} is {:?}, not {expected}", self.rows(expression).await);
    }
}

/// Returns what `promtool check metrics` reports for an exposition: empty if it is valid.
pub(crate) fn complaints(exposition: &str) -> String {
    let mut command = Command::new(PROMTOOL.path());
    command.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("promtool starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(exposition.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() || !text.is_empty());
    text
}
