//! Tests that exactly the refused lines are rejected, for every server and any number of them.

use proptest::prelude::*;

use super::*;
use crate::{delivery::flusher::tests::database::ALL_WORDS, line_protocol::ColumnKind};

/// Delivers single lines that cannot be parsed, all of one shape.
fn unparsable(words: Words, lines: usize, bad: &[usize]) -> (Delivered, usize) {
    let mut delivered = Delivered::to(words);
    delivered.database.unparsable = Some("shop=bad");
    let lines: Vec<String> = (0..lines)
        .map(|number| {
            if bad.contains(&number) {
                own(number, "1").replace("shop=a", "shop=bad")
            } else {
                own(number, "1")
            }
        })
        .collect();
    let requests = delivered.deliver(&lines);
    assert_eq!(delivered.stored("orders"), lines.len() - bad.len(), "{words:?}");
    let rejected: Vec<usize> = delivered.rejected.keys().map(|time| *time as usize - TIME).collect();
    assert_eq!(rejected, bad, "{words:?}");
    (delivered, requests)
}

#[test]
fn one_refused_line_is_found_at_every_position() {
    for words in ALL_WORDS {
        for lines in [1, 2, 3, 10, 100] {
            for place in 0..lines {
                let (_, requests) = unparsable(words, lines, &[place]);
                let most = match words {
                    Words::V1 | Words::V2 | Words::V3Numbers => 2,
                    // The batch, the line alone, the lines before it, and those after it.
                    Words::V3First => 4,
                    // The batch, two requests for each halving, and an example of its shape.
                    Words::V3Silent => 2 * lines.next_power_of_two().trailing_zeros() as usize + 5,
                };
                assert!(requests <= most, "{words:?}, {lines} lines: {requests} requests");
            }
        }
    }
}

#[test]
fn single_refused_lines_cost_few_requests() {
    let scattered: Vec<usize> = (0..10).map(|number| number * 487 + 13).collect();
    let (_, requests) = unparsable(Words::V3Silent, 5000, &scattered);
    assert!((60..=220).contains(&requests), "{requests}");
    let together: Vec<usize> = (2345..2355).collect();
    let (_, requests) = unparsable(Words::V3Silent, 5000, &together);
    assert!(requests <= 80, "{requests}");
    for words in [Words::V1, Words::V2, Words::V3Numbers] {
        assert_eq!(unparsable(words, 5000, &scattered).1, 2, "{words:?}: the batch and the rest");
    }
    // Only the first one is named: a request for it alone, one for the rest.
    let (_, requests) = unparsable(Words::V3First, 5000, &scattered);
    assert!(requests <= 40, "{requests}");
}

#[test]
fn many_refused_lines_do_not_repeat_the_batch_for_each_if_only_the_first_is_named() {
    let bad: Vec<usize> = (0..285).map(|number| number * 17 + 5).collect();
    let (delivered, requests) = unparsable(Words::V3First, 5000, &bad);
    assert!(requests <= 5 * 285, "{requests} requests");
    let sent = delivered.database.lines;
    assert!(sent <= 20 * 5000, "{sent} lines were sent for 5000");
}

#[test]
fn every_fifth_line_costs_less_than_a_request_for_each() {
    let bad: Vec<usize> = (0..2000).filter(|number| number * 7 % 10 < 2).collect();
    let (_, requests) = unparsable(Words::V3Silent, 2000, &bad);
    assert!(requests <= 1900, "{requests} requests for {} of 2000", bad.len());
}

#[test]
fn wrong_types_of_own_points_are_rejected_in_groups() {
    for words in ALL_WORDS {
        for (every, bad) in [(4, 1000), (2, 2000), (1, 4000)] {
            let mut delivered = Delivered::to(words);
            delivered.database.types.insert(("orders", "v"), ColumnKind::Float);
            let lines: Vec<String> = (0..4000)
                .map(|number| own(number, if number % every == 0 { "\"text\"" } else { "1" }))
                .collect();
            let requests = delivered.deliver(&lines);
            assert_eq!(
                (delivered.stored("orders"), delivered.rejected.len()),
                (4000 - bad, bad),
                "{words:?}"
            );
            let most = match words {
                Words::V1 | Words::V2 | Words::V3Numbers => 4,
                Words::V3First => 50,
                Words::V3Silent => 50,
            };
            assert!(requests <= most, "{words:?}, {bad} bad: {requests} requests");
            // The next batch is cut before it is sent.
            let next: Vec<String> = (4000..5000)
                .map(|number| own(number, if number % 2 == 0 { "\"text\"" } else { "1" }))
                .collect();
            let requests = delivered.deliver(&next);
            let most = if every == 1 { 4 } else { 2 };
            assert!(requests <= most, "{words:?}: {requests} requests for the next batch");
            assert_eq!(
                (delivered.stored("orders"), delivered.rejected.len()),
                (4500 - bad, bad + 500),
                "{words:?}"
            );
        }
    }
}

