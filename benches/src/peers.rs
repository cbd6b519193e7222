//! The peers, each set up as its own documentation says, exporting to nobody.

use std::{sync::OnceLock, time::Instant};

use axum::{
    Router,
    extract::{MatchedPath, Request},
    middleware::{Next, from_fn},
    response::Response,
};
use axum_otel_metrics::HttpMetricsLayerBuilder;
use axum_prometheus::PrometheusMetricLayer;
use influxdb2::models::DataPoint;
use opentelemetry_sdk::metrics::{ManualReader, SdkMeterProvider};
use tokio::sync::mpsc;
use tower_http::trace::TraceLayer;

use crate::{Variant, routes};

/// What the peers need to live.
pub struct Peers {
    points: mpsc::Sender<DataPoint>,
    runtime: tokio::runtime::Handle,
}

impl Peers {
    /// Starts the obvious port's writer on this runtime.
    pub fn new(runtime: &tokio::runtime::Runtime) -> Self {
        static PROVIDER: OnceLock<()> = OnceLock::new();
        PROVIDER.get_or_init(|| {
            let provider = SdkMeterProvider::builder().with_reader(ManualReader::builder().build());
            opentelemetry::global::set_meter_provider(provider.build());
            let reader = opentelemetry_sdk_for_axum_otel_metrics::metrics::ManualReader::builder().build();
            let provider = opentelemetry_sdk_for_axum_otel_metrics::metrics::SdkMeterProvider::builder();
            opentelemetry_for_axum_otel_metrics::global::set_meter_provider(
                provider.with_reader(reader).build(),
            );
        });
        let (points, mut received) = mpsc::channel::<DataPoint>(1 << 16);
        runtime.spawn(async move {
            let mut body = Vec::new();
            while let Some(point) = received.recv().await {
                let _ = influxdb2::models::WriteDataPoint::write_data_point_to(&point, &mut body);
                if body.len() > 1 << 20 {
                    body.clear();
                }
            }
        });
        Self { points, runtime: runtime.handle().clone() }
    }

    /// The rows of the peers.
    pub fn variants(&self) -> Vec<Variant> {
        let variant = |name, router: Router| Variant {
            name,
            path: "/version",
            header: None,
            app: router.with_state(()),
        };
        vec![
            variant("`middleware::from_fn` that does nothing", self.nothing_by_from_fn()),
            variant("tower-http `TraceLayer`, no subscriber", self.trace()),
            variant("axum-otel-metrics", self.axum_otel_metrics()),
            variant("axum-prometheus", self.axum_prometheus()),
            variant("opentelemetry-instrumentation-tower", self.opentelemetry_instrumentation_tower()),
            variant("`from_fn`, influxdb2's `DataPoint` and a channel", self.obvious_port()),
        ]
    }

    fn nothing_by_from_fn(&self) -> Router {
        routes().layer(from_fn(|request: Request, next: Next| next.run(request)))
    }

    fn trace(&self) -> Router {
        routes().layer(TraceLayer::new_for_http())
    }

    fn axum_prometheus(&self) -> Router {
        static LAYER: OnceLock<(
            PrometheusMetricLayer<'static>,
            axum_prometheus::metrics_exporter_prometheus::PrometheusHandle,
        )> = OnceLock::new();
        let _entered = self.runtime.enter();
        routes().layer(LAYER.get_or_init(PrometheusMetricLayer::pair).0.clone())
    }

    fn axum_otel_metrics(&self) -> Router {
        routes().layer(HttpMetricsLayerBuilder::new().build())
    }

    fn opentelemetry_instrumentation_tower(&self) -> Router {
        routes().layer(opentelemetry_instrumentation_tower::http::server::Layer::new())
    }

    /// What one would write in an afternoon: a `from_fn` that builds the client's own point and
    /// sends it to a task.
    fn obvious_port(&self) -> Router {
        let points = self.points.clone();
        routes().layer(from_fn(move |request: Request, next: Next| {
            let points = points.clone();
            async move { point_of(points, request, next).await }
        }))
    }
}

async fn point_of(points: mpsc::Sender<DataPoint>, request: Request, next: Next) -> Response {
    let start = Instant::now();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str);
    let route = format!("{}:{route}", request.method());
    let request_id = uuid::Uuid::new_v4().to_string();
    let response = next.run(request).await;
    let point = DataPoint::builder("requests")
        .tag("service", "bench")
        .tag("route", route)
        .tag("status_code", response.status().as_str())
        .field("request_id", request_id)
        .field("execution_time", start.elapsed().as_secs_f64())
        .build();
    if let Ok(point) = point {
        let _ = points.try_send(point);
    }
    response
}
