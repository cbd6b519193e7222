//! A licence server in the manner of the LUNA platform's, monitored.
//!
//! `cargo run --example luna_licenses` needs nothing else: points go to line-protocol files under `monitoring-data`.
//! `-- --config FILE` reads a TOML file with a section `[monitoring]`, for InfluxDB for instance; `-- --listen ADDRESS` listens
//! elsewhere than on 127.0.0.1:5120. Environment variables `MONITORING_…` win over the file: `MONITORING_TOKEN=…`.

use std::{env, error::Error, fs, time::Duration};

use axum::{
    Json, Router,
    extract::Path,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, signal, time};
use tower_influx::{ErrorCode, Monitor, MonitoringData, Settings};
use tracing_subscriber::EnvFilter;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse()?;
    let settings = read_settings(arguments.config.as_deref())?;
    let monitor = Monitor::start(settings)?;

    let monitored = Router::new()
        .route("/version", get(version))
        .route("/items/{id}", get(item))
        .route("/slow", get(slow))
        .fallback(no_such_route)
        .layer(monitor.layer()); // after the routes, so that it sees every one of them
    let stats = monitor.clone();
    let app =
        Router::new().route("/monitoring/stats", get(async move || Json(stats.stats()))).merge(monitored);

    let listener = TcpListener::bind(&arguments.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another by --listen", arguments.listen)
    })?;
    greet(&format!("http://{}", listener.local_addr()?));
    let server = axum::serve(listener, app).with_graceful_shutdown(asked_to_stop());
    server.await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

async fn version() -> Json<Value> {
    Json(json!({ "version": env!("CARGO_PKG_VERSION") }))
}

/// Adds a tag, a field and a timing to the points of its own request.
async fn item(Path(id): Path<u32>, data: MonitoringData) -> Result<Json<Value>, ApiError> {
    data.tag("kind", if id.is_multiple_of(2) { "even" } else { "odd" });
    let Some(item) = data.time("load_time", load(id)).await else {
        return Err(ApiError { status: StatusCode::NOT_FOUND, code: 11009, detail: format!("no item {id}") });
    };
    data.field("size", item.len());
    Ok(Json(json!({ "id": id, "item": item })))
}

/// Stands for a database.
async fn load(id: u32) -> Option<String> {
    time::sleep(Duration::from_micros(200)).await;
    (id != 0).then(|| "x".repeat(id as usize % 100))
}

async fn slow() -> &'static str {
    time::sleep(Duration::from_secs(2)).await;
    "that took two seconds\n"
}

async fn no_such_route() -> ApiError {
    ApiError { status: StatusCode::NOT_FOUND, code: 11005, detail: "no such route".to_owned() }
}

/// An error of the service, with a code that its clients know.
struct ApiError {
    status: StatusCode,
    code: i32,
    detail: String,
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let body = json!({ "error_code": self.code, "detail": self.detail });
        (self.status, ErrorCode::from(self.code), Json(body)).into_response()
    }
}

struct Arguments {
    config: Option<String>,
    listen: String,
}

impl Arguments {
    fn parse() -> Result<Self, String> {
        let mut arguments = Self { config: None, listen: "127.0.0.1:5120".to_owned() };
        let mut given = env::args().skip(1);
        while let Some(name) = given.next() {
            let value = given.next().ok_or_else(|| format!("{name} needs a value; {USAGE}"));
            match name.as_str() {
                "--config" => arguments.config = Some(value?),
                "--listen" => arguments.listen = value?,
                _ => return Err(format!("unknown argument {name}; {USAGE}")),
            }
        }
        Ok(arguments)
    }
}

const USAGE: &str = "usage: luna_licenses [--config FILE] [--listen ADDRESS]";

/// Section `[monitoring]` of the file, with the environment on top.
fn read_settings(config: Option<&str>) -> Result<Settings, Box<dyn Error>> {
    let text = match config {
        Some(file) => fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?,
        None => String::new(),
    };
    let mut config: toml::Table = text.parse()?;
    let mut monitoring = match config.remove("monitoring") {
        Some(toml::Value::Table(section)) => section,
        Some(_) => return Err("`monitoring` in the configuration is not a section".into()),
        None => toml::Table::new(),
    };
    monitoring.entry("service").or_insert_with(|| "luna-licenses".into());
    for (name, value) in env::vars() {
        if let Some(key) = name.strip_prefix("MONITORING_") {
            monitoring.insert(key.to_lowercase(), value.into());
        }
    }
    Ok(monitoring.try_into()?)
}

fn greet(address: &str) {
    println!("luna-licenses listens on {address}. Type in another terminal:");
    println!("  curl {address}/items/7                 a request with extra tags and fields");
    println!("  curl {address}/items/0                 a failed one, with error code 11009");
    println!("  curl {address}/monitoring/stats        the books of the monitoring");
    println!(
        "Ctrl-C ends it; the points are then in monitoring-data/*.lp, unless a --config says otherwise."
    );
}

/// Ctrl-C, or the SIGTERM of a container's end.
async fn asked_to_stop() {
    let interrupt = signal::ctrl_c();
    #[cfg(unix)]
    {
        let mut terminate = match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(terminate) => terminate,
            Err(error) => {
                tracing::warn!("cannot wait for SIGTERM: {error}");
                let _ = interrupt.await;
                return;
            }
        };
        tokio::select! {
            _ = interrupt => {}
            _ = terminate.recv() => {}
        }
    }
    #[cfg(not(unix))]
    let _ = interrupt.await;
}
