//! Tests that refused points of requests are stored without the columns that handlers added.

use super::{
    super::item::{Purpose, RefusedLines, TrialKind},
    *,
};
use crate::{delivery::flusher::tests::database::ALL_WORDS, line_protocol::ColumnKind};

#[test]
fn requests_keep_their_points_where_an_extra_is_refused() {
    for words in ALL_WORDS {
        for every in [10, 2, 1] {
            let mut delivered = Delivered::to(words);
            delivered.database.types.insert(("requests", "size"), ColumnKind::String);
            let mut requests = 0;
            for number in 0..10 {
                let extra = |number: usize| if number.is_multiple_of(every) { ",size=7i" } else { "" };
                let range = number * 200..(number + 1) * 200;
                let lines: Vec<String> = range.map(|number| request(number, "", extra(number))).collect();
                requests += delivered.deliver(&lines);
            }
            assert_eq!(delivered.stored("requests"), 2000, "{words:?}");
            assert_eq!((delivered.stripped, delivered.rejected.len()), (2000 / every, 0), "{words:?}");
            assert!(delivered.database.stored.values().all(|line| !line.contains("size")));
            assert!(requests <= 30, "{words:?}: {requests} requests for ten batches");
        }
    }
}

#[test]
fn only_the_refused_columns_are_left_out() {
    for words in ALL_WORDS {
        let mut delivered = Delivered::to(words);
        delivered.database.types.insert(("requests", "size"), ColumnKind::String);
        delivered.database.types.insert(("requests", "plan"), ColumnKind::Float);
        let lines: Vec<String> =
            (0..200).map(|number| request(number, ",plan=a,tenant=x", ",depth=1,size=7i,took=2")).collect();
        delivered.deliver(&lines);
        let next: Vec<String> =
            (200..400).map(|number| request(number, ",plan=a,tenant=x", ",depth=1,size=7i,took=2")).collect();
        assert_eq!(delivered.deliver(&next), 1, "{words:?}");
        assert_eq!((delivered.stored("requests"), delivered.rejected.len()), (400, 0), "{words:?}");
        let whole = |line: &&String| ["tenant=x", "depth=1", "took=2"].iter().all(|kept| line.contains(kept));
        let kept = delivered.database.stored.values().filter(whole).count();
        // The lines with which the columns were found lost no more than they had to.
        assert!(kept >= 380, "{words:?}: {kept} kept their good columns");
    }
}

#[test]
fn a_refused_column_is_recognized_in_every_other_shape() {
    let mut delivered = Delivered::to(Words::V3Silent);
    delivered.database.types.insert(("requests", "size"), ColumnKind::String);
    let lines = |from: usize, other: &str| {
        let extras = format!("{other},size=7i");
        (from..from + 100).map(|number| request(number, "", &extras)).collect::<Vec<_>>()
    };
    delivered.deliver(&lines(0, ""));
    for number in 1..20 {
        assert_eq!(delivered.deliver(&lines(number * 100, &format!(",f{number}=1"))), 1);
    }
    assert_eq!((delivered.stored("requests"), delivered.stripped), (2000, 2000));
}

#[test]
fn single_lines_are_tried_without_their_extras() {
    for words in ALL_WORDS {
        let mut delivered = Delivered::to(words);
        delivered.database.unparsable = Some("tenant=bad");
        let tenant = |number: usize| if number.is_multiple_of(20) { ",tenant=bad" } else { ",tenant=x" };
        let lines: Vec<String> = (0..400).map(|number| request(number, tenant(number), "")).collect();
        delivered.deliver(&lines);
        assert_eq!((delivered.stored("requests"), delivered.rejected.len()), (400, 0), "{words:?}");
        let kept = delivered.database.stored.values().filter(|line| line.contains("tenant=x")).count();
        assert_eq!(kept, 380, "{words:?}: no good point loses its extra");
    }
}

#[test]
fn standard_columns_and_own_points_are_never_stripped() {
    for words in ALL_WORDS {
        let mut delivered = Delivered::to(words);
        delivered.database.types.insert(("requests", "execution_time"), ColumnKind::Integer);
        let lines: Vec<String> = (0..200).map(|number| request(number, ",tenant=x", ",size=7i")).collect();
        let requests = delivered.deliver(&lines);
        assert_eq!((delivered.stored("requests"), delivered.stripped), (0, 0), "{words:?}");
        assert_eq!(delivered.rejected.len(), 200, "{words:?}");
        assert!(requests <= 50, "{words:?}: {requests} requests");
    }
}

