//! Tests what is sent after each answer, and in which order.

use super::{
    super::{
        item::{Purpose, TrialKind},
        refusal_cache::{FoundBy, LineStatus},
    },
    *,
};
use crate::{
    delivery::sink::{Hint, Proof},
    line_protocol::ColumnKind,
};

const NOTHING_SAID: RejectReason = RejectReason::Other;

fn refuse(search: &mut Search, cache: &mut RefusalCache, reason: RejectReason) {
    search.refused(&Refused { reason, ..Refused::default() }, cache);
}

/// Returns the cache of a destination that often refuses single lines, so that `group` lines are
/// sent at once.
fn cache_of_group(group: usize) -> RefusalCache {
    let mut cache = RefusalCache::new(true);
    cache.begin(Instant::now());
    cache.accepted(&batch(&vec![own(0, "1"); if group == 1 { 1 } else { 13 }]), Instant::now());
    let shape = cache.shape(own(0, "1").as_bytes());
    (0..3).for_each(|_| cache.refused(shape, 1, FoundBy::Search, Instant::now()));
    assert_eq!(cache.group(), group);
    cache
}

/// Whether a piece fails or is too large does not depend on its shape, nor on other refusals.
#[test]
fn a_failing_or_too_large_piece_is_halved_as_it_is() {
    let mixed: Vec<String> =
        (0..8).map(|n| if n % 2 == 0 { own(n, "1") } else { request(n, "", "") }).collect();
    for (by_failure, reason) in
        [(true, NOTHING_SAID), (false, RejectReason::TooLarge), (false, RejectReason::Retention)]
    {
        let mut cache = if by_failure { cache_of_group(1) } else { RefusalCache::new(true) };
        let mut search = asking(by_failure, &mixed);
        assert_eq!(sent(&mut search, &mut cache), mixed, "{reason}");
        refuse(&mut search, &mut cache, reason);
        assert_eq!(sent(&mut search, &mut cache), mixed[..4], "{reason}");
        assert_eq!((search.requests(), search.is_resent()), (2, true));
    }
}

#[test]
fn a_piece_goes_whole_below_two_groups_and_else_one_group_at_a_time() {
    for (group, lines, expected) in [(1, 1, vec![1]), (1, 2, vec![1, 1]), (4, 7, vec![7]), (4, 8, vec![4, 4])]
    {
        let mut cache = cache_of_group(group);
        let mut search = asking(false, &owns(lines));
        for size in expected {
            assert_eq!(sent(&mut search, &mut cache).len(), size, "{group} {lines}");
            search.accepted(&mut cache);
        }
        assert!(search.is_done());
    }
    // Another form is tried with all of its lines.
    let mut cache = cache_of_group(1);
    let mut search = search(false);
    let original = Piece::new(batch(&requests(4, ",size=1i")));
    let form = Piece::new(batch(&requests(4, "")));
    search.test(form, Purpose::Trial { original, trial: TrialKind::Named });
    assert_eq!(sent(&mut search, &mut cache).len(), 4);
}

/// Answers that do not fit the lines would cost requests without end.
#[test]
fn a_server_that_names_accepted_lines_is_no_longer_trusted() {
    let words = Refused { hint: Hint::Lines(vec![0]), ..Refused::default() };
    for (hits, sizes) in [(0, vec![19, 1, 18, 1, 17, 1, 16, 8]), (1, vec![19, 1, 18, 1, 17, 1, 16, 1, 15, 7])]
    {
        let mut cache = RefusalCache::new(true);
        let mut search = asking(false, &owns(19 + hits));
        if hits == 1 {
            for _ in 0..2 {
                search.next(&mut cache).expect("the line");
                search.refused(&words, &mut cache);
            }
        }
        let mut seen = Vec::new();
        while seen.len() < sizes.len() {
            let size = search.next(&mut cache).expect("lines are left").len();
            match size {
                1 => _ = search.accepted(&mut cache),
                _ => search.refused(&words, &mut cache),
            }
            seen.push(size);
        }
        assert_eq!(seen, sizes, "{hits}");
    }
}

/// Dividing several pieces in turn would cost requests before it is known how many lines are
/// refused.
#[test]
fn one_piece_with_a_refused_line_waits_for_others_and_a_second_one_does_not() {
    let piece = |lines| Piece::new(batch(&owns(lines)));
    let sizes = |search: &Search| -> Vec<usize> {
        search.items.iter().map(|item| item.batches().into_iter().flatten().map(Batch::len).sum()).collect()
    };
    let many = RefusalCache::new(true);
    let mut search = search(false);
    search.ask(piece(2));
    search.split(piece(3), &many);
    assert_eq!(sizes(&search), [2, 3]);
    search.split(piece(4), &many);
    assert_eq!(sizes(&search), [4, 2, 3]);
    // If lines are refused often, no piece waits.
    let mut search = super::search(false);
    search.ask(piece(2));
    search.split(piece(3), &cache_of_group(1));
    assert_eq!(sizes(&search), [3, 2]);
}

