//! How often names and values of a point were changed, for the counters.

use std::ops::AddAssign;

use crate::stats::RecorderCounters;

/// How many names and values of a point were changed or left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Changes {
    /// Names and values that were changed so that every InfluxDB accepts them.
    pub(crate) sanitized: u32,
    /// Names and values that were cut to their maximum size.
    pub(crate) truncated: u32,
    /// Tags and fields left out: a reserved or empty name, a duplicate name, an empty tag, or a
    /// number that is NaN or infinite.
    pub(crate) refused: u32,
    /// Tags and fields left out: more than the number or the bytes that one point may have.
    pub(crate) excess: u32,
    /// Tags and fields left out: the measurement has this name with another type or kind.
    pub(crate) conflicts: u32,
    /// Tags whose value was replaced by the overflow value.
    pub(crate) overflowed: u32,
}

impl Changes {
    /// Returns whether nothing was changed.
    pub(crate) fn is_empty(&self) -> bool {
        // Without a branch for each.
        let Self { sanitized, truncated, refused, excess, conflicts, overflowed } = *self;
        sanitized | truncated | refused | excess | conflicts | overflowed == 0
    }

    /// Adds them to the counters, but writes none of these if nothing was changed.
    pub(crate) fn count(&self, counters: &RecorderCounters) {
        for (changed, counter) in [
            (self.sanitized, &counters.sanitized),
            (self.truncated, &counters.truncated),
            (self.refused, &counters.refused_extras),
            (self.excess, &counters.excess_extras),
            (self.conflicts, &counters.type_conflicts),
            (self.overflowed, &counters.overflowed_tags),
        ] {
            if changed > 0 {
                counter.add(changed.into());
            }
        }
    }
}

impl AddAssign for Changes {
    fn add_assign(&mut self, other: Self) {
        self.sanitized = self.sanitized.saturating_add(other.sanitized);
        self.truncated = self.truncated.saturating_add(other.truncated);
        self.refused = self.refused.saturating_add(other.refused);
        self.excess = self.excess.saturating_add(other.excess);
        self.conflicts = self.conflicts.saturating_add(other.conflicts);
        self.overflowed = self.overflowed.saturating_add(other.overflowed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_change_has_its_counter() {
        let changes =
            Changes { sanitized: 1, truncated: 2, refused: 3, excess: 4, conflicts: 5, overflowed: 6 };
        let mut twice = changes;
        twice += changes;
        let counters = RecorderCounters::default();
        twice.count(&counters);
        let counted = [
            &counters.sanitized,
            &counters.truncated,
            &counters.refused_extras,
            &counters.excess_extras,
            &counters.type_conflicts,
            &counters.overflowed_tags,
        ]
        .map(|counter| counter.count());
        assert_eq!(counted, [2, 4, 6, 8, 10, 12]);
        assert!(Changes::default().is_empty() && !changes.is_empty());
    }
}
