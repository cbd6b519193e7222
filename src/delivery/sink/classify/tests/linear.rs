//! Classifying an answer costs at most a small multiple of its length, whatever it contains.

use super::*;
use crate::work;

/// How often each byte of an answer may be read. Each text that is searched for reads it once.
const LOOKS: usize = 150;

/// Texts that make a naive search start over and over.
fn hostile() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("\""),
        Just("'"),
        Just("`"),
        Just("\n"),
        Just("\\n"),
        Just("\\\""),
        Just("{\"error\":\""),
        Just("\":\""),
        Just("unable to parse '"),
        Just("': "),
        Just("field \""),
        Just("measurement=\""),
        Just("dropped="),
        Just("metric parse error: "),
        Just(" at 1:2"),
        Just("incorrect influx line \""),
        Just("<title>"),
        Just("<"),
        Just("\\u12"),
        Just("Retention Policy Lower Bound at "),
        Just(" - oldest point "),
        Just("a"),
        Just("é"),
        Just(" "),
        Just("remoteAddr: "),
        Just("; "),
        Just("{"),
        Just("\"error_message\":\"x\","),
        Just("\"line_number\":1,"),
    ];
    (prop::collection::vec(piece, 1..8), prop::sample::select(vec!["", "{", "{\"error\":\"", "<"]))
        .prop_map(|(pieces, start)| format!("{start}{}", pieces.concat()))
}

fn cost(body: &str) -> usize {
    work::of(|| {
        for status in [400, 404, 422, 500] {
            classify(&ServerAnswer { compressed: true, ..answer(status, body) });
            classify(&ServerAnswer { complete: false, ..answer(status, body) });
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_cost_of_an_answer_is_linear_in_its_length(pattern in hostile(), end in hostile()) {
        for length in [4 * 1024, 64 * 1024] {
            let body = format!("{}{end}", pattern.repeat(length / pattern.len()));
            let looked_at = cost(&body);
            prop_assert!(looked_at <= 8 * LOOKS * body.len(), "{looked_at} for {}", body.len());
        }
    }

    #[test]
    fn doubling_an_answer_doubles_its_cost_at_most(pattern in hostile()) {
        // Beyond the classified part, so that only the cost of reading grows.
        let of = |length: usize| cost(&pattern.repeat(length / pattern.len())) as f64;
        prop_assert!(of(64 * 1024) <= 2.2 * of(32 * 1024) + 1000.0);
    }
}

/// Regression test for answers that once took 8 s: many quoted names in one line, and in as many
/// lines.
#[test]
fn many_quotes_cost_little() {
    for body in
        ["measurement=\"m\" value=\"v\" ".repeat(2_500), "unable to parse 'a': b\n".repeat(2_500), distinct()]
    {
        assert!(cost(&body) <= 8 * LOOKS * body.len());
    }
}

/// Returns lines that all differ.
fn distinct() -> String {
    (0..3_000).map(|number| format!("error {number} of the server\n")).collect()
}