/// The last line of the piece is sent at once, which ends the search.
#[test]
fn if_one_half_is_accepted_the_other_contains_the_refused_line() {
    let piece = |lines| Piece::new(batch(&owns(lines)));
    for (sibling, next) in [(1, 1), (2, 5)] {
        let mut cache = RefusalCache::new(true);
        let mut search = search(false);
        search.ask(piece(5));
        search.test(piece(2), Purpose::Store { sibling: Some(piece(sibling)) });
        search.next(&mut cache).expect("a half");
        search.accepted(&mut cache);
        assert_eq!(sent(&mut search, &mut cache).len(), next, "{sibling}");
    }
}

/// An answer for all of them tells how many are refused, if it counts them, or names the column.
#[test]
fn many_suspects_go_together_if_the_answer_tells_more_than_that_one_is_refused() {
    let lines = [owns(9), requests(10, "")].concat();
    let hint = Hint::Field { measurement: "orders".to_owned(), field: "v".to_owned() };
    let columns = vec![("v".to_owned(), None)];
    for (case, proof, next) in [
        ("nothing else", Proof::default(), 10),
        ("how many", Proof { dropped: Some(9), ..Proof::default() }, 9),
        ("the column", Proof { columns, ..Proof::default() }, 9),
    ] {
        let mut cache = RefusalCache::new(true);
        let mut search = asking(false, &lines);
        search.next(&mut cache).expect("the lines");
        let refused = Refused { hint: hint.clone(), proof: Box::new(proof), ..Refused::default() };
        search.refused(&refused, &mut cache);
        assert_eq!(sent(&mut search, &mut cache).len(), next, "{case}");
    }
}

#[test]
fn a_column_of_handlers_that_the_server_names_is_omitted_at_once() {
    let size = |kind| vec![("size".to_owned(), Some(kind))];
    for (reason, remembered) in [(RejectReason::FieldType, true), (RejectReason::Limit, false)] {
        let mut cache = RefusalCache::new(true);
        let lines = requests(4, ",size=1i");
        let mut search = asking(false, &lines);
        search.next(&mut cache).expect("the lines");
        let proof = Proof { dropped: Some(4), columns: size(ColumnKind::Integer), ..Proof::default() };
        search.refused(&Refused { reason, proof: Box::new(proof), ..Refused::default() }, &mut cache);
        assert_eq!(sent(&mut search, &mut cache), requests(4, ""), "{reason}");
        assert_eq!(left(&search), lines, "{reason}");
        // A wrong type belongs to the column; a limit may be temporary.
        let known = cache.fate(lines[0].as_bytes());
        assert_eq!(known == LineStatus::Stripped(reason), remembered, "{known:?}");
        assert_eq!(search.accepted(&mut cache).stripped, Some(reason));
        assert!(search.is_done());
    }
}

/// A line that is too old or too large says nothing about others of its shape.
#[test]
fn an_example_decides_for_its_shape_only_if_columns_are_the_cause() {
    for (reason, shared) in [
        (RejectReason::Other, true),
        (RejectReason::FieldType, true),
        (RejectReason::Retention, false),
        (RejectReason::TooLarge, false),
    ] {
        let mut cache = RefusalCache::new(true);
        let mut search = search(false);
        let others = Some(Piece::new(batch(&owns(3))));
        search.test(Piece::new(batch(&[own(9, "1")])), Purpose::Example { others });
        search.next(&mut cache).expect("the example");
        refuse(&mut search, &mut cache, reason);
        let rejected: usize = search.take_rejected().iter().map(|(lines, _)| lines.len()).sum();
        assert_eq!((rejected, left(&search).len()), if shared { (4, 0) } else { (1, 3) }, "{reason}");
    }
}

#[test]
fn the_first_request_with_a_line_does_not_count_as_sent_again() {
    let mut cache = RefusalCache::new(true);
    cache.begin(Instant::now());
    cache.accepted(&batch(&owns(1)), Instant::now());
    let whole = batch(&[owns(2), requests(2, "")].concat());
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::cut(&whole, &pending, &cache).expect("what was accepted goes first");
    assert!(!search.is_resent(), "nothing is being sent");
    assert_eq!((sent(&mut search, &mut cache), search.is_resent()), (owns(2), false));
    search.accepted(&mut cache);
    assert_eq!((sent(&mut search, &mut cache), search.is_resent()), (requests(2, ""), false));
    refuse(&mut search, &mut cache, NOTHING_SAID);
    search.next(&mut cache).expect("one of two");
    assert!(search.is_resent());
}

#[test]
fn when_time_is_up_refused_lines_are_rejected_unchanged() {
    let mut search = search(false);
    let lines = Piece::new(batch(&requests(2, ",size=1i")));
    search.reject_or_try(lines, RejectReason::Limit, &RefusalCache::new(true));
    assert_eq!((search.take_rejected().len(), search.is_done()), (0, false), "it would be tried without");
    search.reject_refused();
    let rejected: Vec<_> =
        search.take_rejected().into_iter().map(|(lines, reason)| (text(&lines), reason)).collect();
    assert_eq!(rejected, [(requests(2, ",size=1i"), RejectReason::Limit)]);
    assert!(search.is_done());
}
