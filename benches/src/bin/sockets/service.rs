//! The service under load: a process of its own that is told what to do by lines on its input.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    time::Duration,
};

use axum::{Router, extract::Path, routing::get};
use tokio::{net::TcpListener, runtime::Runtime, sync::oneshot, time};
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, Storage},
};
use tower_influx_benches::{
    influx::DATABASE,
    ledger,
    measure::{pin, process_time},
    monitor,
};

/// The process, as its parent sees it. It ends when this is dropped.
pub(crate) struct Service {
    child: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

/// What it says at its end.
#[derive(Debug)]
pub(crate) struct LedgerCounts {
    pub(crate) accepted: u64,
    pub(crate) written: u64,
}

impl Service {
    pub(crate) fn start(kind: &str, database: u16) -> Self {
        let mut child = Command::new(env::current_exe().expect("a path"))
            .args(["serve", kind, &database.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("we can start ourselves");
        let (orders, answers) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut service = Self { child, orders, answers: BufReader::new(answers), port: 0 };
        service.port = service.answer().parse().expect("a port");
        service
    }

    /// Seconds of all its threads so far.
    pub(crate) fn processor_time(&mut self) -> f64 {
        self.order("time").parse().expect("seconds")
    }

    /// Returns when all points are written.
    pub(crate) fn flush(&mut self) {
        self.order("flush");
    }

    pub(crate) fn stop(mut self) -> LedgerCounts {
        let answer = self.order("stop");
        let (accepted, written) = answer.split_once(' ').expect("two numbers");
        LedgerCounts {
            accepted: accepted.parse().expect("a number"),
            written: written.parse().expect("a number"),
        }
    }

    fn order(&mut self, order: &str) -> String {
        let orders = self.orders.as_mut().expect("open until we are dropped");
        writeln!(orders, "{order}").expect("the service listens");
        self.answer()
    }

    fn answer(&mut self) -> String {
        let mut line = String::new();
        self.answers.read_line(&mut line).expect("the service speaks");
        line.trim().to_owned()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The end of its input is the end of the service.
        drop(self.orders.take());
        let _ = self.child.wait();
    }
}

/// What the process does.
pub(crate) fn serve(kind: &str, database: u16) {
    pin(0);
    let runtime = Runtime::new().expect("a runtime");
    let monitor = match kind {
        "bare" => Monitor::disabled(),
        "discard" => monitor(&runtime),
        _ => influx(&runtime, database),
    };
    let app = if monitor.is_enabled() { routes().layer(monitor.layer()) } else { routes() };
    let (stop, stopped) = oneshot::channel::<()>();
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
    println!("{}", listener.local_addr().expect("it is bound").port());
    let server = runtime.spawn(async move {
        let stopped = async { drop(stopped.await) };
        axum::serve(listener, app).with_graceful_shutdown(stopped).await
    });
    for order in std::io::stdin().lines() {
        match order.expect("the input can be read").as_str() {
            "time" => println!("{}", process_time().as_secs_f64()),
            "flush" => {
                let report = runtime.block_on(monitor.flush()).expect("the flusher runs");
                assert_eq!(report.waiting, 0, "not everything could be written: {report}");
                println!();
            }
            _ => break,
        }
    }
    drop(stop);
    runtime.block_on(server).expect("no panic").expect("axum ends");
    if monitor.is_enabled() {
        let report = ledger::close(&runtime, &monitor, None);
        println!("{} {}", report.accepted, report.written);
    } else {
        println!("0 0");
    }
}

/// As the example has them.
fn routes() -> Router {
    Router::new()
        .route("/version", get(async || ([("content-type", "application/json")], r#"{"version":"0.1.0"}"#)))
        .route("/items/{id}", get(item))
}

async fn item(Path(id): Path<u32>) -> ([(&'static str, &'static str); 1], String) {
    time::sleep(Duration::from_micros(200)).await;
    let body = format!(r#"{{"id":{id},"item":"{}"}}"#, "x".repeat(id as usize % 100));
    ([("content-type", "application/json")], body)
}

fn influx(runtime: &Runtime, port: u16) -> Monitor {
    let mut settings = Settings::new("bench");
    settings.storage = Storage::Influx;
    settings.influx.url = format!("http://127.0.0.1:{port}");
    settings.influx.bucket = DATABASE.to_owned();
    settings.influx.client = InfluxClient::Reqwest;
    settings.influx.api = InfluxApi::V1;
    let _entered = runtime.enter();
    Monitor::start(settings).expect("settings are right")
}
