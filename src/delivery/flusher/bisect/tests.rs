//! Tests searches against databases in memory, without I/O.

use std::{collections::BTreeMap, time::Duration, time::SystemTime};

use tokio::time::Instant;

use super::{
    super::pending::{History, PendingBatch},
    item::Piece,
    *,
};
use crate::delivery::{
    batch::Batch,
    flusher::tests::database::{Database, Words},
    sink::{Refused, WriteErrorKind},
};
use crate::stats::RejectReason;

mod exact;
mod interleaved;
mod interrupted;
mod refusal_cache;
mod steps;
mod strip;

/// One destination, the cache of its refusals, and the outcome of the points.
struct Delivered {
    database: Database,
    cache: RefusalCache,
    /// The reasons for which points were rejected, by their time.
    rejected: BTreeMap<i64, RejectReason>,
    stripped: usize,
}

impl Delivered {
    fn to(words: Words) -> Self {
        Self {
            database: Database::new(words),
            cache: RefusalCache::new(true),
            rejected: BTreeMap::new(),
            stripped: 0,
        }
    }

    fn without_stripping(words: Words) -> Self {
        Self { cache: RefusalCache::new(false), ..Self::to(words) }
    }

    /// Delivers one batch to its end, and returns how many requests that took.
    fn deliver(&mut self, lines: &[String]) -> usize {
        let before = self.database.requests;
        let whole = batch(lines);
        let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
        let search = match Search::cut(&whole, &pending, &self.cache).filter(|_| !self.cache.is_empty()) {
            Some(search) => Some(search),
            None => match self.database.write(&whole) {
                Ok(()) => {
                    self.cache.accepted(&whole, Instant::now());
                    None
                }
                Err(error) => {
                    Some(Search::refused_batch(&whole, &pending, &refused(&error), &mut self.cache))
                }
            },
        };
        if let Some(search) = search {
            self.search(search, lines.len());
        }
        self.database.requests - before
    }

    fn search(&mut self, mut search: Search, lines: usize) {
        let mut settled = self.reject(&mut search);
        while let Some(piece) = search.next(&mut self.cache) {
            match self.database.write(&piece) {
                Ok(()) => {
                    let accepted = search.accepted(&mut self.cache);
                    assert_eq!((accepted.points, accepted.bytes), (piece.len(), piece.bytes().len()));
                    self.stripped += if accepted.stripped.is_some() { piece.len() } else { 0 };
                    settled += piece.len();
                }
                Err(error) => search.refused(&refused(&error), &mut self.cache),
            }
            settled += self.reject(&mut search);
            let open = search.remaining_points();
            assert_eq!(settled + open, lines, "a line is in nobody's hands, or in two");
            assert!(search.requests() < 3 * lines + 100, "it does not come to an end");
        }
        settled += self.reject(&mut search);
        assert_eq!(settled, lines, "a line is lost");
        assert!(search.is_done());
    }

    fn reject(&mut self, search: &mut Search) -> usize {
        let mut count = 0;
        for (lines, reason) in search.take_rejected() {
            for line in lines.lines() {
                let time = crate::line_protocol::timestamp(line).expect("a time");
                assert_eq!(self.rejected.insert(time, reason), None, "rejected twice");
                count += 1;
            }
        }
        count
    }

    /// Returns how many points of this measurement are stored.
    fn stored(&self, measurement: &str) -> usize {
        self.database.stored.keys().filter(|(name, _)| name == measurement).count()
    }
}

fn refused(error: &crate::delivery::sink::WriteError) -> Refused {
    match &error.kind {
        WriteErrorKind::Refused(refused) => refused.clone(),
        other => panic!("{other:?}"),
    }
}

fn batch(lines: &[String]) -> Batch {
    let text: String = lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect();
    Batch::new(text.into(), lines.len(), 1, SystemTime::UNIX_EPOCH)
}

/// Returns a point of a request, with these additional fields.
fn request(number: usize, tags: &str, fields: &str) -> String {
    format!(
        "requests,route=GET:/items/{{id}},service=test{tags} execution_time=0.25{fields} {}",
        TIME + number
    )
}

/// Returns a point of the application's own.
fn own(number: usize, value: &str) -> String {
    format!("orders,shop=a v={value} {}", TIME + number)
}

const TIME: usize = 1_000_000;

/// Returns a search that has nothing to send yet, in a batch that is refused, or that fails.
fn search(by_failure: bool) -> Search {
    let whole = batch(&[own(0, "1")]);
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    Search::new(&whole, &pending, by_failure)
}

/// Returns a search that sends all of these lines first.
fn asking(by_failure: bool, lines: &[String]) -> Search {
    let mut search = search(by_failure);
    search.ask(Piece::new(batch(lines)));
    search
}

/// Returns this many points of the application's own.
fn owns(count: usize) -> Vec<String> {
    (0..count).map(|number| own(number, "1")).collect()
}

/// Returns this many points of requests with these additional fields.
fn requests(count: usize, fields: &str) -> Vec<String> {
    (0..count).map(|number| request(number, "", fields)).collect()
}

/// Returns the lines of a batch as text.
fn text(batch: &Batch) -> Vec<String> {
    batch.lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

/// Returns the lines that are sent next.
fn sent(search: &mut Search, cache: &mut RefusalCache) -> Vec<String> {
    search.next(cache).as_ref().map(text).unwrap_or_default()
}

/// Returns the lines whose outcome is not final yet.
fn left(search: &Search) -> Vec<String> {
    search.remaining().flat_map(text).collect()
}

#[test]
fn a_search_counts_for_its_lines_in_memory_and_for_little_more() {
    let lines: Vec<String> = (0..500).map(|number| own(number, "1")).collect();
    let whole = batch(&lines);
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let memory = Search::failing_batch(&whole, &pending).memory();
    assert!((whole.bytes().len()..whole.bytes().len() + 4096).contains(&memory), "{memory}");
}
