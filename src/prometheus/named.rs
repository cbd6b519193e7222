//! Outgoing calls by target, and long connections by kind.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::ledger::PREFIX;
use crate::stats::{ConnectionStats, Stats, TargetStats};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let Stats { targets, connections, .. } = stats;
    let calls = |target: &TargetStats| target.calls;
    counter(encoder, "client_requests", "Outgoing calls that ended", "target", targets, calls)?;
    let errors = |target: &TargetStats| target.errors;
    counter(encoder, "client_errors", "Outgoing calls that failed", "target", targets, errors)?;
    let running = |target: &TargetStats| target.running;
    let help = "Outgoing calls that are running";
    gauge(encoder, "client_active_requests", help, "target", targets, running)?;
    let open = |connection: &ConnectionStats| connection.open;
    gauge(encoder, "connections_open", "Long connections that are open", "connection", connections, open)?;
    let ended = |connection: &ConnectionStats| connection.ended;
    counter(encoder, "connections_ended", "Long connections that ended", "connection", connections, ended)
}

fn counter<S>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &BTreeMap<String, S>,
    value: impl Fn(&S) -> u64,
) -> fmt::Result {
    family(encoder, (name, help, MetricType::Counter), label, values, |mut metric, values| {
        metric.encode_counter::<NoLabelSet, _, u64>(&value(values), None)
    })
}

fn gauge<S>(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    label: &str,
    values: &BTreeMap<String, S>,
    value: impl Fn(&S) -> u64,
) -> fmt::Result {
    family(encoder, (name, help, MetricType::Gauge), label, values, |mut metric, values| {
        metric.encode_gauge(&value(values))
    })
}

/// Encodes a row for each name. A service without any has no such metric.
fn family<S>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    label: &str,
    values: &BTreeMap<String, S>,
    encode: impl Fn(MetricEncoder<'_>, &S) -> fmt::Result,
) -> fmt::Result {
    if values.is_empty() {
        return Ok(());
    }
    let name = format!("{PREFIX}{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, kind)?;
    for (name, values) in values {
        encode(metric.encode_family(&[(label, name.as_str())])?, values)?;
    }
    Ok(())
}
