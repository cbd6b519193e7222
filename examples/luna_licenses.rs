//! A monitored licence server, similar to that of the LUNA platform.
//!
//! Run `cargo run --example luna_licenses`. It needs nothing else: points go to line-protocol files
//! in `monitoring-data`. Options:
//!
//! - `-- --config FILE` reads a TOML file with a section `[monitoring]`, for example for InfluxDB.
//! - `-- --listen ADDRESS` sets another address to listen on than 127.0.0.1:5120.
//! - `-- --license FILE` sets another path of the licence.
//!
//! Environment variables `MONITORING__…` override the file, for example `MONITORING__TOKEN=…`.
//! With the feature `prometheus` it serves `/metrics`, with the names of OpenTelemetry or those of
//! `monitoring.metrics.names`.
//!
//! The first start creates a licence for demonstrations. Replace it while the service runs, for
//! example by a licence that has ended. `/items` then answers 403 until there is a valid licence:
//!
//! ```text
//! cargo run --example issue_license -- --key monitoring-data/demonstration-key.pem --subject me --product luna-licenses \
//!     --days -1 --out monitoring-data/license.jwt
//! curl -X POST http://127.0.0.1:5120/licenses
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to who runs it")]

use std::{
    error::Error,
    fs,
    path::{self, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use axum::{
    Json, Router,
    extract::{Path, Request, State},
    http::StatusCode,
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Parser;
use config::{Config, ConfigError, Environment, File, FileFormat};
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{EncodePrivateKey, KeypairBytes, spki::der::pem::LineEnding},
};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time};
use tower_influx::{
    ErrorCode, Monitor, MonitoringData, Settings,
    licensing::{LicenseFile, LicenseStatus, LicenseWatch, Licensing, PublicKey},
    live::LivePage,
};
use tracing_subscriber::EnvFilter;

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

/// A licence server, monitored.
#[derive(Parser)]
#[command(name = "luna_licenses")]
struct Arguments {
    /// A TOML file with a section `[monitoring]`
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The licence file; a licence for demonstrations is created if it does not exist
    #[arg(long, value_name = "FILE", default_value = "monitoring-data/license.jwt")]
    license: PathBuf,
    /// The address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:5120")]
    listen: String,
}

#[derive(Deserialize)]
struct Configuration {
    monitoring: Settings,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("luna_licenses: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let settings = read_settings(arguments.config)?;
    let monitor = Monitor::start(settings)?;

    let key = PublicKey::from_bytes(demonstration_key().verifying_key().as_bytes())?;
    make_license_if_absent(&arguments.license)?;
    let check = LicenseFile::new(&arguments.license, key, PRODUCT);
    let license = Licensing::new(check).spawn_checked(&monitor).await?;

    let page = LivePage::new(&monitor).license(&license);
    let monitored = Router::new()
        .route("/items/{id}", get(item))
        .route_layer(from_fn_with_state(license.clone(), licensed))
        .route("/licenses", get(license_state).post(check_license))
        .route("/version", get(version))
        .route("/slow", get(slow))
        .fallback(no_such_route)
        .with_state(license)
        .layer(monitor.layer()); // after the routes, so that it is around all of them
    // Outside of the layer, so that requests of the live page are not recorded.
    let app = Router::new().nest_service("/monitoring", page.router()).merge(monitored);
    // Outside of the layer for the same reason.
    #[cfg(feature = "prometheus")]
    let app = app.route("/metrics", monitor.metrics_route()?);

    let listener = TcpListener::bind(&arguments.listen).await.map_err(|error| {
        format!("cannot listen on {}: {error}; choose another by --listen", arguments.listen)
    })?;
    greet(&format!("http://{}", listener.local_addr()?));
    let server = axum::serve(listener, app).with_graceful_shutdown(shutdown_signal());
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

/// Stands in for a database.
async fn load(id: u32) -> Option<String> {
    time::sleep(Duration::from_micros(200)).await;
    (id != 0).then(|| "x".repeat(id as usize % 100))
}

/// Returns the result of the latest licence check.
async fn license_state(State(license): State<LicenseWatch>) -> Response {
    Json(license.latest().as_deref()).into_response()
}

/// Checks the licence now, for instance after its file was replaced.
async fn check_license(State(license): State<LicenseWatch>) -> Result<Response, ApiError> {
    match license.check_now().await {
        Ok(license) => Ok(Json(&*license).into_response()),
        Err(error) => {
            Err(ApiError { status: StatusCode::SERVICE_UNAVAILABLE, code: 33001, detail: error.to_string() })
        }
    }
}

/// The policy of this service: no items without a valid licence.
async fn licensed(State(license): State<LicenseWatch>, request: Request, next: Next) -> Response {
    match license.latest() {
        Some(license) if license.status() == LicenseStatus::Error => {
            let detail = license.state().errors().join("; ");
            ApiError { status: StatusCode::FORBIDDEN, code: 33002, detail }.into_response()
        }
        _ => next.run(request).await,
    }
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

/// Only for demonstrations, since this key is public. A vendor keeps its key secret, and a service
/// has only the public key: `PublicKey::from_pem(include_str!("vendor.pub.pem"))`.
fn demonstration_key() -> SigningKey {
    SigningKey::from_bytes(b"for demonstrations, by everybody")
}

/// Creates a licence for a year, and stores the key that issues further licences.
fn make_license_if_absent(path: &path::Path) -> Result<(), Box<dyn Error>> {
    if path.exists() {
        return Ok(());
    }
    let key = demonstration_key();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let claims =
        json!({ "sub": "demonstration", "aud": PRODUCT, "nbf": now, "exp": now + 365 * 24 * 60 * 60 });
    let encode = Base64UrlUnpadded::encode_string;
    let message =
        format!("{}.{}", encode(br#"{"alg":"EdDSA","typ":"JWT"}"#), encode(claims.to_string().as_bytes()));
    let signature = encode(&key.sign(message.as_bytes()).to_bytes());
    let directory = path.parent().unwrap_or(path::Path::new("."));
    fs::create_dir_all(directory)?;
    fs::write(path, format!("{message}.{signature}\n"))?;
    let pem = KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_pem(LineEnding::LF)?;
    fs::write(directory.join("demonstration-key.pem"), pem.as_bytes())?;
    Ok(())
}

const PRODUCT: &str = "luna-licenses";

/// Reads the section `[monitoring]` of the file, and overrides its values with those of the
/// environment.
fn read_settings(file: Option<PathBuf>) -> Result<Settings, ConfigError> {
    let mut builder = Config::builder().set_default("monitoring.service", PRODUCT)?;
    #[cfg(feature = "prometheus")]
    {
        builder = builder.set_default("monitoring.metrics.names", "opentelemetry")?;
    }
    if let Some(file) = file {
        builder = builder.add_source(File::from(file).format(FileFormat::Toml));
    }
    // Two underscores, since Kubernetes sets variables with one: `MONITORING_PORT` for a service
    // `monitoring`. The prefix is kept, because it is the name of the section.
    let environment =
        Environment::with_prefix("MONITORING").prefix_separator("__").separator("__").keep_prefix(true);
    let configuration: Configuration = builder.add_source(environment).build()?.try_deserialize()?;
    Ok(configuration.monitoring)
}

fn greet(address: &str) {
    println!("luna-licenses listens on {address}. Type in another terminal:");
    println!("  curl {address}/items/7                 a request with extra tags and fields");
    println!("  curl {address}/items/0                 a failed one, with error code 11009");
    println!("  curl {address}/licenses                the state of the licence");
    println!("  curl {address}/monitoring/stats        the ledger of the monitoring");
    #[cfg(feature = "prometheus")]
    println!("  curl {address}/metrics                 the metrics for Prometheus");
    println!("and open {address}/monitoring in a browser to see it all.");
    println!(
        "Ctrl-C ends it; the points are then in monitoring-data/*.lp, unless a --config says otherwise."
    );
}
