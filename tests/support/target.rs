//! One server of any kind that this crate writes to, with the operations that a test suite for all
//! kinds needs. It is started here or named by the environment.

use std::{env, fs, path::PathBuf, time::Duration};

use tokio::time::{Instant, sleep};
use tower_influx::{
    Settings,
    settings::{InfluxApi, InfluxClient, Storage, Token},
};

use super::{
    http::{Http, query},
    influx::{Influx, InfluxOptions},
    influx2::Influx2,
    live::{self, INFLUXD, VICTORIA_METRICS},
    victoria::Victoria,
};

/// The kind of server, as `TOWER_INFLUX_TEST_KIND` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TargetKind {
    Influxdb1,
    Influxdb2,
    Influxdb3,
    VictoriaMetrics,
    Telegraf,
}

impl TargetKind {
    pub(crate) const ALL: [Self; 5] =
        [Self::Influxdb1, Self::Influxdb2, Self::Influxdb3, Self::VictoriaMetrics, Self::Telegraf];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Influxdb1 => "influxdb1",
            Self::Influxdb2 => "influxdb2",
            Self::Influxdb3 => "influxdb3",
            Self::VictoriaMetrics => "victoriametrics",
            Self::Telegraf => "telegraf",
        }
    }

    /// Returns the kind that the environment names, if it names a server.
    pub(crate) fn named() -> Option<Self> {
        env::var("TOWER_INFLUX_TEST_URL").ok()?;
        let name = env::var("TOWER_INFLUX_TEST_KIND").unwrap_or_else(|_| Self::Influxdb2.name().to_owned());
        let kind = Self::ALL.into_iter().find(|kind| kind.name() == name);
        Some(kind.unwrap_or_else(|| panic!("TOWER_INFLUX_TEST_KIND is `{name}`, which is no kind of server")))
    }

    /// Returns whether a bucket or database has to exist before it is written to.
    pub(crate) fn needs_a_bucket(self) -> bool {
        matches!(self, Self::Influxdb1 | Self::Influxdb2)
    }

    /// Returns whether the type of a field is fixed by its first value.
    pub(crate) fn has_types(self) -> bool {
        matches!(self, Self::Influxdb1 | Self::Influxdb2 | Self::Influxdb3)
    }

    pub(crate) fn clients(self) -> &'static [InfluxClient] {
        match self {
            // 1.6.7 has no `/api/v2/write`.
            Self::Influxdb1 => &[InfluxClient::Reqwest],
            _ => &[InfluxClient::Influxdb2, InfluxClient::Reqwest],
        }
    }
}

/// A server under test.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) kind: TargetKind,
    url: String,
    organization: String,
    bucket: String,
    token: String,
    /// The file that Telegraf writes.
    file: Option<PathBuf>,
    http: Http,
    own: Own,
}

/// A server that was started by this test.
#[derive(Debug)]
enum Own {
    No,
    Influx(Influx),
    Victoria(Victoria),
}

impl Target {
    /// Returns Debian's servers, and the one that the environment names. Prints which kinds are not
    /// tested, because the environment does not name them.
    pub(crate) async fn all(test: &str) -> Vec<Self> {
        let mut targets: Vec<_> = Self::from_environment().into_iter().collect();
        if live::ready(test, &[INFLUXD]) {
            let influx =
                Influx::start_with(InfluxOptions { credentials: Some(user()), ..InfluxOptions::default() })
                    .await;
            influx.create_database(BUCKET).await;
            let token = format!("{}:{}", user().0, user().1);
            targets
                .push(Self { token, ..Self::own(TargetKind::Influxdb1, influx.url(), Own::Influx(influx)) });
        }
        if live::ready(test, &[VICTORIA_METRICS]) {
            let victoria = Victoria::start().await;
            targets.push(Self::own(TargetKind::VictoriaMetrics, victoria.url(), Own::Victoria(victoria)));
        }
        for kind in TargetKind::ALL {
            if targets.iter().all(|target| target.kind != kind) {
                live::say(&format!(
                    "NOT RUN: {test}: no server of kind {}: TOWER_INFLUX_TEST_KIND and …_URL name none",
                    kind.name()
                ));
            }
        }
        targets
    }

    /// Returns whether it refuses writes without the right token. 3.x and Telegraf can be started
    /// without a token. If the environment names none, this prints that.
    pub(crate) fn asks_for_a_token(&self) -> bool {
        match self.kind {
            TargetKind::Influxdb1 | TargetKind::VictoriaMetrics => false,
            _ if self.token.is_empty() => {
                live::say(&format!(
                    "NOT RUN: a wrong token for {}: TOWER_INFLUX_TEST_TOKEN names no right one",
                    self.kind.name()
                ));
                false
            }
            _ => true,
        }
    }

    fn own(kind: TargetKind, url: String, own: Own) -> Self {
        let (organization, token) = (String::new(), String::new());
        Self { kind, url, organization, bucket: BUCKET.to_owned(), token, file: None, http: Http::new(), own }
    }

