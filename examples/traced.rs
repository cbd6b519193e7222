//! The log, the trace and the point of a request agree: each line that a handler logs has the id of
//! its request and of its trace, and so have the points.
//!
//! Run `cargo run --example traced`, and ask it with a trace:
//! `curl http://127.0.0.1:3000/hello/world -H "traceparent:
//! 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"`. The log line of the handler carries
//! both ids; the line in `monitoring-data/*.lp` carries the same two, as `request_id` and
//! `trace_id`. `-- ADDRESS` listens elsewhere.
//!
//! With OpenTelemetry leave `traceparent` to its propagator, and give the layer the id of the
//! current span by `trace_id_from`.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{env, error::Error, time::Duration};

use axum::{
    Router,
    extract::{Path, Request},
    middleware::{self, Next},
    response::Response,
    routing::get,
};
use tokio::net::TcpListener;
use tower_influx::{Monitor, MonitoringData, Settings};
use tracing::Instrument;

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_ansi(false).init();
    let mut settings = Settings::new("traced");
    settings.trace_id = true;
    let monitor = Monitor::start(settings)?;
    let app = Router::new()
        .route("/hello/{name}", get(hello))
        // Inside of the monitoring, which gives the request its id.
        .layer(middleware::from_fn(in_span))
        .layer(monitor.layer());
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Runs the rest of the request in a span with its two ids.
async fn in_span(data: MonitoringData, request: Request, next: Next) -> Response {
    let traceparent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
    // The layer has checked it: the point of a request with a bad one has no `trace_id`.
    let trace_id = traceparent.and_then(|value| value.split('-').nth(1)).unwrap_or_default();
    let span = tracing::info_span!("request", request_id = %data.request_id(), trace_id);
    next.run(request).instrument(span).await
}

async fn hello(Path(name): Path<String>) -> String {
    tracing::info!(name, "said hello");
    format!("hello {name}\n")
}
