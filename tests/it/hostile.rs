//! Values that could break a line, inject a second point or spoil a batch, sent through handlers
//! into real servers.

use std::{collections::BTreeSet, time::Duration};

use axum::{Router, body::Body, extract::Path, response::IntoResponse, routing::get};
use http::{Request, StatusCode};
use proptest::{
    prelude::{Strategy, any},
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use tower::ServiceExt;
use tower_influx::{
    ErrorCode, Monitor, MonitoringData, Point,
    point::{Timestamp, Value},
};

use crate::{
    stored::{influx_behind_nginx, settings},
    support::{
        live::{self, INFLUXD, NGINX, VICTORIA_METRICS},
        victoria::Victoria,
    },
};

const BUCKET: &str = "monitoring";

/// Values that a client may have made a handler use in its tags and fields.
pub(crate) fn hostile() -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        " ",
        "plain",
        "a\nb",
        "a\r\nb",
        "\n",
        "a\nrequests,route=injected execution_time=1 1\n",
        "a b,c=d",
        "=",
        ",",
        "\"",
        "\"\"",
        "a\"b",
        "\\",
        "a\\",
        "\\\\",
        "a\\\\\\",
        "a\\,b",
        "a\\ b",
        "a\\\"",
        "#comment",
        "\t",
        "a\tb",
        "\0",
        "a\0b",
        "\u{1b}[31mred",
        "\u{7f}\u{80}\u{9f}",
        "👩‍👩‍👧‍👦 emoji 🚀",
        "ünïcödé ß 漢字 العربية",
        "\u{202e}reversed",
        "\u{feff}marked",
        "\u{2028}\u{2029}",
        "NaN",
        "1i",
        "true",
        "execution_time=7",
        "'; DROP MEASUREMENT requests; --",
        "${jndi:ldap://x}",
        "%n%s%00",
        "time",
    ]
    .map(str::to_owned)
    .into();
    for filler in ["x", "é", "🚀", "\"", "\\", "\n", " ", ",", "="] {
        values.push(filler.repeat(70_000 / filler.len()));
    }
    values
}

fn app(monitor: &Monitor) -> Router {
    async fn handler(Path(number): Path<usize>, data: MonitoringData) -> impl IntoResponse {
        let value = hostile().swap_remove(number);
        data.tag("hostile", value.as_str());
        data.field("text", value.as_str());
        data.field("number", number as i64);
        for (key, float) in [("nan", f64::NAN), ("infinite", f64::INFINITY), ("below", f64::NEG_INFINITY)] {
            data.field(key, float);
        }
        data.field("zero", -0.0);
        data.field("small", f64::MIN_POSITIVE);
        data.field("large", f64::MAX);
        data.field("least", i64::MIN);
        data.field("most", u64::MAX);
        // Names of the layer, which a handler cannot use.
        data.tag("route", "mine");
        data.field("execution_time", 1.0);
        data.tag("time", "mine");
        data.field("", 1);
        // Every second request fails, with a hostile error code.
        if number.is_multiple_of(2) {
            (StatusCode::BAD_REQUEST, ErrorCode::from(value), "bad").into_response()
        } else {
            "good".into_response()
        }
    }
    Router::new().route("/hostile/{number}", get(handler)).layer(monitor.layer())
}

