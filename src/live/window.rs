//! Counts of a sliding window of time: by short slots for charts, and by groups of slots for
//! percentiles.

use std::collections::BTreeMap;

use super::{latencies::Latencies, ring::Ring};

/// The division of a window.
#[derive(Debug)]
pub(super) struct Shape {
    /// Seconds of a slot, which is a bar of a chart.
    pub(super) slot: u64,
    /// Slots of a group.
    pub(super) slots: u64,
    /// Groups of the window.
    pub(super) groups: u64,
}

pub(super) const MINUTES: Shape = Shape { slot: 10, slots: 6, groups: 10 };
pub(super) const HOURS: Shape = Shape { slot: 600, slots: 6, groups: 12 };

impl Shape {
    fn group(&self) -> u64 {
        self.slot * self.slots
    }

    /// Returns the second in which the window begins. It contains whole groups and the current one.
    pub(super) fn start(&self, now: u64) -> u64 {
        (now / self.group()).saturating_sub(self.groups - 1) * self.group()
    }
}

/// All requests of some slots.
#[derive(Clone, Debug, Default)]
pub(super) struct Detail {
    pub(super) requests: u64,
    pub(super) failed: u64,
    pub(super) latencies: Latencies,
    pub(super) status_codes: WordCounts,
    pub(super) error_codes: WordCounts,
}

impl Detail {
    pub(super) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.latencies.add(&other.latencies);
        self.status_codes.add(&other.status_codes);
        self.error_codes.add(&other.error_codes);
    }
}

/// The numbers for a bar of a small chart.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Count {
    pub(super) requests: u32,
    pub(super) failed: u32,
}

/// An event of a route.
#[derive(Clone, Copy, Debug)]
pub(super) enum RouteEvent<'a> {
    Request {
        status_code: &'a str,
        execution_time: f64,
    },
    Failure {
        error_code: &'a str,
    },
    /// Requests of one key of the rollups. With an error code, all of them failed.
    Counted {
        status_code: &'a str,
        error_code: Option<&'a str>,
        count: u64,
        times: &'a [(f64, u64)],
    },
}

impl RouteEvent<'_> {
    /// Returns the numbers of requests and of failures.
    fn counts(&self) -> (u64, u64) {
        match self {
            Self::Request { .. } => (1, 0),
            Self::Failure { .. } => (0, 1),
            Self::Counted { error_code, count, .. } => (*count, error_code.map_or(0, |_| *count)),
        }
    }
}

/// Counts by a few words. Further words are counted together.
#[derive(Clone, Debug, Default)]
pub(super) struct WordCounts {
    words: Vec<(Box<str>, u64)>,
    others: u64,
}

impl WordCounts {
    pub(super) fn count(&mut self, word: &str, times: u64) {
        if let Some((_, count)) = self.words.iter_mut().find(|(known, _)| **known == *word) {
            *count += times;
        } else if self.words.len() < WORDS {
            self.words.push((word.into(), times));
        } else {
            self.others += times;
        }
    }

    fn add(&mut self, other: &Self) {
        other.words.iter().for_each(|(word, count)| self.count(word, *count));
        self.others += other.others;
    }

    /// Returns the counts by word. Words without room count as `other`.
    pub(super) fn to_map(&self) -> BTreeMap<String, u64> {
        let words = self.words.iter().map(|(word, count)| (word.to_string(), *count));
        let mut map: BTreeMap<_, _> = words.collect();
        if self.others > 0 {
            *map.entry("other".to_owned()).or_default() += self.others;
        }
        map
    }
}

/// One window of one route.
#[derive(Clone, Debug)]
pub(super) struct RouteWindow {
    counts: Ring<Count>,
    groups: Ring<Detail>,
}

impl RouteWindow {
    pub(super) fn new() -> Self {
        Self { counts: Ring::new(), groups: Ring::new() }
    }

    /// Records an event. Events outside the window are ignored.
    pub(super) fn record(&mut self, shape: &Shape, now: u64, second: u64, event: RouteEvent<'_>) {
        let start = shape.start(now);
        if second < start || second > now + TOLERANCE {
            return;
        }
        let (newest, group) = (now + TOLERANCE, shape.group());
        let count = self.counts.at(second / shape.slot, start / shape.slot, newest / shape.slot);
        let detail = self.groups.at(second / group, start / group, newest / group);
        let (requests, failed) = event.counts();
        let bar = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        count.requests = count.requests.saturating_add(bar(requests));
        count.failed = count.failed.saturating_add(bar(failed));
        record(detail, event);
    }

    pub(super) fn detail(&self, shape: &Shape, now: u64) -> Detail {
        let mut sum = Detail::default();
        let (first, last) = (shape.start(now) / shape.group(), (now + TOLERANCE) / shape.group());
        self.groups.range(first, last).for_each(|(_, detail)| sum.add(detail));
        sum
    }

    /// Returns the counts of each slot of the window, from the first to the current one.
    pub(super) fn counts(&self, shape: &Shape, now: u64) -> Vec<Count> {
        spread(&self.counts, shape, now, Count::default(), |count| *count)
    }

