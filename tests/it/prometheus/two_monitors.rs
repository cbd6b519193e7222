//! Two monitors in one process: by two routes, by two registries, and by mistake in one registry.

use prometheus_client::{encoding::prometheus_text, registry::Registry};
use tower_influx::settings::MetricNames;

use super::monitor;
use crate::support::{
    live::{self, PROMTOOL},
    log::Log,
    prometheus::complaints,
};

fn exposition(registry: &Registry) -> String {
    let mut body = String::new();
    prometheus_text::encode(&mut body, registry).expect("text");
    body
}

/// The registry alone would see it, and it tells nobody: so the log does.
#[test]
fn the_second_collector_is_warned_of_and_prometheus_refuses_both_in_one_registry() {
    let monitors = [monitor(MetricNames::OpenTelemetry), monitor(MetricNames::OpenTelemetry)];
    let first = monitors[0].collector().expect("metrics are on");
    let log = Log::capture();
    let second = monitors[1].collector().expect("metrics are on");
    assert_eq!(log.count("another collector exists"), 1, "{log}");
    let mut registry = Registry::default();
    registry.register_collector(Box::new(first));
    registry.register_collector(Box::new(second));
    if live::ready("the_second_collector_is_warned_of", &[PROMTOOL]) {
        let complaint = complaints(&exposition(&registry));
        assert!(complaint.contains("second HELP line for metric name"), "{complaint}");
    }
}

#[test]
fn two_monitors_with_prefixes_are_well_formed_in_one_registry() {
    let monitors = [monitor(MetricNames::OpenTelemetry), monitor(MetricNames::Luna)];
    let mut registry = Registry::default();
    for (prefix, monitor) in ["shop", "admin"].into_iter().zip(&monitors) {
        let collector = monitor.collector().expect("metrics are on");
        registry.sub_registry_with_prefix(prefix).register_collector(Box::new(collector));
    }
    if live::ready("two_monitors_with_prefixes_are_well_formed_in_one_registry", &[PROMTOOL]) {
        assert_eq!(complaints(&exposition(&registry)), "");
    }
}

#[test]
fn routes_have_registries_of_their_own_and_no_warning() {
    let monitors = [monitor(MetricNames::OpenTelemetry), monitor(MetricNames::OpenTelemetry)];
    let log = Log::capture();
    let _routes = monitors.each_ref().map(|monitor| monitor.metrics_route().expect("metrics are on"));
    assert_eq!(log.to_string(), "");
}