/// Sends one request for each hostile value. Returns how many there were, and how many failed.
async fn attack(monitor: &Monitor) -> (usize, usize) {
    let count = hostile().len();
    for number in 0..count {
        let request = Request::get(format!("/hostile/{number}"));
        // The requests are hostile, too: a header that looks like a line, and an unknown path.
        let request = request.header("x-request-id", "id\"with,all = of\\it\\");
        let response = app(monitor).oneshot(request.body(Body::empty()).expect("a valid request")).await;
        let expected = if number % 2 == 0 { StatusCode::BAD_REQUEST } else { StatusCode::OK };
        assert_eq!(response.expect("a router does not fail").status(), expected);
    }
    (count, count.div_ceil(2))
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_are_data_to_influxdb() {
    if !live::ready("hostile_values_are_data_to_influxdb", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    let monitor = Monitor::start(settings(&nginx.url())).expect("the settings are good");
    let (requests, failures) = attack(&monitor).await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    let all = (requests + failures) as u64;
    assert_eq!((report.accepted, report.written, report.rejected), (all, all, 0), "{report}");

    assert_eq!(influx.measurements(BUCKET).await, ["errors", "requests"], "no other measurement exists");
    let stored = influx.points(BUCKET, "requests").await;
    let failed = influx.points(BUCKET, "errors").await;
    assert_eq!((stored.len(), failed.len()), (requests, failures));
    let numbers: BTreeSet<_> = stored.iter().map(|point| point.fields["number"].as_i64()).collect();
    assert_eq!(numbers.len(), requests, "each request has its one point");
    let known = BTreeSet::from(["hostile", "route", "service", "status_code", "error_code"]);
    for point in stored.iter().chain(&failed) {
        assert!(point.tags.keys().all(|key| known.contains(key.as_str())), "{:?}", point.tags);
        assert_eq!(point.tag("route"), "GET:/hostile/{number}");
        assert_eq!(point.fields["least"], i64::MIN);
        assert_eq!(point.fields["most"], i64::MAX, "1.x has no unsigned integers");
        assert_eq!(point.fields["large"].as_f64(), Some(f64::MAX));
        assert!(!point.fields.contains_key("nan") && !point.fields.contains_key("infinite"), "{point:?}");
        let number = point.fields["number"].as_i64().expect("an integer") as usize;
        let sent = &hostile()[number];
        // An empty string is a value like any other.
        let Some(text) = point.fields.get("text").and_then(|text| text.as_str()) else {
            panic!("{number} {sent:?} has no text: {point:?}");
        };
        if sent.len() < 1_000 && !sent.chars().any(char::is_control) {
            assert_eq!(text, sent, "a field keeps every character that is no control character");
        }
        if sent.len() > 16 * 1024 {
            assert!((15 * 1024..=16 * 1024).contains(&sent[..].len().min(text.len())), "{}", text.len());
        }
        assert!(point.tag("hostile").len() <= 1024 && !point.tag("hostile").contains('\n'));
        if sent.len() < 1_000 && !sent.contains('\\') && !sent.chars().any(char::is_control) {
            assert_eq!(point.tag("hostile"), sent, "as does a tag, but for backslashes");
        }
    }
    assert!(failed.iter().all(|point| !point.tag("error_code").is_empty()));
    let types = influx.field_types(BUCKET, "requests").await;
    assert!(types.values().all(|kind| !kind.contains('+')), "one field has one type: {types:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_values_are_data_to_victoria_metrics() {
    if !live::ready("hostile_values_are_data_to_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let monitor = Monitor::start(settings(&victoria.url())).expect("the settings are good");
    let (requests, failures) = attack(&monitor).await;
    let report = monitor.shutdown(Duration::from_secs(30)).await;
    let all = (requests + failures) as u64;
    assert_eq!((report.accepted, report.written), (all, all), "{report}");
    assert_eq!(victoria.wait_for_count("requests_number", requests).await, requests);
    assert_eq!(victoria.wait_for_count("errors_number", failures).await, failures);
    assert_eq!(victoria.invalid_rows().await, 0);
    let names: BTreeSet<_> = victoria.export(".+").await.into_iter().map(|series| series.name).collect();
    let ours = |name: &String| name.starts_with("requests_") || name.starts_with("errors_");
    assert!(names.iter().all(ours), "no other measurement exists: {names:?}");
}

/// A point of arbitrary text.
#[derive(Clone, Debug)]
struct Arbitrary {
    measurement: String,
    tags: Vec<(String, String)>,
    fields: Vec<(String, Value<'static>)>,
    number: i64,
}

impl Point for Arbitrary {
    fn measurement(&self) -> &str {
        &self.measurement
    }

    fn visit_tags(&self, visit: &mut dyn FnMut(&str, &str)) {
        self.tags.iter().for_each(|(key, value)| visit(key, value));
    }

    fn visit_fields(&self, visit: &mut dyn FnMut(&str, Value<'_>)) {
        self.fields.iter().for_each(|(key, value)| visit(key, value.clone()));
        visit("number", self.number.into());
    }

    fn time(&self) -> Option<Timestamp> {
        // Within one shard, and with distinct times, so that no two points are the same.
        Some(Timestamp::from(1_700_000_000_000_000_000 + self.number))
    }
}

/// Text with many special characters of line protocol.
fn text() -> impl Strategy<Value = String> {
    proptest::prop_oneof![
        "[\\\\,= \"\n\r\t#a-c\u{0}\u{7f}é🚀]{0,12}",
        "\\PC{0,20}",
        any::<String>(),
        proptest::collection::vec(any::<char>(), 0..8).prop_map(String::from_iter),
    ]
}

fn value() -> impl Strategy<Value = Value<'static>> {
    proptest::prop_oneof![
        text().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<bool>().prop_map(Value::from),
    ]
}

/// Points of arbitrary measurement, tags and fields. InfluxDB 1.6.7 accepts every line, and each is
/// exactly one point.
#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_the_encoder_is_accepted() {
    if !live::ready("every_line_of_the_encoder_is_accepted", &[INFLUXD, NGINX, VICTORIA_METRICS]) {
        return;
    }
    const POINTS: i64 = 2_000;
    let (influx, nginx) = influx_behind_nginx().await;
    let victoria = Victoria::start().await;
    let mut settings = settings(&nginx.url());
    settings.limits.tag_values = 0;
    let monitor = Monitor::start(settings.clone()).expect("the settings are good");
    settings.influx.url = victoria.url();
    let second = Monitor::start(settings).expect("the settings are good");
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    let pair = || proptest::collection::vec((text(), text()), 0..5);
    let strategy = (text(), pair(), proptest::collection::vec((text(), value()), 0..5));
    for number in 0..POINTS {
        let (measurement, tags, fields) = strategy.new_tree(&mut runner).expect("a value").current();
        // Each point has a measurement of its own, so that the field types of different points do
        // not conflict.
        let point = Arbitrary { measurement: format!("s{number}{measurement}"), tags, fields, number };
        monitor.record(&point);
        second.record(&point);
    }
    for (monitor, name) in [(&monitor, "InfluxDB"), (&second, "VictoriaMetrics")] {
        let report = monitor.shutdown(Duration::from_secs(60)).await;
        assert_eq!(report.written, report.accepted, "{name}: {report}");
        assert_eq!(report.accepted, POINTS as u64, "{name}: {report}");
    }
    assert_eq!(influx.measurements(BUCKET).await.len() as i64, POINTS);
    let result = influx.query(BUCKET, "SELECT count(\"number\") FROM /.*/").await;
    let counts = result["series"].as_array().cloned().unwrap_or_default();
    assert_eq!(counts.len() as i64, POINTS, "each point is there");
    assert!(counts.iter().all(|series| series["values"][0][1] == 1), "and only once");
    assert_eq!(victoria.wait_for_count("s[0-9]+.*_number", POINTS as usize).await as i64, POINTS);
    assert_eq!(victoria.invalid_rows().await, 0);
}
