//! What the benches share: the same small axum service behind every peer, and ways to measure it.

use std::{
    convert::Infallible,
    future::{Ready, ready},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use axum::{Router, body::Body, response::IntoResponse, routing::get};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt};
use tower_influx::{
    ErrorCode, Monitor, MonitoringData, Settings,
    settings::KeepRequests,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
};

pub mod influx;
pub mod ledger;
pub mod measure;
#[cfg(feature = "peers")]
pub mod peers;
pub mod server;

/// One row of a table.
pub struct Variant {
    pub name: &'static str,
    /// The path that is asked for.
    pub path: &'static str,
    /// A header that the request has beside those of curl.
    pub header: Option<(&'static str, &'static str)>,
    pub app: Router,
}

impl Variant {
    /// One request of this row.
    pub fn request(&self) {
        request_with(&self.app, self.path, self.header);
    }
}

/// The routes that every variant serves.
pub fn routes() -> Router {
    Router::new()
        .route("/version", get(|| async { "0.1.0" }))
        .route("/items/{id}", get(|| async { "item" }))
        .route("/nothing", get(|_: NoExtractor| async { "0.1.0" }))
        .route("/extractor", get(|_: MonitoringData| async { "0.1.0" }))
        .route(
            "/tag",
            get(|data: MonitoringData| async move {
                data.tag("tenant", "acme");
                "0.1.0"
            }),
        )
        .route(
            "/extras",
            get(|data: MonitoringData| async move {
                data.tag("tenant", "acme");
                data.field("size", 7);
                data.field("share", 0.25);
                "0.1.0"
            }),
        )
        .route(
            "/capped",
            get(|data: MonitoringData| async move {
                data.tag("number", CALLS.fetch_add(1, Ordering::Relaxed));
                "0.1.0"
            }),
        )
        .route("/error", get(|| async { StatusCode::NOT_FOUND.into_response() }))
        .route("/code", get(|| async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) }))
}

/// A monitor whose points go nowhere, with its flusher on this runtime.
pub fn monitor(runtime: &Runtime) -> Monitor {
    monitor_to(runtime, Discard::default())
}

/// A monitor whose points go to this sink, with its flusher on this runtime.
pub fn monitor_to(runtime: &Runtime, sink: impl Sink) -> Monitor {
    let _entered = runtime.enter();
    Monitor::builder(Settings::new("bench")).sink(sink).start().expect("settings are right")
}

/// The monitors of all rows; their points go nowhere.
pub struct Monitors {
    pub ours: Monitor,
    /// With rollups, and all raw points.
    pub rollups: Monitor,
    /// With rollups, and no raw points.
    pub rollups_only: Monitor,
    pub disabled: Monitor,
}

impl Monitors {
    pub fn start(runtime: &Runtime) -> Self {
        let _entered = runtime.enter();
        let rollups = |keep| {
            let mut settings = Settings::new("bench");
            settings.rollup.interval = Some(Duration::from_secs(10));
            settings.requests.keep = keep;
            Monitor::builder(settings).sink(Discard::default()).start().expect("settings are right")
        };
        Self {
            ours: monitor(runtime),
            rollups: rollups(KeepRequests::All),
            rollups_only: rollups(KeepRequests::None),
            disabled: Monitor::disabled(),
        }
    }

    /// See [`ledger::close`].
    pub fn close(&self, runtime: &Runtime) {
        for monitor in [&self.ours, &self.rollups, &self.rollups_only] {
            ledger::close(runtime, monitor, None);
        }
    }
}

/// Takes everything, keeps a count.
#[derive(Clone, Default)]
pub struct Discard(pub Arc<AtomicU64>);

impl Sink for Discard {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        self.0.fetch_add(batch.len() as u64, Ordering::Relaxed);
        Box::pin(async { Ok(Written::new(0)) })
    }

    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
}

/// One request, with the headers that curl sends, to the last byte of its body.
pub fn request(app: &Router, path: &'static str) {
    request_with(app, path, None);
}

fn request_with(app: &Router, path: &'static str, header: Option<(&'static str, &'static str)>) {
    let mut builder = Request::builder()
        .uri(path)
        .header("host", "127.0.0.1:5120")
        .header("user-agent", "curl/8.5.0")
        .header("accept", "*/*");
    if let Some((name, value)) = header {
        builder = builder.header(name, value);
    }
    let request = builder.body(Body::empty()).expect("a valid request");
    let app = app.clone();
    let whole = async move {
        let response = app.oneshot(request).await.expect("axum never fails");
        response.into_body().collect().await.expect("the body is there").to_bytes()
    };
    let mut whole = std::pin::pin!(whole);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match whole.as_mut().poll(&mut context) {
        std::task::Poll::Ready(body) => drop(std::hint::black_box(body)),
        std::task::Poll::Pending => unreachable!("these handlers never wait"),
    }
}

