//! The data of the page about requests. It is bounded for any number of routes and errors.

use std::collections::{HashMap, VecDeque};

use super::{
    rollups::{CountedRequests, RollupReader},
    scan::{ScannedError, ScannedLine, is_error, scan},
    window::{HOURS, MINUTES, RouteEvent, RouteWindow, TotalWindow},
};
use crate::stats::RollupSnapshot;

/// Updated line by line, and read by the page.
#[derive(Debug)]
pub(super) struct Model {
    pub(super) total: Track<TotalWindow>,
    pub(super) routes: HashMap<Box<str>, Track<RouteWindow>>,
    /// The routes beyond [`ROUTES`].
    pub(super) other_routes: Track<RouteWindow>,
    /// Newest first.
    pub(super) latest_errors: VecDeque<LatestError>,
    pub(super) observed: Observed,
    /// Present if rollups count the requests. Points are then read only for the latest errors.
    pub(super) rollups: Option<RollupReader>,
    /// The second since which requests are known.
    pub(super) since: u64,
    /// No route is removed before this second.
    next_cleaning: u64,
}

/// The same data in both windows.
#[derive(Clone, Debug)]
pub(super) struct Track<W> {
    pub(super) minutes: W,
    pub(super) hours: W,
}

/// A failed request as the page shows it.
#[derive(Clone, Debug, serde::Serialize)]
pub(super) struct LatestError {
    /// Seconds since the epoch.
    pub(super) time: f64,
    pub(super) route: String,
    pub(super) status_code: String,
    pub(super) error_code: String,
    pub(super) request_id: Option<String>,
}

/// What was read.
#[derive(Clone, Copy, Debug, Default, serde::Serialize)]
pub(super) struct Observed {
    /// Points of all measurements.
    pub(super) points: u64,
    /// Lines that could not be parsed.
    pub(super) unreadable: u64,
    /// Batches that were skipped because they came faster than they could be read.
    pub(super) missed_batches: u64,
    /// Requests and errors with times outside the longest window.
    pub(super) out_of_range: u64,
    /// Points that were read from files at the start.
    pub(super) from_files: u64,
    /// Whether requests are counted by rollups instead of points.
    pub(super) rollups: bool,
}

impl Model {
    pub(super) fn new(now: u64, rollups: Option<RollupReader>) -> Self {
        Self {
            total: Track { minutes: TotalWindow::new(), hours: TotalWindow::new() },
            routes: HashMap::new(),
            other_routes: Track::new(),
            latest_errors: VecDeque::new(),
            observed: Observed { rollups: rollups.is_some(), ..Observed::default() },
            rollups,
            since: now,
            next_cleaning: 0,
        }
    }

    pub(super) fn observe(&mut self, line: &[u8], now: u64) {
        self.observed.points += 1;
        if self.rollups.is_some() && !is_error(line) {
            return;
        }
        match scan(line) {
            None => self.observed.unreadable += 1,
            Some(ScannedLine::Other) => {}
            Some(seen) => {
                self.count(seen, now);
            }
        }
    }

    /// Observes a line that an earlier process of this service may have written.
    pub(super) fn observe_from_file(&mut self, line: &[u8], now: u64, service: &str) {
        if let Some(line) = self.rollups.as_ref().and_then(|rollups| rollups.read_line(line)) {
            if line.service == service && self.count_key(&line.counted, now, seconds(line.time)) {
                self.observed.from_files += 1;
                self.since = self.since.min(seconds(line.time));
            }
            return;
        }
        let seen = scan(line);
        let (time, of) = match &seen {
            Some(ScannedLine::Request(request)) => (request.time, &*request.service),
            Some(ScannedLine::Error(failure)) => (failure.time, &*failure.service),
            _ => return,
        };
        // Several services may write into one directory.
        if of != service {
            return;
        }
        if let Some(seen) = seen
            && self.count(seen, now)
        {
            self.observed.from_files += 1;
            self.since = self.since.min(seconds(time));
        }
    }

