//! Runs VictoriaMetrics, which answers 204 to everything, so that only its counters show what it
//! took.

use std::{collections::BTreeMap, process::Command, time::Duration};

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{
    http::{Http, query},
    live::VICTORIA_METRICS,
    process::{Process, free_port},
};

/// A running `victoria-metrics` with its own data directory.
#[derive(Debug)]
pub(crate) struct Victoria {
    process: Process,
    port: u16,
    http: Http,
    // Dropped after the process that writes there.
    directory: TempDir,
}

/// A time series as VictoriaMetrics returns it: one field of one tag set.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    /// `measurement_field`.
    pub(crate) name: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// Milliseconds since the epoch, and values.
    pub(crate) samples: Vec<(i64, f64)>,
}

impl Victoria {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let process = Self::spawn(&directory, port);
        let victoria = Self { process, port, http: Http::new(), directory };
        victoria.wait_until_ready().await;
        victoria
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Sends SIGTERM, and starts it again on the same port and data. It acknowledges writes before
    /// they are on disk, so that only an orderly end loses nothing.
    pub(crate) async fn restart(&mut self) {
        self.process.terminate(Duration::from_secs(20)).await;
        self.process = Self::spawn(&self.directory, self.port);
        self.wait_until_ready().await;
    }

    /// Writes line protocol unchanged, to learn how the server answers it.
    pub(crate) async fn write(&self, lines: impl Into<Vec<u8>>) -> super::http::HttpAnswer {
        let url = format!("{}/api/v2/write?bucket=test&precision=ns", self.url());
        self.http.post(&url, &[], lines.into()).await.expect("the server answers")
    }

    /// Returns how many lines of line protocol it could not parse.
    pub(crate) async fn invalid_rows(&self) -> u64 {
        self.metric("vm_rows_invalid_total{type=\"influx\"}").await
    }

    /// Returns how many fields (not points) it has accepted.
    pub(crate) async fn inserted_rows(&self) -> u64 {
        self.metric("vm_rows_inserted_total{type=\"influx\"}").await
    }

    /// Returns a counter of its own metrics.
    pub(crate) async fn metric(&self, name: &str) -> u64 {
        let answer = self.http.get(&format!("{}/metrics", self.url())).await.expect("the server answers");
        let text = answer.text();
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    /// Returns every series whose name matches the regular expression, after accepted samples have
    /// become visible.
    pub(crate) async fn export(&self, name: &str) -> Vec<Series> {
        self.flush().await;
        let select = format!("{{__name__=~\"{name}\"}}");
        let url = format!("{}/api/v1/export?{}", self.url(), query(&[("match[]", select.as_str())]));
        let answer = self.http.get(&url).await.expect("the server answers");
        assert!(answer.status.is_success(), "{}", answer.text());
        let text = answer.text();
        text.lines()
            .map(|line| {
                let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
                let mut labels: BTreeMap<_, _> = line["metric"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                    .collect();
                let times =
                    line["timestamps"].as_array().into_iter().flatten().filter_map(|one| one.as_i64());
                let values = line["values"].as_array().into_iter().flatten().filter_map(|one| one.as_f64());
                Series {
                    name: labels.remove("__name__").unwrap_or_default(),
                    labels,
                    samples: times.zip(values).collect(),
                }
            })
            .collect()
    }

    /// Returns how many samples the series of this name have.
    pub(crate) async fn count(&self, name: &str) -> usize {
        self.export(name).await.iter().map(|series| series.samples.len()).sum()
    }

    /// Waits until that many samples are visible, which takes up to about a second after a write.
    pub(crate) async fn wait_for_count(&self, name: &str, count: usize) -> usize {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.count(name).await;
            if found >= count || Instant::now() > deadline {
                return found;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn flush(&self) {
        let url = format!("{}/internal/force_flush", self.url());
        self.http.get(&url).await.expect("the server answers");
    }

    async fn wait_until_ready(&self) {
        self.http.wait_for(&format!("{}/health", self.url())).await;
    }

    fn spawn(directory: &TempDir, port: u16) -> Process {
        let mut command = Command::new(VICTORIA_METRICS.path());
        command
            .arg(format!("-httpListenAddr=127.0.0.1:{port}"))
            .arg(format!("-storageDataPath={}", directory.path().join("data").display()))
            // Its default of one month would silently drop points with times in the past.
            .args(["-retentionPeriod=100y", "-search.latencyOffset=0s", "-search.disableCache"])
            .args(["-memory.allowedBytes=256MiB", "-loggerLevel=WARN"]);
        Process::start("victoria-metrics", &mut command, directory.path())
    }
}
