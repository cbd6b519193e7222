//! Tests what is remembered about a destination, for how long, and what follows from it.

use super::*;
use crate::{
    delivery::flusher::bisect::refusal_cache::{FoundBy, LineStatus, MOST_SHAPES, REFUSED_SHAPE, REMEMBERED},
    line_protocol::ColumnKind,
};

const SECOND: Duration = Duration::from_secs(1);

fn cache() -> RefusalCache {
    let mut cache = RefusalCache::new(true);
    cache.begin(Instant::now());
    cache
}

fn line() -> String {
    request(1, "", ",size=1i")
}

fn fate(cache: &RefusalCache) -> LineStatus {
    cache.fate(line().as_bytes())
}

/// Refuses this many lines of the shape of [`line`], one by one.
fn refuse(cache: &mut RefusalCache, count: usize, found: FoundBy) {
    let shape = cache.shape(line().as_bytes());
    (0..count).for_each(|_| cache.refused(shape, 1, found, Instant::now()));
}

fn accept(cache: &mut RefusalCache) {
    cache.accepted(&batch(&[line()]), Instant::now());
}

#[test]
fn a_shape_is_refused_after_many_lines_that_were_not_searched_for_and_none_accepted() {
    for (found, refuses) in [
        (FoundBy::Sample, true),
        (FoundBy::Whole, true),
        // They were found because they are refused.
        (FoundBy::Search, false),
        (FoundBy::Named, false),
    ] {
        let mut cache = cache();
        refuse(&mut cache, REFUSED_SHAPE - 1, found);
        assert_eq!(fate(&cache), LineStatus::Unknown, "{found:?}");
        refuse(&mut cache, 1, found);
        let expected = if refuses { LineStatus::Refused } else { LineStatus::Unknown };
        assert_eq!(fate(&cache), expected, "{found:?}");
        accept(&mut cache);
        assert_eq!(fate(&cache), LineStatus::Accepted, "one accepted line says more");
    }
}

#[test]
fn a_shape_that_was_accepted_is_asked_about_anew_after_many_refused_lines() {
    for (found, counts) in
        [(FoundBy::Sample, true), (FoundBy::Search, true), (FoundBy::Whole, true), (FoundBy::Named, false)]
    {
        let mut cache = cache();
        accept(&mut cache);
        refuse(&mut cache, REFUSED_SHAPE - 1, found);
        assert_eq!(fate(&cache), LineStatus::Accepted, "{found:?}");
        refuse(&mut cache, 1, found);
        let expected = if counts { LineStatus::Unknown } else { LineStatus::Accepted };
        assert_eq!(fate(&cache), expected, "{found:?}");
        // Only a refusal of one line among several makes the next bodies smaller.
        let smaller = counts && found != FoundBy::Whole;
        assert_eq!(cache.group() < usize::MAX, smaller, "{found:?}");
    }
}

#[test]
fn nothing_is_remembered_before_anything_is_refused() {
    let mut cache = RefusalCache::new(true);
    accept(&mut cache);
    assert!(cache.is_empty() && fate(&cache) == LineStatus::Unknown);
}

#[tokio::test(start_paused = true)]
async fn entries_expire_one_by_one() {
    let size = (b"size".to_vec(), ColumnKind::Integer);
    let mut cache = cache();
    accept(&mut cache);
    cache.refuse_column(b"requests", &size, RejectReason::FieldType, Instant::now());
    tokio::time::advance(REMEMBERED - SECOND).await;
    // After another refusal, earlier entries still stay until they are old.
    let other = own(1, "1");
    let shape = cache.shape(other.as_bytes());
    cache.refused(shape, REFUSED_SHAPE, FoundBy::Whole, Instant::now());
    cache.forget(Instant::now());
    assert_eq!(fate(&cache), LineStatus::Stripped(RejectReason::FieldType));
    tokio::time::advance(SECOND).await;
    cache.forget(Instant::now());
    assert_eq!((fate(&cache), cache.is_empty()), (LineStatus::Unknown, false));
    assert_eq!(cache.fate(other.as_bytes()), LineStatus::Refused);
    tokio::time::advance(REMEMBERED - SECOND).await;
    cache.forget(Instant::now());
    assert_eq!((cache.fate(other.as_bytes()), cache.is_empty()), (LineStatus::Unknown, true));
}

