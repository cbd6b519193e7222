//! Checks of names and values that are in every point, and of the filter's routes.

use super::super::{FilterSettings, Settings, value::shown};
use crate::{error::Error, point::schema};

pub(super) fn validate(settings: &Settings) -> Result<(), Error> {
    if settings.service.trim().is_empty() {
        let remedy = "missing or empty; name the service, for instance `service = \"shop\"`";
        return Err(Error::setting_without_value("service", remedy));
    }
    validate_value("service", &settings.service)?;
    if let Some(instance) = &settings.instance {
        validate_value("instance", instance)?;
    }
    for (key, value) in &settings.tags {
        validate_key(key, settings)?;
        validate_value(&format!("tags.{}", shown(key)), value)?;
    }
    validate_together(settings)?;
    settings.filter.validate()
}

/// Checks the values of standard tags. The encoder would replace control characters and leave out
/// empty values; here the mistake can still be corrected.
fn validate_value(name: &str, value: &str) -> Result<(), Error> {
    if value.is_empty() {
        let remedy = "empty, which InfluxDB treats as a missing tag; give it a value or leave the key out";
        return Err(Error::setting_without_value(name, remedy));
    }
    if value.len() > MAX_VALUE {
        let remedy = format!("{} bytes long; write {MAX_VALUE} at most", value.len());
        return Err(Error::setting(name, shown(value), remedy));
    }
    if value.chars().any(char::is_control) {
        let remedy = "holds a line break or another control character, which tags do not allow; remove it";
        return Err(Error::setting(name, shown(value), remedy));
    }
    Ok(())
}

fn validate_key(key: &str, settings: &Settings) -> Result<(), Error> {
    let refuse = |remedy: &str| Err(Error::setting_without_value(&format!("tags.{}", shown(key)), remedy));
    if key.is_empty() {
        return refuse("the name is empty; give the tag a name");
    }
    if key.len() > MAX_KEY {
        return refuse("the name has more than 256 bytes; write a shorter one");
    }
    if key.chars().any(char::is_control) {
        return refuse("the name holds a control character; remove it");
    }
    if schema::RESERVED_BY_INFLUXDB.contains(&key) {
        return refuse("InfluxDB reserves this name; choose another one");
    }
    match key {
        schema::SERVICE => refuse("a standard tag; set the key `service`, outside of `tags`"),
        schema::INSTANCE => refuse("a standard tag; set the key `instance`, outside of `tags`"),
        _ if schema::ADDED_FIELDS.contains(&key) => {
            refuse("layers add a field of this name to requests; choose another one")
        }
        _ if settings.rollup.interval.is_some() && schema::is_rollup_field(key) => {
            refuse("every rollup has a field of this name; choose another one")
        }
        // Not only where it is a tag: InfluxDB 3 accepts no tag with the name of a field.
        _ if schema::COLUMNS.iter().any(|(_, column, _)| *column == key) => {
            refuse("the points have a tag or field of this name already; choose another one")
        }
        _ => Ok(()),
    }
}

/// Checks that the parts of a line fit together. A line has at most 64 KiB, so the static tags must
/// leave room for the others.
fn validate_together(settings: &Settings) -> Result<(), Error> {
    let escapes = |text: &str| text.bytes().filter(|byte| b", =".contains(byte)).count();
    let written = |text: &str| text.len() + escapes(text);
    // A comma before the name, and an equals sign after it.
    let tags: usize = settings.tags.iter().map(|(key, value)| 2 + written(key) + written(value)).sum();
    if tags <= MAX_TOGETHER {
        return Ok(());
    }
    let remedy = format!(
        "names and values have {tags} bytes together as they are written to InfluxDB; write {MAX_TOGETHER} at most"
    );
    Err(Error::setting_without_value("tags", remedy))
}

impl FilterSettings {
    fn validate(&self) -> Result<(), Error> {
        let lists = [("filter.ignore", &self.ignore), ("filter.allow", &self.allow)];
        for (name, list) in lists {
            for (index, entry) in list.iter().enumerate() {
                validate_route(&format!("{name}[{index}]"), entry)?;
            }
        }
        Ok(())
    }
}

/// Checks that the entry is `METHOD:/template` or `/template`. Any other would never match a
/// request, and go unnoticed.
fn validate_route(name: &str, entry: &str) -> Result<(), Error> {
    let refuse = |remedy: String| Err(Error::setting(name, shown(entry), remedy));
    let (method, template) = match entry.split_once(':') {
        Some((method, template)) if !method.contains('/') => (Some(method), template),
        _ => (None, entry),
    };
    let blank = |letter: char| letter.is_whitespace() || letter.is_control();
    if template != UNMATCHED && (!template.starts_with('/') || template.contains(blank)) {
        let remedy = "write `METHOD:/template`, such as `GET:/items/{id}`, or `/template` for every method";
        return refuse(remedy.to_owned());
    }
    // A template may end with a parameter for the rest of a path, such as `{*rest}`.
    let literal = template.strip_suffix('*').unwrap_or(template).replace("{*", "{");
    let start = method.map(|method| format!("{method}:")).unwrap_or_default();
    if let Some((before, rest)) = template.split_once("{*").filter(|(_, rest)| rest.ends_with("}*")) {
        let parameter = format!("{{*{}", rest.trim_end_matches('*'));
        let remedy = format!(
            "`{}` stands for the rest of a path already, and ends a template; write `{}` for this route, or `{}*` for \
             all that begin so",
            shown(&parameter),
            shown(&format!("{start}{before}{parameter}")),
            shown(&format!("{start}{before}"))
        );
        return refuse(remedy);
    }
    if literal.contains('*') {
        let prefix = template.split(['*', '{']).next().unwrap_or_default();
        let remedy = format!(
            "a `*` stands for the rest of a template, and only at its end; write `{}*`",
            shown(&format!("{start}{prefix}"))
        );
        return refuse(remedy);
    }
    let Some(method) = method else { return Ok(()) };
    if METHODS.contains(&method) {
        return Ok(());
    }
    let upper = method.to_ascii_uppercase();
    if METHODS.contains(&upper.as_str()) {
        return refuse(format!(
            "methods are written in capital letters; write `{upper}:{}`",
            shown(template)
        ));
    }
    let remedy = format!(
        "points have no such method; write one of {}, which stands for all others",
        METHODS.join(", ")
    );
    refuse(remedy)
}

/// The template of requests without a route. `OTHER` below is the method of requests with a
/// non-standard one.
const UNMATCHED: &str = "unmatched";
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "CONNECT", "TRACE", "OTHER"];
pub(super) const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 1024;
const MAX_TOGETHER: usize = 6 * 1024;
