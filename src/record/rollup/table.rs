//! The counts of one shard since they were last taken.

use std::sync::Arc;

use super::key::{KeyParts, RollupKey};
use crate::point::TraceId;

/// Counts by key. Keys stay when the counts are taken, so that the next interval allocates nothing.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// An open-addressing hash table of cell numbers plus 1; 0 is free. It is never more than half
    /// full.
    index: Vec<u32>,
    cells: Vec<Cell>,
    /// Cells of requests that did not fail and have no tags. Each route has two places, one of
    /// which is for redirections, so that 200 and 304 do not share one. If two statuses share a
    /// place, the last one has it.
    plain: Vec<PlainPlace>,
    /// The cells with counts in this interval. Other cells cost nothing when it ends.
    touched: Vec<u32>,
}

/// A cell and its status code; 0 means none.
#[derive(Clone, Copy, Debug, Default)]
struct PlainPlace {
    cell: u32,
    status: u16,
}

/// The counts of one key. Durations are in nanoseconds.
#[derive(Debug)]
pub(super) struct Cell {
    pub(super) key: Arc<RollupKey>,
    pub(super) tally: Tally,
    /// 32 bits suffice: a shard that counts a million requests a second fills them in more than an
    /// hour, which is the longest interval.
    pub(super) buckets: Box<[u32]>,
    pub(super) example: Option<Exemplar>,
}

/// The slowest request of a key whose trace is known.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exemplar {
    nanoseconds: u64,
    pub(super) trace: TraceId,
}

/// The counted values of one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Measured {
    pub(super) nanoseconds: u64,
    pub(super) bucket: usize,
    pub(super) kept: bool,
    pub(super) trace: Option<TraceId>,
}

/// Counts and sums of one key, without its histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) count: u64,
    pub(crate) min: u64,
    pub(crate) sum: u64,
    pub(crate) max: u64,
    /// Requests whose raw points were kept. Not next to another sum: compilers would join the two
    /// additions, at twice the instructions.
    pub(crate) kept: u64,
}

/// The counts of one key over all shards, with its histogram.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sum {
    pub(crate) tally: Tally,
    /// Empty until something is counted.
    pub(crate) buckets: Vec<u64>,
    pub(super) example: Option<Exemplar>,
}

impl Table {
    /// Finds a key without an error code and tags, like [`find`](Self::find). Returns `None` if
    /// nothing was counted in the cell in this interval, and sometimes although it exists.
    #[inline]
    pub(super) fn find_plain(&mut self, route: u32, status: u16) -> Option<&mut Cell> {
        let place = self.plain.get(plain_place(route, status)).filter(|place| place.status == status)?;
        self.cells.get_mut(place.cell as usize).filter(|cell| cell.tally.count > 0)
    }

    /// Returns the cell of a key, to count in. Returns `None` if the table does not contain the key
    /// yet.
    #[inline]
    pub(super) fn find(&mut self, parts: KeyParts<'_>, hash: u64) -> Option<&mut Cell> {
        let number = self.position(parts, hash)?;
        if parts.error_code.is_empty() && parts.tags.is_empty() {
            let place = plain_place(parts.route, parts.status);
            if place >= self.plain.len() {
                self.plain.resize(place + 1, PlainPlace::default());
            }
            self.plain[place] = PlainPlace { cell: number, status: parts.status };
        }
        let Self { cells, touched, .. } = self;
        let cell = cells.get_mut(number as usize)?;
        if cell.tally.count == 0 {
            touched.push(number);
        }
        Some(cell)
    }

    #[inline]
    fn position(&self, parts: KeyParts<'_>, hash: u64) -> Option<u32> {
        let mask = self.index.len().wrapping_sub(1);
        let mut place = (hash >> 32) as usize;
        loop {
            match *self.index.get(place & mask)? {
                0 => return None,
                number if parts.is_of(&self.cells[number as usize - 1].key) => return Some(number - 1),
                _ => place += 1,
            }
        }
    }

    /// Adds a cell for a key that [`find`](Self::find) did not find.
    pub(super) fn add(&mut self, key: Arc<RollupKey>, buckets: usize) {
        let buckets = vec![0; buckets].into();
        self.cells.push(Cell { key, tally: Tally::default(), buckets, example: None });
        self.touched.reserve(self.cells.len() - self.touched.len());
        if self.cells.len() * 2 > self.index.len() {
            let size = (self.cells.len() * 4).next_power_of_two();
            self.index = vec![0; size];
            (0..self.cells.len()).for_each(|number| self.enter(number));
        } else {
            self.enter(self.cells.len() - 1);
        }
    }

    fn enter(&mut self, number: usize) {
        let mask = self.index.len() - 1;
        let mut place = (self.cells[number].key.parts().hash() >> 32) as usize;
        while self.index[place & mask] != 0 {
            place += 1;
        }
        self.index[place & mask] = number as u32 + 1;
    }

    /// Returns the number of counted requests.
    pub(super) fn count(&self) -> u64 {
        self.touched().map(|cell| cell.tally.count).sum()
    }

    /// Returns the number of counted requests with points of their own.
    pub(super) fn kept(&self) -> u64 {
        self.touched().map(|cell| cell.tally.kept).sum()
    }

