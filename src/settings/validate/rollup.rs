//! Checks of the settings of rollups and of requests with points.

use std::time::Duration;

use super::{super::Settings, HOUR, durations, names::MAX_KEY, numbers};
use crate::{
    error::Error,
    point::schema,
    settings::{KeepRequests, RollupHistogram, Storage, duration, value::shown},
};

pub(super) fn validate(settings: &Settings) -> Result<(), Error> {
    if let Some(interval) = settings.rollup.interval {
        durations("rollup.interval", interval, SHORTEST_INTERVAL, HOUR)?;
    }
    numbers("limits.rollup_keys", settings.limits.rollup_keys, 1, 10_000)?;
    validate_tags(settings)?;
    if let RollupHistogram::Boundaries(boundaries) = &settings.rollup.histogram {
        validate_boundaries(boundaries)?;
    }
    #[cfg(not(feature = "prometheus"))]
    if settings.metrics.names.is_some() {
        let remedy = "this program was built without metrics; add the feature `prometheus` of the crate `tower-influx`, or leave the key out";
        return Err(Error::setting_without_value("metrics.names", remedy));
    }
    validate_requests(settings)
}

fn validate_tags(settings: &Settings) -> Result<(), Error> {
    let tags = &settings.rollup.tags;
    if tags.len() > MOST_TAGS {
        let remedy = format!("{} tags; write {MOST_TAGS} at most", tags.len());
        return Err(Error::setting_without_value("rollup.tags", remedy));
    }
    for (index, tag) in tags.iter().enumerate() {
        let refuse = |remedy: &str| Err(Error::setting("rollup.tags", shown(tag), remedy));
        if tag.is_empty() {
            return refuse("a tag needs a name");
        }
        if tag.len() > MAX_KEY {
            return refuse("the name has more than 256 bytes; write a shorter one");
        }
        if tag.chars().any(char::is_control) {
            return refuse("the name holds a control character; remove it");
        }
        // InfluxDB 3 refuses every line with a tag that has a field's name.
        if schema::is_rollup_field(tag) {
            return refuse("every rollup has a field of this name; give the tag of handlers another one");
        }
        if schema::ADDED_FIELDS.contains(&tag.as_str()) {
            return refuse(
                "layers add a field of this name to requests; give the tag of handlers another one",
            );
        }
        if schema::is_reserved(tag.as_bytes()) {
            return refuse("every rollup has the standard tags already; name extra tags of handlers");
        }
        if settings.tags.contains_key(tag) {
            return refuse("`tags` gives every point this tag already; name extra tags of handlers");
        }
        if tags[..index].contains(tag) {
            return refuse("given twice; leave one of them out");
        }
    }
    Ok(())
}

fn validate_boundaries(boundaries: &[Duration]) -> Result<(), Error> {
    if !(1..=MOST_BOUNDARIES).contains(&boundaries.len()) {
        let remedy = format!("{} boundaries; write 1 to {MOST_BOUNDARIES}, or `off`", boundaries.len());
        return Err(Error::setting_without_value("rollup.histogram", remedy));
    }
    for boundary in boundaries {
        durations("rollup.histogram", *boundary, Duration::from_micros(1), 24 * HOUR)?;
    }
    match boundaries.windows(2).find(|pair| pair[0] >= pair[1]) {
        None => Ok(()),
        Some(pair) => {
            let remedy = format!(
                "boundaries must increase, and this one follows `{}`",
                duration::DisplayDuration(pair[0])
            );
            Err(Error::setting("rollup.histogram", duration::DisplayDuration(pair[1]), remedy))
        }
    }
}

fn validate_requests(settings: &Settings) -> Result<(), Error> {
    let requests = &settings.requests;
    if let Some(slow) = requests.slow {
        durations("requests.slow", slow, Duration::from_micros(1), 24 * HOUR)?;
        if requests.keep != KeepRequests::Slow {
            let remedy = "it has no effect unless `requests.keep` is `slow`; set that, or leave this key out";
            return Err(Error::setting("requests.slow", duration::DisplayDuration(slow), remedy));
        }
    }
    let word = match requests.keep {
        KeepRequests::All => return Ok(()),
        KeepRequests::Slow if requests.slow.is_none() => {
            let remedy =
                "it needs `requests.slow`, from which time on a request is slow; write `500ms`, for instance";
            return Err(Error::setting("requests.keep", "slow", remedy));
        }
        KeepRequests::Slow => "slow",
        KeepRequests::Failed => "failed",
        KeepRequests::None => "none",
    };
    if settings.rollup.interval.is_some()
        || settings.storage == Storage::None
        || settings.metrics.names.is_some()
    {
        return Ok(());
    }
    let remedy = "the other requests would not be counted; set `rollup.interval`, for instance to `10s`, or `metrics.names`";
    Err(Error::setting("requests.keep", word, remedy))
}

const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
const MOST_TAGS: usize = 8;
/// Together with one more bucket there are 170 fields.
const MOST_BOUNDARIES: usize = 169;
