//! Tests of your own service that check its points, with [`MemorySink`] instead of a database.
//!
//! Run the tests by `cargo test --example testing`. They are below, and need no network and no
//! sleep. `cargo run --example testing` runs the service itself. Send it requests by
//! `curl -X POST http://127.0.0.1:3000/transfers/5`, and with 5000 instead of 5. `-- ADDRESS` sets
//! another address to listen on.
//!
//! [`MemorySink`]: tower_influx::sink::MemorySink

#![allow(clippy::print_stdout, reason = "it talks to who runs it")]

use std::{env, error::Error, time::Duration};

use axum::{Router, extract::Path, http::StatusCode, routing::post};
use tokio::{net::TcpListener, time};
use tower_influx::{ErrorCode, Monitor, MonitoringData, Settings};

use shutdown::shutdown_signal;

#[path = "shutdown/mod.rs"]
mod shutdown;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let monitor = Monitor::start(Settings::new("testing"))?;
    let listener = TcpListener::bind(env::args().nth(1).as_deref().unwrap_or("127.0.0.1:3000")).await?;
    println!("listening on http://{}", listener.local_addr()?);
    axum::serve(listener, app(&monitor)).with_graceful_shutdown(shutdown_signal()).await?;
    println!("monitoring: {}", monitor.shutdown(Duration::from_secs(5)).await);
    Ok(())
}

/// Takes the monitor as a parameter, so that tests can pass their own.
fn app(monitor: &Monitor) -> Router {
    Router::new()
        .route("/transfers/{amount}", post(transfer))
        .route("/reports", post(report))
        .layer(monitor.layer())
}

async fn transfer(
    Path(amount): Path<u32>,
    data: MonitoringData,
) -> Result<StatusCode, (StatusCode, ErrorCode)> {
    data.tag("size", if amount < 100 { "small" } else { "large" });
    data.field("amount", amount);
    match amount {
        ..=1000 => Ok(StatusCode::ACCEPTED),
        _ => Err((StatusCode::PAYMENT_REQUIRED, ErrorCode::from(3001))),
    }
}

async fn report() {
    time::sleep(Duration::from_secs(3600)).await;
}

#[cfg(test)]
mod tests {
    use axum::{body::Body, http::Request};
    use tower::ServiceExt;
    use tower_influx::{DataPoint, point::Value, sink::MemorySink};

    use super::*;

    /// The service with a monitor that writes to memory.
    struct Watched {
        app: Router,
        monitor: Monitor,
        sink: MemorySink,
    }

    impl Watched {
        fn start() -> Self {
            let sink = MemorySink::new();
            let monitor = Monitor::builder(Settings::new("testing")).sink(sink.clone()).start();
            let monitor = monitor.expect("good settings");
            Self { app: app(&monitor), monitor, sink }
        }

        async fn post(&self, path: &str) -> StatusCode {
            let request = Request::post(path).body(Body::empty()).expect("a valid request");
            self.app.clone().oneshot(request).await.expect("axum answers").status()
        }

        /// Returns the points of a measurement, ordered by time. A flush writes them to the sink.
        async fn points(&self, measurement: &str) -> Vec<DataPoint> {
            self.monitor.flush().await.expect("the monitor runs");
            self.sink.measurement(measurement)
        }
    }

    #[tokio::test]
    async fn a_transfer_has_its_size_and_amount() {
        let service = Watched::start();
        assert_eq!(service.post("/transfers/5").await, StatusCode::ACCEPTED);
        let points = service.points("requests").await;
        let [point] = &points[..] else { panic!("one request makes one point: {points:?}") };
        assert_eq!(point.tag("route"), Some("POST:/transfers/{amount}"));
        assert_eq!(point.tag("status_code"), Some("202"));
        assert_eq!(point.tag("size"), Some("small"));
        assert_eq!(point.field("amount"), Some(&Value::Integer(5)));
        assert!(service.points("errors").await.is_empty());
    }

    #[tokio::test]
    async fn a_refused_transfer_has_its_code() {
        let service = Watched::start();
        assert_eq!(service.post("/transfers/5000").await, StatusCode::PAYMENT_REQUIRED);
        let errors = service.points("errors").await;
        let [error] = &errors[..] else { panic!("one failure makes one point: {errors:?}") };
        assert_eq!(error.tag("error_code"), Some("3001"));
        assert_eq!(error.field("amount"), Some(&Value::Integer(5000)), "it is in both measurements");
        assert_eq!(service.points("requests").await.len(), 1);
    }

    #[tokio::test]
    async fn no_amount_becomes_a_tag() {
        let service = Watched::start();
        for amount in [1, 2, 99, 100, 1001] {
            service.post(&format!("/transfers/{amount}")).await;
        }
        let points = service.points("requests").await;
        assert_eq!(points.len(), 5);
        for point in &points {
            let mut keys: Vec<_> = point.tags().map(|(key, _)| key).collect();
            keys.sort_unstable();
            assert_eq!(keys, ["route", "service", "size", "status_code"]);
        }
    }

    /// With paused time, an hour passes at once.
    #[tokio::test(start_paused = true)]
    async fn a_client_that_gives_up_is_counted() {
        let service = Watched::start();
        let impatient = time::timeout(Duration::from_secs(60), service.post("/reports"));
        assert!(impatient.await.is_err());
        let errors = service.points("errors").await;
        assert_eq!(errors.len(), 1);
        assert_eq!(errors[0].tag("status_code"), Some("499"));
        assert_eq!(errors[0].tag("error_code"), Some("cancelled"));
    }
}
