//! Requests as metrics, under one of two sets of names.

use std::{collections::BTreeMap, fmt, time::Duration};

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
    registry::Unit,
};

use super::labels::{
    ERROR_CODE, ERROR_TYPE, HTTP_ROUTE, HTTP_STATUS, Labels, METHOD, PATH, ROUTE, SERVICE, STATUS_CODE,
    TagLabels,
};
use crate::{
    settings::MetricNames,
    stats::{RollupRow, RollupSnapshot},
};

#[derive(Default)]
struct Durations {
    count: u64,
    total: Duration,
    buckets: BTreeMap<Duration, u64>,
}

pub(super) fn opentelemetry(
    encoder: &mut DescriptorEncoder<'_>,
    requests: &RollupSnapshot,
    tags: &TagLabels,
) -> fmt::Result {
    let durations = durations(requests, |row| {
        let mut labels = route_labels(&row.route);
        labels.push((HTTP_STATUS.to_owned(), row.status_code.to_string()));
        labels.extend(row.error_code.clone().map(|code| (ERROR_TYPE.to_owned(), code)));
        tags.add(&mut labels, &row.tags);
        labels
    });
    let name = "http_server_request_duration";
    let help = "Duration of HTTP server requests";
    write_durations(encoder, name, Some(&Unit::Seconds), help, MetricNames::OpenTelemetry, &durations)?;
    write_running(encoder, requests)
}

pub(super) fn luna(
    encoder: &mut DescriptorEncoder<'_>,
    requests: &RollupSnapshot,
    service: &str,
    tags: &TagLabels,
) -> fmt::Result {
    let labels = |row: &RollupRow, first: (&str, String), second: (&str, String)| {
        let all = [first, second, (SERVICE, service.to_owned())];
        let mut labels: Labels = all.map(|(name, value)| (name.to_owned(), value)).into();
        tags.add(&mut labels, &row.tags);
        labels
    };
    let status = |row: &RollupRow| (STATUS_CODE, row.status_code.to_string());
    let path = |row: &RollupRow| (PATH, path(&row.route));
    let counted = counts(requests.rows.iter().map(|row| (labels(row, status(row), path(row)), row.count)));
    write_counts(encoder, "request_count", "Requests that ended", &counted)?;
    let failed = counts(requests.rows.iter().filter_map(|row| {
        let code = (ERROR_CODE, row.error_code.clone()?);
        Some((labels(row, code, path(row)), row.count))
    }));
    write_counts(encoder, "errors_count", "Requests that failed", &failed)?;
    let durations = durations(requests, |row| labels(row, status(row), (ROUTE, row.route.clone())));
    let help = "Execution time of requests in seconds";
    write_durations(encoder, "requests", None, help, MetricNames::Luna, &durations)?;
    write_running(encoder, requests)
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

fn write_running(encoder: &mut DescriptorEncoder<'_>, requests: &RollupSnapshot) -> fmt::Result {
    let help = "Number of active HTTP server requests";
    let name = "http_server_active_requests";
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
    // Routes that were in use remain, with zero: a gauge that disappears keeps its last value for
    // five minutes.
    let idle = requests.rows.iter().map(|row| (route_labels(&row.route), 0));
    let running = requests.running.iter().map(|(route, running)| (route_labels(route), *running));
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
    [(METHOD, method), (HTTP_ROUTE, resource)].map(|(name, value)| (name.to_owned(), value.to_owned())).into()
}

fn path(route: &str) -> String {
    route.split_once(':').map_or(route, |(_, resource)| resource).to_owned()
}

#[cfg(test)]
mod tests {
    use prometheus_client::{collector::Collector, encoding::text::encode, registry::Registry};

    use super::*;

    #[derive(Debug)]
    struct Requests(RollupSnapshot);

    impl Collector for Requests {
        fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
            let tags = TagLabels::new(MetricNames::OpenTelemetry, &[]);
            opentelemetry(&mut encoder, &self.0, &tags)
        }
    }

    fn exposition(requests: RollupSnapshot) -> String {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Requests(requests)));
        let mut text = String::new();
        encode(&mut text, &registry).expect("a string takes everything");
        text
    }

    fn row(buckets: &[(Option<Duration>, u64)]) -> RollupRow {
        RollupRow {
            route: "GET:/a".to_owned(),
            status_code: 200,
            error_code: None,
            tags: Vec::new(),
            count: buckets.iter().map(|(_, count)| count).sum(),
            kept: 0,
            total: Duration::from_secs(21),
            min: Duration::ZERO,
            max: Duration::from_secs(20),
            p50: Duration::ZERO,
            p95: Duration::ZERO,
            p99: Duration::ZERO,
            buckets: buckets.to_vec(),
        }
    }

    #[test]
    fn a_bucket_counts_durations_up_to_and_including_its_bound() {
        let ends = [4_999, 5_000, 5_001, 10_000_000, 10_000_001];
        let buckets = ends.map(|microseconds| (Some(Duration::from_micros(microseconds)), 1));
        let rows = vec![row(&[&buckets[..], &[(None, 1)]].concat())];
        let text = exposition(RollupSnapshot { rows, running: Vec::new() });
        for (bound, count) in [("0.005", 2), ("0.01", 3), ("7.5", 3), ("10.0", 4), ("+Inf", 6)] {
            let (bound, count) = (format!("le=\"{bound}\","), format!("}} {count}"));
            let mut lines = text.lines().filter(|line| line.contains(&bound));
            assert!(lines.any(|line| line.ends_with(&count)), "{bound} {count} is missing in {text}");
        }
    }

    /// A gauge that disappears keeps its last value for five minutes.
    #[test]
    fn a_route_without_running_requests_remains_in_the_gauge() {
        let rows = vec![row(&[(None, 1)])];
        let text = exposition(RollupSnapshot { rows, running: vec![("GET:/b".to_owned(), 2)] });
        for (route, running) in [("/a", 0), ("/b", 2)] {
            let end = format!("http_route=\"{route}\"}} {running}");
            let mut gauges = text.lines().filter(|line| line.starts_with("http_server_active_requests{"));
            assert!(gauges.any(|line| line.ends_with(&end)), "{end} is missing in {text}");
        }
    }
}
