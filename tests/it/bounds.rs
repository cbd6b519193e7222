//! Bounds that hold for all values and any number of requests: one line for each point, the limit
//! on a tag's values, the identity of a point.

use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    http::{HeaderValue, Response, StatusCode},
    routing::get,
};
use futures_util::FutureExt;
use influxdb_line_protocol::{FieldValue, ParsedLine, parse_lines};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, ErrorCode, Monitor, MonitoringData, Point, Settings,
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

use crate::hostile::hostile;

/// A sink that keeps the text of all batches.
#[derive(Clone, Debug, Default)]
struct TextSink(Arc<Mutex<String>>);

impl Sink for TextSink {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        let text = std::str::from_utf8(batch.bytes()).expect("lines are UTF-8");
        self.0.lock().expect("no panic").push_str(text);
        Box::pin(async { Ok(Written::default()) })
    }

    fn describe(&self) -> String {
        "text".to_owned()
    }
}

#[tokio::test]
async fn hostile_values_do_not_break_lines() {
    let values = hostile();
    let sink = TextSink::default();
    let monitor = Monitor::builder(Settings::new("bounds")).sink(sink.clone()).start();
    let monitor = monitor.expect("settings are right");
    let handler = async |Path(number): Path<usize>, data: MonitoringData| {
        let value = hostile().swap_remove(number);
        data.tag("hostile", value.as_str());
        data.field("text", value.as_str());
        data.field("number", number);
        for (key, float) in [("nan", f64::NAN), ("infinite", f64::INFINITY), ("below", f64::NEG_INFINITY)] {
            data.tag(key, float);
            data.field(key, float);
        }
        (StatusCode::BAD_REQUEST, ErrorCode::from(value))
    };
    let app = Router::new().route("/hostile/{number}", get(handler)).layer(monitor.layer()).with_state(());
    // A name of the application may be hostile, too.
    let named = {
        let values = values.clone();
        let number =
            move |path: &str| path.rsplit('/').next().and_then(|number| number.parse::<usize>().ok());
        monitor
            .layer()
            .route(move |request| Some(values[number(request.uri.path())?].clone().into()))
            .layer(service_fn(async |_: Request| Ok::<_, Infallible>(Response::new(Body::empty()))))
    };
    for (number, value) in values.iter().enumerate() {
        // Bytes that HTTP forbids in a header cannot arrive.
        let bytes: Vec<u8> =
            value.bytes().filter(|byte| *byte == b'\t' || *byte >= 32 && *byte != 127).collect();
        let request = || {
            Request::get(format!("/hostile/{number}"))
                .header("x-request-id", HeaderValue::from_bytes(&bytes).expect("visible or opaque"))
                .body(Body::empty())
                .expect("a valid request")
        };
        assert_eq!(app.clone().oneshot(request()).await.expect("axum never fails").status(), 400);
        named.clone().oneshot(request()).await.expect("it never fails");
    }
    let report = monitor.shutdown(Duration::from_secs(60)).await;
    let all = 3 * values.len() as u64;
    assert_eq!((report.accepted, report.written), (all, all), "{report}");

    let text = sink.0.lock().expect("no panic").clone();
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(lines.len(), 3 * values.len(), "no value makes a line of its own");
    let mut seen: HashMap<(String, i64), usize> = HashMap::new();
    let mut named = 0;
    for line in lines {
        assert!(line.len() <= 64 * 1024, "{} bytes", line.len());
        let parsed: Vec<_> = parse_lines(line).collect();
        let [Ok(point)] = &parsed[..] else { panic!("{line:?} is {parsed:?}") };
        let measurement = point.series.measurement.to_string();
        let route = tag(point, "route").expect("the tag is always there");
        let numbers = point.field_set.iter().filter(|(key, _)| *key == "number");
        let numbers: Vec<_> = numbers.map(|(_, value)| value).collect();
        match numbers[..] {
            [FieldValue::I64(number)] => {
                assert_eq!(route, "GET:/hostile/{number}");
                assert_eq!(tag(point, "status_code").as_deref(), Some("400"));
                assert_eq!(tag(point, "error_code").is_some(), measurement == "errors", "{line:?}");
                *seen.entry((measurement, *number)).or_default() += 1;
            }
            [] => {
                assert!(route.starts_with("GET:") && measurement == "requests", "{line:?}");
                named += 1;
            }
            _ => panic!("{line:?}"),
        }
    }
    assert_eq!(named, values.len());
    for number in 0..values.len() as i64 {
        for measurement in ["requests", "errors"] {
            assert_eq!(seen.get(&(measurement.to_owned(), number)), Some(&1), "{measurement} of {number}");
        }
    }
}

