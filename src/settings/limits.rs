//! Limits on what handlers add, and the filter of requests.

use super::defaults::{EXTRAS, FIELD_BYTES, ROLLUP_KEYS, TAG_BYTES, TAG_VALUES};

/// Limits for the tags and fields of handlers and of own points.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The maximum size of a tag value in bytes, 64 B to 16 KiB. Longer values are truncated and
    /// counted. Defaults to 1 KiB.
    pub tag_bytes: usize,
    /// The maximum size of a string field in bytes, 64 B to 20 KiB. Longer values are truncated and
    /// counted. Defaults to 16 KiB.
    pub field_bytes: usize,
    /// The maximum number of extra tags and fields of one request together, 0 to 1,000. Further
    /// ones are left out and counted. Defaults to 64.
    pub extras: usize,
    /// The maximum number of distinct values of one extra tag, and of `error_code`, up to
    /// 1,000,000. Further values become one overflow value. 0 means no limit. Defaults to 1,000.
    pub tag_values: usize,
    /// The maximum number of distinct keys of rollups, 1 to 10,000. A key is a combination of
    /// route, status code, error code and the tags in
    /// [`RollupSettings::tags`](super::RollupSettings::tags). Further keys are counted with the
    /// route `other`. Defaults to 1,000.
    pub rollup_keys: usize,
}

/// Which requests are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterSettings {
    /// Routes that are excluded, such as health checks: `METHOD:/template`, or `/template` for
    /// every method. A trailing `*` matches every template with this prefix. Defaults to none.
    pub ignore: Vec<String>,
    /// The only routes that are recorded, in the format of `ignore`. Defaults to none, which means
    /// all.
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