    /// Returns whether all of its events have left the window.
    pub(super) fn is_over(&mut self, shape: &Shape, now: u64) -> bool {
        let start = shape.start(now);
        self.counts.forget(start / shape.slot, u64::MAX);
        self.groups.forget(start / shape.group(), u64::MAX);
        self.groups.is_empty()
    }
}

/// One window of the whole service, with percentiles for each slot.
#[derive(Clone, Debug)]
pub(super) struct TotalWindow(Ring<Detail>);

impl TotalWindow {
    pub(super) fn new() -> Self {
        Self(Ring::new())
    }

    /// Records an event. Returns whether it is within the window.
    pub(super) fn record(&mut self, shape: &Shape, now: u64, second: u64, event: RouteEvent<'_>) -> bool {
        let start = shape.start(now);
        if second < start || second > now + TOLERANCE {
            return false;
        }
        let newest = (now + TOLERANCE) / shape.slot;
        record(self.0.at(second / shape.slot, start / shape.slot, newest), event);
        true
    }

    /// Returns the counts of each slot of the window, from the first to the current one.
    pub(super) fn slots(&self, shape: &Shape, now: u64) -> Vec<Detail> {
        spread(&self.0, shape, now, Detail::default(), Detail::clone)
    }
}

fn record(detail: &mut Detail, event: RouteEvent<'_>) {
    let (requests, failed) = event.counts();
    detail.requests += requests;
    detail.failed += failed;
    match event {
        RouteEvent::Request { status_code, execution_time } => {
            detail.latencies.record(execution_time, 1);
            detail.status_codes.count(status_code, 1);
        }
        RouteEvent::Failure { error_code } => detail.error_codes.count(error_code, 1),
        RouteEvent::Counted { status_code, error_code, count, times } => {
            times.iter().for_each(|(seconds, times)| detail.latencies.record(*seconds, *times));
            detail.status_codes.count(status_code, count);
            if let Some(error_code) = error_code {
                detail.error_codes.count(error_code, count);
            }
        }
    }
}

fn spread<T: Default, U: Clone>(
    ring: &Ring<T>,
    shape: &Shape,
    now: u64,
    empty: U,
    read: impl Fn(&T) -> U,
) -> Vec<U> {
    let (first, last) = (shape.start(now) / shape.slot, now / shape.slot);
    let mut slots = vec![empty; (last - first + 1) as usize];
    ring.range(first, last).for_each(|(number, slot)| slots[(number - first) as usize] = read(slot));
    slots
}

/// How many seconds a point may be in the future, since clocks are set while requests run.
const TOLERANCE: u64 = 5;
/// Distinct status codes or error codes of one route in one group that are counted separately.
const WORDS: usize = 12;

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: RouteEvent<'static> = RouteEvent::Request { status_code: "200", execution_time: 0.01 };
    const FAILURE: RouteEvent<'static> = RouteEvent::Failure { error_code: "7" };

    #[test]
    fn a_window_moves_along() {
        let mut window = RouteWindow::new();
        window.record(&MINUTES, 6000, 6000, REQUEST);
        window.record(&MINUTES, 6009, 6005, FAILURE);
        window.record(&MINUTES, 6010, 6010, REQUEST);
        let detail = window.detail(&MINUTES, 6010);
        assert_eq!((detail.requests, detail.failed), (2, 1));
        assert_eq!(detail.error_codes.to_map(), BTreeMap::from([("7".to_owned(), 1)]));
        let counts = window.counts(&MINUTES, 6010);
        assert_eq!(
            (counts.len(), counts[54].requests, counts[54].failed, counts[55].requests),
            (56, 1, 1, 1)
        );
        let later = 6000 + 10 * 60;
        assert_eq!(window.detail(&MINUTES, later - 1).requests, 2);
        assert!(!window.is_over(&MINUTES, later - 1));
        assert_eq!(window.detail(&MINUTES, later).requests, 0);
        assert!(window.is_over(&MINUTES, later));
    }

    #[test]
    fn events_outside_the_window_are_ignored() {
        let (mut route, mut total) = (RouteWindow::new(), TotalWindow::new());
        for second in [0, 1000, 6000 + 60, u64::MAX] {
            route.record(&MINUTES, 6000, second, REQUEST);
            assert!(!total.record(&MINUTES, 6000, second, REQUEST));
        }
        assert_eq!(route.detail(&MINUTES, 6000).requests, 0);
        assert!(total.record(&MINUTES, 6000, 6002, REQUEST));
    }

    #[test]
    fn a_clock_that_is_set_back_leaves_nothing_in_the_future() {
        let mut window = RouteWindow::new();
        window.record(&MINUTES, 90_000, 90_000, REQUEST);
        window.record(&MINUTES, 50_000, 50_000, REQUEST);
        assert_eq!(window.detail(&MINUTES, 50_000).requests, 1);
        assert_eq!(window.detail(&MINUTES, 90_000).requests, 0);
    }

    #[test]
    fn words_are_bounded_and_no_count_is_lost() {
        let mut tally = WordCounts::default();
        (0..100).for_each(|number| tally.count(&number.to_string(), 2));
        let mut sum = WordCounts::default();
        sum.add(&tally);
        let map = sum.to_map();
        assert_eq!((map.len(), map.values().sum::<u64>()), (WORDS + 1, 200));
    }
}
