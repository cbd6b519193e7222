//! The filter: which requests are recorded, by route template and method.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::settings::FilterSettings;

/// The parsed patterns of the settings.
#[derive(Debug)]
pub(crate) struct Filter {
    ignore: Vec<Pattern>,
    allow: Vec<Pattern>,
    /// Whether every pattern has matched or was reported. Until then, every request is compared
    /// with all patterns.
    is_settled: AtomicBool,
    any_recorded: AtomicBool,
    /// How many requests were compared with all patterns so far.
    judged: AtomicU64,
}

#[derive(Debug)]
struct Pattern {
    /// The pattern as written in the settings.
    text: String,
    method: Option<String>,
    resource: String,
    /// Whether `resource` is the beginning of a template instead of a whole one.
    is_prefix: bool,
    has_matched: AtomicBool,
    is_reported: AtomicBool,
}

impl Filter {
    /// Creates the filter, or returns `None` if nothing is filtered.
    pub(crate) fn new(settings: &FilterSettings) -> Option<Self> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        (!settings.ignore.is_empty() || !settings.allow.is_empty()).then(|| Self {
            ignore: patterns(&settings.ignore),
            allow: patterns(&settings.allow),
            is_settled: AtomicBool::new(false),
            any_recorded: AtomicBool::new(false),
            judged: AtomicU64::new(0),
        })
    }

    /// Returns whether requests of this route are recorded. Warns once if the patterns exclude
    /// everything, and once about each pattern that matches nothing.
    pub(crate) fn records(&self, method: &str, resource: &str) -> bool {
        if !self.is_settled.load(Ordering::Relaxed) {
            self.observe(method, resource);
        }
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(method, resource));
        !any(&self.ignore) && (self.allow.is_empty() || any(&self.allow))
    }

    /// Marks the patterns that match. Warns once if the patterns exclude everything.
    #[cold]
    fn observe(&self, method: &str, resource: &str) {
        let note = |patterns: &[Pattern]| {
            // Compares all patterns: those after the first match are not useless.
            let matching = patterns.iter().filter(|pattern| pattern.matches(method, resource));
            matching.inspect(|pattern| pattern.has_matched.store(true, Ordering::Relaxed)).count() > 0
        };
        let (is_ignored, is_allowed) = (note(&self.ignore), note(&self.allow));
        if !is_ignored && (is_allowed || self.allow.is_empty()) {
            self.any_recorded.store(true, Ordering::Relaxed);
        }
        let judged = self.judged.fetch_add(1, Ordering::Relaxed) + 1;
        let any_recorded = self.any_recorded.load(Ordering::Relaxed);
        if judged == ENOUGH && !any_recorded {
            tracing::warn!(
                target: "tower_influx",
                "nothing is recorded, `filter` has left out all of the first {ENOUGH} requests: compare its \
                 patterns with the routes; `/api/*` matches every route that begins with `/api/`"
            );
        }
        if judged >= ENOUGH_FOR_ALL {
            self.report_unused();
        }
        let is_known = self.patterns().all(Pattern::is_known) && (any_recorded || judged >= ENOUGH);
        if is_known || judged >= ENOUGH_FOR_ALL {
            self.is_settled.store(true, Ordering::Relaxed);
        }
    }

    /// Warns once about each pattern that has matched nothing. After few requests it warns only if
    /// nothing is recorded: a route without requests so far is not a mistake.
    pub(crate) fn report_unused(&self) {
        let judged = self.judged.load(Ordering::Relaxed);
        let nothing_allowed = judged > 0 && !self.allow.iter().any(Pattern::has_matched);
        let allow = self.allow.iter().filter(|_| judged >= ENOUGH || nothing_allowed);
        let ignore = self.ignore.iter().filter(|_| judged >= ENOUGH);
        for pattern in ignore.chain(allow).filter(|pattern| !pattern.has_matched()) {
            if !pattern.is_reported.swap(true, Ordering::Relaxed) {
                tracing::warn!(
                    target: "tower_influx",
                    pattern = pattern.text,
                    "pattern of `filter` has matched none of the first {judged} requests: compare it with the \
                     routes as they are registered; `/api/*` matches every route that begins with `/api/`"
                );
            }
        }
    }

    /// Returns whether [`report_unused`](Self::report_unused) has nothing left to report.
    pub(crate) fn is_settled(&self) -> bool {
        self.patterns().all(Pattern::is_known)
    }

    fn patterns(&self) -> impl Iterator<Item = &Pattern> {
        self.ignore.iter().chain(&self.allow)
    }
}

