//! A snapshot of everything that the page shows, which `stats` also serves as JSON.

use std::{cmp::Reverse, collections::BTreeMap};

use serde::Serialize;

use super::{
    model::{LatestError, Model, Observed, ROUTES, Track},
    window::{Count, Detail, HOURS, MINUTES, RouteWindow, Shape, TotalWindow},
};
use crate::{licensing::CheckedLicense, stats::Stats};

#[derive(Debug, Serialize)]
pub(super) struct PageSnapshot {
    /// Its keys are at the top level.
    #[serde(flatten)]
    pub(super) stats: Stats,
    pub(super) service: String,
    /// Seconds since the epoch.
    pub(super) time: u64,
    pub(super) license: Option<CheckedLicense>,
    pub(super) last_10_minutes: Span,
    pub(super) last_12_hours: Span,
    /// Newest first.
    pub(super) latest_errors: Vec<LatestError>,
    pub(super) observed: Observed,
}

/// The requests of a window.
#[derive(Debug, Serialize)]
pub(super) struct Span {
    /// How much of the window was observed so far.
    pub(super) seconds: u64,
    #[serde(flatten)]
    pub(super) all: Figures,
    pub(super) slot_seconds: u64,
    /// From the oldest to the current one.
    pub(super) slots: Vec<ChartInterval>,
    /// Sorted by the number of their requests, the most first.
    pub(super) routes: Vec<RouteSnapshot>,
}

/// Durations are in seconds.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) requests_per_second: f64,
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
    pub(super) p99: Option<f64>,
    pub(super) status_codes: BTreeMap<String, u64>,
    pub(super) error_codes: BTreeMap<String, u64>,
}

#[derive(Debug, Serialize)]
pub(super) struct ChartInterval {
    /// Its beginning, in seconds since the epoch.
    pub(super) time: u64,
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) p50: Option<f64>,
    pub(super) p95: Option<f64>,
}

#[derive(Debug, Serialize)]
pub(super) struct RouteSnapshot {
    pub(super) route: String,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Running requests, or `None` if they are not counted.
    pub(super) running: Option<u64>,
    /// One for each slot of the window.
    #[serde(serialize_with = "requests")]
    pub(super) slots: Vec<Count>,
}

impl Model {
    pub(super) fn last_10_minutes(&self, now: u64) -> Span {
        self.span(&MINUTES, now, &self.total.minutes, |track| &track.minutes)
    }

    pub(super) fn last_12_hours(&self, now: u64) -> Span {
        self.span(&HOURS, now, &self.total.hours, |track| &track.hours)
    }

    fn span(
        &self,
        shape: &Shape,
        now: u64,
        total: &TotalWindow,
        window: impl Fn(&Track<RouteWindow>) -> &RouteWindow,
    ) -> Span {
        let start = shape.start(now);
        let seconds = now.saturating_sub(start.max(self.since)).max(1);
        let mut all = Detail::default();
        let slots = total.slots(shape, now).into_iter().enumerate().map(|(number, detail)| {
            all.add(&detail);
            ChartInterval {
                time: start + number as u64 * shape.slot,
                requests: detail.requests,
                failed: detail.failed,
                p50: detail.latencies.percentile(50),
                p95: detail.latencies.percentile(95),
            }
        });
        let slots: Vec<_> = slots.collect();
        let mut running = self.running();
        let routes = self.routes.iter().map(|(name, track)| (&**name, track));
        let routes = routes.chain([(OTHER_ROUTES, &self.other_routes)]).filter_map(|(name, track)| {
            let detail = window(track).detail(shape, now);
            let running = running.as_mut().map(|running| running.remove(name).unwrap_or(0));
            (detail.requests + detail.failed + running.unwrap_or(0) > 0).then(|| RouteSnapshot {
                route: name.to_owned(),
                figures: Figures::new(&detail, seconds),
                running,
                slots: window(track).counts(shape, now),
            })
        });
        let mut routes: Vec<_> = routes.collect();
        // Routes without a request that has ended in the window.
        routes.extend(running.into_iter().flatten().take(ROUTES).map(|(name, running)| RouteSnapshot {
            route: name.to_owned(),
            figures: Figures::new(&Detail::default(), seconds),
            running: Some(running),
            slots: vec![Count::default(); slots.len()],
        }));
        routes.sort_by(|left, right| {
            let rank = |route: &RouteSnapshot| Reverse(route.figures.requests);
            rank(left).cmp(&rank(right)).then_with(|| left.route.cmp(&right.route))
        });
        Span { seconds, all: Figures::new(&all, seconds), slot_seconds: shape.slot, slots, routes }
    }
}

impl Figures {
    fn new(detail: &Detail, seconds: u64) -> Self {
        let percentile = |percent| detail.latencies.percentile(percent);
        Self {
            requests: detail.requests,
            failed: detail.failed,
            requests_per_second: detail.requests as f64 / seconds as f64,
            p50: percentile(50),
            p95: percentile(95),
            p99: percentile(99),
            status_codes: detail.status_codes.to_map(),
            error_codes: detail.error_codes.to_map(),
        }
    }

    /// Returns the share of failed requests, 0 to 1.
    pub(super) fn failed_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { (self.failed as f64 / self.requests as f64).min(1.0) }
    }
}

fn requests<S: serde::Serializer>(slots: &[Count], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(slots.iter().map(|slot| slot.requests))
}

/// The name for all routes that are not shown separately.
const OTHER_ROUTES: &str = "other routes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_match_the_recorded_requests() {
        let mut model = Model::new(6000, None);
        for number in 0..100 {
            let (time, seconds) = (6_000_000_000_000_u64 + number, (number + 1) as f64 / 1000.0);
            let (route, status) = if number < 90 { ("GET:/a", 200) } else { ("GET:/b", 404) };
            let line = format!(
                "requests,route={route},service=shop,status_code={status} execution_time={seconds} {time}"
            );
            model.observe(line.as_bytes(), 6020);
            if status == 404 {
                let line = format!(
                    "errors,error_code=7,route={route},service=shop,status_code=404 request_id=\"i\" {time}"
                );
                model.observe(line.as_bytes(), 6020);
            }
        }
        for span in [model.last_10_minutes(6020), model.last_12_hours(6020)] {
            assert_eq!((span.seconds, span.all.requests, span.all.failed), (20, 100, 10));
            assert_eq!(span.all.requests_per_second, 5.0);
            assert_eq!(
                span.all.status_codes,
                BTreeMap::from([("200".to_owned(), 90), ("404".to_owned(), 10)])
            );
            assert_eq!(span.slots.iter().map(|slot| slot.requests).sum::<u64>(), 100);
            let names: Vec<_> = span.routes.iter().map(|route| &*route.route).collect();
            assert_eq!(names, ["GET:/a", "GET:/b"]);
            let b = &span.routes[1].figures;
            assert_eq!((b.requests, b.failed, b.failed_share()), (10, 10, 1.0));
            assert_eq!(b.error_codes, BTreeMap::from([("7".to_owned(), 10)]));
            let p50 = b.p50.expect("recorded");
            assert!((p50 / 0.095 - 1.0).abs() < 0.05, "{p50}");
        }
    }
}
