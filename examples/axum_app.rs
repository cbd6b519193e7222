//! A complete axum application. It has state, nested routers, the extractor, an error type with
//! codes, settings from a file and the environment, a log, and a graceful shutdown.
//!
//! Run `cargo run --example axum_app`. It prints which requests to send. The points are in
//! `monitoring-data/*.lp`. A middleware adds the tag `client`, and the handlers add the tag
//! `customer` and the field `stock_time`. A failed request has a second line, in `errors`, with the
//! code of `AppError`.
//!
//! `-- FILE` reads the configuration from a TOML file instead of [`CONFIGURATION`]. Variables
//! `APP__…` override both: `APP__LISTEN=127.0.0.1:0` sets `listen`, and
//! `APP__MONITORING__SPOOL__DIRECTORY=/var/lib/app` sets `directory` in `[monitoring.spool]`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to who runs it")]

use std::{
    collections::BTreeMap,
    error::Error,
    io,
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use clap::Parser;
use config::{Config, ConfigError, Environment, File, FileFormat};
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tower_influx::{ErrorCode, Monitor, MonitoringData, Settings};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

/// The configuration without a file. Health checks are frequent and say nothing, so they are
/// excluded.
const CONFIGURATION: &str = r#"
listen = "127.0.0.1:3000"

[monitoring]
service = "axum_app"
filter.ignore = ["GET:/health"]
"#;

/// An axum application whose requests are monitored.
#[derive(Parser)]
#[command(name = "axum_app")]
struct Arguments {
    /// A TOML file with the configuration
    file: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Configuration {
    listen: String,
    monitoring: Settings,
}

#[derive(Clone)]
struct App {
    stock: Stock,
    monitor: Monitor,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("axum_app: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    // The monitoring logs through `tracing`. Without a subscriber, an unavailable database would go
    // unnoticed.
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let configuration = read_configuration(arguments.file)?;
    let listener = TcpListener::bind(&configuration.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", configuration.listen))?;
    let monitor = Monitor::start(configuration.monitoring)?;
    let app = App { stock: Stock::default(), monitor: monitor.clone() };

    let items = Router::new().route("/", get(list)).route("/{id}", get(item).put(deliver));
    let router = Router::new()
        .nest("/api/items", items)
        .route("/api/orders", post(order))
        .route("/health", get(async || "well\n"))
        .route("/stats", get(stats))
        .fallback(async || AppError::NoSuchRoute)
        .with_state(app)
        .layer(middleware::from_fn(tag_client))
        .layer(monitor.layer()); // last, so that it is around all routes and the fallback

    let address = format!("http://{}", listener.local_addr()?);
    println!("listening on {address}, try in another terminal:");
    println!("  curl {address}/api/items/1");
    println!("  curl {address}/api/items/99         fails with code 2001");
    println!(
        "  curl {address}/api/orders -H 'content-type: application/json' -d '{{\"customer\":\"acme\",\"item\":1,\"count\":2}}'"
    );
    println!("  curl {address}/stats                the ledger of the monitoring");
    axum::serve(listener, router).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// A middleware that tags the points of every request, for all handlers. The client chooses the
/// value of the header, so only known values become a tag.
async fn tag_client(data: MonitoringData, request: Request, next: Next) -> Response {
    let client = match request.headers().get("x-client").map(|value| value.as_bytes()) {
        Some(b"web") => "web",
        Some(b"phone") => "phone",
        Some(_) => "other",
        None => "none",
    };
    data.tag("client", client);
    next.run(request).await
}

async fn list(State(app): State<App>) -> Json<BTreeMap<u32, u32>> {
    Json(app.stock.all())
}

async fn item(
    State(app): State<App>,
    Path(id): Path<u32>,
    data: MonitoringData,
) -> Result<Json<u32>, AppError> {
    let count = data.time("stock_time", app.stock.count(id)).await.ok_or(AppError::NoSuchItem(id))?;
    data.field("stock", count);
    Ok(Json(count))
}

async fn deliver(State(app): State<App>, Path(id): Path<u32>, Json(count): Json<u32>) -> StatusCode {
    app.stock.add(id, count);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
struct Order {
    customer: String,
    item: u32,
    count: u32,
}

async fn order(
    State(app): State<App>,
    data: MonitoringData,
    Json(order): Json<Order>,
) -> Result<StatusCode, AppError> {
    // A tag creates one series per customer. Beyond the limit `tag_values`, all further customers
    // share one series.
    data.tag("customer", &order.customer);
    app.stock.take(order.item, order.count)?;
    Ok(StatusCode::CREATED)
}

async fn stats(State(app): State<App>) -> impl IntoResponse {
    Json(app.monitor.stats())
}

/// The errors of the application, each with a code for clients and dashboards.
#[derive(Debug)]
enum AppError {
    NoSuchRoute,
    NoSuchItem(u32),
    OutOfStock { left: u32 },
}

impl IntoResponse for AppError {
    fn into_response(self) -> Response {
        let (status, code, detail) = match self {
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, 1001, "no such route".to_owned()),
            Self::NoSuchItem(id) => (StatusCode::NOT_FOUND, 2001, format!("no item {id}")),
            Self::OutOfStock { left } => (StatusCode::CONFLICT, 2002, format!("only {left} left")),
        };
        // The layer reads the code from the extensions of the response, and the client from the
        // body.
        (status, ErrorCode::from(code), Json(json!({ "code": code, "detail": detail }))).into_response()
    }
}

/// Stands in for a database.
#[derive(Clone)]
struct Stock(Arc<Mutex<BTreeMap<u32, u32>>>);

impl Default for Stock {
    fn default() -> Self {
        Self(Arc::new(Mutex::new((1..=10).map(|id| (id, 3)).collect())))
    }
}

impl Stock {
    fn all(&self) -> BTreeMap<u32, u32> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn count(&self, item: u32) -> Option<u32> {
        self.all().get(&item).copied()
    }

    fn add(&self, item: u32, count: u32) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(item).or_default() += count;
    }

    fn take(&self, item: u32, count: u32) -> Result<(), AppError> {
        let mut stock = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let left = stock.get_mut(&item).ok_or(AppError::NoSuchItem(item))?;
        *left = left.checked_sub(count).ok_or(AppError::OutOfStock { left: *left })?;
        Ok(())
    }
}

/// Reads the file, and overrides its values with those of the environment.
fn read_configuration(file: Option<PathBuf>) -> Result<Configuration, ConfigError> {
    let builder = match file {
        Some(file) => Config::builder().add_source(File::from(file).format(FileFormat::Toml)),
        None => Config::builder().add_source(File::from_str(CONFIGURATION, FileFormat::Toml)),
    };
    // Two underscores, since Kubernetes sets variables with one: `APP_PORT` for a service `app`.
    // Values stay text, from which the settings read numbers, switches, durations and lists. If
    // they were parsed here, a token of digits would become a number.
    let environment = Environment::with_prefix("APP").prefix_separator("__").separator("__");
    builder.add_source(environment).build()?.try_deserialize()
}
