//! Values of the process, under the names of Prometheus' own client libraries, and of the runtime.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::process::ProcessValues;

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, values: &ProcessValues) -> fmt::Result {
    let ProcessValues { runtime, .. } = values;
    let busy = Some(runtime.busy_time.as_secs_f64());
    let counters = [
        ("process_cpu", "User and system CPU time spent", values.cpu_time.map(|time| time.as_secs_f64())),
        ("tokio_worker_busy", "Time that the runtime's workers have been busy", busy),
    ];
    for (name, help, value) in counters {
        let Some(value) = value else { continue };
        let unit = Some(&Unit::Seconds);
        let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Counter)?;
        metric.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
    }
    let start = values.start_time.map(|time| time.as_secs_f64());
    let count = |count: Option<u64>| count.map(|count| count as f64);
    let (seconds, bytes) = (Some(Unit::Seconds), Some(Unit::Bytes));
    let gauges = [
        ("process_start_time", seconds, "Start time of the process since 1970", start),
        ("process_resident_memory", bytes.clone(), "Resident memory size", count(values.resident_memory)),
        ("process_virtual_memory", bytes, "Virtual memory size", count(values.virtual_memory)),
        ("process_threads", None, "Threads of the process", count(values.threads)),
        ("process_open_fds", None, "Open file descriptors", count(values.open_files)),
        ("process_max_fds", None, "Most open file descriptors", count(values.max_open_files)),
        ("tokio_workers", None, "Worker threads of the runtime", count(Some(runtime.workers))),
        ("tokio_alive_tasks", None, "Tasks that have not ended", count(Some(runtime.alive_tasks))),
        (
            "tokio_global_queue_depth",
            None,
            "Tasks in the queue that all workers share",
            count(Some(runtime.queue_depth)),
        ),
    ];
    for (name, unit, help, value) in gauges {
        let Some(value) = value else { continue };
        encoder.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?.encode_gauge(&value)?;
    }
    Ok(())
}
