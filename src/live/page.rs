//! The page: renders a snapshot as text and charts with the template.

use askama::Template;

use super::{
    chart::{self, Bars},
    humanize::{self, Level},
    snapshot::{ChartInterval, Figures, PageSnapshot, RouteSnapshot, Span},
    summary::facts,
};
use crate::licensing::LicenseStatus;

/// The options that the reader has chosen by the links of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Choice {
    hours: bool,
    order: Order,
    every_route: bool,
    paused: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Order {
    #[default]
    Requests,
    Failed,
    Slowest,
    Running,
}

impl Choice {
    /// Parses a query. Unknown words are ignored.
    pub(super) fn from_query(query: &str) -> Self {
        let mut choice = Self::default();
        for word in query.split('&') {
            match word {
                "hours" => choice.hours = true,
                "failed" => choice.order = Order::Failed,
                "slowest" => choice.order = Order::Slowest,
                "running" => choice.order = Order::Running,
                "all" => choice.every_route = true,
                "paused" => choice.paused = true,
                _ => {}
            }
        }
        choice
    }

    fn link(self) -> String {
        let order = match self.order {
            Order::Requests => "",
            Order::Failed => "failed",
            Order::Slowest => "slowest",
            Order::Running => "running",
        };
        let words =
            [(self.hours, "hours"), (true, order), (self.every_route, "all"), (self.paused, "paused")];
        let words: Vec<_> =
            words.into_iter().filter(|(set, word)| *set && !word.is_empty()).map(|(_, word)| word).collect();
        format!("?{}", words.join("&"))
    }
}

pub(super) fn render(snapshot: &PageSnapshot, place: &str, choice: Choice) -> Result<String, askama::Error> {
    let span = if choice.hours { &snapshot.last_12_hours } else { &snapshot.last_10_minutes };
    let (level, state, meaning) = humanize::delivery(&snapshot.stats, snapshot.time);
    let mut routes: Vec<_> = span.routes.iter().collect();
    match choice.order {
        Order::Requests => {}
        Order::Failed => routes.sort_by_key(|route| std::cmp::Reverse(route.figures.failed)),
        Order::Slowest => routes.sort_by(|left, right| {
            right.figures.p95.unwrap_or(0.0).total_cmp(&left.figures.p95.unwrap_or(0.0))
        }),
        Order::Running => routes.sort_by_key(|route| std::cmp::Reverse(route.running)),
    }
    let shown = if choice.every_route { routes.len() } else { routes.len().min(ROUTES_SHOWN) };
    let slowest = span.slots.iter().filter_map(|slot| slot.p95).fold(0.0, f64::max);
    let time_top = chart::round_up(slowest);
    let page = Page {
        place,
        service: &snapshot.service,
        now: humanize::time_of_day(snapshot.time as f64),
        level,
        state,
        meaning,
        choice,
        window: if choice.hours { "12 hours" } else { "10 minutes" },
        observed_for: humanize::span(span.seconds),
        all: &span.all,
        running: snapshot.stats.recorder.running_requests,
        bars: Bars::new(span.slots.iter().map(|slot| (slot.requests, slot.failed)), true),
        hints: span.slots.iter().map(|slot| hint(slot, span)).collect(),
        slot_words: humanize::span(span.slot_seconds),
        times: [
            chart::line(span.slots.iter().map(|slot| slot.p50), time_top),
            chart::line(span.slots.iter().map(|slot| slot.p95), time_top),
        ],
        time_top: humanize::seconds(time_top),
        from: span.slots.first().map_or_else(String::new, |slot| humanize::hour_and_minute(slot.time)),
        to: humanize::hour_and_minute(snapshot.time),
        routes: routes[..shown].iter().map(|route| RouteRow::new(route)).collect(),
        hidden: routes.len() - shown,
        snapshot,
        facts: facts(&snapshot.stats),
        license: snapshot.license.as_ref().map(LicenseRow::new),
    };
    page.render()
}

#[derive(Template)]
#[template(path = "live.html")]
struct Page<'a> {
    /// The prefix of links.
    place: &'a str,
    service: &'a str,
    now: String,
    level: Level,
    state: &'static str,
    meaning: String,
    choice: Choice,
    window: &'static str,
    observed_for: String,
    all: &'a Figures,
    running: u64,
    bars: Bars,
    /// A description of each bar.
    hints: Vec<String>,
    slot_words: String,
    /// Paths of the median and of the 95th percentile.
    times: [String; 2],
    time_top: String,
    from: String,
    to: String,
    routes: Vec<RouteRow<'a>>,
    hidden: usize,
    snapshot: &'a PageSnapshot,
    facts: Vec<(&'static str, String, Level)>,
    license: Option<LicenseRow>,
}

