//! Values that a thread keeps for its next requests.

use std::cell::{Cell, RefCell};

/// Unused values that are ready for reuse, the last one in a cell of its own.
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

    #[inline(always)]
    pub(super) fn put(&self, value: T) {
        if let Some(other) = self.last.replace(Some(value)) {
            self.put_behind(other);
        }
    }

    #[cold]
    #[inline(never)]
    fn put_behind(&self, other: T) {
        let mut others = self.others.borrow_mut();
        if others.len() + 1 < MAX_SPARE {
            others.push(other);
        }
    }
}

/// As many as one worker thread usually has under way. Beyond that, values are allocated.
pub(super) const MAX_SPARE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_up_to_the_bound() {
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