#[test]
fn points_beyond_the_retention_are_rejected_in_groups() {
    for words in [Words::V1, Words::V2] {
        let mut delivered = Delivered::to(words);
        delivered.database.lower_bound = TIME as i64 + 2000;
        let lines: Vec<String> = (0..6000).map(|number| own(number * 7 % 6000, "1")).collect();
        let requests = delivered.deliver(&lines);
        assert!(requests <= 3, "{words:?}: {requests} requests");
        assert_eq!((delivered.stored("orders"), delivered.rejected.len()), (4000, 2000));
        assert!(delivered.rejected.values().all(|reason| *reason == RejectReason::Retention));
    }
}

#[test]
fn several_kinds_in_one_body_are_all_found() {
    // 1.x counts old points and quotes in one answer without telling them apart, which costs a
    // search.
    for (words, most) in [(Words::V1, 600), (Words::V2, 12)] {
        let mut delivered = Delivered::to(words);
        delivered.database.lower_bound = TIME as i64 + 500;
        delivered.database.types.insert(("orders", "v"), ColumnKind::Float);
        delivered.database.unparsable = Some("shop=bad");
        let lines: Vec<String> = (0..2000)
            .map(|number| match number % 4 {
                0 => own(number, "\"text\""),
                1 => own(number, "1").replace("shop=a", "shop=bad"),
                _ => own(number, "1"),
            })
            .collect();
        let requests = delivered.deliver(&lines);
        assert!(requests <= most, "{words:?}: {requests} requests");
        let good = lines.iter().enumerate().filter(|(number, _)| number % 4 > 1 && *number >= 500).count();
        assert_eq!((delivered.stored("orders"), delivered.rejected.len()), (good, 2000 - good), "{words:?}");
    }
}

#[test]
fn a_refusal_of_a_line_says_nothing_of_other_shapes() {
    for words in ALL_WORDS {
        let mut delivered = Delivered::to(words);
        delivered.database.types.insert(("orders", "v"), ColumnKind::Float);
        let lines: Vec<String> = (0..300)
            .map(|number| match number % 3 {
                0 => own(number, "\"text\""),
                1 => own(number, "1"),
                _ => request(number, "", ""),
            })
            .collect();
        delivered.deliver(&lines);
        assert_eq!((delivered.stored("orders"), delivered.stored("requests")), (100, 100), "{words:?}");
        assert_eq!(delivered.rejected.len(), 100);
    }
}

#[test]
fn a_type_that_is_corrected_is_noticed_with_the_next_batch() {
    let mut delivered = Delivered::to(Words::V3Silent);
    delivered.database.types.insert(("orders", "v"), ColumnKind::Float);
    let lines = |from: usize| (from..from + 100).map(|number| own(number, "\"text\"")).collect::<Vec<_>>();
    delivered.deliver(&lines(0));
    assert_eq!(delivered.rejected.len(), 100);
    delivered.database.types.clear();
    delivered.deliver(&lines(100));
    assert_eq!((delivered.stored("orders"), delivered.rejected.len()), (100, 100));
}

proptest! {
    #[test]
    fn exactly_the_refused_lines_are_found(
        lines in 1..400_usize,
        bad in prop::collection::btree_set(0..400_usize, 0..40),
        words in 0..ALL_WORDS.len(),
    ) {
        let bad: std::collections::BTreeSet<usize> = bad.into_iter().map(|number| number % lines).collect();
        unparsable(ALL_WORDS[words], lines, &bad.into_iter().collect::<Vec<_>>());
    }
}
