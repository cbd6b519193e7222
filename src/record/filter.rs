//! Which requests are recorded, by route template and method.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::settings::FilterSettings;

/// The patterns of the settings, taken apart.
#[derive(Debug)]
pub(crate) struct Filter {
    ignore: Vec<Pattern>,
    allow: Vec<Pattern>,
    any_recorded: AtomicBool,
    /// Requests that were judged, until there are enough of them to judge the patterns.
    judged: AtomicU64,
}

#[derive(Debug)]
struct Pattern {
    /// As it was written.
    text: String,
    method: Option<String>,
    resource: String,
    /// Whether `resource` is the beginning of a template, not all of it.
    is_prefix: bool,
    has_matched: AtomicBool,
}

impl Filter {
    /// Creates the filter; `None` where nothing is filtered.
    pub(crate) fn new(settings: &FilterSettings) -> Option<Self> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        (!settings.ignore.is_empty() || !settings.allow.is_empty()).then(|| Self {
            ignore: patterns(&settings.ignore),
            allow: patterns(&settings.allow),
            any_recorded: AtomicBool::new(false),
            judged: AtomicU64::new(0),
        })
    }

    /// Returns whether requests of this route are recorded. Warns once of patterns that leave out
    /// everything, and of those that match nothing.
    pub(crate) fn records(&self, method: &str, resource: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(method, resource));
        let is_recorded = !any(&self.ignore) && (self.allow.is_empty() || any(&self.allow));
        if is_recorded && !self.any_recorded.load(Ordering::Relaxed) {
            self.any_recorded.store(true, Ordering::Relaxed);
        }
        // Written by the first requests only, or all cores would write to one place for ever.
        if self.judged.load(Ordering::Relaxed) < JUDGED_BEFORE_PATTERNS {
            self.count();
        }
        is_recorded
    }

    #[cold]
    fn count(&self) {
        match self.judged.fetch_add(1, Ordering::Relaxed) + 1 {
            JUDGED_BEFORE_ALL if !self.any_recorded.load(Ordering::Relaxed) => tracing::warn!(
                target: "tower_influx",
                "nothing is recorded, `filter` has left out all of the first {JUDGED_BEFORE_ALL} requests: \
                 compare its patterns with the routes; `/api/*` matches every route that begins with `/api/`"
            ),
            JUDGED_BEFORE_PATTERNS => {
                for pattern in self.ignore.iter().chain(&self.allow).filter(|pattern| !pattern.has_matched())
                {
                    tracing::warn!(
                        target: "tower_influx",
                        pattern = pattern.text,
                        "pattern of `filter` has matched none of the first {JUDGED_BEFORE_PATTERNS} requests: \
                         compare it with the routes as they are registered; `/api/*` matches every route that \
                         begins with `/api/`"
                    );
                }
            }
            _ => {}
        }
    }
}

impl Pattern {
    /// Parses `METHOD:/template`, or `/template` for every method. Templates may hold colons
    /// themselves. With a `*` at the end it stands for every template that begins so.
    fn new(text: &str) -> Self {
        let (method, resource) = match text.split_once(':') {
            Some((method, resource)) if !method.contains('/') => (Some(method.to_owned()), resource),
            _ => (None, text),
        };
        let (resource, is_prefix) = match resource.strip_suffix('*') {
            Some(prefix) => (prefix, true),
            None => (resource, false),
        };
        let has_matched = AtomicBool::new(false);
        Self { text: text.to_owned(), method, resource: resource.to_owned(), is_prefix, has_matched }
    }

    fn matches(&self, method: &str, resource: &str) -> bool {
        let is_resource =
            if self.is_prefix { resource.starts_with(&self.resource) } else { self.resource == resource };
        let matches = is_resource && self.method.as_ref().is_none_or(|own| own == method);
        if matches && !self.has_matched() {
            self.has_matched.store(true, Ordering::Relaxed);
        }
        matches
    }

    fn has_matched(&self) -> bool {
        self.has_matched.load(Ordering::Relaxed)
    }
}

const JUDGED_BEFORE_ALL: u64 = 100;
const JUDGED_BEFORE_PATTERNS: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_star_at_the_end_stands_for_every_ending() {
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
    fn what_leaves_out_everything_and_what_matches_nothing_is_said_once() {
        use std::{
            io,
            sync::{Arc, Mutex},
        };
        #[derive(Clone, Default)]
        struct Lines(Arc<Mutex<Vec<u8>>>);
        impl io::Write for Lines {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                self.0.lock().expect("no panic under it").extend_from_slice(bytes);
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let logged = |ignore: &[&str], allow: &[&str], requests: u64| {
            let (lines, filter) = (Lines::default(), filter(ignore, allow).expect("a filter"));
            let writer = lines.clone();
            let subscriber =
                tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
            tracing::subscriber::with_default(subscriber, || {
                for _ in 0..requests {
                    filter.records("GET", "/api/items");
                }
            });
            let text = lines.0.lock().expect("no panic under it").clone();
            String::from_utf8(text).expect("text")
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
}