    /// Passes the counts of each key to `take`, and resets them.
    pub(super) fn take(&mut self, mut take: impl FnMut(&Cell)) {
        for number in self.touched.drain(..) {
            let cell = &mut self.cells[number as usize];
            take(cell);
            cell.tally = Tally::default();
            cell.buckets.fill(0);
            cell.example = None;
        }
    }

    fn touched(&self) -> impl Iterator<Item = &Cell> {
        self.touched.iter().map(|number| &self.cells[*number as usize])
    }
}

impl Cell {
    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64, bucket: usize, kept: bool) {
        self.tally.count += 1;
        self.tally.kept += u64::from(kept);
        // It overflows after 584 years of execution time.
        self.tally.sum = self.tally.sum.wrapping_add(nanoseconds);
        self.tally.min = self.tally.min.min(nanoseconds);
        self.tally.max = self.tally.max.max(nanoseconds);
        if let Some(count) = self.buckets.get_mut(bucket) {
            *count = count.wrapping_add(1);
        }
    }
}

impl Cell {
    pub(super) fn record_all(&mut self, measured: &Measured) {
        let Measured { nanoseconds, bucket, kept, trace } = *measured;
        self.record(nanoseconds, bucket, kept);
        let example = trace.map(|trace| Exemplar { nanoseconds, trace });
        self.example = Exemplar::slower(self.example, example);
    }
}

impl Exemplar {
    /// Returns the slower one, or the first one if both took equally long.
    fn slower(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.nanoseconds > one.nanoseconds => Some(other),
            (one, other) => one.or(other),
        }
    }
}

impl Sum {
    pub(super) fn add(&mut self, cell: &Cell) {
        self.tally.merge(&cell.tally);
        self.example = Exemplar::slower(self.example, cell.example);
        if self.buckets.is_empty() {
            self.buckets = vec![0; cell.buckets.len()];
        }
        self.buckets.iter_mut().zip(&cell.buckets).for_each(|(sum, count)| *sum += u64::from(*count));
    }

    pub(super) fn reset(&mut self) {
        self.tally = Tally::default();
        self.buckets.fill(0);
        self.example = None;
    }
}

impl Tally {
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.kept += other.kept;
        self.sum = self.sum.saturating_add(other.sum);
        self.min = self.min.min(other.min);
        self.max = self.max.max(other.max);
    }
}

impl Default for Tally {
    fn default() -> Self {
        Self { count: 0, kept: 0, sum: 0, min: u64::MAX, max: 0 }
    }
}

/// Returns the place of a plain key. Bit 5 distinguishes 200 to 223 from 300 to 319.
#[inline]
fn plain_place(route: u32, status: u16) -> usize {
    route as usize * 2 + usize::from(status >> 5 & 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::rollup::RouteName;

    fn parts(route: u32, status: u16) -> KeyParts<'static> {
        KeyParts { route, status, error_code: "", tags: b"" }
    }

    /// Counts a request of this key.
    fn count(table: &mut Table, parts: KeyParts<'_>) {
        let hash = parts.hash();
        if table.find(parts, hash).is_none() {
            let KeyParts { route: id, status, error_code, tags } = parts;
            let route = Arc::new(RouteName { id, method: "GET", resource: "/a".into() });
            let (error_code, tags) = (error_code.into(), tags.into());
            table.add(Arc::new(RollupKey { id: 0, route, status, error_code, tags }), 4);
        }
        table.find(parts, hash).expect("just added").record(1, 0, false);
    }

    /// Returns whether a usual request finds its cell at once.
    fn is_plain(table: &mut Table, parts: KeyParts<'_>) -> bool {
        let cell = table.find_plain(parts.route, parts.status);
        cell.inspect(|cell| assert!(parts.is_of(&cell.key), "{parts:?} has found {:?}", cell.key)).is_some()
    }

    #[test]
    fn each_route_has_places_of_its_own_for_200_and_304() {
        let mut table = Table::default();
        let all = (0..20).flat_map(|route| [200, 304].map(|status| parts(route, status)));
        all.clone().for_each(|parts| count(&mut table, parts));
        assert!(all.clone().all(|parts| is_plain(&mut table, parts)));
        // A third status takes no place of another route.
        for route in 0..20 {
            count(&mut table, parts(route, 404));
            assert!(is_plain(&mut table, parts(route, 404)));
            let others = all.clone().filter(|parts| parts.route > route);
            others.for_each(|parts| {
                assert!(is_plain(&mut table, parts), "404 of {route} has that of {parts:?}")
            });
        }
    }

    #[test]
    fn requests_with_an_error_code_or_tags_do_not_find_the_usual_cell() {
        for (error_code, tags) in [("e", &b""[..]), ("", b",t=1"), ("e", b",t=1")] {
            let mut table = Table::default();
            count(&mut table, KeyParts { error_code, tags, ..parts(3, 200) });
            assert!(!is_plain(&mut table, parts(3, 200)));
        }
    }

    #[test]
    fn the_index_is_at_most_half_full_and_grows_with_its_keys() {
        let mut table = Table::default();
        for route in 0..1_000 {
            count(&mut table, parts(route, 200));
            let (keys, places) = (route as usize + 1, table.index.len());
            assert!((2 * keys..=8 * keys).contains(&places), "{places} for {keys}");
        }
        assert_eq!(table.count(), 1_000);
    }
}
