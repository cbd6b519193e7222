//! The ledger of delivery as metrics.

use std::fmt;

use prometheus_client::{
    encoding::{DescriptorEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::stats::{DeliveryState, Stats};

pub(super) fn encode(encoder: &mut DescriptorEncoder<'_>, stats: &Stats) -> fmt::Result {
    let Stats { ledger, recorder, delivery, .. } = stats;
    let counters = [
        ("points_offered", "Points offered to the buffer", ledger.offered),
        ("points_accepted", "Points accepted into the buffer", ledger.accepted),
        ("points_recovered", "Points of an earlier process found in the spool", ledger.recovered),
        ("points_written", "Points written by the server", ledger.written),
        ("points_invalid", "Points that could not be stored", recorder.invalid),
        ("points_refused", "Points not accepted: memory full, or monitor shut down", refused(stats)),
        ("requests_filtered", "Requests excluded by the filter", recorder.filtered),
        ("requests_skipped", "Requests excluded by their handlers", recorder.skipped),
        ("callback_panics", "Panics of application functions that layers call", recorder.callback_panics),
        ("points_resent", "Points sent again", delivery.resent),
    ];
    for (name, help, count) in counters {
        counter(encoder, name, help, &[("", count)])?;
    }
    let rejected: Vec<_> = ledger.rejected.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    counter(encoder, "points_rejected", "Points permanently refused by the server", &rejected)?;
    let dropped: Vec<_> = ledger.dropped.iter().map(|(reason, count)| (reason.as_str(), *count)).collect();
    counter(encoder, "points_dropped", "Accepted points that were dropped", &dropped)?;
    let blocked = matches!(delivery.state, DeliveryState::Blocked(_));
    let oldest = delivery.oldest_age.map_or(0.0, |age| age.as_secs_f64());
    let gauges = [
        ("points_buffered", "Points in the buffer now", ledger.buffered as f64),
        ("points_in_flight", "Points in batches in memory now", ledger.in_flight as f64),
        ("points_spooled", "Points on disk now", ledger.spooled as f64),
        ("memory_bytes", "Bytes of points in memory", delivery.memory as f64),
        ("oldest_age_seconds", "Age of the oldest batch in memory", oldest),
        (
            "series",
            "Distinct combinations of measurement and tags, counted up to 100,000",
            delivery.series as f64,
        ),
        ("blocked", "1 while delivery is blocked until an operator acts", f64::from(u8::from(blocked))),
    ];
    for (name, help, value) in gauges {
        let name = format!("{PREFIX}{name}");
        encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
    }
    Ok(())
}

/// Encodes a counter with a row for each reason, or with a single row.
fn counter(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    rows: &[(&'static str, u64)],
) -> fmt::Result {
    let name = format!("{PREFIX}{name}");
    let mut metric = encoder.encode_descriptor(&name, help, None, MetricType::Counter)?;
    for (reason, count) in rows {
        if reason.is_empty() {
            metric.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        } else {
            let labels = [("reason", *reason)];
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, u64>(count, None)?;
        }
    }
    Ok(())
}

fn refused(stats: &Stats) -> u64 {
    stats.recorder.refused_full + stats.recorder.refused_closed
}

pub(super) const PREFIX: &str = "tower_influx_";