impl Pattern {
    /// Parses `METHOD:/template`, or `/template` for every method. Templates may contain colons.
    /// With a `*` at the end, the pattern matches every template with this beginning.
    fn new(text: &str) -> Self {
        let (method, resource) = match text.split_once(':') {
            Some((method, resource)) if !method.contains('/') => (Some(method.to_owned()), resource),
            _ => (None, text),
        };
        let (resource, is_prefix) = match resource.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (resource, false),
        };
        let is_foreign = resource.contains(OF_OTHER_SYNTAXES) || resource.contains("/:");
        if is_foreign {
            tracing::warn!(
                target: "tower_influx",
                pattern = text,
                "pattern of `filter` is written as for another router: parameters of axum are such as \
                 `/items/{{id}}`, and `/api/*` matches every route that begins with `/api/`; right only for names \
                 that `MonitoringLayer::route` gives"
            );
        }
        Self {
            text: text.to_owned(),
            method,
            resource: resource.to_owned(),
            is_prefix,
            has_matched: AtomicBool::new(false),
            is_reported: AtomicBool::new(is_foreign),
        }
    }

    fn matches(&self, method: &str, resource: &str) -> bool {
        let is_resource =
            if self.is_prefix { resource.starts_with(&self.resource) } else { self.resource == resource };
        is_resource && self.method.as_ref().is_none_or(|own| own == method)
    }

    fn has_matched(&self) -> bool {
        self.has_matched.load(Ordering::Relaxed)
    }

    /// Returns whether it has matched or was reported.
    fn is_known(&self) -> bool {
        self.has_matched() || self.is_reported.load(Ordering::Relaxed)
    }
}

/// The number of requests after which routes without a request are unusual.
const ENOUGH: u64 = 100;
/// The number of requests after which every pattern should have matched.
const ENOUGH_FOR_ALL: u64 = 1_000;
/// No path has the first four, few have brackets, and parameters of axum need none of them.
const OF_OTHER_SYNTAXES: [char; 6] = ['?', '#', '<', '>', '[', ']'];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_log;

    fn filter(ignore: &[&str], allow: &[&str]) -> Option<Filter> {
        let owned = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Filter::new(&FilterSettings { ignore: owned(ignore), allow: owned(allow) })
    }

    #[test]
    fn nothing_is_filtered_by_default() {
        assert!(filter(&[], &[]).is_none());
    }

    #[test]
    fn ignored_routes_are_not_recorded() {
        let filter = filter(&["GET:/health", "/metrics", "/old/a:b"], &[]).expect("a filter");
        assert!(!filter.records("GET", "/health") && filter.records("POST", "/health"));
        assert!(!filter.records("GET", "/metrics") && !filter.records("POST", "/metrics"));
        assert!(!filter.records("GET", "/old/a:b"));
        assert!(filter.records("GET", "/items/{id}") && filter.records("GET", "unmatched"));
    }

    #[test]
    fn only_allowed_routes_are_recorded() {
        let filter = filter(&["POST:/items/{id}"], &["/items/{id}"]).expect("a filter");
        assert!(filter.records("GET", "/items/{id}"));
        assert!(!filter.records("POST", "/items/{id}") && !filter.records("GET", "/version"));
    }

    #[test]
    fn a_star_at_the_end_matches_every_ending() {
        let filter = filter(&[], &["/api/*", "GET:/v1*"]).expect("a filter");
        for (method, resource) in [
            ("GET", "/api/"),
            ("POST", "/api/items/{id}"),
            ("GET", "/api/{*rest}"),
            ("GET", "/v1"),
            ("GET", "/v1/a"),
        ] {
            assert!(filter.records(method, resource), "{method} {resource}");
        }
        for (method, resource) in
            [("GET", "/api"), ("GET", "/apis"), ("POST", "/v1"), ("GET", "/"), ("GET", "unmatched")]
        {
            assert!(!filter.records(method, resource), "{method} {resource}");
        }
    }

    #[test]
    fn patterns_that_exclude_everything_or_match_nothing_are_logged_once() {
        let logged = |ignore: &[&str], allow: &[&str], requests: u64| {
            let filter = filter(ignore, allow).expect("a filter");
            test_log::logged(|| {
                for _ in 0..requests {
                    filter.records("GET", "/api/items");
                }
            })
        };
        assert_eq!(logged(&[], &["/api"], 99), "");
        let text = logged(&[], &["/api", "/other"], 5_000);
        assert_eq!(text.matches("nothing is recorded").count(), 1, "{text}");
        assert_eq!(text.matches("has matched none").count(), 2, "{text}");
        let text = logged(&["/health"], &["/api/*"], 5_000);
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains("pattern=\"/health\""), "{text}");
        assert_eq!(logged(&["/healthy*"], &[], 999), "");
    }

    /// A settled filter costs no more than the comparison.
    #[test]
    fn a_filter_is_settled_when_each_pattern_has_matched_or_is_reported() {
        let settled = |ignore: &[&str], requests: u64| {
            let filter = filter(ignore, &[]).expect("a filter");
            test_log::logged(|| {
                for _ in 0..requests {
                    filter.records("GET", "/a");
                    filter.records("GET", "/b");
                }
            });
            assert!(!filter.records("GET", "/a") || !ignore.contains(&"/a"));
            filter.is_settled.load(Ordering::Relaxed)
        };
        assert!(settled(&["/a"], 1) && settled(&["/a*"], 1) && settled(&["/<a>"], 1));
        assert!(!settled(&["/a", "/c"], 499) && settled(&["/a", "/c"], 500));
        // Nothing is recorded: the filter is not settled before it has warned of that.
        assert!(!settled(&["/a", "/b"], 49) && settled(&["/a", "/b"], 50));
    }
}
