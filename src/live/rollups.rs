//! Requests as counted by rollups: the increase since the last read, and the counts in a line of an
//! earlier process.

use std::{collections::HashMap, mem, time::Duration};

use crate::{
    line_protocol::parse,
    point::{
        Point,
        schema::{ERROR_CODE, REQUESTS_ROLLUP, ROUTE, SERVICE, STATUS_CODE},
    },
    record::rollup::Boundaries,
    stats::{RollupRow, RollupSnapshot},
};

/// Requests of one key.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct CountedRequests {
    pub(super) route: String,
    pub(super) status_code: String,
    /// `None` for requests that did not fail.
    pub(super) error_code: Option<String>,
    pub(super) count: u64,
    /// Seconds that represent a bucket, and the number of its requests.
    pub(super) times: Vec<(f64, u64)>,
}

/// A line of the measurement `requests_rollup`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RollupLine {
    /// The end of the interval, in nanoseconds since the epoch.
    pub(super) time: i64,
    pub(super) service: String,
    pub(super) counted: CountedRequests,
}

/// Computes the increase of the totals.
#[derive(Debug)]
pub(super) struct RollupReader {
    boundaries: Boundaries,
    before: HashMap<CounterKey, KeyTotals>,
    /// Running requests by route, as of the last read.
    pub(super) running: Vec<(String, u64)>,
}

/// Route, status code, error code and extra tags.
type CounterKey = (String, u16, Option<String>, Vec<(String, String)>);

#[derive(Debug, Default)]
struct KeyTotals {
    count: u64,
    buckets: Vec<(Option<Duration>, u64)>,
}

impl RollupReader {
    /// Creates the reader. Earlier counts are not shown, since their times are unknown.
    pub(super) fn new(boundaries: Boundaries, totals: RollupSnapshot) -> Self {
        let mut reader = Self { boundaries, before: HashMap::new(), running: Vec::new() };
        reader.read(totals);
        reader
    }

    /// Returns the counts since the last read.
    pub(super) fn read(&mut self, totals: RollupSnapshot) -> Vec<CountedRequests> {
        self.running = totals.running;
        totals.rows.into_iter().filter_map(|row| self.read_row(row)).collect()
    }

    fn read_row(&mut self, mut row: RollupRow) -> Option<CountedRequests> {
        let key = (row.route, row.status_code, row.error_code, row.tags);
        let before = self.before.entry(key.clone()).or_default();
        let count = row.count.checked_sub(before.count).filter(|count| *count > 0)?;
        before.count = row.count;
        let old = mem::take(&mut before.buckets);
        let times = row.buckets.iter().filter_map(|(end, count)| {
            let old = old.iter().find(|(of, _)| of == end).map_or(0, |(_, count)| *count);
            let added = count.checked_sub(old).filter(|added| *added > 0)?;
            Some((self.boundaries.seconds_of(*end, row.min, row.max), added))
        });
        let times = times.collect();
        before.buckets = mem::take(&mut row.buckets);
        let (route, status_code, error_code, _) = key;
        Some(CountedRequests { route, status_code: status_code.to_string(), error_code, count, times })
    }

