//! How many lines to test at once when single lines are refused.

/// The share of refused lines among the latest ones.
#[derive(Debug, Default)]
pub(super) struct RefusalRate {
    accepted: usize,
    refused: usize,
}

impl RefusalRate {
    pub(super) fn count(&mut self, accepted: usize, refused: usize) {
        (self.accepted, self.refused) = (self.accepted + accepted, self.refused + refused);
        while self.accepted + self.refused > WINDOW {
            (self.accepted, self.refused) = (self.accepted / 2, self.refused / 2);
        }
    }

    /// Returns the number of lines for which about every other body is accepted, since such answers
    /// carry the most information. Returns the maximum if hardly any line is refused.
    pub(super) fn group(&self) -> usize {
        if self.refused < FEW {
            return usize::MAX;
        }
        let each = (self.accepted + self.refused) as f64 / self.refused as f64;
        (std::f64::consts::LN_2 * each).round().max(1.0) as usize
    }
}

/// The number of refused lines from which on their share is used.
const FEW: usize = 3;
const WINDOW: usize = 5_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_accepted_about_every_other_time() {
        let mut share = RefusalRate::default();
        share.count(100, 2);
        assert_eq!(share.group(), usize::MAX, "two are no share");
        share.count(3_900, 1);
        assert_eq!(share.group(), 925, "three are, of so many lines as are kept");
        for (accepted, refused, group) in [(99, 1, 69), (90, 10, 7), (80, 20, 3), (50, 50, 1), (0, 100, 1)] {
            let mut share = RefusalRate::default();
            (0..10).for_each(|_| share.count(accepted, refused));
            assert_eq!(share.group(), group, "{refused} %");
        }
    }

    #[test]
    fn the_share_is_unchanged_when_older_lines_are_halved() {
        let mut share = RefusalRate::default();
        share.count(WINDOW - 3, 3);
        assert_eq!(share.group(), 1_155, "the window is full");
        let mut share = RefusalRate::default();
        share.count(4_000, 40);
        share.count(2_000, 21);
        assert_eq!(share.group(), 70);
    }

    #[test]
    fn old_lines_count_less() {
        let mut share = RefusalRate::default();
        share.count(0, 1_000);
        (0..100).for_each(|_| share.count(1_000, 0));
        assert_eq!(share.group(), usize::MAX);
    }
}
