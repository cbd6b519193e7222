//! A service with hyper and without axum: a route function names the routes.
//!
//! Run `cargo run --example hyper_service`, and send requests by
//! `curl http://127.0.0.1:3000/squares/7`, `…/squares/x` and `…/nowhere`. Stop the service by
//! Ctrl-C. The tag `route` in `monitoring-data/*.lp` contains the templates of [`route`], never the
//! requested paths. `-- ADDRESS` sets another address to listen on.
//!
//! In your own application turn the feature `axum` off:
//! `tower-influx = { …, default-features = false, features = ["reqwest"] }`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it talks to who runs it")]

use std::{borrow::Cow, convert::Infallible, env, error::Error, pin::pin, time::Duration};

use http::{Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::{conn::auto, graceful::GracefulShutdown},
    service::TowerToHyperService,
};
use tokio::{net::TcpListener, time};
use tower::{Layer, service_fn};
use tower_influx::{ErrorCode, Monitor, MonitoringData, Settings, head::RequestHead};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::start(Settings::new("hyper_service"))?;
    let service = TowerToHyperService::new(monitor.layer().route(route).layer(service_fn(answer)));
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);

    let (server, connections) = (auto::Builder::new(TokioExecutor::new()), GracefulShutdown::new());
    let mut stop = pin!(shutdown_signal());
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = &mut stop => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let connection = server.serve_connection(TokioIo::new(stream), service.clone());
                tokio::spawn(connections.watch(connection.into_owned()));
            }
            Err(error) => {
                eprintln!("cannot accept: {error}");
                // For example, no file descriptors are left. Without a pause this loop would use a
                // whole core.
                time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    let _ = time::timeout(Duration::from_secs(10), connections.shutdown()).await;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Returns templates, never the path of the client. Requests with `None` are recorded as
/// `unmatched`.
fn route(request: &RequestHead<'_>) -> Option<Cow<'static, str>> {
    match request.uri.path() {
        "/version" => Some("/version".into()),
        path if path.starts_with("/squares/") => Some("/squares/{number}".into()),
        _ => None,
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<String>, Infallible> {
    let response = match (request.method(), request.uri().path()) {
        (&Method::GET, "/version") => Response::new(concat!(env!("CARGO_PKG_VERSION"), "\n").to_owned()),
        (&Method::GET, path) if path.starts_with("/squares/") => square(&path["/squares/".len()..]),
        _ => failure(StatusCode::NOT_FOUND, None, "no such route\n"),
    };
    Ok(response)
}

fn square(number: &str) -> Response<String> {
    let Ok(number) = number.parse::<u32>() else {
        return failure(StatusCode::BAD_REQUEST, Some("no_number".into()), "that is no number\n");
    };
    // The data of the current request, as the extractor returns it in axum.
    if let Some(data) = MonitoringData::current() {
        data.field("number", number);
    }
    Response::new(format!("{}\n", u64::from(number) * u64::from(number)))
}

fn failure(status: StatusCode, code: Option<ErrorCode>, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    // The layer reads the code from the extensions. Without one, the code is the status.
    if let Some(code) = code {
        response.extensions_mut().insert(code);
    }
    response
}
