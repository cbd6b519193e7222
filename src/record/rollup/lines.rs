//! The lines of an interval, in the measurement `requests_rollup`.

use std::{mem, ops::Range, time::Duration};

use super::{
    boundaries::Boundaries,
    key::{RollupKey, RouteName},
    table::Sum,
};
use crate::{
    line_protocol::{RollupTags, StaticTags, rollup_end, rollup_head},
    point::{number_format, schema},
};

/// What all lines of a monitor share.
#[derive(Debug)]
pub(crate) struct LineTemplate {
    static_tags: StaticTags,
    /// Each field's name, sorted, and the buckets whose sum it is. Empty if histograms are not
    /// written.
    buckets: Box<[(String, Range<usize>)]>,
}

/// The interval of a line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Interval {
    /// The unique timestamp of its end.
    pub(super) stamp: i64,
    pub(super) length: Duration,
}

impl LineTemplate {
    /// Creates the template. `written` are the boundaries of the fields, if there are any.
    /// `counted` must contain all of them.
    pub(crate) fn new(static_tags: StaticTags, written: Option<&Boundaries>, counted: &Boundaries) -> Self {
        let mut start = 0;
        let ends =
            written.into_iter().flat_map(|written| (0..written.buckets()).map(|bucket| written.end(bucket)));
        let fields = ends.map(|end| {
            let next = end.map_or(counted.buckets(), |end| counted.bucket(end) + 1);
            (bucket_name(end), mem::replace(&mut start, next)..next)
        });
        let mut buckets: Box<[_]> = fields.collect();
        buckets.sort_by(|one, other| one.0.cmp(&other.0));
        Self { static_tags, buckets }
    }

    pub(super) fn write_key(
        &self,
        out: &mut Vec<u8>,
        key: &RollupKey,
        sum: &Sum,
        boundaries: &Boundaries,
        interval: Interval,
    ) {
        let tags = RollupTags {
            method: key.route.method,
            resource: &key.route.resource,
            status: Some(key.status),
            error_code: &key.error_code,
            extra: &key.tags,
        };
        rollup_head(out, schema::REQUESTS_ROLLUP, &self.static_tags, &tags);
        let mut fields = RollupFields { out, separator: b' ' };
        for (name, buckets) in &self.buckets {
            let count: u64 = sum.buckets.get(buckets.clone()).unwrap_or_default().iter().sum();
            if count > 0 {
                fields.integer(name, count);
            }
        }
        let tally = &sum.tally;
        fields.integer("count", tally.count);
        if let Some(example) = &sum.example {
            fields.digits("example_trace_id", &example.trace);
        }
        fields.seconds("execution_time_max", tally.max);
        fields.seconds("execution_time_min", tally.min);
        for (name, quantile) in QUANTILES {
            fields.seconds(name, boundaries.quantile(&sum.buckets, quantile, tally.min, tally.max));
        }
        fields.seconds("execution_time_sum", tally.sum);
        fields.duration("interval", interval.length);
        fields.integer("kept", tally.kept);
        rollup_end(out, interval.stamp);
    }

    pub(super) fn write_running(
        &self,
        out: &mut Vec<u8>,
        route: &RouteName,
        running: i64,
        interval: Interval,
    ) {
        let RouteName { method, resource, .. } = route;
        let tags = RollupTags { method, resource, status: None, error_code: "", extra: &[] };
        rollup_head(out, schema::REQUESTS_ROLLUP, &self.static_tags, &tags);
        let mut fields = RollupFields { out, separator: b' ' };
        fields.integer("running", running.unsigned_abs());
        rollup_end(out, interval.stamp);
    }
}

/// Returns the name of a bucket's field, which contains its end in seconds.
pub(crate) fn bucket_name(end: Option<u64>) -> String {
    let Some(end) = end else { return [schema::ROLLUP_BUCKET, "inf"].concat() };
    let (seconds, nanoseconds) = (end / BILLION, end % BILLION);
    let digits = format!("{seconds}.{nanoseconds:09}");
    format!("{}{}", schema::ROLLUP_BUCKET, digits.trim_end_matches('0').trim_end_matches('.'))
}

struct RollupFields<'a> {
    out: &'a mut Vec<u8>,
    separator: u8,
}

impl RollupFields<'_> {
    fn name(&mut self, name: &str) {
        // A tag by the name of a field makes InfluxDB 3 refuse every line, so settings refuse it.
        debug_assert!(schema::is_rollup_field(name), "{name} is missing in the list");
        self.out.push(self.separator);
        self.separator = b',';
        self.out.extend_from_slice(name.as_bytes());
        self.out.push(b'=');
    }

    fn integer(&mut self, name: &str, number: u64) {
        self.name(name);
        number_format::integer(self.out, i64::try_from(number).unwrap_or(i64::MAX));
        self.out.push(b'i');
    }

    /// Writes a string of digits, which needs no escaping.
    fn digits(&mut self, name: &str, digits: &[u8]) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(digits);
        self.out.push(b'"');
    }

    fn seconds(&mut self, name: &str, nanoseconds: u64) {
        self.duration(name, Duration::from_nanos(nanoseconds));
    }

    fn duration(&mut self, name: &str, duration: Duration) {
        self.name(name);
        number_format::seconds(self.out, duration);
    }
}

const BILLION: u64 = 1_000_000_000;
const QUANTILES: [(&str, f64); 3] =
    [("execution_time_p50", 0.5), ("execution_time_p95", 0.95), ("execution_time_p99", 0.99)];
