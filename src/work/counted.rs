//! The counter, the assertion, and the list of all parsers of foreign bytes.

use std::{cell::Cell, fs, path::Path};

use proptest::{
    prelude::*,
    sample::select,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};

thread_local!(static BYTES: Cell<usize> = const { Cell::new(0) });

pub(crate) fn looked_at(bytes: usize) {
    BYTES.set(BYTES.get() + bytes);
}

/// Returns how many bytes `run` reads.
pub(crate) fn of<T>(run: impl FnOnce() -> T) -> usize {
    BYTES.set(0);
    run();
    BYTES.get()
}

/// Every file that reads bytes which the service did not choose, and what they are. Each has a test
/// that calls [`assert_linear`].
const PARSERS: [(&str, &str); 19] = [
    ("src/delivery/sink/authorization.rs", "answers that send secrets back"),
    ("src/delivery/sink/classify/retry_after.rs", "dates of servers"),
    ("src/delivery/sink/proxy.rs", "proxies of the environment"),
    ("src/delivery/sink/reqwest/server.rs", "names and versions of servers"),
    ("src/delivery/sink/rotation/tests.rs", "names of files in a shared directory"),
    ("src/delivery/sink/transport.rs", "bodies of answers"),
    ("src/delivery/spool/clock.rs", "lock files of the spool"),
    ("src/delivery/spool/format.rs", "headers, lines and names of spooled files"),
    ("src/delivery/spool/process_directory.rs", "names of directories in the spool"),
    ("src/licensing/file/tests/faults.rs", "licences and their keys"),
    ("src/line_protocol/escape.rs", "names and values of clients"),
    ("src/line_protocol/parse.rs", "lines that are read back"),
    ("src/live/page.rs", "queries of the live page"),
    ("src/live/router.rs", "paths of the live page"),
    ("src/live/scan.rs", "lines in files that the live page reads"),
    ("src/prometheus/route.rs", "the header `accept`"),
    ("src/request/request_id.rs", "ids of requests"),
    ("src/request/trace_context.rs", "trace headers, sizes and statuses of gRPC"),
    ("src/settings/tests/secrets.rs", "values of settings and of the files that they name"),
];

/// Answers have a test of their own, with a bound for each byte.
const ANSWERS: &str = "src/delivery/sink/classify/tests/linear.rs";

/// Asserts that four times as many bytes cost about four times as much, for texts of these pieces.
/// It counts bytes read by loops and bytes allocated.
#[track_caller]
pub(crate) fn assert_linear(pieces: &[&'static str], parse: impl Fn(&str)) {
    let pieces: Vec<&'static str> = pieces.iter().chain(&ANYWHERE).copied().collect();
    let some = |count| prop::collection::vec(select(pieces.clone()), count).prop_map(|some| some.concat());
    let texts = (some(0..3), some(1..5), some(0..3));
    let cost = |text: &str| {
        let mut looked = 0;
        let allocated = allocation_counter::measure(|| looked = of(|| parse(text)));
        let (most, bound) = (allocated.bytes_max, (MOST_HELD * text.len() + SLACK) as u64);
        assert!(most <= bound, "{most} bytes held for {}", text.len());
        looked + allocated.bytes_total as usize + allocated.count_total as usize
    };
    // The same texts in each run, so that a failure can be reproduced.
    let random = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(
        Config { cases: 32, failure_persistence: None, ..Config::default() },
        random,
    );
    let checked = runner.run(&texts, |(start, repeated, end)| {
        let text = |length: usize| format!("{start}{}{end}", repeated.repeat(length / repeated.len()));
        let (small, large) = (text(SIZE), text(4 * SIZE));
        let (once, four_times) = (cost(&small), cost(&large));
        prop_assert!(four_times <= 5 * once + SLACK, "{once} and {four_times}");
        prop_assert!(four_times <= LOOKS * large.len() + SLACK, "{four_times} for {}", large.len());
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

/// The length of the smaller text in bytes.
const SIZE: usize = 4 * 1024;
/// The constant cost of any text.
const SLACK: usize = 2 * SIZE;
/// How often each byte may be read or allocated.
const LOOKS: usize = 60;
/// Allocated bytes at once for each byte of input.
const MOST_HELD: usize = 32;
/// Pieces with a meaning for most parsers.
const ANYWHERE: [&str; 16] =
    ["\"", "\\", "\\\"", ",", "=", " ", "\n", "\r", ":", "-", ".", "%", "a", "0", "é", "\u{0}"];

#[test]
fn every_parser_of_foreign_bytes_has_its_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut directories = vec![root.join("src")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("lists").map(|entry| entry.expect("is there").path()) {
            let name = entry.strip_prefix(root).expect("below").display().to_string();
            if entry.is_dir() {
                directories.push(entry);
            } else if !name.starts_with("src/work")
                && fs::read_to_string(&entry).is_ok_and(|text| text.contains("assert_linear("))
            {
                found.push(name);
            }
        }
    }
    found.sort();
    assert_eq!(found, PARSERS.map(|(file, _)| file));
    assert!(root.join(ANSWERS).exists());
}

#[test]
#[should_panic(expected = "Test failed")]
fn a_parser_that_starts_again_for_each_byte_is_detected() {
    assert_linear(&[], |text| {
        for (at, _) in text.char_indices() {
            looked_at(text[at..].find('"').unwrap_or(text.len() - at));
        }
    });
}

#[test]
#[should_panic(expected = "Test failed")]
fn a_parser_that_copies_the_rest_repeatedly_is_detected() {
    assert_linear(&[], |text| {
        let mut rest = text.to_owned();
        while let Some((_, after)) = rest.split_once(['a', ',', '"', '.']) {
            rest = after.to_owned();
        }
    });
}