    /// Parses a line of the measurement. Returns `None` for any other, and for one without counts.
    pub(super) fn read_line(&self, line: &[u8]) -> Option<RollupLine> {
        let is_ours = line.strip_prefix(REQUESTS_ROLLUP.as_bytes())?.first() == Some(&b',');
        let point = is_ours.then(|| parse(line)).flatten()?;
        let tag = |key| point.tag(key).map(str::to_owned);
        let field = |key| point.field(key).and_then(|value| value.as_f64());
        let duration = |key| field(key).and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        let count = point.field("count")?.as_i64().and_then(|count| u64::try_from(count).ok())?;
        let min = duration("execution_time_min").unwrap_or_default();
        let max = duration("execution_time_max").unwrap_or(Duration::MAX);
        let mut times = Vec::new();
        point.visit_fields(&mut |key, value| {
            let Some(end) = key.strip_prefix("bucket_") else { return };
            let end = end.parse().ok().and_then(|end| Duration::try_from_secs_f64(end).ok());
            if let Some(count) = value.as_i64().and_then(|count| u64::try_from(count).ok()) {
                times.push((self.boundaries.seconds_of(end, min, max), count));
            }
        });
        let counted = CountedRequests {
            route: tag(ROUTE)?,
            status_code: tag(STATUS_CODE)?,
            error_code: tag(ERROR_CODE),
            count,
            times,
        };
        Some(RollupLine { time: point.time()?.as_nanos(), service: tag(SERVICE)?, counted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(route: &str, error_code: Option<&str>, buckets: &[(u64, u64)]) -> RollupRow {
        let ends = buckets.iter().map(|(ms, count)| (Some(Duration::from_millis(*ms)), *count));
        RollupRow {
            route: route.to_owned(),
            status_code: 200,
            error_code: error_code.map(str::to_owned),
            count: buckets.iter().map(|(_, count)| count).sum(),
            min: Duration::from_millis(2),
            max: Duration::from_secs(10),
            buckets: ends.collect(),
            ..RollupRow::default()
        }
    }

    fn snapshot(rows: &[RollupRow]) -> RollupSnapshot {
        RollupSnapshot { rows: rows.to_vec(), ..RollupSnapshot::default() }
    }

    fn reader(rows: &[RollupRow]) -> RollupReader {
        let ends = [4, 16, 1000].map(Duration::from_millis);
        RollupReader::new(Boundaries::of(&ends), snapshot(rows))
    }

    #[test]
    fn only_the_increase_is_returned() {
        let mut reader = reader(&[row("a", None, &[(16, 5)])]);
        assert_eq!(reader.read(snapshot(&[row("a", None, &[(16, 5)])])), []);
        let now = [row("a", None, &[(4, 2), (16, 6)]), row("a", Some("7"), &[(1000, 1)])];
        let added = reader.read(snapshot(&now));
        assert_eq!((added[0].count, added[0].error_code.as_deref()), (3, None));
        // Between the shortest time and the end of the first bucket, and between the ends of the
        // second.
        let near = |seconds: f64, expected: f64| (seconds / expected - 1.0).abs() < 0.001;
        assert!(near(added[0].times[0].0, 0.002_828) && added[0].times[0].1 == 2, "{added:?}");
        assert!(near(added[0].times[1].0, 0.008) && added[0].times[1].1 == 1, "{added:?}");
        assert_eq!((added[1].count, added[1].error_code.as_deref()), (1, Some("7")));
        assert_eq!(reader.read(snapshot(&now)), []);
        // An earlier snapshot than the last one, which does not occur here, must not decrease the
        // counts.
        assert_eq!(reader.read(snapshot(&[row("a", None, &[(16, 5)])])), []);
    }

    #[test]
    fn rows_with_other_tags_are_other_rows() {
        let mut reader = reader(&[]);
        let tagged = |tenant: &str, count| RollupRow {
            tags: vec![("tenant".to_owned(), tenant.to_owned())],
            ..row("a", None, &[(4, count)])
        };
        let counts = |added: Vec<CountedRequests>| added.iter().map(|one| one.count).collect::<Vec<_>>();
        assert_eq!(counts(reader.read(snapshot(&[tagged("x", 3), tagged("y", 5)]))), [3, 5]);
        assert_eq!(counts(reader.read(snapshot(&[tagged("x", 4), tagged("y", 7)]))), [1, 2]);
    }

    #[test]
    fn lines_of_an_earlier_process_are_read() {
        let line = b"requests_rollup,error_code=7,route=GET:/a\\ b,service=shop,status_code=404 bucket_0.016=2i,bucket_inf=1i,count=3i,execution_time_max=2.0,execution_time_min=0.008,execution_time_sum=3.0,kept=0i 17\n";
        let read = reader(&[]).read_line(line).expect("a line");
        let counted = CountedRequests {
            route: "GET:/a b".to_owned(),
            status_code: "404".to_owned(),
            error_code: Some("7".to_owned()),
            count: 3,
            times: read.counted.times.clone(),
        };
        assert_eq!(read, RollupLine { time: 17, service: "shop".to_owned(), counted });
        let [(short, 2), (long, 1)] = read.counted.times[..] else { panic!("{read:?}") };
        assert!((0.008..=0.016).contains(&short) && (1.0..=2.0).contains(&long), "{short} {long}");
        for other in [
            "requests_rollup,route=GET:/a,service=shop running=1i 17",
            "requests_rollup_x,route=GET:/a,service=shop,status_code=200 count=1i 17",
            "requests,route=GET:/a,service=shop,status_code=200 count=1i 17",
            "requests_rollup,service=shop,status_code=200 count=1i 17",
            "requests_rollup,route=a,service=shop,status_code=200 count=-1i 17",
            "requests_rollup,",
        ] {
            assert_eq!(reader(&[]).read_line(other.as_bytes()), None, "{other}");
        }
    }
}
