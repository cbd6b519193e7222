//! The tags of every point of a monitor: `service`, `instance` and those of the settings.

use std::collections::BTreeMap;

use crate::{
    line_protocol::{
        Changes, NAME_BYTES, STANDARD_BYTES, STATIC_BYTES,
        escape::{self, EscapeContext},
    },
    point::schema::{INSTANCE, SERVICE, is_reserved},
};

/// Tags that are the same in every point, encoded once and sorted.
#[derive(Clone, Debug, Default)]
pub(crate) struct StaticTags {
    tags: Vec<StaticTag>,
}

/// The encoded form `,key=value`.
#[derive(Clone, Debug)]
pub(super) struct StaticTag {
    text: Vec<u8>,
    key_end: usize,
}

impl StaticTags {
    /// Encodes the tag `service`, the tag `instance` if there is one, and further ones.
    ///
    /// Further tags are left out, with a warning, if their name is that of a standard tag or field
    /// or reserved by InfluxDB, or if they exceed 6 KiB together. Validated settings contain none
    /// of these. Empty values are left out without a warning.
    pub(crate) fn new(service: &str, instance: Option<&str>, further: &BTreeMap<String, String>) -> Self {
        let mut tags = Self::default();
        let mut bytes = 0;
        tags.add(SERVICE, service);
        tags.add(INSTANCE, instance.unwrap_or_default());
        for (key, value) in further {
            let tag = StaticTag::new(key, value);
            let refused = key.is_empty() || is_reserved(tag.key()) || bytes + tag.text.len() > STATIC_BYTES;
            if refused {
                tracing::warn!(
                    target: "tower_influx",
                    tag = %key,
                    "tag of the settings left out of all points: its name is reserved, or the tags together are \
                     too long; rename or shorten it"
                );
            } else {
                bytes += tag.text.len();
                tags.add(key, value);
            }
        }
        tags
    }

    /// Returns the names that handlers could use if these tags did not have them.
    pub(super) fn further_keys(&self) -> impl Iterator<Item = &[u8]> {
        self.tags.iter().map(StaticTag::key).filter(|key| !is_reserved(key))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &StaticTag> {
        self.tags.iter()
    }

    fn add(&mut self, key: &str, value: &str) {
        let tag = StaticTag::new(key, value);
        if !value.is_empty() {
            match self.tags.binary_search_by(|other| other.key().cmp(tag.key())) {
                Ok(at) => self.tags[at] = tag,
                Err(at) => self.tags.insert(at, tag),
            }
        }
    }
}

impl StaticTag {
    fn new(key: &str, value: &str) -> Self {
        let mut text = vec![b','];
        let mut changes = Changes::default();
        escape::text(&mut text, key, EscapeContext::TagKey, NAME_BYTES, &mut changes);
        let key_end = text.len();
        text.push(b'=');
        escape::text(&mut text, value, EscapeContext::TagValue, STANDARD_BYTES, &mut changes);
        Self { text, key_end }
    }

    pub(super) fn key(&self) -> &[u8] {
        &self.text[1..self.key_end]
    }

    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(tags: &StaticTags) -> Vec<&str> {
        tags.iter().map(|tag| std::str::from_utf8(tag.text()).expect("UTF-8")).collect()
    }

    #[test]
    fn tags_are_sorted_and_standard_names_are_left_out() {
        let further = ["zone", "region", "route", "time", "execution_time", "a b"]
            .map(|key| (key.into(), "x,y".into()));
        let tags = StaticTags::new("licenses", Some("one"), &further.into());
        assert_eq!(
            texts(&tags),
            [",a\\ b=x\\,y", ",instance=one", ",region=x\\,y", ",service=licenses", ",zone=x\\,y"]
        );
    }

    #[test]
    fn empty_values_and_tags_beyond_the_bound_are_left_out() {
        let further = (0..30).map(|number| (format!("tag{number:02}"), "x".repeat(1_000)));
        let tags = StaticTags::new("", None, &further.collect());
        assert_eq!(tags.iter().count(), 6);
        assert!(tags.iter().map(|tag| tag.text().len()).sum::<usize>() <= STATIC_BYTES);
    }
}
