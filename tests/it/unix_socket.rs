//! A server behind a Unix socket: the real nginx listens there, in front of a real InfluxDB.

use std::time::Duration;

use tower_influx::{
    DataPoint, Monitor,
    settings::{InfluxApi, InfluxClient},
};

use crate::{
    stored::settings,
    support::{
        influx::Influx,
        live::{self, INFLUXD, NGINX},
        nginx::{Fault, Nginx, Upstream},
    },
};

const TOKEN: &str = "a-token";
const BUCKET: &str = "monitoring";

fn record(monitor: &Monitor, points: std::ops::Range<i64>) {
    points.for_each(|number| monitor.record(&DataPoint::new("jobs").with_field("number", number)));
}

async fn stored(influx: &Influx) -> u64 {
    influx.count(BUCKET, "jobs", "number").await
}

#[tokio::test(flavor = "multi_thread")]
async fn points_go_through_a_socket_also_after_it_was_missing_for_a_while() {
    if !live::ready("points_go_through_a_socket", &[INFLUXD, NGINX]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database(BUCKET).await;
    let mut nginx = Nginx::before(Upstream::Influx(influx.port()), TOKEN).await;
    for api in [InfluxApi::Auto, InfluxApi::V2] {
        let before = stored(&influx).await;
        let mut settings = settings(&nginx.socket_url());
        settings.influx.client = InfluxClient::Reqwest;
        settings.influx.api = api;
        let monitor = Monitor::start(settings).expect("the settings are right");
        let report = monitor.probe().await;
        assert!(report.is_ok(), "{report:?}");
        record(&monitor, 0..100);
        assert!(monitor.flush().await.is_ok());
        assert_eq!(stored(&influx).await, before + 100);

        // First the socket's file exists but nobody listens, then it is missing, then it is new.
        nginx.stop();
        record(&monitor, 100..150);
        let failed = async {
            while monitor.stats().delivery.last_error.is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(20), failed).await.expect("a write fails");
        nginx.resume_service().await;
        nginx.set_fault(Fault::Status(503));
        record(&monitor, 150..200);
        nginx.heal();
        let report = monitor.shutdown(Duration::from_secs(20)).await;
        assert!(report.in_time && report.dropped == 0, "{report}");
        assert_eq!(stored(&influx).await, before + 200);
        assert!(monitor.stats().balances());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_socket_is_reported() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut settings = settings(&format!("unix://{}/none.sock", directory.path().display()));
    settings.influx.client = InfluxClient::Reqwest;
    let monitor = Monitor::start(settings).expect("a server may come later");
    let error = monitor.probe().await.expect_err("nobody is there").to_string();
    assert!(error.contains("No such file or directory"), "{error}");
    monitor.shutdown(Duration::ZERO).await;
}
