//! Answers that say nothing of the lines.

use super::*;
use crate::delivery::flusher::successes::Successes;

fn search(lines: usize) -> (Search, RefusalCache) {
    let mut cache = RefusalCache::new(true);
    let text: Vec<String> = (0..lines).map(|number| own(number, "1")).collect();
    let whole = batch(&text);
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let search = Search::refused_batch(&whole, &pending, &Refused::default(), &mut cache);
    (search, cache)
}

#[test]
fn an_interruption_loses_no_line() {
    let (mut search, mut cache) = search(100);
    for _ in 0..10 {
        search.next(&mut cache).expect("there is something to ask");
        search.failed(Successes::default(), true, &mut cache);
        assert_eq!(search.remaining_points(), 100);
    }
    let rest = search.into_rest().expect("nothing is known yet");
    assert_eq!(rest.points(), 100);
}

#[test]
fn no_refused_line_at_all_costs_few_more_requests() {
    let (mut search, mut cache) = search(1000);
    let mut written = 0;
    while search.next(&mut cache).is_some() {
        written += search.accepted(&mut cache).points;
    }
    assert!(written == 1000 && search.requests() <= 24, "{} requests", search.requests());
}

#[test]
fn a_large_piece_whose_connection_breaks_again_and_again_is_halved() {
    let (mut search, mut cache) = search(8_000);
    let mut written = 0;
    while let Some(piece) = search.next(&mut cache) {
        if piece.bytes().len() > 100_000 {
            search.broke(Successes::default(), true, &mut cache);
        } else {
            written += search.accepted(&mut cache).points;
        }
        assert!(search.requests() < 100, "{written} written");
    }
    assert_eq!(written, 8_000);
}

#[test]
fn a_piece_that_times_out_again_is_halved() {
    let (mut search, mut cache) = search(1_000);
    let mut written = 0;
    while let Some(piece) = search.next(&mut cache) {
        if piece.len() > 100 {
            search.timed_out();
        } else {
            written += search.accepted(&mut cache).points;
        }
        assert!(search.requests() < 200, "{written} written");
    }
    assert_eq!(written, 1_000);
}

#[test]
fn a_line_that_always_fails_is_found_only_while_others_succeed() {
    let mut cache = RefusalCache::new(true);
    let text: Vec<String> = (0..64).map(|number| own(number, "1")).collect();
    let (whole, bad) = (batch(&text), text[17].clone());
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::failing_batch(&whole, &pending);
    for _ in 0..100 {
        search.next(&mut cache).expect("a server that is away proves nothing");
        search.failed(Successes::default(), true, &mut cache);
        assert!(search.take_rejected().is_empty());
    }
    let (mut successes, mut found) = (0, Vec::new());
    while let Some(piece) = search.next(&mut cache) {
        if piece.lines().any(|line| line == bad.as_bytes()) {
            search.failed(Successes { writes: successes, probes: 0 }, true, &mut cache);
        } else {
            search.accepted(&mut cache);
        }
        found.extend(search.take_rejected());
        // Something else always goes through meanwhile.
        successes += 1;
        assert!(search.requests() < 250);
    }
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0.lines().collect::<Vec<_>>(), [bad.as_bytes()]);
}
