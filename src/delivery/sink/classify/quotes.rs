//! What servers quote from our own lines: taken out of everything that is printed or matched, and used to find the lines.
//!
//! A quoted line holds tag values, which are nobody's business in a log, and which a client of the service may have chosen: a
//! route named `database is required` must not pass for the server's own words.

/// The text with everything taken out that comes from points, each different line once.
///
/// With `names`, what is called a field, column, measurement, bucket and the like stays: for people. Without, no quoted text stays.
pub(super) fn without_quotes(text: &str, names: bool) -> String {
    let mut seen: Vec<(String, usize)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line_without_quotes(line.trim(), names);
        match seen.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => seen.push((line, 1)),
        }
    }
    let said =
        |(line, times): (String, usize)| if times > 1 { format!("{line} ({times} times)") } else { line };
    seen.into_iter().map(said).collect::<Vec<_>>().join("; ")
}

/// The lines that InfluxDB 1.x and 2.x quote as ones that they cannot parse, as far as they quote them.
pub(super) fn quoted_lines(text: &str) -> Vec<String> {
    text.lines().filter_map(|line| unparsable(line).map(|(_, quoted, _)| quoted.to_owned())).collect()
}

/// The line, counted from 0, at which Telegraf's parser stopped: `metric parse error: expected field at 2:9: "…"`.
pub(super) fn telegraf_line(text: &str) -> Option<usize> {
    let (_, after) = text.split_once(TELEGRAF)?;
    let (place, _) = after.split_once(": \"")?;
    let (number, _) = place.rsplit_once(" at ")?.1.split_once(':')?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// Measurement and field of a type conflict: `input field "f" on measurement "m" is type …`.
pub(super) fn conflicting_field(text: &str) -> Option<(&str, &str)> {
    let (_, after) = text.split_once("input field \"")?;
    let (field, after) = after.split_once("\" on measurement \"")?;
    let (measurement, _) = after.split_once("\" is type ")?;
    Some((measurement, field))
}

/// The time, in nanoseconds since the epoch, before which InfluxDB 2.x no longer takes points.
pub(super) fn lower_bound(text: &str) -> Option<i64> {
    // The series key that stands before it has its spaces escaped, so it cannot hold these words.
    let (_, after) = text.split_once("Retention Policy Lower Bound at ")?;
    let time: jiff::Timestamp = after.split([',', ' ']).next()?.parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

fn line_without_quotes(line: &str, names: bool) -> String {
    if let Some((before, _, after)) = unparsable(line) {
        return format!("{}'…'{}", outside_quotes(before, names), outside_quotes(after, names));
    }
    if let Some((before, after)) = line.split_once(TELEGRAF) {
        let why = after.split_once(": \"").map_or("", |(why, _)| why);
        return format!("{}{TELEGRAF}{}", outside_quotes(before, names), outside_quotes(why, names));
    }
    // 2.x goes on with the whole series key of the oldest and of the newest point, without quotes.
    let said = line.split_once(" - oldest point ").map_or(line, |(said, _)| said);
    outside_quotes(said, names)
}

/// What stands before a quoted line, the line without its quotes, and what stands after them.
fn unparsable(line: &str) -> Option<(&str, &str, &str)> {
    let start = line.find(UNPARSABLE)? + UNPARSABLE.len();
    // The line may itself hold `': `, the reason that follows does not.
    let end = line[start..].rfind("': ").map_or(line.len(), |end| start + end);
    Some((&line[..start - 1], &line[start..end], line[end..].strip_prefix('\'').unwrap_or("")))
}

/// Replaces quoted pieces by `…`.
fn outside_quotes(text: &str, names: bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(['"', '\'', '`']) {
        let (before, from_quote) = rest.split_at(start);
        let mut inside = from_quote.chars();
        let quote = inside.next().unwrap_or('"');
        let inside = inside.as_str();
        kept.push_str(before);
        if quote == '\'' && before.ends_with(char::is_alphanumeric) {
            kept.push(quote);
            rest = inside;
            continue;
        }
        let named = NAMED.iter().any(|word| before.trim_end_matches([' ', '=', ':']).ends_with(word));
        // A value may hold the quote itself, so that only the last one in the line surely ends it.
        let end = if named { inside.find(quote) } else { inside.rfind(quote) };
        let (quoted, after) = end.map_or((inside, ""), |end| (&inside[..end], &inside[end + 1..]));
        let show = named && names && quoted.len() <= LONGEST_NAME;
        kept.push(quote);
        kept.push_str(if show { quoted } else { "…" });
        kept.push(quote);
        rest = after;
    }
    kept + rest
}

const UNPARSABLE: &str = "unable to parse '";
const TELEGRAF: &str = "metric parse error: ";
/// What servers call the names that follow in quotes. Tag values have no such word.
const NAMED: [&str; 10] = [
    "field",
    "column",
    "measurement",
    "table",
    "tag",
    "database",
    "bucket",
    "organization",
    "name",
    "policy",
];
const LONGEST_NAME: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_lines_are_found_and_taken_out() {
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
    fn a_cut_quote_is_taken_out_and_kept_as_far_as_it_goes() {
        assert_eq!(quoted_lines("unable to parse 'm,t=secr"), ["m,t=secr"]);
        assert_eq!(without_quotes("unable to parse 'm,t=secr", true), "unable to parse '…'");
        assert_eq!(without_quotes("odd value 'secr", true), "odd value '…'");
    }

    #[test]
    fn names_stay_for_people_only() {
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
    fn values_never_stay() {
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
    fn the_bound_of_retention_is_read() {
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
        assert_eq!(
            telegraf_line("metric parse error: expected field at 12:9: \"m,t=a at 3:4: \\\"\""),
            Some(11)
        );
        assert_eq!(telegraf_line("something else at 12:9"), None);
    }
}
