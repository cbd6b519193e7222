//! The search against servers of every kind, each asked until nothing is left to find out.

use std::{collections::BTreeSet, time::SystemTime};

use proptest::prelude::*;
use tokio::time::{Duration, Instant};

use super::*;

/// How a server answers about a piece.
type Server = fn(&Batch, &BTreeSet<String>) -> Refused;

struct Ending {
    stored: BTreeSet<String>,
    rejected: Vec<String>,
    unisolated: usize,
    requests: usize,
}

fn line(number: usize) -> String {
    format!("requests,route=GET:/items v={number}i {}", 1_000_000 + number)
}

fn batch(lines: usize) -> Batch {
    let text: String = (0..lines).map(|number| line(number) + "\n").collect();
    Batch::new(text.into(), lines, 1, SystemTime::UNIX_EPOCH)
}

fn text(batch: &Batch) -> impl Iterator<Item = String> {
    batch.lines().map(|line| String::from_utf8_lossy(line).into_owned())
}

fn bad_of(batch: &Batch, bad: &BTreeSet<String>) -> Vec<String> {
    text(batch).filter(|line| bad.contains(line)).collect()
}

/// Asks until the end. The first answer is about the whole batch.
fn search(lines: usize, bad: &[usize], server: Server) -> Ending {
    let bad: BTreeSet<String> = bad.iter().copied().map(line).collect();
    let whole = batch(lines);
    let held = Held::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::refused_batch(&whole, &held, &server(&whole, &bad));
    let writes_the_rest = WRITING.iter().any(|writing| std::ptr::fn_addr_eq(*writing, server));
    let mut ending = Ending { stored: BTreeSet::new(), rejected: Vec::new(), unisolated: 0, requests: 0 };
    while let Some(piece) = search.next() {
        if bad_of(&piece, &bad).is_empty() {
            assert_eq!(search.passed(), (piece.len(), piece.bytes().len()));
            ending.stored.extend(text(&piece));
        } else {
            let refused = server(&piece, &bad);
            if writes_the_rest {
                ending.stored.extend(text(&piece).filter(|line| !bad.contains(line)));
            }
            if let Some((line, _)) = search.refused(&refused) {
                assert_eq!(line.len(), 1);
                ending.rejected.extend(text(&line));
            }
        }
        let open = search.remaining_points();
        let known = ending.rejected.len() + search.written + open;
        assert_eq!(known, lines, "a line is in nobody's hands, or in two");
        if search.is_hopeless() {
            ending.unisolated = search.take_remaining().iter().map(Batch::len).sum();
        }
        assert!(search.requests() < 3 * lines + 100, "it does not come to an end");
    }
    assert!(search.is_done());
    ending.requests = search.requests();
    let found: BTreeSet<String> = ending.rejected.iter().cloned().collect();
    assert_eq!(found.len(), ending.rejected.len(), "a line was rejected twice");
    assert!(found.is_subset(&bad), "a good line was rejected");
    if ending.unisolated == 0 {
        assert_eq!(found, bad, "a bad line is still there");
        let good = (0..lines).map(line).filter(|line| !bad.contains(line)).collect();
        assert_eq!(ending.stored, good);
    }
    ending
}

/// 2.x and 3.x without words: nothing is written.
fn silent(_: &Batch, _: &BTreeSet<String>) -> Refused {
    Refused { reason: RejectReason::Malformed, ..Refused::default() }
}

/// 1.x: the rest is written, bad lines are quoted.
fn quoting(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    Refused { hint: Hint::Quoted(bad_of(batch, bad)), ..silent(batch, bad) }
}

/// 3.x: only the first bad line is told, and cut short.
fn first_only(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    let first = bad_of(batch, bad).into_iter().take(1).map(|line| line[..line.len() - 2].to_owned());
    Refused { hint: Hint::Quoted(first.collect()), ..silent(batch, bad) }
}

/// 3.x native: numbers of lines.
fn numbering(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    let numbers = text(batch).enumerate().filter(|(_, line)| bad.contains(line)).map(|(number, _)| number);
    Refused { hint: Hint::Lines(numbers.collect()), ..silent(batch, bad) }
}

/// Quotes what nobody has sent.
fn misleading(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    Refused { hint: Hint::Quoted(vec!["something else".to_owned(), String::new()]), ..silent(batch, bad) }
}

/// Points at lines that are good.
fn wrong(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    Refused { hint: Hint::Lines(vec![0, batch.len() - 1, batch.len() + 7]), ..silent(batch, bad) }
}

/// Names the field that all lines have.
fn naming_field(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    let hint = Hint::Field { measurement: "requests".to_owned(), field: "v".to_owned() };
    Refused { hint, ..silent(batch, bad) }
}

/// Refuses what is older than a time: here lines up to the hundredth.
fn retaining(batch: &Batch, bad: &BTreeSet<String>) -> Refused {
    Refused { hint: Hint::OlderThan(1_000_100), ..silent(batch, bad) }
}

const SERVERS: [Server; 8] =
    [silent, quoting, first_only, numbering, misleading, wrong, naming_field, retaining];

/// Those that write the good lines of what they refuse.
const WRITING: [Server; 2] = [quoting, numbering];

