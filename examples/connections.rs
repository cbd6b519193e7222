//! Connections that live longer than their request: a WebSocket that echoes messages, and a stream
//! of events. Each connection is a point in `connections` when it ends. Its request is a point in
//! `requests` when it starts.
//!
//! Run `cargo run --example connections`, and read the events by
//! `curl -N http://127.0.0.1:3000/events`. The WebSocket is at `/echo`. The points are in
//! `monitoring-data/*.lp`. `-- ADDRESS` sets another address to listen on.

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{convert::Infallible, env, error::Error, time::Duration};

use axum::{
    Router,
    extract::ws::{Message, WebSocket, WebSocketUpgrade},
    response::{
        IntoResponse, Response,
        sse::{Event, Sse},
    },
    routing::get,
};
use futures_util::stream;
use tokio::net::TcpListener;
use tower_influx::{Connection, Monitor, MonitoringData, Settings};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::start(Settings::new("connections"))?;
    let app = Router::new().route("/echo", get(echo)).route("/events", get(events)).layer(monitor.layer());
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Opens the connection in the handler, where the request is known, and moves it into the task.
async fn echo(upgrade: WebSocketUpgrade, data: MonitoringData) -> Response {
    let connection = data.connection("echo");
    upgrade.on_upgrade(|socket| serve_echo(socket, connection))
}

async fn serve_echo(mut socket: WebSocket, connection: Connection) {
    while let Some(message) = socket.recv().await {
        let text = match message {
            Ok(Message::Text(text)) => text,
            Ok(Message::Close(_)) => return connection.end("closed"),
            Ok(_) => continue,
            Err(_) => return connection.end("broken"),
        };
        connection.add("messages_in", 1);
        if socket.send(Message::Text(text)).await.is_err() {
            return connection.end("broken");
        }
        connection.add("messages_out", 1);
    }
    connection.end("client_left");
}

/// Sends three events. If a client disconnects earlier, the stream is dropped together with its
/// connection, whose point then has the end `dropped`.
async fn events(data: MonitoringData) -> impl IntoResponse {
    let connection = data.connection("events");
    Sse::new(stream::unfold((connection, 1), |(connection, number)| async move {
        if number > 3 {
            connection.end("complete");
            return None;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
        connection.add("messages_out", 1);
        let event = Event::default().data(format!("event {number}"));
        Some((Ok::<_, Infallible>(event), (connection, number + 1)))
    }))
}
