//! How large a body the destination takes, learned from what it refuses as too large.

/// Halves at each refusal, and grows again when bodies near the limit are taken.
///
/// A server or proxy that refuses everything for a while has no limit: what was refused then and is
/// taken later was not too large, and nothing is remembered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyLimit {
    /// Bytes of the smallest body that was refused.
    refused: Option<usize>,
    /// Whether a smaller one was taken since.
    confirmed: bool,
    /// Bodies near the limit that were taken since it was last changed.
    taken: u32,
}

impl BodyLimit {
    /// Returns the bytes that a body may have, if a limit is known.
    pub(super) fn get(&self) -> Option<usize> {
        self.refused.map(|refused| (refused / 2).max(1))
    }

    /// Records that a body of so many bytes was refused as too large, and logs the first.
    pub(super) fn refuse(&mut self, bytes: usize) {
        if self.refused.is_none() {
            tracing::warn!(target: "tower_influx", bytes, "request body too large for the server: batches are split and made smaller, no point is lost; to avoid retries, lower `batch_bytes` or raise the limit of the server or proxy (nginx: client_max_body_size)");
        }
        self.refused = Some(self.refused.map_or(bytes, |refused| refused.min(bytes)));
        self.taken = 0;
    }

    /// Records that a body of so many bytes was accepted.
    pub(super) fn accept(&mut self, bytes: usize) {
        let Some(refused) = self.refused else { return };
        if bytes >= refused {
            *self = Self::default();
            return;
        }
        self.confirmed = true;
        if bytes > refused / 4 {
            self.taken += 1;
            if self.taken >= TAKEN_BEFORE_GROWTH {
                self.taken = 0;
                self.refused = refused.checked_mul(2).filter(|refused| *refused < FORGOTTEN);
            }
        }
    }

    /// Returns whether the destination takes smaller bodies: then a single line that it refuses is
    /// too large. Otherwise it refuses whatever comes, which somebody has to change.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

/// Bodies near the limit before a larger one is tried: one refused body in so many.
const TAKEN_BEFORE_GROWTH: u32 = 64;
/// No body gets so large, so a limit beyond is none.
const FORGOTTEN: usize = 64 * 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends bodies as large as the limit allows, at most `most`, and returns their sizes.
    fn send(limit: &mut BodyLimit, count: usize, most: usize, takes: impl Fn(usize) -> bool) -> Vec<usize> {
        let next = |limit: &mut BodyLimit| {
            let bytes = most.min(limit.get().unwrap_or(usize::MAX));
            if takes(bytes) {
                limit.accept(bytes)
            } else {
                limit.refuse(bytes)
            }
            bytes
        };
        (0..count).map(|_| next(limit)).collect()
    }

    #[test]
    fn a_limit_is_found_by_halving_and_tried_again_now_and_then() {
        let mut limit = BodyLimit::default();
        let sizes = send(&mut limit, 1_000, 800_000, |bytes| bytes <= 100_000);
        assert_eq!(sizes[..5], [800_000, 400_000, 200_000, 100_000, 100_000]);
        let refused = sizes.iter().filter(|bytes| **bytes > 100_000).count();
        assert!((4..=3 + 1_000 / 60).contains(&refused), "{refused} refused");
        assert!(limit.is_confirmed());
    }

    #[test]
    fn a_limit_that_is_lifted_is_forgotten() {
        let mut limit = BodyLimit::default();
        send(&mut limit, 20, 800_000, |bytes| bytes <= 100_000);
        let sizes = send(&mut limit, 1_000, 800_000, |_| true);
        assert_eq!(sizes.last(), Some(&800_000));
    }

    #[test]
    fn only_bodies_near_the_limit_show_that_it_may_be_higher() {
        for (bytes, limit) in [(251, 1_000), (250, 500), (500, 1_000), (499, 1_000)] {
            let mut learned = BodyLimit::default();
            learned.refuse(1_000);
            (0..TAKEN_BEFORE_GROWTH).for_each(|_| learned.accept(bytes));
            assert_eq!(learned.get(), Some(limit), "{bytes}");
        }
        // No body is so large, and then there is no limit to be told of.
        for (refused, limit) in [(FORGOTTEN / 2 - 1, Some(FORGOTTEN / 2 - 1)), (FORGOTTEN / 2, None)] {
            let mut learned = BodyLimit::default();
            learned.refuse(refused);
            (0..TAKEN_BEFORE_GROWTH).for_each(|_| learned.accept(refused - 1));
            assert_eq!(learned.get(), limit, "{refused}");
        }
    }

    #[test]
    fn what_is_refused_whatever_its_size_teaches_nothing() {
        let mut limit = BodyLimit::default();
        send(&mut limit, 40, 800_000, |_| false);
        assert!(!limit.is_confirmed());
        limit.accept(1);
        assert_eq!(limit, BodyLimit::default());
    }
}
