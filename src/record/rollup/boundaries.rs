//! The buckets of a histogram: which one a duration belongs to, and which duration represents it.

use std::{fmt, time::Duration};

/// Boundaries of a histogram: ascending durations in nanoseconds. A bucket contains durations above
/// the boundary before it and up to its own. One more bucket contains those above all boundaries.
#[derive(Clone)]
pub(crate) struct Boundaries {
    edges: Box<[u64]>,
    /// The lower end of the first bucket when a duration has to represent it.
    floor: u64,
    /// For each cell of the number line the first bucket that overlaps it. A cell is a sixteenth of
    /// a power of two. So the bucket of a duration takes one load and a step or two, where a binary
    /// search would take eight steps.
    first: Box<[u8]>,
}

impl Boundaries {
    /// Creates the built-in boundaries. A quantile is off by at most 5 % from 100 µs to 60 s, and
    /// by at most 15 % from 1 µs to 1 hour.
    pub(crate) fn fine() -> Self {
        Self { floor: 1_000, ..Self::new(&FINE) }
    }

    /// Creates the boundaries of the settings. See [`new`](Self::new).
    pub(crate) fn of(ends: &[Duration]) -> Self {
        let nanoseconds = |end: &Duration| u64::try_from(end.as_nanos()).unwrap_or(u64::MAX);
        Self::new(&ends.iter().map(nanoseconds).collect::<Vec<_>>())
    }

    /// Creates ascending boundaries, at most [`MOST_BOUNDARIES`].
    pub(crate) fn new(edges: &[u64]) -> Self {
        let edges = &edges[..edges.len().min(MOST_BOUNDARIES)];
        debug_assert!(edges.is_sorted_by(|one, next| one < next), "boundaries must rise");
        let first = (0..CELLS).map(|cell| edges.partition_point(|edge| *edge < cell_start(cell)) as u8);
        Self { edges: edges.into(), floor: 1, first: first.collect() }
    }

    /// Adds boundaries. Each bucket of the old and of the added boundaries consists of whole
    /// buckets of the result.
    pub(crate) fn with(&self, more: &[Duration]) -> Self {
        let mut edges = self.edges.to_vec();
        edges.extend(&Self::of(more).edges);
        edges.sort_unstable();
        edges.dedup();
        Self { floor: self.floor, ..Self::new(&edges) }
    }

    /// Returns the number of buckets.
    pub(crate) fn buckets(&self) -> usize {
        self.edges.len() + 1
    }

    /// Returns the bucket of a duration.
    #[inline]
    pub(crate) fn bucket(&self, nanoseconds: u64) -> usize {
        let Some(first) = self.first.get(cell(nanoseconds)) else { return self.search(nanoseconds) };
        let mut bucket = usize::from(*first);
        while self.edges.get(bucket).is_some_and(|edge| *edge < nanoseconds) {
            bucket += 1;
        }
        bucket
    }

    /// Finds the bucket of 0 and of centuries, for which there is no cell.
    #[cold]
    fn search(&self, nanoseconds: u64) -> usize {
        self.edges.partition_point(|edge| *edge < nanoseconds)
    }

    /// Returns the greatest duration of a bucket, or `None` for the last one, which has no end.
    pub(crate) fn end(&self, bucket: usize) -> Option<u64> {
        self.edges.get(bucket).copied()
    }

    /// Returns the duration that represents a bucket: the geometric mean of its ends, which has the
    /// same ratio to both. It is limited to the observed minimum and maximum.
    fn middle(&self, bucket: usize, min: u64, max: u64) -> u64 {
        let before = bucket.checked_sub(1).and_then(|before| self.end(before));
        let start = before.unwrap_or(self.floor).max(min);
        let end = self.end(bucket).unwrap_or(max).min(max);
        let mean = (start as f64 * end as f64).sqrt();
        (mean as u64).clamp(min, max)
    }

    /// Returns the seconds that represent the bucket with this end. All of its durations were
    /// between `min` and `max`.
    #[cfg(feature = "live")]
    pub(crate) fn seconds_of(&self, end: Option<Duration>, min: Duration, max: Duration) -> f64 {
        let nanoseconds = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let bucket = end.map_or(self.edges.len(), |end| self.bucket(nanoseconds(end)));
        let (min, max) = (nanoseconds(min), nanoseconds(max).max(nanoseconds(min)));
        self.middle(bucket, min, max) as f64 / 1e9
    }

