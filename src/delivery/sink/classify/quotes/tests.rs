//! Text quoted from points is found, and never printed.

use super::*;

#[test]
fn quoted_lines_are_found_and_removed() {
    let text = "partial write: unable to parse 'm,t= secret=\"a': b\" 2': missing tag value\n\
                unable to parse 'm2 x': invalid field format\n\
                unable to parse 'm3 x': invalid field format dropped=0";
    assert_eq!(quoted_lines(text), ["m,t= secret=\"a': b\" 2", "m2 x", "m3 x"]);
    assert_eq!(
        without_quotes(text, true),
        "partial write: unable to parse '…': missing tag value; unable to parse '…': invalid field format; \
         unable to parse '…': invalid field format dropped=0"
    );
    assert_eq!(
        without_quotes("unable to parse 'a': no\nunable to parse 'b': no", true),
        "unable to parse '…': no (2 times)"
    );
}

#[test]
fn a_cut_quote_is_removed_and_still_used_to_find_its_line() {
    assert_eq!(quoted_lines("unable to parse 'm,t=secr"), ["m,t=secr"]);
    assert_eq!(without_quotes("unable to parse 'm,t=secr", true), "unable to parse '…'");
    assert_eq!(without_quotes("odd value 'secr", true), "odd value '…'");
}

#[test]
fn names_are_kept_only_in_text_for_people() {
    let text = "partial write: field type conflict: input field \"f\" on measurement \"m\" is type integer, \
                already exists as type float dropped=1";
    assert_eq!(without_quotes(text, true), text);
    assert_eq!(
        without_quotes(text, false),
        "partial write: field type conflict: input field \"…\" on measurement \"…\" is type integer, already \
         exists as type float dropped=1"
    );
    assert_eq!(conflicting_field(text), Some(("m", "f")));
}

#[test]
fn values_are_never_kept() {
    for (text, expected) in [
        (
            "max-values-per-tag limit exceeded (1/1): measurement=\"m\" tag=\"t\" value=\"secret\" dropped=1",
            "max-values-per-tag limit exceeded (1/1): measurement=\"m\" tag=\"t\" value=\"…\" dropped=1",
        ),
        ("Found trailing content: 'it's secret'", "Found trailing content: '…'"),
        ("could not find equals sign in `t secret`", "could not find equals sign in `…`"),
        ("could not find it, can't parse", "could not find it, can't parse"),
        (
            "metric parse error: expected tag at 1:7: \"m,t secret\"",
            "metric parse error: expected tag at 1:7",
        ),
        (
            "dropped 2 points outside retention policy of duration 2h0m0s - oldest point m,t=secret at 2023",
            "dropped 2 points outside retention policy of duration 2h0m0s",
        ),
    ] {
        assert_eq!(without_quotes(text, true), expected);
    }
}

#[test]
fn the_lower_bound_of_the_retention_is_read() {
    let text = "failure writing points to database: partial write: dropped 4 points outside retention policy of \
                duration 24h0m0s - oldest point home,room=Living\\ Room at 1970-01-01T00:00:01.541Z dropped because \
                it violates a Retention Policy Lower Bound at 2025-05-20T19:06:17.612973Z, newest point home at \
                1970-01-01T00:00:01.541Z dropped because it violates a Retention Policy Lower Bound at \
                2025-05-20T19:06:17.612973Z dropped=4 for database: 9f282d63c7d3a5c0 for retention policy: autogen";
    assert_eq!(lower_bound(text), Some(1_747_767_977_612_973_000));
    assert_eq!(lower_bound("points beyond retention policy dropped=1"), None);
}

#[test]
fn the_line_that_telegraf_names_is_read() {
    assert_eq!(telegraf_line("metric parse error: expected field at 12:9: \"m,t=a at 3:4: \\\"\""), Some(11));
    assert_eq!(telegraf_line("something else at 12:9"), None);
}

#[test]
fn the_classified_text_ends_with_a_whole_line_or_before_the_first_quote() {
    assert_eq!(judged("a\nb \"c", true), "a\nb \"c");
    assert_eq!(judged("a\nb \"c", false), "a", "the cut line is left out");
    assert_eq!(judged("a \"c", false), "a ");
    let long = format!("{}\n{}", "a".repeat(JUDGED - 1), "b".repeat(100));
    for complete in [false, true] {
        assert_eq!(judged(&long, complete), "a".repeat(JUDGED - 1));
    }
}

#[test]
fn few_distinct_lines_are_kept_and_repetitions_are_counted() {
    let text: String = (0..20).map(|number| format!("reason {number}\n").repeat(2)).collect();
    let expected: Vec<_> = (0..MAX_DISTINCT).map(|number| format!("reason {number} (2 times)")).collect();
    assert_eq!(without_quotes(&text, true), expected.join("; "));
}

/// VictoriaMetrics quotes as Go does, and everything from the bad line on.
#[test]
fn the_line_that_victoria_metrics_quotes_is_read_as_it_was() {
    let text = r#"incorrect influx line "m f=\"a\\b\" 1\nm f=2 2": no"#;
    assert_eq!(quoted_lines(text), [r#"m f="a\b" 1"#]);
    assert_eq!(quoted_lines("incorrect influx line \"\": no"), [""; 0]);
}
