//! Functions of the application that panic: each costs what it would have given, and is counted.

use std::{convert::Infallible, error::Error, fmt, time::Duration};

use axum::{Router, body::Body, routing::get};
use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tower::{Layer, ServiceExt, service_fn};
use tower_influx::{
    DataPoint, Monitor, MonitoringLayer, Settings,
    classify::{BodyOutcome, Classification, Classifier, Outcome},
    client::ClientLayer,
    sink::{Batch, MemorySink, Sink, SinkFuture, WriteError, Written},
};

use crate::labels::{monitor, points};

/// Panics in one of its functions.
struct PanicsAt {
    body: bool,
}

impl Classifier for PanicsAt {
    fn classify(&self, outcome: &Outcome<'_>) -> Classification {
        assert!(self.body, "on purpose");
        Classification::success(outcome.status())
    }

    fn classify_body(&self, head: Classification, _: &BodyOutcome<'_>) -> Classification {
        assert!(!self.body, "on purpose");
        head
    }
}

type OfLayer = fn(Router, MonitoringLayer) -> Router;

/// Every function that a layer takes.
const OF_LAYER: [(&str, OfLayer); 7] = [
    ("route", |app, layer| app.layer(layer.route(|_| panic!("on purpose")))),
    ("trace_id_from", |app, layer| app.layer(layer.trace_id_from(|_| panic!("on purpose")))),
    ("on_request", |app, layer| app.layer(layer.on_request(|_, _| panic!("on purpose")))),
    ("on_response", |app, layer| app.layer(layer.on_response(|_, _| panic!("on purpose")))),
    ("classify", |app, layer| app.layer(layer.classifier(PanicsAt { body: false }))),
    ("both, in the head", |app, layer| app.layer(layer.classifier(PanicsAt { body: false }).track_body())),
    ("both, in the body", |app, layer| app.layer(layer.classifier(PanicsAt { body: true }).track_body())),
];

#[tokio::test]
async fn every_function_of_a_layer_that_panics_is_counted_and_costs_no_request() {
    for (name, give) in OF_LAYER {
        let (monitor, sink) = monitor(Settings::new("panics"));
        let app = give(Router::new().route("/a/{id}", get(|| async { "body" })), monitor.layer());
        let request = Request::get("/a/1").body(Body::empty()).expect("a request");
        let response = app.oneshot(request).await.expect("never fails");
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(response.into_body().collect().await.expect("a body").to_bytes(), "body", "{name}");
        let points = points(&monitor, &sink, "requests").await;
        assert_eq!(points.len(), 1, "{name}");
        assert_eq!(points[0].tag("route"), Some("GET:/a/{id}"), "{name}");
        assert_eq!(points[0].tag("status_code"), Some("200"), "{name}");
        assert_eq!(monitor.stats().recorder.callback_panics, 1, "{name}");
    }
}

#[tokio::test]
async fn a_classifier_that_panics_for_a_request_without_a_response_is_counted() {
    let (monitor, sink) = monitor(Settings::new("panics"));
    let hanging = service_fn(|_: Request<Body>| std::future::pending::<Result<Response<Body>, Infallible>>());
    let service = monitor.layer().classifier(PanicsAt { body: false }).layer(hanging);
    let mut call = Box::pin(service.oneshot(Request::new(Body::empty())));
    assert!((&mut call).now_or_never().is_none());
    drop(call);
    assert_eq!(points(&monitor, &sink, "errors").await.len(), 1);
    assert_eq!(monitor.stats().recorder.callback_panics, 1);
}

/// A sink that panics when it is dropped, as one with a runtime of its own does on the thread of
/// another one.
struct PanicsAtTheEnd(MemorySink);

impl Sink for PanicsAtTheEnd {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        self.0.write(batch)
    }

    fn describe(&self) -> String {
        "panics at the end".to_owned()
    }
}

impl Drop for PanicsAtTheEnd {
    fn drop(&mut self) {
        panic!("on purpose");
    }
}

