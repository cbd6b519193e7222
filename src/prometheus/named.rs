//! Outgoing calls by target, and long connections by kind.

use std::{collections::BTreeMap, fmt};

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::ledger::PREFIX;
use crate::stats::{ConnectionStats, Stats, TargetStats};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let Stats { targets, connections, .. } = stats;
    let mut target = |name, help, kind, value: fn(&TargetStats) -> u64| {
        family(encoder, (name, help, kind), "target", targets, value)
    };
    target("client_requests", "Outgoing calls that ended", MetricType::Counter, |target| target.calls)?;
    target("client_errors", "Outgoing calls that failed", MetricType::Counter, |target| target.errors)?;
    let help = "Outgoing calls that are running";
    target("client_active_requests", help, MetricType::Gauge, |target| target.running)?;
    let mut connection = |name, help, kind, value: fn(&ConnectionStats) -> u64| {
        family(encoder, (name, help, kind), "connection", connections, value)
    };
    let help = "Long connections that are open";
    connection("connections_open", help, MetricType::Gauge, |connection| connection.open)?;
    let help = "Long connections that ended";
    connection("connections_ended", help, MetricType::Counter, |connection| connection.ended)
}

/// Encodes a row for each name. A service without any has no such metric.
fn family<S>(
    encoder: &mut DescriptorEncoder<'_>,
    (name, help, kind): (&str, &str, MetricType),
    label: &str,
    values: &BTreeMap<String, S>,
    value: fn(&S) -> u64,
) -> fmt::Result {
    if values.is_empty() {
        return Ok(());
    }
    let name = format!("{PREFIX}{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, kind)?;
    for (name, values) in values {
        let labels = [(label, name.as_str())];
        let mut row = metric.encode_family(&labels)?;
        match kind {
            MetricType::Counter => row.encode_counter::<NoLabelSet, _, u64>(&value(values), None)?,
            _ => row.encode_gauge(&value(values))?,
        }
    }
    Ok(())
}
