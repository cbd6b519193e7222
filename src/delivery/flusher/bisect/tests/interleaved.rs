//! Tests several searches at once: the results of one lose no good line of another batch.

use super::*;
use crate::{delivery::flusher::tests::database::ALL_WORDS, line_protocol::ColumnKind};

/// The reason why every third line is refused.
#[derive(Clone, Copy, Debug, PartialEq)]
enum BadLines {
    Retention,
    Value,
    Type,
}

impl Delivered {
    fn with(words: Words, cause: BadLines) -> Self {
        let mut delivered = Self::to(words);
        match cause {
            BadLines::Retention => delivered.database.lower_bound = (TIME + 400) as i64,
            BadLines::Value => delivered.database.unparsable = Some("shop=bad"),
            BadLines::Type => _ = delivered.database.types.insert(("orders", "v"), ColumnKind::Float),
        }
        delivered
    }

    /// Answers this many requests of a search. Returns false when it is over.
    fn advance(&mut self, search: &mut Search, requests: usize) -> bool {
        self.reject(search);
        for _ in 0..requests {
            let Some(piece) = search.next(&mut self.cache) else { return false };
            match self.database.write(&piece) {
                Ok(()) => _ = search.accepted(&mut self.cache),
                Err(error) => search.refused(&refused(&error), &mut self.cache),
            }
            self.reject(search);
        }
        true
    }

    fn begin(&mut self, lines: &[String]) -> Option<Search> {
        let whole = batch(lines);
        let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
        if !self.cache.is_empty()
            && let Some(search) = Search::cut(&whole, &pending, &self.cache)
        {
            return Some(search);
        }
        let error = self.database.write(&whole).err()?;
        Some(Search::refused_batch(&whole, &pending, &refused(&error), &mut self.cache))
    }
}

/// Returns lines of which every third is refused, unless they are `good`.
fn lines(cause: BadLines, range: std::ops::Range<usize>, good: bool) -> Vec<String> {
    let line = |number: usize| match cause {
        _ if good || !number.is_multiple_of(3) => own(400 + number, "1"),
        BadLines::Retention => own(number, "1"),
        BadLines::Value => own(400 + number, "1").replace("shop=a", "shop=bad"),
        BadLines::Type => own(400 + number, "\"text\""),
    };
    range.map(line).collect()
}

/// Begins with one batch, sends others after this many requests of its search, and asserts that no
/// good line was lost.
fn deliver_interleaved(words: Words, cause: BadLines, requests: usize) {
    let mut delivered = Delivered::with(words, cause);
    let mut first = delivered.begin(&lines(cause, 0..105, false)).expect("something is refused");
    let goes_on = delivered.advance(&mut first, requests);
    let mut searches = Vec::new();
    for (number, good) in [false, true].into_iter().enumerate() {
        let from = 105 * (number + 1);
        searches.extend(delivered.begin(&lines(cause, from..from + 105, good)));
    }
    searches.iter_mut().for_each(|search| while delivered.advance(search, 1) {});
    while goes_on && delivered.advance(&mut first, 1) {}
    let case = format!("{words:?}, {cause:?}, after {requests} requests");
    assert_eq!((delivered.stored("orders"), delivered.rejected.len()), (245, 70), "{case}");
}

#[test]
fn an_unfinished_search_loses_no_good_line_of_other_batches() {
    for words in ALL_WORDS {
        for cause in [BadLines::Retention, BadLines::Value, BadLines::Type] {
            let takes_old_points = !matches!(words, Words::V1 | Words::V2);
            if cause == BadLines::Retention && takes_old_points {
                continue;
            }
            for requests in 0..6 {
                // The example line is chosen at random.
                (0..3).for_each(|_| deliver_interleaved(words, cause, requests));
            }
        }
    }
}
