//! A function that its platform freezes between requests, as functions in a cloud are. Nothing runs
//! in the background then. So `flush` writes the points, before or after the answer.
//!
//! Run `cargo run --example frozen -- before` or `-- after`, and type one name per line. Each line
//! is a request. The output shows how long the flush took. With `before` the caller waits for the
//! flush, and the points are safe when the answer arrives. With `after` the caller does not wait.
//! But a platform that freezes the process after the answer can delay or lose the points of that
//! request.
//!
//! Points that the database does not accept are stored in a spool on the temporary disk. This disk
//! survives the process, but not the machine. The first batch that fails may stay in memory until
//! the next flush: a frozen process keeps it, and a process that is killed loses it. `INFLUX_URL`
//! sets the address of the database. Without it, points go to files.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{
    env,
    error::Error,
    io::{self, BufRead, Write},
    time::{Duration, Instant},
};

use axum::{Router, body::Body, extract::Path, routing::get};
use clap::{Parser, ValueEnum};
use http::Request;
use tower::ServiceExt;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxClient, SpoolSettings, Storage},
};

/// A function that is frozen between requests.
#[derive(Parser)]
#[command(name = "frozen")]
struct Arguments {
    /// When points are written
    #[arg(value_enum, default_value_t = Flush::Before)]
    flush: Flush,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Flush {
    /// Before the answer
    Before,
    /// After the answer
    After,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let is_before = Arguments::parse().flush == Flush::Before;
    let monitor = Monitor::start(settings())?;
    let app: Router = Router::new().route("/hello/{name}", get(hello)).layer(monitor.layer());
    for name in io::stdin().lock().lines() {
        let request = Request::get(format!("/hello/{}", name?.trim())).body(Body::empty())?;
        let response = app.clone().oneshot(request).await?;
        let body = axum::body::to_bytes(response.into_body(), 1024).await?;
        let answer = format!("answer: {}", String::from_utf8_lossy(&body));
        if !is_before {
            println!("{answer}");
        }
        let start = Instant::now();
        let report = monitor.flush().await?;
        // Spooled and waiting points are sent later: the request has not failed.
        let outcome = match (report.spooled, report.waiting) {
            (0, 0) => "written",
            (_, 0) => "on disk",
            _ => "in memory",
        };
        println!("flush: {outcome} within {:?}", start.elapsed());
        if is_before {
            println!("{answer}");
        }
        io::stdout().flush()?;
    }
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(2)).await);
    Ok(())
}

fn settings() -> Settings {
    let mut settings = Settings::new("frozen");
    // The platform stops slow functions. With short timeouts, a write that hangs ends in time for
    // its points to be stored in the spool.
    settings.influx.timeout = Duration::from_secs(2);
    settings.influx.connect_timeout = Duration::from_secs(1);
    settings.influx.bucket = "monitoring".to_owned();
    settings.spool = Some(SpoolSettings::new(env::temp_dir().join("frozen-monitoring")));
    if let Ok(url) = env::var("INFLUX_URL") {
        settings.storage = Storage::Influx;
        settings.influx.url = url;
        // Finds out which version the server has.
        settings.influx.client = InfluxClient::Reqwest;
    }
    settings
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}")
}