    /// Returns the duration that the share `quantile` of `count` durations did not exceed, as
    /// exactly as the buckets allow.
    pub(crate) fn quantile(&self, counts: &[u64], quantile: f64, min: u64, max: u64) -> u64 {
        let count: u64 = counts.iter().sum();
        let rank = ((count as f64 * quantile).ceil() as u64).clamp(1, count.max(1));
        let mut seen = 0;
        for (bucket, of_bucket) in counts.iter().enumerate() {
            seen += of_bucket;
            if seen >= rank {
                return self.middle(bucket, min, max);
            }
        }
        max
    }
}

impl fmt::Debug for Boundaries {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Boundaries({} buckets)", self.buckets())
    }
}

/// Returns the upper bits of the number as a float: its exponent, and four bits of its mantissa.
/// There is no cell for 0, and none beyond 2^63.
#[inline]
fn cell(nanoseconds: u64) -> usize {
    let float = nanoseconds.cast_signed() as f64;
    ((float.to_bits() >> 48) as usize).wrapping_sub(FIRST)
}

/// Returns the least number of a cell, or a little less. Beyond 2^53 numbers are rounded, some into
/// the next cell.
fn cell_start(cell: usize) -> u64 {
    let start = f64::from_bits(((cell + FIRST) as u64) << 48).ceil() as u64;
    if start > 1 << 53 { start - (start >> 53) } else { start }
}

/// The cell that begins at 1.
const FIRST: usize = (1.0_f64.to_bits() >> 48) as usize;
const CELLS: usize = 63 * 16;

/// As many as the type of a bucket's number can distinguish.
const MOST_BOUNDARIES: usize = 254;