fn tag(point: &ParsedLine<'_>, key: &str) -> Option<String> {
    let tags = point.series.tag_set.as_ref()?;
    tags.iter().find(|(found, _)| *found == key).map(|(_, value)| value.to_string())
}

/// A million distinct values of tags from several threads at once: each tag keeps its first ones.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_values_become_a_thousand_and_one() {
    let (monitor, sink) = start();
    let answer = |number: usize| {
        let data = MonitoringData::current().expect("a monitored request is running");
        for key in KEYS {
            data.tag(key, format!("value-{number}-of-{key}"));
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::BAD_REQUEST;
        response.extensions_mut().insert(ErrorCode::from(format!("code-{number}")));
        response
    };
    tokio::task::block_in_place(|| request_from_threads(&monitor, 8, 1_000_000 / KEYS.len(), answer));
    let report = monitor.shutdown(PATIENCE).await;
    let requests = 1_000_000 / KEYS.len();
    assert_eq!(report.written, 2 * requests as u64, "{report}");

    let limit = Settings::new("bounds").limits.tag_values;
    let points = sink.points();
    for key in KEYS.iter().chain(&["error_code"]) {
        let values: HashSet<_> = points.iter().filter_map(|point| point.tag(key)).collect();
        assert_eq!(values.len(), limit + 1, "values of `{key}`");
        assert!(values.contains("other"));
    }
    let overflowed = (KEYS.len() + 1) * (requests - limit);
    assert_eq!(monitor.stats().recorder.overflowed_tags, overflowed as u64);
}

/// All requests have the same route, so that only their times distinguish them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_thousand_requests_are_as_many_points() {
    let (monitor, sink) = start();
    let answer = |number: usize| {
        let mut response = Response::new(Body::empty());
        if number.is_multiple_of(4) {
            *response.status_mut() = StatusCode::BAD_REQUEST;
        }
        response
    };
    tokio::task::block_in_place(|| request_from_threads(&monitor, 8, 200_000, answer));
    let report = monitor.shutdown(PATIENCE).await;
    assert_eq!(report.written, 250_000, "{report}");
    let points = sink.points();
    let identities: HashSet<_> = points.iter().map(identity).collect();
    assert_eq!(identities.len(), 250_000);
    let of = |measurement: &str| -> HashSet<_> {
        points.iter().filter(|point| point.measurement() == measurement).filter_map(DataPoint::time).collect()
    };
    assert_eq!(of("requests").len(), 200_000, "one time, one request");
    assert!(of("errors").is_subset(&of("requests")), "the second point has the time of the first");
}

fn start() -> (Monitor, MemorySink) {
    let sink = MemorySink::new();
    let mut settings = Settings::new("bounds");
    settings.buffer_size = 512 * 1024 * 1024;
    let monitor = Monitor::builder(settings).sink(sink.clone()).start().expect("settings are right");
    (monitor, sink)
}

/// Returns what distinguishes points in InfluxDB.
fn identity(point: &DataPoint) -> String {
    let tags: Vec<_> = point.tags().collect();
    format!("{} {tags:?} {:?}", point.measurement(), point.time())
}

/// Sends `count` requests to a service that answers at once.
fn request_from_threads(
    monitor: &Monitor,
    threads: usize,
    requests: usize,
    answer: impl Fn(usize) -> Response<Body> + Clone + Send,
) {
    thread::scope(|scope| {
        for first in 0..threads {
            let (layer, answer) = (monitor.layer(), answer.clone());
            scope.spawn(move || {
                let mut service = layer.layer(service_fn(|request: Request<usize>| {
                    let response = answer(request.into_body());
                    async move { Ok::<_, Infallible>(response) }
                }));
                for number in (first..requests).step_by(threads) {
                    let response = service.call(Request::new(number)).now_or_never();
                    assert!(response.is_some_and(|response| response.is_ok()), "it answers at once");
                }
            });
        }
    });
}

const KEYS: [&str; 20] = [
    "key_a", "key_b", "key_c", "key_d", "key_e", "key_f", "key_g", "key_h", "key_i", "key_j", "key_k",
    "key_l", "key_m", "key_n", "key_o", "key_p", "key_q", "key_r", "key_s", "key_t",
];
const PATIENCE: Duration = Duration::from_secs(120);

/// Who catches panics of handlers holds these across a `catch_unwind`, without a wrapper.
#[test]
fn what_handlers_and_tests_hold_is_unwind_safe() {
    fn is_unwind_safe<T: std::panic::UnwindSafe + std::panic::RefUnwindSafe>() {}
    is_unwind_safe::<MonitoringData>();
    is_unwind_safe::<tower_influx::layer::ResponseBody<String>>();
    is_unwind_safe::<tower_influx::layer::RequestBody<String>>();
    is_unwind_safe::<tower_influx::timer::Timer>();
    is_unwind_safe::<MemorySink>();
}