/// The rows without peers: bare first, then nothing, then ours.
pub fn variants(monitors: &Monitors) -> Vec<Variant> {
    let Monitors { ours: monitor, rollups, rollups_only, disabled } = monitors;
    let variant =
        |name, path, router: Router| Variant { name, path, header: None, app: router.with_state(()) };
    let traced = |name, router| Variant { header: Some(TRACE), ..variant(name, "/version", router) };
    let ours = || routes().layer(monitor.layer());
    vec![
        variant("bare", "/version", routes()),
        variant("a layer that does nothing", "/version", routes().layer(Nothing)),
        variant("tower-influx, default", "/version", ours()),
        variant("tower-influx, extractor unused", "/extractor", ours()),
        variant("tower-influx, one tag", "/tag", ours()),
        variant("tower-influx, a tag and two fields", "/extras", ours()),
        variant("tower-influx, a tag beyond its number of values", "/capped", ours()),
        variant("tower-influx, failed", "/error", ours()),
        variant("tower-influx, failed with a code", "/code", ours()),
        variant("tower-influx, body tracked", "/version", routes().layer(monitor.layer().track_body())),
        variant(
            "tower-influx, both bodies tracked",
            "/version",
            routes().layer(monitor.layer().track_bodies()),
        ),
        variant("tower-influx, sizes", "/version", routes().layer(monitor.layer().sizes(true))),
        variant(
            "tower-influx, callback on the request",
            "/version",
            routes().layer(monitor.layer().on_request(|_, _| {})),
        ),
        variant(
            "tower-influx, callback on the response",
            "/version",
            routes().layer(monitor.layer().on_response(|_, _| {})),
        ),
        traced("tower-influx, a trace that is not read", ours()),
        traced("tower-influx, trace id", routes().layer(monitor.layer().trace_id(true))),
        variant("tower-influx, rollups", "/version", routes().layer(rollups.layer())),
        variant("tower-influx, rollups only", "/version", routes().layer(rollups_only.layer())),
        variant(
            "tower-influx, rollups only, failed with a code",
            "/code",
            routes().layer(rollups_only.layer()),
        ),
        variant("tower-influx, disabled", "/version", routes().layer(disabled.layer())),
        variant(
            "tower-influx, an outgoing call",
            "/call",
            calling(monitor.client_layer("upstream").layer(Upstream)),
        ),
        variant("bare, an outgoing call", "/call", calling(Upstream)),
        // What the rows of extractors and failures are to be compared with.
        variant("bare, an extractor that does nothing", "/nothing", routes()),
        traced("bare, a trace", routes()),
        variant("bare, failed", "/error", routes()),
        variant("bare, failed with a code", "/code", routes()),
    ]
}

/// A router whose handler makes a call by this client.
fn calling<S>(client: S) -> Router
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let call = async move || {
        let Ok(response) = client.clone().oneshot(Request::new(Body::empty())).await;
        response
    };
    Router::new().route("/call", get(call))
}

/// A server that a client calls, in this process.
#[derive(Clone)]
struct Upstream;

impl Service<Request<Body>> for Upstream {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        ready(Ok(Response::new(Body::from("0.1.0"))))
    }
}

/// An extractor that does nothing: axum's own price of any extractor.
struct NoExtractor;

impl<S: Sync> axum::extract::FromRequestParts<S> for NoExtractor {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(_: &mut http::request::Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self)
    }
}

/// A layer that does nothing: axum's own price of any layer.
#[derive(Clone)]
pub struct Nothing;

impl<S> Layer<S> for Nothing {
    type Service = NothingService<S>;

    fn layer(&self, inner: S) -> NothingService<S> {
        NothingService(inner)
    }
}

#[derive(Clone)]
pub struct NothingService<S>(S);

impl<S, R> Service<R> for NothingService<S>
where
    S: Service<R>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.0.call(request)
    }
}

/// What a traced caller sends.
const TRACE: (&str, &str) = ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");

/// Of the route whose tag never has the same value twice.
static CALLS: AtomicU64 = AtomicU64::new(0);