/// Durations in nanoseconds: 17 steps to 100 µs, 137 to 60 s, 15 to 1 hour. Within each range the
/// steps have the same ratio, except for rounding. The numbers are part of the format: replicas of
/// all versions write fields with these names, so no number may ever change. Together with the
/// bucket above them there are 170 fields.
#[rustfmt::skip]
const FINE: [u64; 169] = [
    1_310, 1_720, 2_250, 2_960, 3_870, 5_080, 6_660, 8_730, 11_500, 15_000, 19_700, 25_800, 33_800,
    44_400, 58_200, 76_300, 100_000, 110_200, 121_440, 133_820, 147_470, 162_510, 179_080, 197_350,
    217_480, 239_660, 264_100, 291_030, 320_710, 353_420, 389_460, 429_180, 472_960, 521_190,
    574_350, 632_920, 697_470, 768_600, 846_990, 933_370, 1_028_600, 1_133_500, 1_249_100,
    1_376_400, 1_516_800, 1_671_500, 1_842_000, 2_029_900, 2_236_900, 2_465_000, 2_716_400,
    2_993_400, 3_298_700, 3_635_200, 4_005_900, 4_414_400, 4_864_600, 5_360_800, 5_907_500,
    6_510_000, 7_173_900, 7_905_600, 8_711_800, 9_600_300, 10_579_000, 11_658_000, 12_847_000,
    14_158_000, 15_602_000, 17_193_000, 18_946_000, 20_878_000, 23_008_000, 25_354_000, 27_940_000,
    30_789_000, 33_929_000, 37_390_000, 41_203_000, 45_405_000, 50_036_000, 55_139_000, 60_762_000,
    66_959_000, 73_788_000, 81_314_000, 89_607_000, 98_745_000, 108_820_000, 119_910_000,
    132_140_000, 145_620_000, 160_470_000, 176_840_000, 194_870_000, 214_750_000, 236_650_000,
    260_780_000, 287_380_000, 316_690_000, 348_990_000, 384_580_000, 423_800_000, 467_020_000,
    514_650_000, 567_140_000, 624_980_000, 688_720_000, 758_960_000, 836_360_000, 921_660_000,
    1_015_700_000, 1_119_200_000, 1_233_400_000, 1_359_200_000, 1_497_800_000, 1_650_500_000,
    1_818_900_000, 2_004_400_000, 2_208_800_000, 2_434_100_000, 2_682_300_000, 2_955_900_000,
    3_257_300_000, 3_589_500_000, 3_955_600_000, 4_359_000_000, 4_803_600_000, 5_293_500_000,
    5_833_400_000, 6_428_300_000, 7_083_900_000, 7_806_400_000, 8_602_500_000, 9_479_900_000,
    10_447_000_000, 11_512_000_000, 12_686_000_000, 13_980_000_000, 15_406_000_000, 16_977_000_000,
    18_708_000_000, 20_616_000_000, 22_719_000_000, 25_036_000_000, 27_589_000_000, 30_403_000_000,
    33_504_000_000, 36_921_000_000, 40_686_000_000, 44_836_000_000, 49_408_000_000, 54_447_000_000,
    60_000_000_000, 78_800_000_000, 104_000_000_000, 136_000_000_000, 179_000_000_000,
    235_000_000_000, 309_000_000_000, 405_000_000_000, 533_000_000_000, 700_000_000_000,
    920_000_000_000, 1_210_000_000_000, 1_590_000_000_000, 2_090_000_000_000, 2_740_000_000_000,
    3_600_000_000_000,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbours(edge: u64) -> [u64; 3] {
        [edge - 1, edge, edge + 1]
    }

    #[test]
    fn every_duration_is_in_the_bucket_that_a_search_finds() {
        let own = [1, 2, 17, 1_000, 1_000_000, u64::MAX / 2];
        for boundaries in [Boundaries::fine(), Boundaries::new(&own), Boundaries::new(&[])] {
            let edges = boundaries.edges.clone();
            let powers = (0..64).map(|power| 1u64 << power);
            let near = edges.iter().copied().chain(powers).flat_map(neighbours);
            for duration in near.chain([0, u64::MAX]) {
                let found = edges.partition_point(|edge| *edge < duration);
                assert_eq!(boundaries.bucket(duration), found, "{duration} of {boundaries:?}");
            }
        }
    }

    #[test]
    fn cells_begin_where_they_say() {
        assert_eq!((cell(1), cell(2)), (0, 16));
        assert!(cell(0) > CELLS);
        for number in 0..CELLS {
            let start = cell_start(number);
            // Below 16 some cells contain no whole number.
            let is_whole = number >= 4 * 16;
            let exact = if start < 1 << 53 { cell(start) } else { cell(start + (start >> 52)) };
            assert!(exact >= number && (!is_whole || exact == number), "{number}: {start}");
            assert!(start <= 1 || cell(start - 1) < number, "{number}: {start}");
        }
        assert_eq!(cell(i64::MAX as u64), CELLS);
        assert!(cell(u64::MAX) > CELLS);
    }

    #[test]
    fn quantiles_of_the_built_in_boundaries_have_the_documented_accuracy() {
        let fine = Boundaries::fine();
        assert_eq!(fine.buckets(), 170);
        // Over the whole documented range, with each duration alone and among others.
        let mut duration = 1_000u64;
        while duration <= 3_600_000_000_000 {
            let mut counts = vec![0; fine.buckets()];
            counts[fine.bucket(duration)] = 3;
            counts[0] += 1;
            let told = fine.quantile(&counts, 0.5, 1, u64::MAX);
            let error = (told as f64 / duration as f64 - 1.0).abs();
            let bound = if (100_000..=60_000_000_000).contains(&duration) { 0.05 } else { 0.15 };
            assert!(error <= bound, "{duration} ns is told as {told} ns: {:.1} % off", error * 100.0);
            duration += (duration / 150).max(1);
        }
    }

    #[test]
    fn quantiles_stay_within_the_observed_minimum_and_maximum() {
        let fine = Boundaries::fine();
        let mut counts = vec![0; fine.buckets()];
        counts[fine.bucket(5_000_000)] = 10;
        for quantile in [0.0, 0.5, 0.99, 1.0] {
            assert_eq!(fine.quantile(&counts, quantile, 5_000_000, 5_000_000), 5_000_000);
        }
        assert_eq!(fine.quantile(&vec![0; fine.buckets()], 0.5, 0, 0), 0);
        let mut counts = vec![0; fine.buckets()];
        counts[fine.buckets() - 1] = 1;
        assert_eq!(fine.quantile(&counts, 0.5, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn a_quantile_is_of_the_bucket_that_holds_its_rank() {
        let boundaries = Boundaries::new(&[10, 20, 30]);
        let told = |counts: &[u64], quantile| boundaries.quantile(counts, quantile, 1, 100);
        // The geometric means of 1 and 10, 10 and 20, 20 and 30, 30 and 100.
        for (quantile, expected) in
            [(0.0, 3), (0.25, 3), (0.26, 14), (0.5, 14), (0.51, 24), (0.75, 24), (0.76, 54), (1.0, 54)]
        {
            assert_eq!(told(&[1, 1, 1, 1], quantile), expected, "{quantile}");
        }
        assert_eq!((told(&[98, 0, 1, 1], 0.98), told(&[98, 0, 1, 1], 0.99)), (3, 24));
    }
}
