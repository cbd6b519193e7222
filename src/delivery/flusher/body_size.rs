//! The size of the next body. It decides from answers alone, without I/O.

/// The adaptive size. While writes are in flight, waiting points grow into the next body, so that
/// the rate does not depend on the latency. The size of a full body starts at one that every known
/// server and proxy accepts. It doubles with each full body that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BodySize {
    bytes: usize,
}

impl Default for BodySize {
    fn default() -> Self {
        Self { bytes: START_BYTES }
    }
}

impl BodySize {
    /// Returns the lines and bytes of a full body while all allowed writes are in flight.
    pub(super) fn grown(&self, max_lines: usize, max_bytes: usize) -> (usize, usize) {
        let bytes = self.bytes.min(max_bytes);
        (max_lines.min(START_LINES.saturating_mul(bytes.div_ceil(START_BYTES))), bytes)
    }

    /// Returns the same while a write could begin at once, when waiting for more gains nothing.
    pub(super) fn start(max_lines: usize, max_bytes: usize) -> (usize, usize) {
        Self::default().grown(max_lines, max_bytes)
    }

    /// Records that a body was written.
    pub(super) fn succeed(&mut self, bytes: usize, lines: usize, max_bytes: usize) {
        let (full_lines, full_bytes) = self.grown(usize::MAX, max_bytes);
        if bytes >= full_bytes / 4 * 3 || lines >= full_lines / 4 * 3 {
            self.bytes = self.bytes.saturating_mul(2).clamp(START_BYTES, max_bytes.max(START_BYTES));
        }
    }

    /// Shrinks bodies, since the destination throttles or did not answer in time. Smaller bodies
    /// have a better chance.
    pub(super) fn shrink(&mut self) {
        self.bytes = (self.bytes / 2).max(START_BYTES);
    }
}

/// Less than the 1 MiB that nginx accepts by default.
pub(super) const START_BYTES: usize = 768 * 1024;
const START_LINES: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1024 * 1024;

    #[test]
    fn full_bodies_grow_up_to_the_bound() {
        let mut size = BodySize::default();
        let mut seen = Vec::new();
        for _ in 0..5 {
            let (lines, bytes) = size.grown(50_000, 4 * MIB);
            seen.push((lines, bytes / 1024));
            size.succeed(bytes, lines, 4 * MIB);
        }
        assert_eq!(seen, [(5_000, 768), (10_000, 1536), (20_000, 3072), (30_000, 4096), (30_000, 4096)]);
    }

    #[test]
    fn many_short_lines_make_a_full_body_too() {
        let mut size = BodySize::default();
        size.succeed(100_000, 5_000, 4 * MIB);
        assert_eq!(size.grown(50_000, 4 * MIB), (10_000, 1536 * 1024));
    }

    #[test]
    fn a_body_is_full_from_three_quarters_on() {
        for (bytes, lines, grows) in [
            (START_BYTES / 4 * 3, 1, true),
            (START_BYTES / 4 * 3 - 1, 1, false),
            (1, 3_750, true),
            (1, 3_749, false),
        ] {
            let mut size = BodySize::default();
            size.succeed(bytes, lines, 4 * MIB);
            assert_eq!(size != BodySize::default(), grows, "{bytes} bytes, {lines} lines");
        }
    }

    #[test]
    fn small_bodies_change_nothing_and_failures_halve_the_size() {
        let mut size = BodySize::default();
        for _ in 0..100 {
            size.succeed(10_000, 60, 4 * MIB);
        }
        assert_eq!(size, BodySize::default());
        for _ in 0..3 {
            let (lines, bytes) = size.grown(50_000, 4 * MIB);
            size.succeed(bytes, lines, 4 * MIB);
        }
        size.shrink();
        assert_eq!(size.grown(50_000, 4 * MIB).1, 2 * MIB);
        (0..9).for_each(|_| size.shrink());
        assert_eq!(size, BodySize::default());
    }

    #[test]
    fn the_settings_are_upper_bounds() {
        let mut size = BodySize::default();
        size.succeed(START_BYTES, 5_000, 4 * MIB);
        assert_eq!(size.grown(100, 4 * MIB).0, 100);
        assert_eq!(size.grown(50_000, 64 * 1024), (5_000, 64 * 1024));
        assert_eq!(BodySize::start(50_000, 4 * MIB), (5_000, START_BYTES));
    }
}
