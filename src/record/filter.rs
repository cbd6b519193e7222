//! Which requests are recorded, by route template and method.

use crate::settings::FilterSettings;

/// The patterns of the settings, taken apart.
#[derive(Debug)]
pub(crate) struct Filter {
    ignore: Vec<Pattern>,
    allow: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    method: Option<String>,
    resource: String,
}

impl Filter {
    /// `None` where nothing is filtered.
    pub(crate) fn new(settings: &FilterSettings) -> Option<Self> {
        let patterns = |texts: &[String]| texts.iter().map(|text| Pattern::new(text)).collect();
        (!settings.ignore.is_empty() || !settings.allow.is_empty())
            .then(|| Self { ignore: patterns(&settings.ignore), allow: patterns(&settings.allow) })
    }

    pub(crate) fn records(&self, method: &str, resource: &str) -> bool {
        let any = |patterns: &[Pattern]| patterns.iter().any(|pattern| pattern.matches(method, resource));
        !any(&self.ignore) && (self.allow.is_empty() || any(&self.allow))
    }
}

impl Pattern {
    /// `METHOD:/template`, or `/template` for every method. Templates may hold colons themselves.
    fn new(text: &str) -> Self {
        match text.split_once(':') {
            Some((method, resource)) if !method.contains('/') => {
                Self { method: Some(method.to_owned()), resource: resource.to_owned() }
            }
            _ => Self { method: None, resource: text.to_owned() },
        }
    }

    fn matches(&self, method: &str, resource: &str) -> bool {
        self.resource == resource && self.method.as_ref().is_none_or(|own| own == method)
    }
}

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
}
