//! Points of the monitoring about itself, in the measurement `monitoring`, if the settings enable
//! them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    time::{MissedTickBehavior, interval},
};

use super::Inner;
use crate::{
    point::{DataPoint, schema},
    stats::Stats,
};

/// Writes a point every [`PERIOD`] in which other points were recorded, until the monitor is
/// dropped or shut down.
pub(super) fn spawn(runtime: &Handle, inner: &Arc<Inner>) {
    runtime.spawn(write(Arc::downgrade(inner)));
}

async fn write(inner: Weak<Inner>) {
    let mut ticks = interval(PERIOD);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut reported, mut own) = (0, 0);
    loop {
        ticks.tick().await;
        // Held only for this iteration: the flusher must end, and spool what is left, when only
        // this task still uses it.
        let Some(inner) = inner.upgrade() else { return };
        if inner.recorder.buffer.is_closed() {
            return;
        }
        let stats = inner.stats();
        // Without points of this kind: an idle service must not write one because of the one
        // before.
        let others = (stats.ledger.offered + stats.ledger.recovered).saturating_sub(own);
        if others != reported {
            let service = inner.settings.lock().service.clone();
            inner.recorder.record(&point(&stats, &service));
            // Each destination counts the point.
            (reported, own) = (others, own + 1 + inner.fan_out.count() as u64);
        }
    }
}

fn point(stats: &Stats, service: &str) -> DataPoint {
    let Stats { ledger, recorder, delivery, .. } = stats;
    let seconds = |duration: Duration| duration.as_secs_f64();
    DataPoint::new(schema::MONITORING)
        .with_tag(schema::SERVICE, service)
        .with_field("accepted", whole(ledger.accepted))
        .with_field("recovered", whole(ledger.recovered))
        .with_field("written", whole(ledger.written))
        .with_field("rejected", whole(ledger.rejected_total()))
        .with_field("dropped", whole(ledger.dropped_total()))
        .with_field("buffered", whole(ledger.buffered))
        .with_field("in_flight", whole(ledger.in_flight))
        .with_field("spooled", whole(ledger.spooled))
        .with_field("invalid", whole(recorder.invalid))
        .with_field("refused", whole(recorder.refused_full + recorder.refused_closed))
        .with_field("running_requests", whole(recorder.running_requests))
        .with_field("state", delivery.state.as_str())
        .with_field("memory", whole(delivery.memory))
        .with_field("resent", whole(delivery.resent))
        .with_field("oldest_age", delivery.oldest_age.map_or(0.0, seconds))
        .with_field("write_time_p50", seconds(delivery.write_time.p50()))
        .with_field("write_time_p99", seconds(delivery.write_time.p99()))
        .with_field("queue_time_p50", seconds(delivery.queue_time.p50()))
        .with_field("queue_time_p99", seconds(delivery.queue_time.p99()))
}

/// Converts a count, since integers of InfluxDB are signed.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

const PERIOD: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use tokio::time::{advance, sleep};

    use super::*;
    use crate::{delivery::sink::MemorySink, monitor::Monitor, point::Value, settings::Settings};

    fn monitor(own_points: bool) -> (Monitor, MemorySink) {
        let sink = MemorySink::new();
        let settings = Settings { own_points, ..Settings::new("shop") };
        let builder = Monitor::builder(settings).sink(sink.clone()).on_current_runtime();
        (builder.start().expect("starts"), sink)
    }

    async fn pass(periods: u32) {
        for _ in 0..periods {
            advance(PERIOD).await;
            // Lets the tasks run.
            sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_point_counts_the_others_and_none_of_its_own_kind() {
        let (monitor, sink) = monitor(true);
        pass(5).await;
        assert!(sink.is_empty(), "nothing has happened");
        for _ in 0..3 {
            monitor.record(&DataPoint::new("jobs").with_field("n", 1));
        }
        pass(50).await;
        monitor.flush().await.expect("runs");
        let own = sink.measurement(schema::MONITORING);
        assert_eq!(own.len(), 1, "{own:?}");
        assert_eq!(own[0].tag("service"), Some("shop"));
        assert_eq!(own[0].field("accepted"), Some(&Value::Integer(3)));
        assert_eq!(own[0].field("state"), Some(&Value::from("healthy")));

        monitor.record(&DataPoint::new("jobs").with_field("n", 1));
        pass(50).await;
        monitor.flush().await.expect("runs");
        let own = sink.measurement(schema::MONITORING);
        assert_eq!(own.len(), 2, "{own:?}");
        assert_eq!(
            own[1].field("accepted"),
            Some(&Value::Integer(5)),
            "the first of its kind counts in the ledger"
        );
        assert!(monitor.stats().balances());
    }

    #[tokio::test(start_paused = true)]
    async fn points_are_off_by_default() {
        let (monitor, sink) = monitor(false);
        monitor.record(&DataPoint::new("jobs").with_field("n", 1));
        pass(5).await;
        monitor.flush().await.expect("runs");
        assert_eq!((sink.len(), sink.measurement(schema::MONITORING).len()), (1, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_task_keeps_no_monitor_alive() {
        let (monitor, sink) = monitor(true);
        monitor.record(&DataPoint::new("jobs").with_field("n", 1));
        let inner = Arc::downgrade(monitor.inner.as_ref().expect("enabled"));
        drop(monitor);
        pass(2).await;
        assert!(inner.upgrade().is_none());
        drop(sink);
    }

    #[test]
    fn every_field_is_documented_with_its_type_and_no_other() {
        let document = include_str!("../../docs/schema.md");
        let section = document.split("\n## ").find(|section| section.starts_with("`monitoring`"));
        let rows = section.expect("a section").lines().filter(|line| line.starts_with("| field |"));
        let documented: Vec<_> = rows
            .map(|row| {
                let cells: Vec<_> = row.split('|').map(str::trim).collect();
                (cells[2].trim_matches('`').to_owned(), cells[3].to_owned())
            })
            .collect();
        let point = point(&Stats::default(), "shop");
        let written = point.fields().map(|(key, value)| {
            let kind = match value {
                Value::Integer(_) => "integer",
                Value::Float(_) => "float",
                Value::String(_) => "string",
                other => panic!("{key}: {other:?}"),
            };
            (key.to_owned(), kind.to_owned())
        });
        assert_eq!(documented, written.collect::<Vec<_>>());
    }
}
