//! Names of labels: what Prometheus allows, and each once.

use crate::settings::MetricNames;

/// By name, each name once.
pub(super) type Labels = Vec<(String, String)>;

/// The labels of tags. A tag has the same label in all rows, whichever others a row has: otherwise
/// a query by the label would miss some.
#[derive(Clone, Debug)]
pub(super) struct TagLabels(Vec<(String, String)>);

impl TagLabels {
    /// Names a label for each of these tags, in this order.
    pub(super) fn new(names: MetricNames, tags: &[String]) -> Self {
        let own = match names {
            MetricNames::OpenTelemetry => OPENTELEMETRY,
            MetricNames::Luna => LUNA,
        };
        let mut labels = Vec::<(String, String)>::with_capacity(tags.len());
        for tag in tags {
            let mut label = label_name(tag);
            while RESERVED.contains(&&*label)
                || own.contains(&&*label)
                || labels.iter().any(|(_, other)| *other == label)
            {
                label.push('_');
            }
            labels.push((tag.clone(), label));
        }
        Self(labels)
    }

    /// Adds the tags of a row. A line has the name of a tag as InfluxDB takes it, so one that is
    /// not found as it is differs only in letters that no label has.
    pub(super) fn add(&self, labels: &mut Labels, tags: &[(String, String)]) {
        for (tag, value) in tags {
            let exact = self.0.iter().find(|(name, _)| name == tag);
            let alike = || self.0.iter().find(|(name, _)| label_name(name) == label_name(tag));
            if let Some((_, label)) = exact.or_else(alike) {
                labels.push((label.clone(), value.clone()));
            }
        }
    }
}

/// Letters, digits and underscores, no digit first, and not one of the names that begin with `__`,
/// which Prometheus keeps to itself. `_` alone would become one of these.
fn label_name(name: &str) -> String {
    let allowed = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    let name: String = name.chars().map(allowed).collect();
    match name.as_bytes() {
        [b'0'..=b'9', ..] => format!("_{name}"),
        [] | [b'_'] | [b'_', b'_', ..] => format!("tag{name}"),
        _ => name,
    }
}

/// What Prometheus itself adds to histograms and summaries.
const RESERVED: [&str; 2] = ["le", "quantile"];
/// The labels that rows have without tags.
const OPENTELEMETRY: &[&str] = &[METHOD, HTTP_ROUTE, HTTP_STATUS, ERROR_TYPE];
const LUNA: &[&str] = &[STATUS_CODE, ERROR_CODE, PATH, ROUTE, SERVICE];

pub(super) const METHOD: &str = "http_request_method";
pub(super) const HTTP_ROUTE: &str = "http_route";
pub(super) const HTTP_STATUS: &str = "http_response_status_code";
pub(super) const ERROR_TYPE: &str = "error_type";
pub(super) const STATUS_CODE: &str = "status_code";
pub(super) const ERROR_CODE: &str = "error_code";
pub(super) const PATH: &str = "path";
pub(super) const ROUTE: &str = "route";
pub(super) const SERVICE: &str = "service";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_allowed_and_each_tag_has_its_own() {
        let tags = [
            ("tenant", "tenant"),
            ("a b", "a_b"),
            ("a-b", "a_b_"),
            ("9", "_9"),
            ("le", "le_"),
            ("quantile", "quantile_"),
            ("__name__", "tag__name__"),
            ("_", "tag_"),
            ("tag_", "tag__"),
            ("_x", "_x"),
            ("\u{e9}", "tag___"),
            ("error_type", "error_type_"),
            ("path", "path"),
        ];
        let names = tags.map(|(tag, _)| tag.to_owned());
        let labels = TagLabels::new(MetricNames::OpenTelemetry, &names);
        let expected = tags.map(|(tag, label)| (tag.to_owned(), label.to_owned()));
        assert_eq!(labels.0, expected);
        assert_eq!(TagLabels::new(MetricNames::Luna, &["path".to_owned()]).0[0].1, "path_");
    }

    #[test]
    fn a_tag_that_the_line_has_in_other_letters_keeps_its_label() {
        let labels = TagLabels::new(MetricNames::OpenTelemetry, &["a\\b".to_owned()]);
        let mut row = Labels::new();
        labels.add(&mut row, &[("a/b".to_owned(), "1".to_owned())]);
        assert_eq!(row, [("a_b".to_owned(), "1".to_owned())]);
    }
}
