//! The sums over the shards: the interval that is written next, and the totals.

use std::mem;

use super::{
    boundaries::Boundaries,
    key::Keys,
    lines::{Interval, LineTemplate},
    table::{Cell, Sum, Table},
};
use crate::clock::{self, MonotonicInstant};

/// The sums are under one lock, which no request takes.
#[derive(Debug)]
pub(super) struct Sums {
    /// Indexed by key.
    open: Vec<Sum>,
    totals: Vec<Sum>,
    rolled_up: u64,
    /// When the open interval began.
    since: MonotonicInstant,
    /// The second table of each shard, empty.
    spares: Vec<Table>,
    line: Vec<u8>,
}

/// The ledger of the rollups, in requests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RollupCounts {
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// Ended, but filtered.
    pub(crate) left_out: u64,
    pub(crate) running: i64,
    /// Ended, with a point of their own.
    pub(crate) kept: u64,
    /// Counted, but not in a line yet.
    pub(crate) open: u64,
    /// In lines that were accepted.
    pub(crate) rolled_up: u64,
}

impl Sums {
    pub(super) fn new(shards: usize) -> Self {
        Self {
            open: Vec::new(),
            totals: Vec::new(),
            rolled_up: 0,
            since: MonotonicInstant::now(),
            spares: (0..shards).map(|_| Table::default()).collect(),
            line: Vec::new(),
        }
    }

    pub(super) fn take_spare(&mut self, shard: usize) -> Table {
        self.spares.get_mut(shard).map(mem::take).unwrap_or_default()
    }

    pub(super) fn put_spare(&mut self, shard: usize, table: Table) {
        if let Some(spare) = self.spares.get_mut(shard) {
            *spare = table;
        }
    }

    pub(super) fn add(&mut self, cell: &Cell) {
        for sums in [&mut self.open, &mut self.totals] {
            let number = cell.key.id as usize;
            if sums.len() <= number {
                sums.resize_with(number + 1, Sum::default);
            }
            sums[number].add(cell);
        }
    }

    /// Returns this part of the ledger: the requests that wait to be written, and the written ones.
    pub(super) fn counts(&self) -> RollupCounts {
        RollupCounts {
            open: self.open.iter().map(|sum| sum.tally.count).sum(),
            kept: self.totals.iter().map(|sum| sum.tally.kept).sum(),
            rolled_up: self.rolled_up,
            ..RollupCounts::default()
        }
    }

    pub(super) fn totals(&self) -> Vec<Sum> {
        self.totals.clone()
    }

    /// Writes the lines of an interval; see
    /// [`Rollup::write_interval`](super::Rollup::write_interval).
    pub(super) fn write(
        &mut self,
        template: &LineTemplate,
        boundaries: &Boundaries,
        keys: &Keys,
        running: &[i64],
        push: &mut dyn FnMut(&[u8], usize) -> bool,
    ) -> usize {
        let now = MonotonicInstant::now();
        let interval = Interval { stamp: clock::stamp(now), length: self.since.elapsed() };
        let mut line = mem::take(&mut self.line);
        let (mut written, mut complete) = (0, true);
        for (key, sum) in keys.all().iter().zip(&mut self.open) {
            if sum.tally.count == 0 {
                continue;
            }
            line.clear();
            template.write_key(&mut line, key, sum, boundaries, interval);
            if push(&line, 1) {
                self.rolled_up += sum.tally.count;
                sum.reset();
                written += 1;
            } else {
                complete = false;
            }
        }
        for (route, running) in keys.routes().iter().zip(running).filter(|(_, running)| **running > 0) {
            line.clear();
            template.write_running(&mut line, route, *running, interval);
            written += usize::from(push(&line, 1));
        }
        self.line = line;
        if complete {
            self.since = now;
        }
        written
    }
}