    fn from_environment() -> Option<Self> {
        let kind = TargetKind::named()?;
        let variable = |name: &str| env::var(format!("TOWER_INFLUX_TEST_{name}")).unwrap_or_default();
        let file = variable("FILE");
        assert!(
            kind != TargetKind::Telegraf || !file.is_empty(),
            "set TOWER_INFLUX_TEST_FILE to what Telegraf writes"
        );
        Some(Self {
            kind,
            url: variable("URL").trim_end_matches('/').to_owned(),
            organization: variable("ORGANIZATION"),
            bucket: Some(variable("BUCKET")).filter(|name| !name.is_empty()).unwrap_or(BUCKET.to_owned()),
            token: variable("TOKEN"),
            file: (!file.is_empty()).then(|| file.into()),
            http: Http::new(),
            own: Own::No,
        })
    }

    pub(crate) fn settings(&self, service: &str, client: InfluxClient) -> Settings {
        let mut settings = Settings::new(service);
        settings.storage = Storage::Influx;
        settings.influx.client = client;
        settings.influx.url = self.url.clone();
        settings.influx.bucket = self.bucket.clone();
        settings.influx.organization = self.organization.clone();
        match (self.kind, self.token.split_once(':')) {
            (TargetKind::Influxdb1, Some((name, password))) => {
                settings.influx.api = InfluxApi::V1;
                settings.influx.username = name.to_owned();
                settings.influx.password = Token::from(password);
            }
            _ => settings.influx.token = Token::from(self.token.as_str()),
        }
        settings.flush_interval = Duration::from_millis(100);
        settings.retry_interval = Duration::from_millis(50);
        settings.max_retry_interval = Duration::from_millis(500);
        settings
    }

    /// Waits until this service has that many values of a field, and returns how many it has.
    pub(crate) async fn wait_for_count(
        &self,
        measurement: &str,
        field: &str,
        service: &str,
        count: u64,
    ) -> u64 {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let found = self.count(measurement, field, service).await;
            if found >= count || Instant::now() > deadline {
                return found;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn count(&self, measurement: &str, field: &str, service: &str) -> u64 {
        match self.kind {
            TargetKind::Influxdb1 | TargetKind::Influxdb3 => {
                let text = format!(
                    "SELECT count(\"{field}\") FROM \"{measurement}\" WHERE \"service\" = '{service}'"
                );
                self.influxql(&text).await["series"][0]["values"][0][1].as_u64().unwrap_or(0)
            }
            TargetKind::Influxdb2 => {
                let server = Influx2::from_environment("count").expect("named by the environment");
                server.count(measurement, field, service).await
            }
            TargetKind::VictoriaMetrics => {
                self.get(&format!("{}/internal/force_flush", self.url)).await;
                let select = format!("{{__name__=\"{measurement}_{field}\",service=\"{service}\"}}");
                let export = query(&[("match[]", select.as_str())]);
                let answer = self.get(&format!("{}/api/v1/export?{export}", self.url)).await;
                let samples = answer.lines().map(|line| {
                    let line: serde_json::Value = serde_json::from_str(line).expect("a line of JSON");
                    line["values"].as_array().map_or(0, Vec::len) as u64
                });
                samples.sum()
            }
            TargetKind::Telegraf => {
                let is_one = |line: &&String| {
                    line.starts_with(&format!("{measurement},"))
                        && [" ", ","].iter().any(|before| line.contains(&format!("{before}{field}=")))
                };
                self.lines(service).iter().filter(is_one).count() as u64
            }
        }
    }

    /// Returns the result of InfluxQL, which 1.x and 3.x support.
    pub(crate) async fn influxql(&self, text: &str) -> serde_json::Value {
        let mut pairs = vec![("db", self.bucket.as_str()), ("q", text)];
        if let Some((name, password)) = self.token.split_once(':') {
            pairs.extend([("u", name), ("p", password)]);
        }
        let answer = self.get(&format!("{}/query?{}", self.url, query(&pairs))).await;
        let answer: serde_json::Value =
            serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{text}: {error}: {answer}"));
        answer["results"][0].clone()
    }

    /// Returns the answer to MetricsQL for the present moment.
    pub(crate) async fn metricsql(&self, text: &str) -> serde_json::Value {
        // Otherwise it would ignore samples of the last 30 seconds.
        let pairs = query(&[("query", text), ("nocache", "1")]);
        let answer = self.get(&format!("{}/api/v1/query?{pairs}", self.url)).await;
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{text}: {error}: {answer}"))
    }

    /// Returns the lines of a service that Telegraf has written.
    pub(crate) fn lines(&self, service: &str) -> Vec<String> {
        let text = fs::read(self.file.as_ref().expect("checked at start")).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let tag = format!("service={service}");
        text.lines().filter(|line| line.contains(&tag)).map(str::to_owned).collect()
    }

    /// Kills the server and starts it again. A server that would lose acknowledged points when
    /// killed is stopped instead. Returns false for a server that was not started here.
    pub(crate) async fn restart(&mut self) -> bool {
        match &mut self.own {
            Own::No => return false,
            Own::Influx(influx) => {
                influx.kill();
                influx.restart().await;
            }
            Own::Victoria(victoria) => victoria.restart().await,
        }
        true
    }

    async fn get(&self, url: &str) -> String {
        let mut request = http::Request::get(url);
        if !self.token.is_empty() && self.kind != TargetKind::Influxdb1 {
            request = request.header("authorization", format!("Bearer {}", self.token));
        }
        let request = request.body(axum::body::Body::empty()).expect("a valid request");
        self.http.send(request).await.expect("the server answers").text()
    }
}

fn user() -> (String, String) {
    ("shop".to_owned(), "a-password".to_owned())
}

const BUCKET: &str = "monitoring";
