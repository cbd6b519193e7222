//! The start of a request, with its stamp.

use super::{MonotonicInstant, stamp};

/// The start of a request. Its stamp is taken at once if its points are usual. If they are the
/// exception, the stamp is taken when the first one is written.
///
/// A stamp that is taken late is not exactly the start: other requests may have used this moment's
/// stamp meanwhile. With few points, nearly always some shard has not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StartedAt {
    instant: MonotonicInstant,
    /// [`LATE`] until the stamp is needed.
    stamp: i64,
}

impl StartedAt {
    /// Reads the clock. `has_points` tells whether most requests have points.
    #[inline]
    pub(crate) fn now(has_points: bool) -> Self {
        let instant = MonotonicInstant::now();
        Self { instant, stamp: if has_points { stamp(instant) } else { LATE } }
    }

    /// Returns the stamp. Call it once: one that is taken late differs from call to call.
    #[inline]
    pub(crate) fn stamp(self) -> i64 {
        if self.stamp == LATE { take_late(self.instant) } else { self.stamp }
    }

    #[inline]
    pub(crate) fn instant(self) -> MonotonicInstant {
        self.instant
    }
}

#[cold]
#[inline(never)]
fn take_late(instant: MonotonicInstant) -> i64 {
    stamp(instant)
}

/// Not a stamp: it is a moment in the year 1677.
const LATE: i64 = i64::MIN;

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, time::SystemTime};

    use super::*;

    #[test]
    fn a_stamp_is_the_moment_of_the_start_whenever_it_is_taken() {
        let wall = || {
            SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_nanos() as i64
        };
        for has_points in [true, false] {
            let before = wall();
            let started: Vec<_> = (0..20).map(|_| StartedAt::now(has_points)).collect();
            let after = wall();
            // Taken by others meanwhile.
            (0..20).for_each(|_| _ = stamp(MonotonicInstant::now()));
            let stamps: HashSet<_> = started.iter().map(|started| started.stamp()).collect();
            assert_eq!(stamps.len(), 20, "no two are equal");
            // Stamps may be off by a millisecond where the clock is slewed.
            let near = before - 5_000_000..after + 5_000_000;
            assert!(stamps.iter().all(|stamp| near.contains(stamp)), "{stamps:?} {near:?}");
            assert!(!stamps.contains(&LATE));
        }
    }
}
