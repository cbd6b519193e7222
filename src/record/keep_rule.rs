//! Which requests get points of their own.

use std::time::Duration;

use crate::settings::{KeepRequests, Settings, Storage};

/// The rule of the settings.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeepRule {
    All,
    /// Failed ones, and those that took at least as long.
    Slow(Duration),
    Failed,
    /// Only those that somebody asks to keep.
    Asked,
    /// Not even those: there is nowhere to put them.
    Never,
}

impl KeepRule {
    pub(crate) fn new(settings: &Settings) -> Self {
        match (settings.storage, settings.requests.keep) {
            (Storage::None, _) => Self::Never,
            (_, KeepRequests::All) => Self::All,
            (_, KeepRequests::Slow) => Self::Slow(settings.requests.slow.unwrap_or_default()),
            (_, KeepRequests::Failed) => Self::Failed,
            (_, KeepRequests::None) => Self::Asked,
        }
    }

    /// Returns whether a request is kept. `asked`: whether a handler or the classifier wants this
    /// request to be kept.
    #[inline]
    pub(crate) fn keeps(self, failed: bool, execution_time: Duration, asked: bool) -> bool {
        match self {
            Self::All => true,
            Self::Slow(slow) => failed || asked || execution_time >= slow,
            Self::Failed => failed || asked,
            Self::Asked => asked,
            Self::Never => false,
        }
    }

    /// Returns whether no point is recorded at all.
    pub(crate) fn is_never(self) -> bool {
        matches!(self, Self::Never)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_rule_keeps_what_its_name_says() {
        let slow = Duration::from_millis(500);
        let before = slow - Duration::from_nanos(1);
        let cases = [
            // Rule, and whether it keeps: fast and good, slow, failed, asked for.
            (KeepRule::All, [true, true, true, true]),
            (KeepRule::Slow(slow), [false, true, true, true]),
            (KeepRule::Failed, [false, false, true, true]),
            (KeepRule::Asked, [false, false, false, true]),
            (KeepRule::Never, [false, false, false, false]),
        ];
        for (rule, expected) in cases {
            let kept = [
                rule.keeps(false, before, false),
                rule.keeps(false, slow, false),
                rule.keeps(true, before, false),
                rule.keeps(false, before, true),
            ];
            assert_eq!(kept, expected, "{rule:?}");
        }
    }
}
