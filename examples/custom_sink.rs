//! A custom sink: it sends batches as lines over TCP, for example to Telegraf's `socket_listener`.
//!
//! Run `cargo run --example custom_sink`. It prints how to receive the points, and which requests
//! to send. Stop the receiver, send more requests, and start the receiver again: no point is lost.
//! If you stop the example while the receiver is stopped, the last line counts the dropped points,
//! because this example has no spool.
//!
//! `-- RECEIVER ADDRESS` sets other addresses of the receiver and the service than 127.0.0.1:8094
//! and 127.0.0.1:3000.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{error::Error, io, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, routing::get};
use clap::Parser;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time,
};
use tower_influx::{
    Monitor, Settings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
    stats::Blocked,
};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

/// A service whose points go to a TCP receiver.
#[derive(Parser)]
#[command(name = "custom_sink")]
struct Arguments {
    /// The address of the receiver
    #[arg(default_value = "127.0.0.1:8094")]
    receiver: String,
    /// The address to listen on
    #[arg(default_value = "127.0.0.1:3000")]
    address: String,
}

/// Sends each batch over its own connection.
struct TcpSink {
    receiver: String,
    timeout: Duration,
}

impl TcpSink {
    async fn send(&self, batch: &Batch) -> io::Result<()> {
        let mut connection = TcpStream::connect(&self.receiver).await?;
        connection.write_all(batch.bytes()).await?;
        connection.shutdown().await?;
        // The kernel has accepted the bytes, but perhaps the receiver has not read them. The
        // receiver closes its side when it has read everything. If it ends before, the connection
        // is reset, which is an error here.
        let mut answer = Vec::new();
        connection.take(1024).read_to_end(&mut answer).await?;
        Ok(())
    }
}

impl Sink for TcpSink {
    /// The flusher can drop this future at any await, and then writes the whole batch again. A part
    /// of the batch may have been sent by then. On a connection that is reused for the next batch,
    /// this part would be joined with the next line.
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async move {
            match time::timeout(self.timeout, self.send(batch)).await {
                Ok(Ok(())) => Ok(Written::new(batch.bytes().len() as u64)),
                Ok(Err(error)) => Err(self.classify(&error)),
                // Not transient: the receiver may have read the whole batch.
                Err(_) => Err(WriteError::timeout(format!("{} has not read it in time", self.receiver))),
            }
        })
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(async move {
            match time::timeout(self.timeout, TcpStream::connect(&self.receiver)).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(self.classify(&error)),
                Err(_) => Err(WriteError::timeout(format!("{} does not answer", self.receiver))),
            }
        })
    }

    fn describe(&self) -> String {
        format!("tcp://{}", self.receiver)
    }
}

impl TcpSink {
    /// Returns a transient error for a temporary failure, so that the batch is sent again. Only a
    /// failure that somebody must correct is `blocked`.
    fn classify(&self, error: &io::Error) -> WriteError {
        let message = format!("cannot write to {}: {error}", self.receiver);
        match error.kind() {
            io::ErrorKind::InvalidInput | io::ErrorKind::PermissionDenied => {
                WriteError::blocked(Blocked::Configuration, message)
            }
            io::ErrorKind::TimedOut => WriteError::timeout(message),
            _ => WriteError::transient(message),
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt().with_writer(io::stderr).init();
    let Arguments { receiver, address } = Arguments::parse();

    let mut settings = Settings::new("custom_sink");
    settings.max_retry_interval = Duration::from_secs(2);
    let sink = TcpSink { receiver: receiver.clone(), timeout: Duration::from_secs(10) };
    let monitor = Monitor::builder(settings).sink(sink).start()?;
    let app = Router::new().route("/items/{id}", get(item)).layer(monitor.layer());
    let listener = TcpListener::bind(address).await?;

    let (host, port) = receiver.rsplit_once(':').unwrap_or((&receiver, "8094"));
    println!("listening on http://{}. Type in two other terminals:", listener.local_addr()?);
    println!("  socat -u TCP-LISTEN:{port},bind={host},fork,reuseaddr STDOUT");
    println!("  curl 'http://{}/items/[0-9]'", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

async fn item(Path(id): Path<u32>) -> Result<String, StatusCode> {
    if id == 0 { Err(StatusCode::NOT_FOUND) } else { Ok(format!("item {id}\n")) }
}
