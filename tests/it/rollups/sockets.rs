//! Full speed over sockets, while a server is down, is killed and returns.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::{Duration, Instant},
};

use axum::{Router, routing::get};
use tokio::{net::TcpListener, task::JoinSet, time::sleep};
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, Storage},
};

use crate::support::{
    http::Http,
    influx::Influx,
    live::{self, INFLUXD},
};

fn settings(influx: &Influx) -> Settings {
    let mut settings = Settings::new("shop");
    settings.storage = Storage::Influx;
    settings.influx.url = influx.url();
    settings.influx.bucket = "monitoring".to_owned();
    (settings.influx.client, settings.influx.api) = (InfluxClient::Reqwest, InfluxApi::V1);
    settings.buffer_size = 1024 * 1024;
    settings.batch_bytes = 128 * 1024;
    settings.flush_interval = Duration::from_millis(50);
    settings.max_retry_interval = Duration::from_millis(500);
    settings.rollup.interval = Some(Duration::from_millis(200));
    settings
}

async fn serve(monitor: &Monitor) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    let app = Router::new().route("/items/{id}", get(|| async { "item" })).layer(monitor.layer());
    tokio::spawn(async move { axum::serve(listener, app).await });
    address
}

/// Sends requests from four connections until it is stopped. Returns how many were answered.
async fn load(address: SocketAddr, stop: Arc<AtomicBool>) -> u64 {
    let mut clients = JoinSet::new();
    for _ in 0..4 {
        let stop = Arc::clone(&stop);
        clients.spawn(async move {
            let http = Http::new();
            let mut answered = 0;
            while !stop.load(Relaxed) {
                http.get(&format!("http://{address}/items/1")).await.expect("the service answers");
                answered += 1;
            }
            answered
        });
    }
    clients.join_all().await.into_iter().sum()
}

/// `TOWER_INFLUX_SECONDS` sets a longer duration.
#[tokio::test(flavor = "multi_thread")]
async fn at_full_speed_during_an_outage_and_a_kill_every_request_is_counted() {
    if !live::ready("at_full_speed_during_an_outage_and_a_kill_every_request_is_counted", &[INFLUXD]) {
        return;
    }
    let seconds = std::env::var("TOWER_INFLUX_SECONDS").ok().and_then(|text| text.parse().ok());
    let third = Duration::from_secs(seconds.unwrap_or(6)) / 3;
    let mut influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let monitor = Monitor::start(settings(&influx)).expect("starts");
    let stop = Arc::new(AtomicBool::new(false));
    let loading = tokio::spawn(load(serve(&monitor).await, Arc::clone(&stop)));
    sleep(third).await;
    influx.kill();
    // On a slow machine it continues until memory was too small.
    let began = Instant::now();
    while began.elapsed() < third || monitor.stats().ledger.dropped_total() == 0 {
        assert!(began.elapsed() < third + Duration::from_secs(60), "memory is never full");
        sleep(Duration::from_millis(100)).await;
        let stats = monitor.stats();
        assert!(stats.balances(), "{stats} {:?}", stats.rollup);
    }
    influx.restart().await;
    sleep(third).await;
    stop.store(true, Relaxed);
    let answered = loading.await.expect("no panic");
    let report = monitor.shutdown(Duration::from_secs(20)).await;
    let stats = monitor.stats();
    assert!(stats.balances() && report.in_time, "{report}");
    let number = async |query: &str| {
        influx.query("monitoring", query).await["series"][0]["values"][0][1].as_u64().unwrap_or(0)
    };
    let counted = number("SELECT sum(count) FROM requests_rollup").await;
    let stored = number("SELECT count(execution_time) FROM requests").await;
    let dropped = stats.ledger.dropped_total();
    live::say(&format!("{answered} requests, {counted} counted, {stored} stored, {dropped} points dropped"));
    assert_eq!(counted, answered);
    // Not equal: points that the server stored just before it was killed may have been dropped
    // here, since it did not answer.
    assert!(stored + dropped >= answered, "{stats}");
}
