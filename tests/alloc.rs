//! Counts the allocations of the layer. It is a separate binary, since the counting allocator
//! replaces that of the process.

use std::{convert::Infallible, time::Duration};

use axum::{Router, body::Body, http::StatusCode, routing::get};
use http::{Request, Response};
use http_body_util::BodyExt;
use tower::{Layer, Service, ServiceExt};
use tower_influx::{ErrorCode, Monitor, MonitoringData, Settings, settings::KeepRequests, sink::MemorySink};

#[derive(Clone)]
struct Nothing;

#[derive(Clone)]
struct NothingService<S>(S);

impl<S> Layer<S> for Nothing {
    type Service = NothingService<S>;

    fn layer(&self, inner: S) -> NothingService<S> {
        NothingService(inner)
    }
}

impl<S, B, R> Service<Request<B>> for NothingService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<B>) -> S::Future {
        self.0.call(request)
    }
}

/// Returns the least allocations of one request, up to the last byte of its body. The buffer
/// sometimes takes a new chunk, which is not a cost of the request itself.
async fn allocations<S>(app: S, path: &str) -> u64
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone,
{
    let mut least = u64::MAX;
    for _ in 0..200 {
        let request = Request::builder().uri(path).body(Body::empty()).expect("a valid request");
        let app = app.clone();
        // Polled once: these handlers never wait, so no other task runs in between.
        let mut whole = Box::pin(async {
            let Ok(response) = app.oneshot(request).await;
            response.into_body().collect().await.expect("the body is there").to_bytes()
        });
        let counted = allocation_counter::measure(|| {
            let mut context = std::task::Context::from_waker(std::task::Waker::noop());
            assert!(whole.as_mut().poll(&mut context).is_ready(), "handlers here do not wait");
        });
        least = least.min(counted.count_total);
    }
    least
}

fn routes() -> Router {
    Router::new()
        .route("/plain", get(|| async { "plain" }))
        .route("/items/{id}", get(|| async { "item" }))
        .route("/method", get(|_: http::Method| async { "method" }))
        .route("/taken", get(|_: MonitoringData| async { "taken" }))
        .route(
            "/tagged",
            get(|data: MonitoringData| async move {
                data.tag("tenant", "acme");
                data.field("size", 7);
                "tagged"
            }),
        )
        .route("/failed", get(|| async { StatusCode::NOT_FOUND }))
        .route("/coded", get(|| async { (StatusCode::NOT_FOUND, ErrorCode::from(11009)) }))
}

#[tokio::test]
async fn the_layer_allocates_nothing_of_its_own() {
    let monitor =
        Monitor::builder(Settings::new("alloc")).sink(MemorySink::new()).start().expect("settings are right");
    let nothing = routes().layer(Nothing).with_state(());
    let monitored = routes().layer(monitor.layer()).with_state(());
    for (path, like) in [
        ("/plain", "/plain"),
        ("/items/7", "/items/7"),
        // Without a monitor the extractor creates data that is not recorded, so it is compared with
        // another extractor.
        ("/taken", "/method"),
        ("/tagged", "/method"),
        ("/failed", "/failed"),
        ("/coded", "/coded"),
    ] {
        let without = allocations(nothing.clone(), like).await;
        let with = allocations(monitored.clone(), path).await;
        assert_eq!(with, without, "allocations of {path}, against {like} under a layer that does nothing");
    }
    monitor.shutdown(Duration::from_secs(5)).await;
}

/// Also when intervals end: the counters of a request exist since the interval before.
#[tokio::test]
async fn rollups_allocate_nothing_for_a_request() {
    for keep in [KeepRequests::All, KeepRequests::Failed, KeepRequests::None] {
        let mut settings = Settings::new("alloc");
        settings.rollup.interval = Some(Duration::from_secs(10));
        settings.rollup.tags = vec!["tenant".to_owned()];
        settings.requests.keep = keep;
        let monitor = Monitor::builder(settings).sink(MemorySink::new()).start().expect("settings are right");
        let nothing = routes().layer(Nothing).with_state(());
        let monitored = routes().layer(monitor.layer()).with_state(());
        for (path, like) in
            [("/plain", "/plain"), ("/tagged", "/method"), ("/failed", "/failed"), ("/coded", "/coded")]
        {
            let without = allocations(nothing.clone(), like).await;
            for _ in 0..3 {
                let with = allocations(monitored.clone(), path).await;
                assert_eq!(with, without, "{path} with {keep:?}");
                monitor.flush().await.expect("runs");
            }
        }
        monitor.shutdown(Duration::from_secs(5)).await;
    }
}

/// The trace of a request, and the exemplar that rollups keep of it.
#[tokio::test]
async fn traces_allocate_nothing_for_a_request() {
    let mut settings = Settings::new("alloc");
    settings.rollup.interval = Some(Duration::from_secs(10));
    let monitor = Monitor::builder(settings).sink(MemorySink::new()).start().expect("settings are right");
    let nothing = routes().layer(Nothing).with_state(());
    let traced = routes().layer(monitor.layer().trace_id_from(|_| Some(7))).with_state(());
    for path in ["/plain", "/failed"] {
        let without = allocations(nothing.clone(), path).await;
        for _ in 0..3 {
            assert_eq!(allocations(traced.clone(), path).await, without, "{path}");
            monitor.flush().await.expect("runs");
        }
    }
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn tracking_a_body_costs_the_box_that_axum_puts_it_in() {
    let monitor =
        Monitor::builder(Settings::new("alloc")).sink(MemorySink::new()).start().expect("settings are right");
    let nothing = routes().layer(Nothing).with_state(());
    let tracked = routes().layer(monitor.layer().track_body()).with_state(());
    for path in ["/plain", "/coded"] {
        let without = allocations(nothing.clone(), path).await;
        assert_eq!(allocations(tracked.clone(), path).await, without + 1, "allocations of {path}");
    }
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_disabled_monitor_allocates_nothing() {
    let nothing = routes().layer(Nothing).with_state(());
    let disabled = routes().layer(Monitor::disabled().layer()).with_state(());
    assert_eq!(allocations(disabled, "/plain").await, allocations(nothing, "/plain").await);
}

#[tokio::test]
async fn a_layer_costs_two_allocations_in_axum() {
    let bare = allocations(routes().with_state(()), "/plain").await;
    let nothing = allocations(routes().layer(Nothing).with_state(()), "/plain").await;
    assert_eq!(nothing - bare, 2, "axum's own price of any layer has changed: say so in docs/performance.md");
}