impl Page<'_> {
    fn with_window(&self, hours: bool) -> String {
        Choice { hours, ..self.choice }.link()
    }

    fn with_order(&self, order: &str) -> String {
        Choice { order: Choice::from_query(order).order, ..self.choice }.link()
    }

    /// Returns whether running requests are known by route.
    fn knows_running(&self) -> bool {
        self.snapshot.observed.rollups
    }

    fn is_ordered_by(&self, order: &str) -> bool {
        self.choice.order == Choice::from_query(order).order
    }

    fn with_every_route(&self, every_route: bool) -> String {
        Choice { every_route, ..self.choice }.link()
    }

    fn with_pause(&self, paused: bool) -> String {
        Choice { paused, ..self.choice }.link()
    }

    // The parameters are references, since askama passes references.

    fn count(&self, number: &u64) -> String {
        humanize::count(*number)
    }

    fn rate(&self, rate: &f64) -> String {
        humanize::rate(*rate)
    }

    fn time(&self, seconds: &Option<f64>) -> String {
        humanize::maybe_seconds(*seconds)
    }

    fn time_of_day(&self, seconds: &f64) -> String {
        humanize::time_of_day(*seconds)
    }

    fn percent(&self, figures: &Figures) -> String {
        humanize::percent(figures.failed_share())
    }

    fn failure_level(&self) -> Level {
        failure_level(self.all.failed_share())
    }

    fn notes(&self) -> Vec<String> {
        let observed = &self.snapshot.observed;
        let missed = match observed.rollups {
            true => {
                "batches came faster than this page could read them: failures in them are not in the list"
            }
            false => "batches came faster than this page could read them, and are missing here",
        };
        let notes = [
            (observed.from_files, "points are from the files of before the start"),
            (observed.missed_batches, missed),
            (observed.unreadable, "lines could not be read, and are missing here"),
            (observed.out_of_range, "points had times outside of the last 12 hours, and are missing here"),
        ];
        let notes = notes.into_iter().filter(|(number, _)| *number > 0);
        notes.map(|(number, what)| format!("{} {what}.", humanize::count(number))).collect()
    }
}

/// A row of the table of routes.
struct RouteRow<'a> {
    method: &'a str,
    resource: &'a str,
    figures: &'a Figures,
    running: Option<u64>,
    bars: Bars,
    level: Level,
}

impl<'a> RouteRow<'a> {
    fn new(route: &'a RouteSnapshot) -> Self {
        let (method, resource) = route.route.split_once(':').unwrap_or(("", &route.route));
        let slots = route.slots.iter().map(|slot| (u64::from(slot.requests), u64::from(slot.failed)));
        Self {
            method,
            resource,
            figures: &route.figures,
            running: route.running,
            bars: Bars::new(slots, false),
            level: failure_level(route.figures.failed_share()),
        }
    }
}

struct LicenseRow {
    level: Level,
    status: &'static str,
    days: Option<i64>,
    checked: String,
    messages: Vec<String>,
}

impl LicenseRow {
    fn new(license: &crate::licensing::CheckedLicense) -> Self {
        let (level, status) = match license.status() {
            LicenseStatus::Ok => (Level::Good, "in order"),
            LicenseStatus::Warning => (Level::Warning, "needs attention"),
            LicenseStatus::Error => (Level::Bad, "not valid"),
        };
        let since_epoch = license.checked_at().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let state = license.state();
        Self {
            level,
            status,
            days: state.days_left(),
            checked: humanize::date(since_epoch.as_secs()),
            messages: state.errors().iter().chain(state.warnings()).cloned().collect(),
        }
    }
}

fn failure_level(share: f64) -> Level {
    match share {
        ..=0.0 => Level::Good,
        ..0.05 => Level::Warning,
        _ => Level::Bad,
    }
}

fn hint(slot: &ChartInterval, span: &Span) -> String {
    let time = match span.slot_seconds {
        ..60 => humanize::time_of_day(slot.time as f64),
        _ => humanize::hour_and_minute(slot.time),
    };
    match slot.requests {
        0 => format!("{time}: no requests"),
        requests => format!(
            "{time}: {} requests, {} failed, half within {}, 95 % within {}",
            humanize::count(requests),
            humanize::count(slot.failed),
            humanize::maybe_seconds(slot.p50),
            humanize::maybe_seconds(slot.p95)
        ),
    }
}

const ROUTES_SHOWN: usize = 25;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_a_query_is_linear_in_its_length() {
        crate::work::assert_linear(&["&", "hours", "failed&", "+", ";"], |query| {
            _ = Choice::from_query(query)
        });
    }
}
