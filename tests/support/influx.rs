//! Runs InfluxDB 1.x as packaged by Debian, and queries its contents.

use std::{collections::BTreeMap, env, fs, process::Command};

use serde_json::Value;
use tempfile::TempDir;

use super::{
    http::{Http, query},
    live::INFLUXD,
    process::{Process, free_port},
};

/// A running `influxd` with its own data directory.
#[derive(Debug)]
pub(crate) struct Influx {
    process: Process,
    port: u16,
    credentials: Option<(String, String)>,
    http: Http,
    // Dropped after the process that writes there.
    directory: TempDir,
}

/// A point as InfluxDB returns it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    /// Nanoseconds since the epoch.
    pub(crate) time: i64,
    pub(crate) tags: BTreeMap<String, String>,
    pub(crate) fields: BTreeMap<String, Value>,
}

impl Stored {
    pub(crate) fn tag(&self, key: &str) -> &str {
        self.tags.get(key).map_or("", String::as_str)
    }
}

/// The configuration with which a server is started.
#[derive(Clone, Debug, Default)]
pub(crate) struct InfluxOptions {
    /// The user and password of the administrator. Without them, everyone may do everything.
    pub(crate) credentials: Option<(String, String)>,
    /// The largest body in bytes, 25,000,000 by default.
    pub(crate) max_body_size: Option<u64>,
}

impl Influx {
    pub(crate) async fn start() -> Self {
        Self::start_with(InfluxOptions::default()).await
    }

