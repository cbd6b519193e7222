//! What the included files need of the rest of the crate, which is not included.

/// The bounds of the settings, at their defaults.
#[derive(Clone, Copy, Debug)]
#[allow(dead_code, reason = "as the settings have them")]
pub(crate) struct Limits {
    pub(crate) tag_bytes: usize,
    pub(crate) field_bytes: usize,
    pub(crate) extras: usize,
    pub(crate) tag_values: usize,
}

pub(crate) mod stats {
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Debug, Default)]
    pub(crate) struct Counter(AtomicU64);

    impl Counter {
        pub(crate) fn add(&self, count: u64) {
            self.0.fetch_add(count, Ordering::Relaxed);
        }
    }

    #[derive(Debug, Default)]
    pub(crate) struct RecorderCounters {
        pub(crate) sanitized: Counter,
        pub(crate) truncated: Counter,
        pub(crate) refused_extras: Counter,
        pub(crate) excess_extras: Counter,
        pub(crate) type_conflicts: Counter,
        pub(crate) overflowed_tags: Counter,
    }
}
