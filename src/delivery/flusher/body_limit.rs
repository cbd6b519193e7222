//! The maximum size of a body that the destination accepts, learned from its refusals.

/// The learned limit. It halves at each refusal, and grows again when bodies near the limit are
/// accepted.
///
/// A server or proxy that refuses everything for a while has no limit. If a size is refused and
/// accepted later, it was not too large, and the limit is forgotten.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct BodyLimit {
    /// Bytes of the smallest refused body.
    refused: Option<usize>,
    /// Whether a smaller one was accepted since.
    confirmed: bool,
    /// Bodies near the limit that were accepted since its last change.
    taken: u32,
}

impl BodyLimit {
    /// Returns the bytes that a body may have, if a limit is known.
    pub(super) fn get(&self) -> Option<usize> {
        self.refused.map(|refused| (refused / 2).max(1))
    }

    /// Records that a body of this size was refused as too large, and logs the first one.
    pub(super) fn refuse(&mut self, bytes: usize) {
        if self.refused.is_none() {
            tracing::warn!(target: "tower_influx", bytes, "request body too large for the server: batches are split and made smaller, no point is lost; to avoid retries, lower `batch_bytes` or raise the limit of the server or proxy (nginx: client_max_body_size)");
        }
        self.refused = Some(self.refused.map_or(bytes, |refused| refused.min(bytes)));
        self.taken = 0;
    }

    /// Records that a body of this size was accepted.
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

    /// Returns whether the destination accepts smaller bodies. A single line that it refuses is
    /// then too large. Otherwise it refuses everything, which requires an action.
    pub(super) fn is_confirmed(&self) -> bool {
        self.confirmed
    }
}

/// How many bodies near the limit are accepted before a larger one is tried: at most one in this
/// many is refused.
const TAKEN_BEFORE_GROWTH: u32 = 64;
/// No body becomes so large, so a greater limit is no limit.
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
        // No body is so large, so there is no limit.
        for (refused, limit) in [(FORGOTTEN / 2 - 1, Some(FORGOTTEN / 2 - 1)), (FORGOTTEN / 2, None)] {
            let mut learned = BodyLimit::default();
            learned.refuse(refused);
            (0..TAKEN_BEFORE_GROWTH).for_each(|_| learned.accept(refused - 1));
            assert_eq!(learned.get(), limit, "{refused}");
        }
    }

    #[test]
    fn a_server_that_refuses_everything_has_no_limit() {
        let mut limit = BodyLimit::default();
        send(&mut limit, 40, 800_000, |_| false);
        assert!(!limit.is_confirmed());
        limit.accept(1);
        assert_eq!(limit, BodyLimit::default());
    }
}
