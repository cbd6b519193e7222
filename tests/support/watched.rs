//! A monitor that keeps its points, with the assertions of tests about them.

use std::time::Duration;

use tokio::time::timeout;
use tower_influx::{DataPoint, Monitor, MonitoringLayer, Settings, sink::MemorySink};

pub(crate) struct Watched {
    pub(crate) monitor: Monitor,
    pub(crate) sink: MemorySink,
}

impl Watched {
    pub(crate) fn start(service: &str) -> Self {
        let sink = MemorySink::new();
        let builder = Monitor::builder(Settings::new(service)).sink(sink.clone());
        let monitor = builder.on_current_runtime().start();
        Self { monitor: monitor.expect("settings are right"), sink }
    }

    pub(crate) fn layer(&self) -> MonitoringLayer {
        self.monitor.layer()
    }

    /// Waits until no request runs any more, and compares every point, sorted. A point is written
    /// as `route status [error code] [how the body ended]`.
    pub(crate) async fn expect(&self, requests: &[&str], errors: &[&str]) {
        let ended = async {
            while self.monitor.stats().recorder.running_requests > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended).await.expect("every request ends");
        self.monitor.flush().await.expect("the monitor runs");
        assert_eq!(self.points("requests"), requests, "points of requests");
        assert_eq!(self.points("errors"), errors, "points of errors");
        let stats = self.monitor.stats();
        assert!(stats.balances(), "{stats}");
    }

    fn points(&self, measurement: &str) -> Vec<String> {
        let text = |point: &DataPoint| {
            let tags = ["route", "status_code", "error_code"].map(|key| point.tag(key));
            let end = point.field("body_end").and_then(|end| end.as_str());
            tags.into_iter().chain([end]).flatten().collect::<Vec<_>>().join(" ")
        };
        let mut points: Vec<_> = self.sink.measurement(measurement).iter().map(text).collect();
        points.sort();
        points
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
