//! The log, the trace and the point of a request have the same ids: each log line of a handler has
//! the id of its request and of its trace, and so do the points.
//!
//! Run `cargo run --example traced`, and send a request with a trace:
//!
//! ```text
//! curl http://127.0.0.1:3000/hello/world \
//!     -H "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
//! ```
//!
//! The log line of the handler has both ids. The line in `monitoring-data/*.lp` has the same ids as
//! `request_id` and `trace_id`. `-- ADDRESS` sets another address to listen on.
//!
//! With OpenTelemetry, leave `traceparent` to its propagator, and pass the id of the current span
//! to the layer by `trace_id_from`.

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
        // Inside of the monitoring layer, which gives the request its id.
        .layer(middleware::from_fn(in_span))
        .layer(monitor.layer());
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Runs the rest of the request in a span that has both ids.
async fn in_span(data: MonitoringData, request: Request, next: Next) -> Response {
    // As the point has it: none, if the request brought none that is valid.
    let trace_id = data.trace_id().map(|id| format!("{id:032x}"));
    let span = tracing::info_span!("request", request_id = %data.request_id(), trace_id);
    next.run(request).instrument(span).await
}

async fn hello(Path(name): Path<String>) -> String {
    tracing::info!(name, "said hello");
    format!("hello {name}\n")
}
