//! Counts the series that the points of this process create in the database.

use std::{
    collections::{HashMap, HashSet},
    hash::BuildHasher,
    io::BufRead,
};

use foldhash::fast::RandomState;

use crate::{
    line_protocol::{ColumnKind, Columns},
    stats::MANY_SERIES,
};

/// Counts distinct combinations of measurement and tags.
///
/// It runs here and not where points are recorded, so that requests do not pay for it. It is exact:
/// it keeps a 64-bit hash of each, up to [`MOST_COUNTED`], which takes about 2 MiB.
#[derive(Debug, Default)]
pub(super) struct SeriesCounter {
    seen: HashSet<u64, RandomState>,
    warned: bool,
}

impl SeriesCounter {
    /// Counts the new series of these lines. Warns once when there are many.
    pub(super) fn count(&mut self, lines: &[u8]) {
        let mut rest = lines;
        while !rest.is_empty() && self.seen.len() < MOST_COUNTED {
            let hash = self.seen.hasher().hash_one(&rest[..series_end(rest)]);
            self.seen.insert(hash);
            // Scans many bytes at a time, unlike a loop. Reading from memory cannot fail.
            if rest.skip_until(b'\n').is_err() {
                break;
            }
        }
        if !self.warned && self.series() > MANY_SERIES {
            self.warned = true;
            tracing::warn!(
                target: "tower_influx",
                series = self.series(), tag = %tag_with_most_values(lines),
                "points of this process make many series, which are different combinations of tags: the database \
                 keeps an index of all of them; the named tag has the most values in the latest points: if they \
                 have no bound, make it a field, or lower `limits.tag_values` (logged once)"
            );
        }
    }

    /// Returns the number of series, at most [`MOST_COUNTED`].
    pub(super) fn series(&self) -> u64 {
        self.seen.len() as u64
    }
}

/// Returns where measurement and tags end: before the first unescaped space.
fn series_end(line: &[u8]) -> usize {
    let (mut rest, mut end) = (line, 0);
    while let Ok(read) = rest.skip_until(b' ') {
        end += read;
        if read == 0 || !line[..end].ends_with(b"\\ ") {
            break;
        }
    }
    end.saturating_sub(1)
}

/// Returns the name of the tag with the most values. Never returns a value, since a client may have
/// chosen it.
fn tag_with_most_values(lines: &[u8]) -> String {
    let mut values = HashMap::<&[u8], HashSet<&[u8]>>::new();
    for line in lines.split(|byte| *byte == b'\n') {
        for tag in Columns::of(line).take_while(|column| column.kind == ColumnKind::Tag) {
            values.entry(tag.key).or_default().insert(tag.text);
        }
    }
    // Of several tags the first by name, so that the log line is the same at each start.
    let most = values.into_iter().max_by_key(|(key, values)| (values.len(), std::cmp::Reverse(*key)));
    most.map(|(key, _)| String::from_utf8_lossy(key).into_owned()).unwrap_or_default()
}

/// Ten times the number at which a warning is logged.
const MOST_COUNTED: usize = 10 * MANY_SERIES as usize;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_log::logged;

    fn lines(users: std::ops::Range<u64>) -> String {
        users
            .map(|user| format!("requests,route=GET:/,user=u-{user} execution_time=0.1,n={user}i {user}\n"))
            .collect()
    }

    #[test]
    fn measurement_and_tags_make_a_series_and_nothing_else_does() {
        let mut counter = SeriesCounter::default();
        for (line, series) in [
            ("requests,service=a v=1 1\n", 1),
            ("requests,service=a v=1 2\n", 1),
            ("requests,service=a v=2,text=\"a b\\\"c\" 1\n", 1),
            ("requests,service=b v=1 1\n", 2),
            ("errors,service=a v=1 1\n", 3),
            ("requests v=1 1\n", 4),
            ("requests,route=a\\ b v=1 1\n", 5),
            ("requests,route=a\\ c v=1 1\n", 6),
            ("requests,route=a v=1 1\n", 7),
            ("requests,route=a\\\\\\ b v=1 1\n", 8),
            ("", 8),
            ("noline\n", 9),
            ("no", 10),
        ] {
            counter.count(line.as_bytes());
            assert_eq!(counter.series(), series, "{line}");
        }
        let all = "a,t=1 v=1 1\nb,t=1 v=1 1\na,t=1 v=1 2\na,t=2 v=1 1\n";
        let mut counter = SeriesCounter::default();
        counter.count(all.as_bytes());
        assert_eq!(counter.series(), 3);
    }

    #[test]
    fn many_series_are_logged_once_with_the_name_of_their_tag() {
        let mut counter = SeriesCounter::default();
        let log = logged(|| counter.count(lines(0..MANY_SERIES).as_bytes()));
        assert_eq!((counter.series(), log.as_str()), (MANY_SERIES, ""));
        let log = logged(|| {
            counter.count(lines(MANY_SERIES..MANY_SERIES + 1_000).as_bytes());
            counter.count(lines(0..2 * MANY_SERIES).as_bytes());
        });
        assert_eq!(
            (log.matches("WARN").count(), log.matches("series=11000 tag=user").count()),
            (1, 1),
            "{log}"
        );
        assert!(!log.contains("u-"), "{log}");
    }

    #[test]
    fn counting_stops_at_its_memory_bound() {
        let mut counter = SeriesCounter { warned: true, ..SeriesCounter::default() };
        for thousand in 0..150 {
            counter.count(lines(thousand * 1_000..(thousand + 1) * 1_000).as_bytes());
        }
        assert_eq!(counter.series(), MOST_COUNTED as u64);
        assert!(counter.seen.capacity() < 2 * MOST_COUNTED, "{}", counter.seen.capacity());
    }
}
