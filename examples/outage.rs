//! What happens to points while a database is unavailable.
//!
//! Run `cargo run --example outage`. It sends twenty requests per second to its own service, prints
//! the ledger once a second, and prints how to start a database. Stop the database, and `spooled`
//! increases. Start it again, and `spooled` decreases. Stop the example by Ctrl-C while the
//! database is stopped: the next run finds the remaining points and counts them as `recovered`.
//!
//! `-- URL` sets another server than `http://127.0.0.1:8086`. Waiting points are in
//! `monitoring-data/outage`.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{error::Error, io, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use clap::Parser;
use http::Request;
use http_body_util::Empty;
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use tokio::{
    net::TcpListener,
    sync::watch,
    time::{self, MissedTickBehavior},
};
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, SpoolSettings, Storage},
    stats::Stats,
};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

/// A service that sends requests to itself, and shows where its points are.
#[derive(Parser)]
#[command(name = "outage")]
struct Arguments {
    /// The URL of the database
    #[arg(default_value = "http://127.0.0.1:8086")]
    url: String,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let Arguments { url } = Arguments::parse();
    let monitor = Monitor::start(settings(&url))?;
    let app = Router::new().route("/items/{id}", get(item)).layer(monitor.layer());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let service = listener.local_addr()?;
    greet(&url);

    let (stop, stopped) = watch::channel(false);
    let traffic = tokio::spawn(ask(format!("http://{service}/items/"), stopped.clone()));
    let printing = tokio::spawn(print_ledger(monitor.clone(), stopped.clone()));
    let server = axum::serve(listener, app).with_graceful_shutdown(has_stopped(stopped));
    let server = tokio::spawn(server.into_future());
    shutdown_signal().await;
    stop.send(true)?;
    traffic.await?;
    printing.await?;
    server.await??;
    println!("{}", line(&monitor.stats()));
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

fn settings(url: &str) -> Settings {
    let mut settings = Settings::new("outage");
    settings.storage = Storage::Influx;
    settings.influx.url = url.to_owned();
    settings.influx.bucket = "monitoring".to_owned();
    // The endpoint `/write`, which both InfluxDB 1 of Debian and VictoriaMetrics have. Remove both
    // lines for InfluxDB 2.
    settings.influx.client = tower_influx::settings::InfluxClient::Reqwest;
    settings.influx.api = InfluxApi::V1;
    settings.spool = Some(SpoolSettings::new("monitoring-data/outage"));
    // Shorter than the default of 30 seconds, so that changes are visible soon.
    settings.max_retry_interval = Duration::from_secs(2);
    settings
}

fn greet(url: &str) {
    let address = url.trim_start_matches("http://");
    println!("Writes to {url}. Start a database there, in another terminal, one of these two:");
    println!("  victoria-metrics -httpListenAddr={address} -storageDataPath=/tmp/victoria-metrics");
    println!("  influxd, and once: curl {url}/query --data-urlencode 'q=CREATE DATABASE monitoring'");
    println!("    (without that database it says `blocked: target`, and looks again after half a minute)");
    println!("Stop it (Ctrl-C there), start it again, and watch. Ctrl-C here ends this.");
    println!("{:>9} {:>9} {:>9} {:>9} {:>9}  state", "accepted", "written", "memory", "spooled", "lost");
}

async fn print_ledger(monitor: Monitor, stopped: watch::Receiver<bool>) {
    let mut seconds = time::interval(Duration::from_secs(1));
    while !*stopped.borrow() {
        seconds.tick().await;
        println!("{}", line(&monitor.stats()));
    }
}

fn line(stats: &Stats) -> String {
    let ledger = &stats.ledger;
    let recovered = match ledger.recovered {
        0 => String::new(),
        count => format!(", {count} recovered from an earlier run"),
    };
    format!(
        "{:>9} {:>9} {:>9} {:>9} {:>9}  {}{recovered}",
        ledger.accepted,
        ledger.written,
        ledger.buffered + ledger.in_flight,
        ledger.spooled,
        ledger.dropped_total() + ledger.rejected_total(),
        stats.delivery.state,
    )
}

async fn item(Path(id): Path<u32>) -> Result<String, StatusCode> {
    if id == 0 { Err(StatusCode::NOT_FOUND) } else { Ok(format!("item {id}\n")) }
}

/// Sends the requests. One request in ten fails, and has a second point.
async fn ask(url: String, stopped: watch::Receiver<bool>) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<axum::body::Bytes>>();
    let mut ticks = time::interval(Duration::from_millis(50));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0_u32.. {
        ticks.tick().await;
        if *stopped.borrow() {
            break;
        }
        let request = Request::get(format!("{url}{}", number % 10)).body(Empty::new());
        let Ok(request) = request else { break };
        if let Err(error) = client.request(request).await {
            println!("a request failed: {error}");
        }
    }
}

async fn has_stopped(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
