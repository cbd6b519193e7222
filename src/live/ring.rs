//! A sliding window of numbered slots that drops old ones.

use std::collections::VecDeque;

/// Slots by ascending number. Contains only those that were written to.
#[derive(Clone, Debug)]
pub(super) struct Ring<T> {
    slots: VecDeque<(u64, T)>,
}

impl<T: Default> Ring<T> {
    pub(super) fn new() -> Self {
        Self { slots: VecDeque::new() }
    }

    /// Returns the slot of this number. First removes all slots outside the bounds: those that are
    /// too old, and those in the future after the clock was set back.
    pub(super) fn at(&mut self, number: u64, oldest: u64, newest: u64) -> &mut T {
        self.forget(oldest, newest);
        // Points arrive nearly in the order of their times, so the place is at the end or next to
        // it.
        let mut place = self.slots.len();
        while place > 0 && self.slots[place - 1].0 > number {
            place -= 1;
        }
        if place == 0 || self.slots[place - 1].0 != number {
            self.slots.insert(place, (number, T::default()));
            place += 1;
        }
        &mut self.slots[place - 1].1
    }

    pub(super) fn forget(&mut self, oldest: u64, newest: u64) {
        while self.slots.front().is_some_and(|(number, _)| *number < oldest) {
            self.slots.pop_front();
        }
        while self.slots.back().is_some_and(|(number, _)| *number > newest) {
            self.slots.pop_back();
        }
    }

    /// Returns the slots within these bounds that were written to.
    pub(super) fn range(&self, oldest: u64, newest: u64) -> impl Iterator<Item = (u64, &T)> {
        let slots = self.slots.iter().map(|(number, slot)| (*number, slot));
        slots.filter(move |(number, _)| (oldest..=newest).contains(number))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_in_order_and_old_and_future_ones_are_removed() {
        let mut ring = Ring::<u32>::new();
        for number in [5, 7, 6, 5, 9] {
            *ring.at(number, 0, 9) += 1;
        }
        let all =
            |ring: &Ring<u32>| ring.range(0, 100).map(|(number, slot)| (number, *slot)).collect::<Vec<_>>();
        assert_eq!(all(&ring), [(5, 2), (6, 1), (7, 1), (9, 1)]);
        *ring.at(8, 6, 8) += 1;
        assert_eq!(all(&ring), [(6, 1), (7, 1), (8, 1)]);
        assert_eq!(ring.range(7, 7).count(), 1);
        ring.forget(100, 200);
        assert!(ring.is_empty());
    }
}
