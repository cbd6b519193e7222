//! The totals in their public types.

use std::time::Duration;

use super::{
    Totals,
    boundaries::Boundaries,
    key::{RollupKey, RouteName},
    sums::RollupCounts,
    table::Sum,
};
use crate::{
    line_protocol::parse,
    point::Point,
    stats::{RollupRow, RollupSnapshot, RollupStats},
};

impl Totals {
    /// Converts the totals to the public types.
    pub(crate) fn snapshot(&self, boundaries: &Boundaries) -> RollupSnapshot {
        let ended = self.keys.iter().filter(|(_, sum)| sum.tally.count > 0);
        let running = self.running.iter().filter(|(_, running)| *running > 0);
        RollupSnapshot {
            rows: ended.map(|(key, sum)| row(key, sum, boundaries)).collect(),
            running: running.map(|(route, running)| (name(route), running.unsigned_abs())).collect(),
        }
    }
}

impl RollupCounts {
    pub(crate) fn stats(&self) -> RollupStats {
        RollupStats {
            started: self.started,
            running: self.running,
            filtered: self.left_out,
            ended: self.ended,
            kept: self.kept,
            rolled_up: self.rolled_up,
            open: self.open,
        }
    }
}

fn row(key: &RollupKey, sum: &Sum, boundaries: &Boundaries) -> RollupRow {
    let Sum { tally, buckets, .. } = sum;
    let quantile = |share| Duration::from_nanos(boundaries.quantile(buckets, share, tally.min, tally.max));
    let filled = buckets.iter().enumerate().filter(|(_, count)| **count > 0);
    RollupRow {
        route: name(&key.route),
        status_code: key.status,
        error_code: (!key.error_code.is_empty()).then(|| key.error_code.to_string()),
        tags: tags(&key.tags),
        count: tally.count,
        kept: tally.kept,
        total: Duration::from_nanos(tally.sum),
        min: Duration::from_nanos(tally.min),
        max: Duration::from_nanos(tally.max),
        p50: quantile(0.5),
        p95: quantile(0.95),
        p99: quantile(0.99),
        buckets: filled
            .map(|(bucket, count)| (boundaries.end(bucket).map(Duration::from_nanos), *count))
            .collect(),
    }
}

fn name(route: &RouteName) -> String {
    format!("{}:{}", route.method, route.resource)
}

/// Decodes the tags of a line.
fn tags(encoded: &[u8]) -> Vec<(String, String)> {
    let line = [b"m".as_slice(), encoded, b" f=1i 0"].concat();
    let mut tags = Vec::new();
    if let Some(point) = parse(&line) {
        point.visit_tags(&mut |key, value| tags.push((key.to_owned(), value.to_owned())));
    }
    tags
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rows_have_counts_and_unescaped_names_and_tags() {
        let boundaries = Boundaries::fine();
        let route = Arc::new(RouteName { id: 0, method: "GET", resource: "/a".into() });
        let key = |id, error_code: &str, tags: &[u8]| {
            let (error_code, tags) = (error_code.into(), tags.into());
            Arc::new(RollupKey { id, route: Arc::clone(&route), status: 500, error_code, tags })
        };
        let mut sum = Sum { buckets: vec![0; boundaries.buckets()], ..Sum::default() };
        (sum.tally.count, sum.tally.sum, sum.tally.min, sum.tally.max) = (3, 9_000, 2_000, 4_000);
        sum.buckets[boundaries.bucket(2_000)] += 1;
        sum.buckets[boundaries.bucket(3_500)] += 2;
        let keys = vec![
            (key(0, "", b""), sum.clone()),
            (key(1, "11009", b",tenant=a\\ b,zone=c"), sum),
            (key(2, "", b""), Sum::default()),
        ];
        let running = [2, 0, -1].map(|count| (Arc::clone(&route), count)).into();
        let RollupSnapshot { rows, running } = Totals { keys, running }.snapshot(&boundaries);
        assert_eq!(running, [("GET:/a".to_owned(), 2)]);
        let [plain, failed] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((&*plain.route, plain.status_code, plain.count), ("GET:/a", 500, 3));
        assert_eq!((&plain.error_code, plain.tags.len()), (&None, 0));
        assert_eq!(failed.error_code.as_deref(), Some("11009"));
        let tags = [("tenant", "a b"), ("zone", "c")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        assert_eq!(failed.tags, tags);
        let counts: Vec<_> = plain.buckets.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [1, 2], "without those that are empty");
    }
}