#[test]
fn without_the_setting_they_are_rejected() {
    for words in ALL_WORDS {
        let mut delivered = Delivered::without_stripping(words);
        delivered.database.types.insert(("requests", "size"), ColumnKind::String);
        let extra = |number: usize| if number.is_multiple_of(2) { ",size=7i" } else { "" };
        let lines: Vec<String> = (0..200).map(|number| request(number, "", extra(number))).collect();
        delivered.deliver(&lines);
        assert_eq!((delivered.stored("requests"), delivered.stripped), (100, 0), "{words:?}");
        assert_eq!(delivered.rejected.len(), 100, "{words:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn refused_columns_are_forgotten_in_time() {
    let mut delivered = Delivered::to(Words::V3Silent);
    delivered.database.types.insert(("requests", "size"), ColumnKind::String);
    let lines =
        |from: usize| (from..from + 50).map(|number| request(number, "", ",size=7i")).collect::<Vec<_>>();
    delivered.deliver(&lines(0));
    tokio::time::advance(super::super::refusal_cache::REMEMBERED).await;
    delivered.cache.forget(Instant::now());
    assert!(delivered.cache.is_empty());
    delivered.database.types.clear();
    assert_eq!(delivered.deliver(&lines(50)), 1);
    let kept = delivered.database.stored.values().filter(|line| line.contains("size=7i")).count();
    assert_eq!(kept, 50, "the column is sent again");
}

/// Only one form can be tried at a time, with one reason to report for it.
#[test]
fn refused_lines_are_tried_together_where_shape_form_and_reason_are_the_same() {
    let one = || Piece::new(batch(&requests(1, ",size=1i")));
    let other = Piece::new(batch(&[request(1, "", ",depth=1i")]));
    let stripped = Piece { stripped: Some(RejectReason::Limit), ..one() };
    for (case, lines, reason, together) in [
        ("alike", one(), RejectReason::Limit, true),
        ("another reason", one(), RejectReason::Other, false),
        ("another form", stripped, RejectReason::Limit, false),
        ("another shape", other, RejectReason::Limit, false),
    ] {
        let mut cache = RefusalCache::new(true);
        let mut search = search(false);
        search.refused.push(RefusedLines { lines, reason });
        search.refused.push(RefusedLines { lines: one(), reason: RejectReason::Limit });
        let sent = sent(&mut search, &mut cache);
        assert_eq!(sent, vec![request(0, "", ""); if together { 2 } else { 1 }], "{case}");
        assert_eq!((search.refused.len(), left(&search).len()), (usize::from(!together), 2), "{case}");
    }
}

/// Neither a time, a size nor a failure depends on the columns.
#[test]
fn only_a_refusal_that_columns_can_cause_is_retried_without_them() {
    let cache = RefusalCache::new(true);
    for (by_failure, reason, tried) in [
        (false, RejectReason::Other, true),
        (false, RejectReason::Retention, false),
        (false, RejectReason::TooLarge, false),
        (true, RejectReason::Other, false),
        (true, RejectReason::TooLarge, false),
    ] {
        for (lines, extra) in [(requests(1, ",size=1i"), true), (requests(1, ""), false)] {
            let mut search = search(by_failure);
            search.reject_or_try(Piece::new(batch(&lines)), reason, &cache);
            let rejected = search.take_rejected().len();
            assert_eq!(rejected == 0, tried && extra, "{by_failure} {reason} {extra}");
        }
    }
}

#[test]
fn lines_that_are_refused_without_their_extras_too_are_halved_with_their_original_form() {
    let (plain, lines) = (requests(6, ""), requests(6, ",size=1i"));
    let mut cache = RefusalCache::new(true);
    let mut search = search(false);
    let [form, original] = [&plain, &lines].map(|lines| Piece::new(batch(lines)));
    search.test(form, Purpose::Trial { original, trial: TrialKind::Values });
    assert_eq!(sent(&mut search, &mut cache), plain);
    search.refused(&Refused::default(), &mut cache);
    assert_eq!(sent(&mut search, &mut cache), plain[..3]);
    assert_eq!((search.accepted(&mut cache).points, left(&search)), (3, lines[3..].to_vec()));
    assert_eq!(sent(&mut search, &mut cache), plain[3..]);
    for _ in 0..5 {
        search.refused(&Refused::default(), &mut cache);
        search.next(&mut cache);
    }
    let rejected: Vec<_> = search.take_rejected().iter().flat_map(|(lines, _)| text(lines)).collect();
    assert_eq!((rejected, search.is_done()), (lines[3..].to_vec(), true));
}