#[test]
fn only_columns_of_handlers_are_omitted_and_each_is_logged_once() {
    let column = |name: &str, kind| (name.as_bytes().to_vec(), kind);
    let size = column("size", ColumnKind::Integer);
    let mut cache = cache();
    for (measurement, name) in [("requests", "execution_time"), ("orders", "size"), ("requests", "size")] {
        for _ in 0..2 {
            let column = column(name, ColumnKind::Integer);
            cache.refuse_column(measurement.as_bytes(), &column, RejectReason::Limit, Instant::now());
        }
    }
    assert_eq!((cache.newly_refused(), cache.newly_refused()), (vec!["requests.size".to_owned()], vec![]));
    assert_eq!(cache.extras(line().as_bytes()), std::slice::from_ref(&size));
    assert_eq!(cache.extras(own(1, "1").as_bytes()), []);
    let (kept, reason) = cache.stripped(line().as_bytes()).expect("has a refused column");
    assert_eq!((kept, reason), (format!("{}\n", request(1, "", "")).into_bytes(), RejectReason::Limit));
    // A column with another type is another column.
    assert_eq!(cache.stripped(request(1, "", ",size=1").as_bytes()), None);

    let mut never = RefusalCache::new(false);
    never.refuse_column(b"requests", &size, RejectReason::Limit, Instant::now());
    assert!(never.newly_refused().is_empty() && never.extras(line().as_bytes()).is_empty());
}

#[test]
fn omitting_columns_is_no_longer_tried_if_it_does_not_help() {
    let mut cache = cache();
    for saved in [true, false, false] {
        cache.saved(saved);
    }
    for tries in 0..7 {
        assert!(cache.may_save(line().as_bytes()), "{tries}");
        cache.saved(false);
    }
    assert!(!cache.may_save(line().as_bytes()));
    cache.saved(true);
    assert!(cache.may_save(line().as_bytes()));
    assert!(!cache.may_save(request(1, "", "").as_bytes()), "there is nothing to leave out");
}

/// Clients can choose names, so there is a limit. Entries keep counting until it is reached.
#[test]
fn one_shape_beyond_the_limit_clears_the_cache() {
    let mut cache = cache();
    let shape = |number: usize| request(1, "", &format!(",f{number}=1"));
    let lines: Vec<String> = (0..MOST_SHAPES).map(shape).collect();
    cache.accepted(&batch(&lines), Instant::now());
    cache.accepted(&batch(&lines), Instant::now());
    let known = |cache: &RefusalCache, line: &str| cache.fate(line.as_bytes()) == LineStatus::Accepted;
    assert!(lines.iter().all(|line| known(&cache, line)));
    accept(&mut cache);
    assert!(fate(&cache) == LineStatus::Accepted && !lines.iter().any(|line| known(&cache, line)));
}

#[test]
fn lines_of_accepted_shapes_go_first() {
    let mut cache = cache();
    accept(&mut cache);
    let groups = cache.by_shape(&batch(&[own(1, "1"), line(), own(2, "2")]));
    let sizes: Vec<usize> = groups.iter().map(|(_, lines)| lines.len()).collect();
    assert_eq!(sizes, [1, 2]);
    assert!(cache.is_accepted(groups[0].0) && !cache.is_accepted(groups[1].0));
}

/// A doubtful search waits for promising ones, and is dropped first when memory is short.
#[test]
fn a_search_is_promising_or_doubtful_by_its_next_and_remaining_lines() {
    let mut cache = cache();
    accept(&mut cache);
    let shape = cache.shape(own(1, "1").as_bytes());
    cache.refused(shape, REFUSED_SHAPE, FoundBy::Whole, Instant::now());
    let search = |lines: &[String]| {
        let whole = batch(lines);
        let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
        let search = Search::cut(&whole, &pending, &cache).expect("a shape is refused");
        (search.is_promising(), search.is_doubtful())
    };
    assert_eq!(search(&[own(1, "1"), own(2, "1")]), (false, true));
    assert_eq!(search(&[own(1, "1"), line()]), (true, false));
}

#[test]
fn a_batch_goes_as_it_is_unless_cutting_it_saves_requests() {
    let mut cache = cache();
    accept(&mut cache);
    let is_cut = |cache: &RefusalCache, lines: &[String]| {
        let whole = batch(lines);
        let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
        Search::cut(&whole, &pending, cache).is_some()
    };
    // Accepted shapes do not wait for unknown ones.
    assert!(is_cut(&cache, &[own(1, "1"), line()]));
    assert!(!is_cut(&cache, &[own(1, "1"), own(2, "1")]));
    assert!(!is_cut(&cache, &[line(), line(), line()]));
    // If most lines are refused, only as many go together as are worth sending at once.
    refuse(&mut cache, 3, FoundBy::Search);
    assert_eq!(cache.group(), 1);
    assert!(!is_cut(&cache, &[line(), line()]));
    assert!(is_cut(&cache, &[line(), line(), line()]));
}