    pub(crate) async fn start_with(options: InfluxOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (port, rpc_port) = (free_port(), free_port());
        let data = directory.path().display();
        let configuration = format!(
            r#"
reporting-disabled = true
bind-address = "127.0.0.1:{rpc_port}"
[meta]
dir = "{data}/meta"
[data]
dir = "{data}/data"
wal-dir = "{data}/wal"
query-log-enabled = false
[monitor]
store-enabled = false
[subscriber]
enabled = false
[continuous_queries]
enabled = false
[http]
bind-address = "127.0.0.1:{port}"
auth-enabled = {authorization}
log-enabled = false
max-body-size = {max_body_size}
[logging]
level = "warn"
"#,
            authorization = options.credentials.is_some(),
            max_body_size = options.max_body_size.unwrap_or(25_000_000),
        );
        fs::write(directory.path().join("influxdb.conf"), configuration)
            .expect("a writable temporary directory");
        let process = Self::spawn(&directory);
        let influx = Self { process, port, credentials: options.credentials, http: Http::new(), directory };
        influx.wait_until_ready().await;
        if let Some((user, password)) = &influx.credentials {
            let create = format!("CREATE USER {user} WITH PASSWORD '{password}' WITH ALL PRIVILEGES");
            influx.query("", &create).await;
        }
        influx
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

    /// Sends SIGKILL. What the server has acknowledged is in its log on disk; what it was doing is
    /// lost.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// Starts it again after [`kill`](Self::kill), on the same port and data.
    pub(crate) async fn restart(&mut self) {
        self.process = Self::spawn(&self.directory);
        self.wait_until_ready().await;
    }

    pub(crate) async fn create_database(&self, database: &str) {
        self.query("", &format!("CREATE DATABASE \"{database}\"")).await;
    }

    /// Writes line protocol unchanged, to learn how the server answers it.
    pub(crate) async fn write(&self, database: &str, lines: impl Into<Vec<u8>>) -> super::http::HttpAnswer {
        let url = format!("{}/write?{}", self.url(), query(&[("db", database), ("precision", "n")]));
        self.http.post(&url, &[], lines.into()).await.expect("the server answers")
    }

    /// Runs InfluxQL and returns its only result, `{"series": […]}`. A query error fails the test.
    pub(crate) async fn query(&self, database: &str, text: &str) -> Value {
        let mut pairs = vec![("db", database), ("q", text), ("epoch", "ns")];
        if let Some((user, password)) = &self.credentials {
            pairs.extend([("u", user.as_str()), ("p", password.as_str())]);
        }
        let url = format!("{}/query?{}", self.url(), query(&pairs));
        let answer = self.http.post(&url, &[], axum::body::Body::empty()).await.expect("the server answers");
        assert!(answer.status.is_success(), "{text}: {} {}", answer.status, answer.text());
        let mut answer = answer.json();
        let result = answer["results"][0].take();
        assert!(result.get("error").is_none() && answer.get("error").is_none(), "{text}: {result} {answer}");
        result
    }

    /// Returns how many points of the measurement have the field, 0 if there is no such
    /// measurement.
    pub(crate) async fn count(&self, database: &str, measurement: &str, field: &str) -> u64 {
        let text = format!("SELECT count(\"{field}\") FROM \"{measurement}\"");
        let result = self.query(database, &text).await;
        result["series"][0]["values"][0][1].as_u64().unwrap_or(0)
    }

    /// Returns how many points have the field, for each value of a tag.
    pub(crate) async fn count_by(
        &self,
        database: &str,
        measurement: &str,
        field: &str,
        tag: &str,
    ) -> BTreeMap<String, u64> {
        let text = format!("SELECT count(\"{field}\") FROM \"{measurement}\" GROUP BY \"{tag}\"");
        let result = self.query(database, &text).await;
        let series = result["series"].as_array().cloned().unwrap_or_default();
        series
            .iter()
            .map(|one| {
                let value = one["tags"][tag].as_str().unwrap_or_default().to_owned();
                (value, one["values"][0][1].as_u64().unwrap_or(0))
            })
            .collect()
    }

    /// Returns the name and type of each field: `float`, `integer`, `string` or `boolean`. The
    /// types of a field with two types are joined by `+`.
    pub(crate) async fn field_types(&self, database: &str, measurement: &str) -> BTreeMap<String, String> {
        let result = self.query(database, &format!("SHOW FIELD KEYS FROM \"{measurement}\"")).await;
        let mut types = BTreeMap::<String, String>::new();
        for row in result["series"][0]["values"].as_array().into_iter().flatten() {
            let (key, kind) = (row[0].as_str().unwrap_or_default(), row[1].as_str().unwrap_or_default());
            types
                .entry(key.to_owned())
                .and_modify(|known| known.push_str(&format!("+{kind}")))
                .or_insert_with(|| kind.to_owned());
        }
        types
    }

    pub(crate) async fn measurements(&self, database: &str) -> Vec<String> {
        let result = self.query(database, "SHOW MEASUREMENTS").await;
        let rows = result["series"][0]["values"].as_array().cloned().unwrap_or_default();
        rows.iter().map(|row| row[0].as_str().unwrap_or_default().to_owned()).collect()
    }

    /// Returns every point of the measurement, by time.
    pub(crate) async fn points(&self, database: &str, measurement: &str) -> Vec<Stored> {
        let result = self.query(database, &format!("SELECT * FROM \"{measurement}\" GROUP BY *")).await;
        let mut points = Vec::new();
        for series in result["series"].as_array().into_iter().flatten() {
            let tags: BTreeMap<_, _> = series["tags"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.as_str().unwrap_or_default().to_owned()))
                // The tag is empty for a point that lacks it while others of its measurement have
                // it.
                .filter(|(_, value)| !value.is_empty())
                .collect();
            let columns: Vec<_> = series["columns"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect();
            for row in series["values"].as_array().into_iter().flatten() {
                let values = row.as_array().into_iter().flatten();
                let mut fields: BTreeMap<_, _> = columns
                    .iter()
                    .zip(values)
                    .filter(|(_, value)| !value.is_null())
                    .map(|(key, value)| (key.clone(), value.clone()))
                    .collect();
                let time = fields.remove("time").and_then(|time| time.as_i64());
                points.push(Stored { time: time.expect("every row has a time"), tags: tags.clone(), fields });
            }
        }
        points.sort_by_key(|point| point.time);
        points
    }

    async fn wait_until_ready(&self) {
        self.http.wait_for(&format!("{}/ping", self.url())).await;
    }

    fn spawn(directory: &TempDir) -> Process {
        let mut command = Command::new(INFLUXD.path());
        // The server also reads settings from the environment, and those of the machine must not
        // apply. Only the mark stays, by which `.ci/run` finds processes that are left over.
        command.arg("-config").arg(directory.path().join("influxdb.conf")).env_clear();
        command.envs(env::var_os("TOWER_INFLUX_RUN").map(|mark| ("TOWER_INFLUX_RUN", mark)));
        Process::start("influxd", &mut command, directory.path())
    }
}
