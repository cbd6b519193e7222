//! Bounds of what handlers add, and which requests count.

use super::defaults::{EXTRAS, FIELD_BYTES, ROLLUP_KEYS, TAG_BYTES, TAG_VALUES};

/// Bounds of what handlers and own points add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a tag's value; a longer one is cut and counted. Defaults to 1 KiB.
    pub tag_bytes: usize,
    /// Bytes of a string field; a longer one is cut and counted. Defaults to 16 KiB.
    pub field_bytes: usize,
    /// Extra tags and fields of one request together; more are left out and counted. Defaults to
    /// 64.
    pub extras: usize,
    /// Distinct values of an extra tag or of `error_code`; more become an overflow value. 0 is no
    /// bound. Defaults to 1,000.
    pub tag_values: usize,
    /// Distinct keys of rollups: combinations of route, status code, error code and the tags in
    /// [`RollupSettings::tags`](super::RollupSettings::tags). What is beyond counts with the route
    /// `other`. 1 to 10,000. Defaults to 1,000.
    pub rollup_keys: usize,
}

/// Which requests are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterSettings {
    /// Routes that are not recorded: `METHOD:/template`, or `/template` for every method. Defaults
    /// to none.
    pub ignore: Vec<String>,
    /// The only routes that are recorded. Defaults to none, which means all.
    pub allow: Vec<String>,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            tag_bytes: TAG_BYTES,
            field_bytes: FIELD_BYTES,
            extras: EXTRAS,
            tag_values: TAG_VALUES,
            rollup_keys: ROLLUP_KEYS,
        }
    }
}