#[test]
fn one_bad_line_is_found_at_every_place() {
    for (number, server) in SERVERS.into_iter().enumerate() {
        for lines in [2, 3, 10, 100] {
            for place in 0..lines {
                let ending = search(lines, &[place], server);
                // A hint that points elsewhere costs what it takes to find that out.
                let misled = if std::ptr::fn_addr_eq(server, wrong as Server) { 8 } else { 0 };
                assert!(
                    ending.requests <= budget(lines) + misled,
                    "server {number}: {} requests",
                    ending.requests
                );
            }
        }
    }
}

#[test]
fn one_in_a_thousand_costs_about_twenty_requests() {
    let most = (0..1000).map(|place| search(1000, &[place], silent).requests).max();
    assert!(most.is_some_and(|most| most <= 24), "{most:?}");
    for exact in [quoting as Server, numbering, first_only] {
        assert_eq!(search(1000, &[500], exact).requests, 3, "the batch, the rest, the line");
    }
}

#[test]
fn ten_in_five_thousand_cost_about_two_hundred_requests() {
    let scattered: Vec<usize> = (0..10).map(|number| number * 487 + 13).collect();
    let ending = search(5000, &scattered, silent);
    assert!((100..=220).contains(&ending.requests), "{}", ending.requests);
    let together: Vec<usize> = (2345..2355).collect();
    assert!(search(5000, &together, silent).requests <= 60);
    assert!(search(5000, &scattered, quoting).requests <= 40);
}

#[test]
fn no_bad_line_at_all_costs_two_more_requests() {
    let whole = batch(1000);
    let held = Held::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::refused_batch(&whole, &held, &Refused::default());
    let mut written = 0;
    while search.next().is_some() {
        written += search.passed().0;
    }
    // The second half is halved once more: after the first half has passed, it was thought to be the bad one.
    assert!(written == 1000 && search.requests() <= budget(1000));
}

#[test]
fn all_bad_is_given_up_soon_and_nothing_good_goes_with_it() {
    let all: Vec<usize> = (0..5000).collect();
    for server in [silent as Server, quoting, naming_field, first_only] {
        let ending = search(5000, &all, server);
        assert!(ending.requests <= 300, "{} requests", ending.requests);
        assert_eq!(ending.rejected.len() + ending.unisolated, 5000);
    }
    let few: Vec<usize> = (0..20).collect();
    assert_eq!(search(20, &few, silent).rejected.len(), 20, "so few are asked about one by one");
}

#[test]
fn many_bad_lines_do_not_cost_the_good_ones() {
    let every_second: Vec<usize> = (0..2000).step_by(2).collect();
    assert_eq!(search(2000, &every_second, silent).unisolated, 0);
    let first_half: Vec<usize> = (0..1000).collect();
    assert_eq!(search(2000, &first_half, silent).unisolated, 0);
}

#[test]
fn an_interruption_loses_no_line() {
    let whole = batch(100);
    let held = Held::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::refused_batch(&whole, &held, &Refused::default());
    for _ in 0..10 {
        search.next().expect("there is something to ask");
        search.interrupted();
        assert_eq!(search.remaining_points(), 100);
    }
    let rest = search.into_rest().expect("nothing is known yet");
    assert_eq!(rest.points(), 100);
}

#[test]
fn a_large_piece_whose_connection_breaks_again_and_again_is_halved() {
    let whole = batch(8_000);
    let held = Held::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::refused_batch(&whole, &held, &Refused::default());
    let mut written = 0;
    while let Some(piece) = search.next() {
        if piece.bytes().len() > 100_000 {
            assert!(search.broke(0).is_none());
        } else {
            written += search.passed().0;
        }
        assert!(search.requests() < 100, "{written} written");
    }
    assert_eq!(written, 8_000);
}

#[test]
fn a_line_that_always_fails_is_found_only_while_others_succeed() {
    let whole = batch(64);
    let bad = line(17);
    let held = Held::live(whole.clone(), History::new(Instant::now(), Duration::ZERO));
    let mut search = Search::failing_batch(&whole, &held);
    for _ in 0..100 {
        search.next().expect("a server that is away proves nothing");
        assert!(search.failed(0).is_none());
    }
    let (mut successes, mut found) = (0, Vec::new());
    while let Some(piece) = search.next() {
        if text(&piece).any(|line| line == bad) {
            found.extend(search.failed(successes));
        } else {
            search.passed();
        }
        // Something else always goes through meanwhile.
        successes += 1;
        assert!(search.requests() < 250);
    }
    assert_eq!(found.len(), 1);
    assert_eq!(text(&found[0].0).collect::<Vec<_>>(), [bad]);
}

proptest! {
    #[test]
    fn exactly_the_bad_lines_are_found(
        lines in 2..400_usize,
        bad in prop::collection::btree_set(0..400_usize, 1..12),
        server in 0..SERVERS.len(),
    ) {
        let bad: Vec<usize> = bad.into_iter().map(|number| number % lines).collect::<BTreeSet<_>>().into_iter().collect();
        let ending = search(lines, &bad, SERVERS[server]);
        prop_assert!(ending.unisolated == 0 || bad.len() * 2 > lines);
    }
}
