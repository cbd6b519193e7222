//! What a thread keeps for its next requests.

use std::cell::{Cell, RefCell};

/// Values that wait to be used again, the last one at hand.
pub(super) struct Spare<T> {
    last: Cell<Option<T>>,
    others: RefCell<Vec<T>>,
}

impl<T> Spare<T> {
    pub(super) const fn new() -> Self {
        Self { last: Cell::new(None), others: RefCell::new(Vec::new()) }
    }

    #[inline]
    pub(super) fn take(&self) -> Option<T> {
        self.last.take().or_else(|| self.others.borrow_mut().pop())
    }

    #[inline]
    pub(super) fn put(&self, value: T) {
        if let Some(other) = self.last.replace(Some(value)) {
            self.put_behind(other);
        }
    }

    fn put_behind(&self, other: T) {
        let mut others = self.others.borrow_mut();
        if others.len() + 1 < MAX_SPARE {
            others.push(other);
        }
    }
}

/// As many as one worker usually has under way; beyond them values are allocated.
pub(super) const MAX_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_its_bound_are_kept() {
        let spare = Spare::new();
        (0..100).for_each(|value| spare.put(value));
        let mut kept: Vec<_> = std::iter::from_fn(|| spare.take()).collect();
        kept.sort_unstable();
        kept.dedup();
        assert_eq!(kept.len(), 64);
        assert_eq!(spare.take(), None);
        spare.put(7);
        assert_eq!((spare.take(), spare.take()), (Some(7), None));
    }
}
