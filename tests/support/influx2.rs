//! Any InfluxDB 2.x that the environment names: the same tests run against it.

use std::{collections::BTreeMap, env};

use super::http::{Http, query, token};

/// A server, organization, bucket and token from `TOWER_INFLUX_TEST_URL`, `…_ORGANIZATION`,
/// `…_BUCKET` and `…_TOKEN`.
#[derive(Clone, Debug)]
pub(crate) struct Influx2 {
    pub(crate) url: String,
    pub(crate) organization: String,
    pub(crate) bucket: String,
    pub(crate) token: String,
    http: Http,
}

/// A row of a Flux query: the columns by name, as text.
pub(crate) type FluxRow = BTreeMap<String, String>;

impl Influx2 {
    /// Returns the server that the environment names. Without one, prints that and returns `None`.
    pub(crate) fn from_environment(test: &str) -> Option<Self> {
        let variable = |name: &str| env::var(format!("TOWER_INFLUX_TEST_{name}")).ok();
        let is_other = variable("KIND").is_some_and(|kind| kind != "influxdb2");
        let Some(url) = variable("URL").filter(|_| !is_other) else {
            super::live::say(&format!("NOT RUN: {test}: TOWER_INFLUX_TEST_URL names no InfluxDB 2.x"));
            return None;
        };
        let required = |name: &str| {
            variable(name).unwrap_or_else(|| panic!("TOWER_INFLUX_TEST_URL is set: set …_{name} as well"))
        };
        Some(Self {
            url: url.trim_end_matches('/').to_owned(),
            organization: required("ORGANIZATION"),
            bucket: required("BUCKET"),
            token: required("TOKEN"),
            http: Http::new(),
        })
    }

    /// Runs Flux and returns the rows of all its tables.
    pub(crate) async fn query(&self, flux: &str) -> Vec<FluxRow> {
        let url = format!("{}/api/v2/query?{}", self.url, query(&[("org", self.organization.as_str())]));
        let (name, value) = token(&self.token);
        let headers =
            [(name, value.as_str()), ("content-type", "application/vnd.flux"), ("accept", "application/csv")];
        let answer = self.http.post(&url, &headers, flux.to_owned()).await.expect("the server answers");
        assert!(answer.status.is_success(), "{flux}: {} {}", answer.status, answer.text());
        rows(&answer.text())
    }

    /// Writes line protocol with times in nanoseconds.
    pub(crate) async fn write(&self, lines: String) {
        let pairs = [("org", self.organization.as_str()), ("bucket", &self.bucket), ("precision", "ns")];
        let url = format!("{}/api/v2/write?{}", self.url, query(&pairs));
        let (name, value) = token(&self.token);
        let answer =
            self.http.post(&url, &[(name, value.as_str())], lines).await.expect("the server answers");
        assert!(answer.status.is_success(), "{} {}", answer.status, answer.text());
    }

    /// Returns how many values a field has for this service.
    pub(crate) async fn count(&self, measurement: &str, field: &str, service: &str) -> u64 {
        let flux = format!(
            "from(bucket: \"{}\") |> range(start: -1h) |> filter(fn: (r) => r._measurement == \"{measurement}\" \
             and r._field == \"{field}\" and r.service == \"{service}\") |> group() |> count()",
            self.bucket
        );
        let rows = self.query(&flux).await;
        rows.first().and_then(|row| row.get("_value")?.parse().ok()).unwrap_or(0)
    }
}

/// Parses the CSV of a Flux query: tables with one header line each, separated by empty lines.
fn rows(csv: &str) -> Vec<FluxRow> {
    let (mut rows, mut header) = (Vec::new(), None::<Vec<String>>);
    for record in records(csv) {
        if record.iter().all(String::is_empty) {
            header = None;
        } else if let Some(names) = &header {
            rows.push(names.iter().cloned().zip(record).filter(|(name, _)| !name.is_empty()).collect());
        } else {
            header = Some(record);
        }
    }
    rows
}

/// Parses the records of CSV. A quoted value may contain commas, quotes and line breaks.
fn records(csv: &str) -> Vec<Vec<String>> {
    let (mut records, mut record, mut value, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut rest = csv.chars().peekable();
    while let Some(one) = rest.next() {
        match one {
            '"' if quoted && rest.peek() == Some(&'"') => value.extend(rest.next()),
            '"' => quoted = !quoted,
            ',' if !quoted => record.push(std::mem::take(&mut value)),
            '\r' if !quoted => {}
            '\n' if !quoted => {
                record.push(std::mem::take(&mut value));
                records.push(std::mem::take(&mut record));
            }
            other => value.push(other),
        }
    }
    records
}