#[tokio::test]
async fn a_sink_that_panics_when_it_is_dropped_delays_no_end() {
    for on_current_runtime in [false, true] {
        let sink = MemorySink::new();
        let builder = Monitor::builder(Settings::new("panics")).sink(PanicsAtTheEnd(sink.clone()));
        let builder = builder.add_sink("second", PanicsAtTheEnd(sink.clone()));
        let builder = if on_current_runtime { builder.on_current_runtime() } else { builder };
        let monitor = builder.start().expect("starts");
        monitor.record(&DataPoint::new("jobs").with_field("number", 1));
        let report = monitor.shutdown(Duration::from_secs(5)).await;
        assert_eq!((report.written, report.dropped, report.in_time), (2, 0, true), "{report}");
        assert_eq!((sink.len(), monitor.stats().delivery.restarts), (2, 0));
        // The last handle does not drop the sink, and does not wait for long.
        drop(monitor);
    }
}

/// An error whose own functions panic.
#[derive(Debug)]
struct Hostile;

impl fmt::Display for Hostile {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        panic!("on purpose")
    }
}

impl Error for Hostile {}

type OfClient = fn(ClientLayer) -> ClientLayer;

/// Every function that a client layer takes or calls, and whether the call has to fail for it.
const OF_CLIENT: [(&str, OfClient, bool, u64); 5] = [
    ("route", |layer| layer.route(|_| panic!("on purpose")), false, 1),
    ("classify_response", |layer| layer.classify_response(|_, _| panic!("on purpose")), false, 1),
    ("classify_error", |layer| layer.classify_error(|_: &std::io::Error| panic!("on purpose")), true, 1),
    (
        "two of classify_error",
        |layer| {
            let twice = layer.classify_error(|_: &std::io::Error| panic!("on purpose"));
            twice.classify_error(|_: &std::io::Error| panic!("on purpose"))
        },
        true,
        2,
    ),
    ("nothing", |layer| layer, true, 0),
];

async fn call<E: 'static>(layer: ClientLayer, error: Option<E>) -> Result<StatusCode, E> {
    let mut answer = Some(error.map_or_else(|| Ok(Response::new(String::new())), Err));
    let service = service_fn(move |_: Request<String>| {
        let answer = answer.take().expect("one call");
        async { answer }
    });
    layer.layer(service).oneshot(Request::new(String::new())).await.map(|response| response.status())
}

#[tokio::test]
async fn every_function_of_a_client_layer_that_panics_is_counted_and_costs_no_call() {
    for (name, give, fails, panics) in OF_CLIENT {
        let (monitor, sink) = monitor(Settings::new("panics"));
        let error = fails.then(|| std::io::Error::from(std::io::ErrorKind::ConnectionRefused));
        let answer = call(give(monitor.client_layer("payments")), error).await;
        assert_eq!(answer.is_err(), fails, "{name}");
        assert_eq!(codes(&monitor, &sink).await, if fails { vec!["connect"] } else { vec![] }, "{name}");
        assert_eq!(monitor.stats().recorder.callback_panics, panics, "{name}");
    }
}

#[tokio::test]
async fn an_error_that_panics_when_it_is_written_out_gets_the_code_of_the_unknown() {
    let (monitor, sink) = monitor(Settings::new("panics"));
    let answer = call(monitor.client_layer("payments").error_type::<Hostile>(), Some(Hostile)).await;
    assert!(answer.is_err());
    assert_eq!(codes(&monitor, &sink).await, ["client_error"]);
    assert_eq!(monitor.stats().recorder.callback_panics, 1);
}

/// The error codes of the calls that failed.
async fn codes(monitor: &Monitor, sink: &MemorySink) -> Vec<String> {
    let points = points(monitor, sink, "client_errors").await;
    points.iter().map(|point| point.tag("error_code").expect("a tag").to_owned()).collect()
}
