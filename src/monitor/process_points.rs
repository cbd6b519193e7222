//! Points with the values of the process, in the measurement `process`, if the settings enable
//! them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{
    runtime::Handle,
    task,
    time::{MissedTickBehavior, interval},
};

use super::Inner;
use crate::{
    point::{DataPoint, schema},
    process::ProcessValues,
    settings::Storage,
};

/// Writes a point now and after every interval, until the monitor is dropped or shut down.
pub(super) fn spawn(inner: &Arc<Inner>) {
    let settings = inner.settings.lock();
    let Some(length) = settings.process.interval else { return };
    if settings.storage != Storage::None {
        let of_application = inner.application.clone();
        inner.flusher.runtime().spawn(write(
            of_application,
            Arc::downgrade(inner),
            settings.service.clone(),
            length,
        ));
    }
}

async fn write(runtime: Handle, inner: Weak<Inner>, service: String, length: Duration) {
    let mut ticks = interval(length);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_warned = false;
    loop {
        ticks.tick().await;
        let of_runtime = runtime.clone();
        // On a blocking thread, although these are files of the kernel: listing many open files
        // must not delay requests.
        let read = task::spawn_blocking(move || ProcessValues::read(&of_runtime));
        let Ok(values) = read.await else { return };
        // Held only for this iteration: the flusher must end when only this task still uses it.
        let Some(inner) = inner.upgrade() else { return };
        if inner.recorder.buffer.is_closed() {
            return;
        }
        if let Some(error) = values.error.as_ref().filter(|_| !is_warned) {
            is_warned = true;
            tracing::warn!(
                target: "tower_influx",
                error,
                "values of the process cannot be read: they are left out; allow the process to read its own \
                 files below `/proc/self` (logged once)"
            );
        }
        inner.recorder.record(&point(&values, &service));
    }
}

fn point(values: &ProcessValues, service: &str) -> DataPoint {
    let runtime = &values.runtime;
    let mut point = DataPoint::new(schema::PROCESS)
        .with_tag(schema::SERVICE, service)
        .with_field("runtime_alive_tasks", whole(runtime.alive_tasks))
        .with_field("runtime_busy_time", runtime.busy_time.as_secs_f64())
        .with_field("runtime_queue_depth", whole(runtime.queue_depth))
        .with_field("runtime_workers", whole(runtime.workers));
    let seconds =
        [("cpu_time", values.cpu_time), ("start_time", values.start_time)].into_iter().filter_map(given);
    for (name, time) in seconds {
        point = point.with_field(name, time.as_secs_f64());
    }
    let counts = [
        ("max_open_files", values.max_open_files),
        ("open_files", values.open_files),
        ("resident_memory", values.resident_memory),
        ("threads", values.threads),
        ("virtual_memory", values.virtual_memory),
    ];
    for (name, count) in counts.into_iter().filter_map(given) {
        point = point.with_field(name, whole(count));
    }
    point
}

/// Converts a count, since integers of InfluxDB are signed.
fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn given<T>((name, value): (&'static str, Option<T>)) -> Option<(&'static str, T)> {
    value.map(|value| (name, value))
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;
    use crate::{delivery::sink::MemorySink, monitor::Monitor, point::Value, settings::Settings};

    fn monitor(interval: Option<Duration>) -> (Monitor, MemorySink) {
        let sink = MemorySink::new();
        let mut settings = Settings::new("shop");
        settings.process.interval = interval;
        let builder = Monitor::builder(settings).sink(sink.clone()).on_current_runtime();
        (builder.start().expect("starts"), sink)
    }

    async fn wait_for_points(monitor: &Monitor, sink: &MemorySink, count: usize) -> Vec<DataPoint> {
        loop {
            monitor.flush().await.expect("runs");
            let points = sink.measurement(schema::PROCESS);
            if points.len() >= count {
                return points;
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_point_comes_at_start_and_after_every_interval() {
        let start = Instant::now();
        let (monitor, sink) = monitor(Some(Duration::from_secs(10)));
        wait_for_points(&monitor, &sink, 1).await;
        assert!(start.elapsed() < Duration::from_secs(1));
        let points = wait_for_points(&monitor, &sink, 4).await;
        assert!((30.0..31.0).contains(&start.elapsed().as_secs_f64()), "{:?}", start.elapsed());
        assert_eq!(points[3].tag("service"), Some("shop"));
        assert_eq!(points[3].field("runtime_workers"), Some(&Value::Integer(1)));
        assert!(monitor.stats().balances());
        let inner = Arc::downgrade(monitor.inner.as_ref().expect("enabled"));
        drop(monitor);
        assert!(inner.upgrade().is_none(), "the points keep no monitor alive");
    }

    #[tokio::test(start_paused = true)]
    async fn points_are_off_by_default_and_end_with_the_shutdown() {
        let (off, none) = monitor(None);
        let (on, points) = monitor(Some(Duration::from_secs(1)));
        wait_for_points(&on, &points, 3).await;
        on.shutdown(Duration::from_secs(1)).await;
        let written = points.measurement(schema::PROCESS).len();
        sleep(Duration::from_secs(10)).await;
        off.flush().await.expect("runs");
        assert_eq!((none.len(), points.measurement(schema::PROCESS).len()), (0, written));
        assert_eq!(on.stats().recorder.refused_closed, 0, "nothing is written after the end");
    }

    #[test]
    fn every_field_is_documented_with_its_type_and_no_other() {
        let document = include_str!("../../docs/schema.md");
        let section = document.split("\n## ").find(|section| section.starts_with("`process`"));
        let rows = section.expect("a section").lines().filter(|line| line.starts_with("| field |"));
        let mut documented: Vec<_> = rows
            .map(|row| {
                let cells: Vec<_> = row.split('|').map(str::trim).collect();
                (cells[2].trim_matches('`').to_owned(), cells[3].to_owned())
            })
            .collect();
        documented.sort();
        let values = ProcessValues {
            cpu_time: Some(Duration::ZERO),
            resident_memory: Some(0),
            virtual_memory: Some(0),
            threads: Some(0),
            open_files: Some(0),
            max_open_files: Some(0),
            start_time: Some(Duration::ZERO),
            ..ProcessValues::default()
        };
        let point = point(&values, "shop");
        let written = point.fields().map(|(key, value)| {
            let kind = match value {
                Value::Integer(_) => "integer",
                Value::Float(_) => "float",
                other => panic!("{key}: {other:?}"),
            };
            (key.to_owned(), kind.to_owned())
        });
        let mut written: Vec<_> = written.collect();
        written.sort();
        assert_eq!(documented, written);
    }
}
