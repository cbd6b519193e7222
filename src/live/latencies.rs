//! Execution times in buckets that are fine enough for displayed percentiles.

/// Counts execution times in buckets, each about nine percent wider than the one before.
/// Percentiles are within 5 % of the exact value.
#[derive(Clone, Debug, Default)]
pub(super) struct Latencies {
    /// The number of the first bucket of `counts`.
    first: usize,
    /// Covers only the lowest to the highest bucket in use: the times of one route are close
    /// together.
    counts: Vec<u32>,
    max: f64,
}

impl Latencies {
    pub(super) fn record(&mut self, seconds: f64, times: u64) {
        self.max = self.max.max(seconds);
        let bucket = self.bucket(bucket_of(seconds));
        *bucket = bucket.saturating_add(u32::try_from(times).unwrap_or(u32::MAX));
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.max = self.max.max(other.max);
        for (offset, count) in other.counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            let bucket = self.bucket(other.first + offset);
            *bucket = bucket.saturating_add(*count);
        }
    }

    /// Returns a percentile: `percent` in a hundred took at most this many seconds. Returns `None`
    /// if nothing was recorded.
    pub(super) fn percentile(&self, percent: u64) -> Option<f64> {
        let count: u64 = self.counts.iter().map(|count| u64::from(*count)).sum();
        let wanted = (count * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= wanted
        })?;
        Some(middle_of(self.first + found).min(self.max))
    }

    fn bucket(&mut self, number: usize) -> &mut u32 {
        if self.counts.is_empty() {
            self.first = number;
        }
        if number < self.first {
            let missing = self.first - number;
            self.counts.splice(0..0, std::iter::repeat_n(0, missing));
            self.first = number;
        }
        let offset = number - self.first;
        if offset >= self.counts.len() {
            self.counts.resize(offset + 1, 0);
        }
        &mut self.counts[offset]
    }
}

fn bucket_of(seconds: f64) -> usize {
    let microseconds = (seconds * 1e6).max(1.0);
    // NaN becomes 0.
    ((microseconds.log2() * PER_OCTAVE) as usize).min(BUCKETS - 1)
}

fn middle_of(bucket: usize) -> f64 {
    ((bucket as f64 + 0.5) / PER_OCTAVE).exp2() / 1e6
}

/// Buckets between a time and its double.
const PER_OCTAVE: f64 = 8.0;
/// From 1 µs to 134 seconds. Longer times are in the last one.
const BUCKETS: usize = 27 * 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_within_five_percent() {
        let mut latencies = Latencies::default();
        assert_eq!(latencies.percentile(50), None);
        for number in (1..=1000).rev() {
            latencies.record(f64::from(number) / 1000.0, 1);
        }
        for percent in [1_u32, 50, 95, 99, 100] {
            let found = latencies.percentile(u64::from(percent)).expect("recorded");
            let exact = f64::from(percent) / 100.0;
            assert!((found / exact - 1.0).abs() < 0.05, "p{percent}: {found} for {exact}");
        }
    }

    #[test]
    fn sums_are_as_if_recorded_together() {
        let (mut low, mut high, mut both) =
            (Latencies::default(), Latencies::default(), Latencies::default());
        for number in 1..100 {
            let (short, long) = (f64::from(number) * 1e-5, f64::from(number) * 1e-2);
            low.record(short, 1);
            high.record(long, 1);
            both.record(short, 1);
            both.record(long, 1);
        }
        high.add(&low);
        for percent in 1..=100 {
            assert_eq!(high.percentile(percent), both.percentile(percent));
        }
    }

    #[test]
    fn extremes_are_counted() {
        let mut latencies = Latencies::default();
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY, 1e300] {
            latencies.record(seconds, 1);
        }
        assert!(latencies.percentile(1).expect("recorded") < 2e-6);
        assert!(latencies.percentile(100).expect("recorded") > 100.0);
        assert!(latencies.counts.len() <= BUCKETS);
    }
}
