//! Tests answers that say nothing about the lines.

use super::{
    super::item::{Purpose, TrialKind},
    *,
};
use crate::delivery::flusher::successes::Successes;

fn refused_search(lines: usize) -> (Search, RefusalCache) {
    let mut cache = RefusalCache::new(true);
    let whole = batch(&owns(lines));
    let pending = PendingBatch::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let search = Search::refused_batch(&whole, &pending, &Refused::default(), &mut cache);
    (search, cache)
}

#[test]
fn an_interrupted_request_loses_no_line() {
    let (mut search, mut cache) = refused_search(100);
    for _ in 0..10 {
        search.next(&mut cache).expect("there is something to ask");
        search.failed(Successes::default(), true, &mut cache);
        assert_eq!(search.remaining_points(), 100);
    }
    let rest = search.into_rest().expect("nothing is known yet");
    assert_eq!(rest.points(), 100);
}

#[test]
fn a_batch_without_refused_lines_costs_few_more_requests() {
    let (mut search, mut cache) = refused_search(1000);
    let mut written = 0;
    while search.next(&mut cache).is_some() {
        written += search.accepted(&mut cache).points;
    }
    assert!(written == 1000 && search.requests() <= 24, "{} requests", search.requests());
}

#[test]
fn a_large_piece_whose_connection_breaks_again_and_again_is_halved() {
    let (mut search, mut cache) = refused_search(8_000);
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
    let (mut search, mut cache) = refused_search(1_000);
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
        // Other writes always succeed meanwhile.
        successes += 1;
        assert!(search.requests() < 250);
    }
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0.lines().collect::<Vec<_>>(), [bad.as_bytes()]);
}

/// What interrupts a piece repeatedly.
#[derive(Clone, Copy, Debug)]
enum Interruption {
    NoAnswer,
    Broken,
    /// That many writes and probes of others have succeeded by then.
    Failed(u64, u64),
}

impl Interruption {
    fn tell(self, search: &mut Search, cache: &mut RefusalCache) {
        match self {
            Self::NoAnswer => search.timed_out(),
            Self::Broken => search.broke(Successes::default(), true, cache),
            Self::Failed(writes, probes) => search.failed(Successes { writes, probes }, true, cache),
        }
    }
}

#[test]
fn a_piece_is_halved_after_repeated_failures_that_it_may_have_caused() {
    use Interruption::{Broken, Failed, NoAnswer};
    const LARGE: usize = 4_000;
    for (lines, interruptions, whole) in [
        (8, vec![NoAnswer], true),
        (8, vec![NoAnswer; 2], false),
        (LARGE, vec![Broken; 2], true),
        (LARGE, vec![Broken; 3], false),
        // A small body does not break a connection.
        (8, vec![Broken; 9], true),
        // No other batch succeeds either.
        (8, vec![Failed(0, 0); 9], true),
        (8, vec![Failed(5, 5)], true),
        (8, vec![Failed(5, 5), Failed(6, 5)], false),
        (8, vec![Failed(5, 5), Failed(5, 6)], false),
    ] {
        let case = format!("{lines} {interruptions:?}");
        let mut cache = RefusalCache::new(true);
        let mut search = asking(true, &owns(lines));
        for interruption in interruptions {
            assert_eq!(sent(&mut search, &mut cache).len(), lines, "{case}");
            interruption.tell(&mut search, &mut cache);
            assert_eq!(left(&search).len(), lines, "{case}");
        }
        let next = sent(&mut search, &mut cache);
        assert_eq!(next, owns(lines)[..if whole { lines } else { lines / 2 }], "{case}");
        // The halves start with no failures, and the other one is sent in between.
        if !whole {
            search.timed_out();
            assert_eq!(sent(&mut search, &mut cache), owns(lines)[lines / 2..], "{case}");
        }
    }
}

/// If a half in another form is refused, the search must return to the same half of the original
/// lines.
#[test]
fn lines_in_another_form_are_halved_with_their_original_form() {
    let (plain, lines) = (requests(6, ""), requests(6, ",size=1i"));
    for interruptions in
        [vec![Interruption::NoAnswer; 2], vec![Interruption::Failed(0, 0), Interruption::Failed(1, 0)]]
    {
        let mut cache = RefusalCache::new(true);
        let mut search = search(false);
        let [form, original] = [&plain, &lines].map(|lines| Piece::new(batch(lines)));
        search.test(form, Purpose::Trial { original, trial: TrialKind::Named });
        for interruption in interruptions {
            assert_eq!(sent(&mut search, &mut cache), plain);
            interruption.tell(&mut search, &mut cache);
        }
        assert_eq!(sent(&mut search, &mut cache), plain[..3]);
        assert_eq!((search.accepted(&mut cache).points, left(&search)), (3, lines[3..].to_vec()));
        assert_eq!(sent(&mut search, &mut cache), plain[3..]);
        search.accepted(&mut cache);
        assert!(search.is_done());
    }
}

#[test]
fn a_line_that_fails_in_another_form_is_rejected_in_its_original_form() {
    let mut cache = RefusalCache::new(true);
    let mut search = search(false);
    let [form, original] = ["", ",size=1i"].map(|fields| Piece::new(batch(&requests(1, fields))));
    search.test(form, Purpose::Trial { original, trial: TrialKind::Values });
    // The first failure has none before it.
    for writes in 0..=10 {
        assert_eq!((search.take_rejected().len(), sent(&mut search, &mut cache)), (0, requests(1, "")));
        search.failed(Successes { writes, probes: 0 }, true, &mut cache);
    }
    let rejected: Vec<_> = search.take_rejected().iter().map(|(lines, _)| text(lines)).collect();
    assert_eq!((rejected, search.is_done()), (vec![requests(1, ",size=1i")], true));
}
