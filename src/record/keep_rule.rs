//! The rule for which requests get points of their own.

use crate::settings::{KeepRequests, Settings, Storage};

/// The rule of the settings, as three reasons to keep a request: its duration, its failure, or a
/// demand by a handler or the classifier.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KeepRule {
    /// Requests of at least this many nanoseconds are kept; the maximum means never.
    slow: u64,
    failed: bool,
    asked: bool,
}

impl KeepRule {
    pub(crate) fn new(settings: &Settings) -> Self {
        let slow = u64::try_from(settings.requests.slow.unwrap_or_default().as_nanos()).unwrap_or(u64::MAX);
        match (settings.storage, settings.requests.keep) {
            // Not even on demand: there is no storage.
            (Storage::None, _) => Self { slow: u64::MAX, failed: false, asked: false },
            (_, KeepRequests::All) => Self { slow: 0, failed: true, asked: true },
            (_, KeepRequests::Slow) => Self { slow, failed: true, asked: true },
            (_, KeepRequests::Failed) => Self { slow: u64::MAX, failed: true, asked: true },
            (_, KeepRequests::None) => Self { slow: u64::MAX, failed: false, asked: true },
        }
    }

    /// Returns whether a request is kept. `asked` tells whether a handler or the classifier demands
    /// it.
    #[inline]
    pub(crate) fn keeps(self, failed: bool, nanoseconds: u64, asked: bool) -> bool {
        // Without branches, which would be mispredicted from request to request.
        (nanoseconds >= self.slow) | (failed & self.failed) | (asked & self.asked)
    }

    /// Returns whether no point is ever recorded.
    pub(crate) fn is_never(self) -> bool {
        !self.asked
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn each_rule_keeps_the_requests_that_its_name_states() {
        let (slow, before) = (500_000_000, 499_999_999);
        let rule = |storage, keep| {
            let mut settings = Settings::new("shop");
            (settings.storage, settings.requests.keep) = (storage, keep);
            settings.requests.slow = Some(Duration::from_millis(500));
            KeepRule::new(&settings)
        };
        let cases = [
            // The rule, and whether it keeps a fast successful, a slow, a failed and a demanded
            // request.
            (rule(Storage::File, KeepRequests::All), [true, true, true, true]),
            (rule(Storage::File, KeepRequests::Slow), [false, true, true, true]),
            (rule(Storage::File, KeepRequests::Failed), [false, false, true, true]),
            (rule(Storage::File, KeepRequests::None), [false, false, false, true]),
            (rule(Storage::None, KeepRequests::All), [false, false, false, false]),
            (rule(Storage::None, KeepRequests::Slow), [false, false, false, false]),
        ];
        for (rule, expected) in cases {
            let kept = [
                rule.keeps(false, before, false),
                rule.keeps(false, slow, false),
                rule.keeps(true, before, false),
                rule.keeps(false, before, true),
            ];
            assert_eq!(kept, expected, "{rule:?}");
            assert_eq!(rule.is_never(), expected == [false; 4], "{rule:?}");
        }
    }
}