    /// Adds what the rollups have counted since the last call, with the current time.
    pub(super) fn read_rollups(&mut self, now: u64, totals: impl FnOnce() -> Option<RollupSnapshot>) {
        let Some(rollups) = &mut self.rollups else { return };
        let added = totals().map(|totals| rollups.read(totals)).unwrap_or_default();
        added.iter().for_each(|counted| _ = self.count_key(counted, now, now));
    }

    fn count_key(&mut self, counted: &CountedRequests, now: u64, second: u64) -> bool {
        let CountedRequests { route, status_code, error_code, count, times } = counted;
        let error_code = error_code.as_deref().map(shorten);
        let event =
            RouteEvent::Counted { status_code: shorten(status_code), error_code, count: *count, times };
        self.record(route, now, second, event)
    }

    fn count(&mut self, seen: ScannedLine<'_>, now: u64) -> bool {
        if let (ScannedLine::Error(failure), Some(_)) = (&seen, &self.rollups) {
            self.remember(failure);
            return false;
        }
        let (second, route, event) = match &seen {
            ScannedLine::Request(request) => {
                let (status_code, execution_time) = (shorten(&request.status_code), request.execution_time);
                (seconds(request.time), &*request.route, RouteEvent::Request { status_code, execution_time })
            }
            ScannedLine::Error(failure) => (
                seconds(failure.time),
                &*failure.route,
                RouteEvent::Failure { error_code: shorten(&failure.error_code) },
            ),
            ScannedLine::Other => return false,
        };
        if !self.record(route, now, second, event) {
            return false;
        }
        if let ScannedLine::Error(failure) = &seen {
            self.remember(failure);
        }
        true
    }

    fn record(&mut self, route: &str, now: u64, second: u64, event: RouteEvent<'_>) -> bool {
        self.total.minutes.record(&MINUTES, now, second, event);
        if !self.total.hours.record(&HOURS, now, second, event) {
            self.observed.out_of_range += 1;
            return false;
        }
        let track = self.track(shorten(route), now);
        track.minutes.record(&MINUTES, now, second, event);
        track.hours.record(&HOURS, now, second, event);
        true
    }

    fn track(&mut self, route: &str, now: u64) -> &mut Track<RouteWindow> {
        if !self.routes.contains_key(route) {
            if self.routes.len() >= ROUTES && now >= self.next_cleaning {
                self.next_cleaning = now + CLEANING_INTERVAL;
                self.routes.retain(|_, track| !track.hours.is_over(&HOURS, now));
            }
            if self.routes.len() >= ROUTES {
                return &mut self.other_routes;
            }
            self.routes.insert(route.into(), Track::new());
        }
        self.routes.get_mut(route).unwrap_or(&mut self.other_routes)
    }

    fn remember(&mut self, failure: &ScannedError<'_>) {
        let time = failure.time as f64 / 1e9;
        if self.latest_errors.len() == LATEST_ERRORS
            && self.latest_errors.back().is_some_and(|oldest| oldest.time >= time)
        {
            return;
        }
        let place = self.latest_errors.iter().position(|known| known.time < time);
        let error = LatestError {
            time,
            route: shorten(&failure.route).to_owned(),
            status_code: failure.status_code.to_string(),
            error_code: shorten(&failure.error_code).to_owned(),
            request_id: failure.request_id.as_deref().map(|id| shorten(id).to_owned()),
        };
        self.latest_errors.insert(place.unwrap_or(self.latest_errors.len()), error);
        self.latest_errors.truncate(LATEST_ERRORS);
    }
}

impl Model {
    /// Returns how many requests of each route are running, if that is known.
    pub(super) fn running(&self) -> Option<HashMap<&str, u64>> {
        let rollups = self.rollups.as_ref()?;
        let mut running = HashMap::new();
        for (route, count) in &rollups.running {
            *running.entry(shorten(route)).or_default() += count;
        }
        Some(running)
    }
}

