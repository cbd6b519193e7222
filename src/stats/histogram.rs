//! Durations in a few fixed buckets: cheap to count, and accurate enough for display.

use std::time::Duration;

use serde::{Serialize, Serializer, ser::SerializeStruct};

/// A histogram of durations with buckets whose upper bounds double: 1 µs, 2 µs, 4 µs, up to about 9
/// hours.
///
/// Serializes as `count`, and `p50`, `p99` and `max` in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Histogram {
    buckets: [u64; BUCKETS],
    max: Duration,
}

impl Histogram {
    pub(crate) fn record(&mut self, duration: Duration) {
        let microseconds = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = (u64::BITS - microseconds.leading_zeros()) as usize;
        self.buckets[bucket.min(BUCKETS - 1)] += 1;
        self.max = self.max.max(duration);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.buckets.iter_mut().zip(&other.buckets).for_each(|(sum, count)| *sum += count);
        self.max = self.max.max(other.max);
    }

    /// Returns the number of durations.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum()
    }

    /// Returns the longest duration.
    pub fn max(&self) -> Duration {
        self.max
    }

    /// Returns the median, rounded up to the upper bound of its bucket: at most twice the exact
    /// value.
    pub fn p50(&self) -> Duration {
        self.percentile(50)
    }

    /// Returns the 99th percentile, rounded up to the upper bound of its bucket: at most twice the
    /// exact value.
    pub fn p99(&self) -> Duration {
        self.percentile(99)
    }

    /// Returns the upper bound of the bucket that contains this percentile, or zero if nothing was
    /// counted.
    fn percentile(&self, percent: u64) -> Duration {
        let wanted = (self.count() * percent).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            if *count > 0 && seen >= wanted {
                return Duration::from_micros((1 << bucket) - 1).min(self.max);
            }
        }
        Duration::ZERO
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [0; BUCKETS], max: Duration::ZERO }
    }
}

impl Serialize for Histogram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("Histogram", 4)?;
        fields.serialize_field("count", &self.count())?;
        fields.serialize_field("p50", &self.p50().as_secs_f64())?;
        fields.serialize_field("p99", &self.p99().as_secs_f64())?;
        fields.serialize_field("max", &self.max.as_secs_f64())?;
        fields.end()
    }
}

const BUCKETS: usize = 36;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_a_factor_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!(
            (histogram.count(), histogram.p50(), histogram.p99()),
            (0, Duration::ZERO, Duration::ZERO)
        );
        for milliseconds in 1..=1000 {
            histogram.record(Duration::from_millis(milliseconds));
        }
        for (found, exact) in [(histogram.p50(), 500), (histogram.p99(), 990)] {
            let exact = Duration::from_millis(exact);
            assert!(found >= exact && found <= exact * 2, "{found:?} for {exact:?}");
        }
        assert_eq!((histogram.count(), histogram.max()), (1000, Duration::from_secs(1)));
    }

    #[test]
    fn extremes_are_counted() {
        let mut histogram = Histogram::default();
        histogram.record(Duration::ZERO);
        assert_eq!(histogram.p99(), Duration::ZERO);
        histogram.record(Duration::MAX);
        assert_eq!((histogram.count(), histogram.max()), (2, Duration::MAX));
        assert!(histogram.p99() > Duration::from_secs(3600));
    }
}
