//! The smallest monitored axum service.
//!
//! Run `cargo run --example minimal`, send a request by `curl http://127.0.0.1:3000/hello/world`,
//! and stop the service by Ctrl-C. The last line of its output shows what became of the points.
//! They are in `monitoring-data/*.lp`, one point per line. `-- ADDRESS` sets another address to
//! listen on.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{env, error::Error, time::Duration};

use axum::{Router, extract::Path, routing::get};
use tokio::net::TcpListener;
use tower_influx::{Monitor, Settings};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::start(Settings::new("minimal"))?;
    let app = Router::new().route("/hello/{name}", get(hello)).layer(monitor.layer());
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

async fn hello(Path(name): Path<String>) -> String {
    format!("hello {name}\n")
}