impl Track<RouteWindow> {
    fn new() -> Self {
        Self { minutes: RouteWindow::new(), hours: RouteWindow::new() }
    }
}

fn seconds(nanoseconds: i64) -> u64 {
    u64::try_from(nanoseconds).unwrap_or(0) / 1_000_000_000
}

/// Cuts a text: the page needs no more, and memory is bounded.
fn shorten(text: &str) -> &str {
    if text.len() <= TEXT_BYTES {
        return text;
    }
    let end = (0..=TEXT_BYTES).rev().find(|end| text.is_char_boundary(*end));
    &text[..end.unwrap_or(0)]
}

/// Routes that are shown separately.
pub(super) const ROUTES: usize = 500;
const LATEST_ERRORS: usize = 20;
/// Seconds between two searches for routes that can be removed.
const CLEANING_INTERVAL: u64 = 60;
const TEXT_BYTES: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(second: u64, route: &str) -> String {
        format!("requests,route={route},service=shop,status_code=200 execution_time=0.01 {second}000000000")
    }

    fn error(second: u64, route: &str, code: &str) -> String {
        format!(
            "errors,error_code={code},route={route},service=shop,status_code=404 request_id=\"id\" {second}000000000"
        )
    }

    #[test]
    fn memory_is_bounded_for_any_input() {
        let mut model = Model::new(6000, None);
        for number in 0..2000 {
            let long = format!("{number}{}", "x".repeat(1000));
            model.observe(request(6000, &long).as_bytes(), 6000);
            model.observe(error(6000, &long, &long).as_bytes(), 6000);
        }
        assert_eq!((model.routes.len(), model.latest_errors.len()), (ROUTES, LATEST_ERRORS));
        let other = model.other_routes.minutes.detail(&MINUTES, 6000);
        assert_eq!((other.requests, other.failed), (1500, 1500));
        assert!(model.routes.keys().all(|route| route.len() <= TEXT_BYTES));
        // All routes have left the window after half a day, so there is room for new ones.
        let later = 6000 + 13 * 3600;
        model.observe(request(later, "GET:/new").as_bytes(), later);
        assert_eq!(model.routes.len(), 1);
    }

    #[test]
    fn the_latest_errors_are_in_order() {
        let mut model = Model::new(7000, None);
        for second in [6500, 6900, 6100].into_iter().chain(6600..6630) {
            model.observe(error(second, "GET:/a", "7").as_bytes(), 7000);
        }
        let times: Vec<_> = model.latest_errors.iter().map(|error| error.time).collect();
        assert!(times.is_sorted_by(|left, right| left >= right), "{times:?}");
        assert_eq!((times[0], times[1], times.len()), (6900.0, 6629.0, LATEST_ERRORS));
    }

    #[test]
    fn lines_that_cannot_be_shown_are_counted() {
        let mut model = Model::new(60_000, None);
        model.observe(b"requests,nonsense", 60_000);
        model.observe(request(1000, "GET:/a").as_bytes(), 60_000);
        model.observe(b"jobs seconds=1 1", 60_000);
        let Observed { points, unreadable, out_of_range, .. } = model.observed;
        assert_eq!((points, unreadable, out_of_range), (3, 1, 1));
        assert!(model.routes.is_empty());
    }

    #[test]
    fn from_files_only_this_service_counts() {
        let mut model = Model::new(60_000, None);
        model.observe_from_file(request(59_000, "GET:/a").as_bytes(), 60_000, "shop");
        model.observe_from_file(request(59_000, "GET:/a").as_bytes(), 60_000, "other");
        model.observe_from_file(b"half a line", 60_000, "shop");
        assert_eq!((model.observed.from_files, model.since, model.routes.len()), (1, 59_000, 1));
    }
}
