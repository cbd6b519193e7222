//! Requests as metrics, under one of two sets of names.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use crate::{
    settings::MetricNames,
    stats::{RollupRow, RollupSnapshot},
};

/// Sorted by name, each name once.
type Labels = Vec<(String, String)>;

#[derive(Default)]
struct Durations {
    count: u64,
    total: Duration,
    buckets: BTreeMap<Duration, u64>,
}

pub(super) fn opentelemetry(encoder: &mut DescriptorEncoder<'_>, requests: &RollupSnapshot) -> fmt::Result {
    let labels = |row: &RollupRow| {
        let mut labels = route_labels(&row.route);
        add(&mut labels, "http_response_status_code", row.status_code.to_string());
        if let Some(code) = &row.error_code {
            add(&mut labels, "error_type", code.clone());
        }
        with_tags(labels, row)
    };
    let durations = durations(requests, labels);
    let name = "http_server_request_duration";
    let help = "Duration of HTTP server requests";
    write_durations(encoder, name, Some(&Unit::Seconds), help, MetricNames::OpenTelemetry, &durations)?;
    write_running(encoder, requests, route_labels)
}

pub(super) fn luna(
    encoder: &mut DescriptorEncoder<'_>,
    requests: &RollupSnapshot,
    service: &str,
) -> fmt::Result {
    let labels = |first: (&str, String), second: (&str, String)| {
        let mut labels = Labels::new();
        add(&mut labels, first.0, first.1);
        add(&mut labels, second.0, second.1);
        add(&mut labels, "service", service.to_owned());
        labels
    };
    let counted = counts(requests.rows.iter().map(|row| {
        let status = ("status_code", row.status_code.to_string());
        (with_tags(labels(status, ("path", path(&row.route))), row), row.count)
    }));
    write_counts(encoder, "request_count", "Requests that ended", &counted)?;
    let failed = counts(requests.rows.iter().filter_map(|row| {
        let code = ("error_code", row.error_code.clone()?);
        Some((with_tags(labels(code, ("path", path(&row.route))), row), row.count))
    }));
    write_counts(encoder, "errors_count", "Requests that failed", &failed)?;
    let durations = durations(requests, |row| {
        let status = ("status_code", row.status_code.to_string());
        with_tags(labels(status, ("route", row.route.clone())), row)
    });
    let help = "Execution time of requests in seconds";
    write_durations(encoder, "requests", None, help, MetricNames::Luna, &durations)?;
    write_running(encoder, requests, route_labels)
}

fn durations(
    requests: &RollupSnapshot,
    labels: impl Fn(&RollupRow) -> Labels,
) -> BTreeMap<Labels, Durations> {
    let mut all = BTreeMap::<Labels, Durations>::new();
    for row in &requests.rows {
        let sum = all.entry(labels(row)).or_default();
        sum.count += row.count;
        sum.total = sum.total.saturating_add(row.total);
        for (end, count) in &row.buckets {
            *sum.buckets.entry(end.unwrap_or(Duration::MAX)).or_default() += count;
        }
    }
    all
}

fn write_durations(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    unit: Option<&Unit>,
    help: &str,
    names: MetricNames,
    durations: &BTreeMap<Labels, Durations>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    for (labels, Durations { count, total, buckets }) in durations {
        let mut ends: Vec<(Duration, u64)> = names.boundaries().iter().map(|end| (*end, 0)).collect();
        ends.push((Duration::MAX, 0));
        for (end, count) in buckets {
            // The counts have all of these boundaries, so each of their buckets lies within one of
            // these buckets.
            if let Some(bucket) = ends.iter_mut().find(|(boundary, _)| end <= boundary) {
                bucket.1 += count;
            }
        }
        let seconds = |end: Duration| if end == Duration::MAX { f64::INFINITY } else { end.as_secs_f64() };
        let ends: Vec<(f64, u64)> = ends.into_iter().map(|(end, count)| (seconds(end), count)).collect();
        metric.encode_family(labels)?.encode_histogram::<NoLabelSet>(
            total.as_secs_f64(),
            *count,
            &ends,
            None,
        )?;
    }
    Ok(())
}

fn write_running(
    encoder: &mut DescriptorEncoder<'_>,
    requests: &RollupSnapshot,
    labels: impl Fn(&str) -> Labels,
) -> fmt::Result {
    let help = "Number of active HTTP server requests";
    let name = "http_server_active_requests";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    // Routes that were in use remain, with zero: a gauge that disappears keeps its last value for
    // five minutes.
    let idle = requests.rows.iter().map(|row| (labels(&row.route), 0));
    let running = requests.running.iter().map(|(route, running)| (labels(route), *running));
    for (labels, running) in &counts(idle.chain(running)) {
        metric.encode_family(labels)?.encode_gauge(running)?;
    }
    Ok(())
}

fn counts(rows: impl Iterator<Item = (Labels, u64)>) -> BTreeMap<Labels, u64> {
    let mut counts = BTreeMap::new();
    for (labels, count) in rows {
        *counts.entry(labels).or_default() += count;
    }
    counts
}

fn write_counts(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    counts: &BTreeMap<Labels, u64>,
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (labels, count) in counts {
        metric.encode_family(labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
    }
    Ok(())
}

fn route_labels(route: &str) -> Labels {
    let (method, resource) = route.split_once(':').unwrap_or((route, ""));
    let mut labels = Labels::new();
    add(&mut labels, "http_request_method", method.to_owned());
    add(&mut labels, "http_route", resource.to_owned());
    labels
}

fn path(route: &str) -> String {
    route.split_once(':').map_or(route, |(_, resource)| resource).to_owned()
}

fn with_tags(mut labels: Labels, row: &RollupRow) -> Labels {
    for (name, value) in &row.tags {
        add(&mut labels, &label_name(name), value.clone());
    }
    labels
}

/// Adds a label. A duplicate name gets an underscore: two labels of the same name make a scrape
/// fail.
fn add(labels: &mut Labels, name: &str, value: String) {
    let mut name = name.to_owned();
    while labels.iter().any(|(other, _)| *other == name) {
        name.push('_');
    }
    labels.push((name, value));
}

/// Returns a valid name: letters, digits and underscores, without a leading digit.
fn label_name(name: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    if name.starts_with(|first: char| first.is_ascii_digit()) { format!("_{name}") } else { name }
}
