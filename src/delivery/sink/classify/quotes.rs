//! What servers quote from our own lines: taken out of everything that is printed or matched, and
//! used to find the lines.
//!
//! A quoted line holds tag values, which are nobody's business in a log, and which a client of the
//! service may have chosen: a route named `database is required` must not pass for the server's own
//! words.

use super::scan::{end_of_digits, find, find_any, looked_at, rfind, split_once};

/// Returns the beginning of a text, as far as it is judged and printed: a few KiB of whole lines.
///
/// A line that is cut may end inside of a quote, and then what a client of the service has chosen
/// would pass for the server's own words. So a cut line is left out, and of a text that is one long
/// line only what stands before its first quote is kept.
pub(super) fn judged(text: &str, complete: bool) -> &str {
    if complete && text.len() <= JUDGED {
        return text;
    }
    let end = (0..=JUDGED.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    let text = &text[..end];
    match rfind(text, "\n") {
        Some(end) => &text[..end],
        None => &text[..find_any(text, &QUOTES).unwrap_or(end)],
    }
}

/// Returns the text with everything taken out that comes from points, each different line once.
///
/// With `names`, what is called a field, column, measurement, bucket and the like stays: for
/// people. Without, no quoted text stays.
pub(super) fn without_quotes(text: &str, names: bool) -> String {
    let mut seen: Vec<(String, usize)> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line_without_quotes(line.trim(), names);
        looked_at(line.len() * (seen.len() + 1));
        match seen.iter().position(|(known, _)| *known == line) {
            Some(at) => seen[at].1 += 1,
            None if seen.len() < MAX_DISTINCT => seen.push((line, 1)),
            None => {}
        }
    }
    let said =
        |(line, times): (String, usize)| if times > 1 { format!("{line} ({times} times)") } else { line };
    seen.into_iter().map(said).collect::<Vec<_>>().join("; ")
}

/// Returns the lines that a server quotes as ones that it cannot parse, as far as it quotes them.
///
/// InfluxDB 1.x and 2.x quote each of them. VictoriaMetrics quotes everything from the first one
/// on, as a string of Go.
pub(super) fn quoted_lines(text: &str) -> Vec<String> {
    let quoted: Vec<String> =
        text.lines().filter_map(|line| unparsable(line).map(|(_, quoted, _)| quoted.to_owned())).collect();
    if quoted.is_empty() { victoria_line(text).into_iter().collect() } else { quoted }
}

/// Returns the line, counted from 0, at which Telegraf's parser stopped:
/// `metric parse error: expected field at 2:9: "…"`.
pub(super) fn telegraf_line(text: &str) -> Option<usize> {
    let (_, after) = split_once(text, TELEGRAF)?;
    // Its own words hold no quote.
    let place = &after[..find_any(after, &['"', '(', '\n']).unwrap_or(after.len())];
    let (number, _) = place[rfind(place, " at ")? + " at ".len()..].split_once(':')?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// Returns measurement and field of a type conflict or of a name that the server forbids:
/// `input field "f" on measurement "m" is type …`,
/// `input field "time" on measurement "m" is invalid`.
pub(super) fn conflicting_field(text: &str) -> Option<(&str, &str)> {
    let (_, after) = split_once(text, "input field \"")?;
    let (field, after) = split_once(after, "\" on measurement \"")?;
    let (measurement, rest) = split_once(after, "\" is ")?;
    // "too long" is said of one value, not of the field.
    (rest.starts_with("type ") || rest.starts_with("invalid")).then_some((measurement, field))
}

/// Returns the time, in nanoseconds since the epoch, before which InfluxDB 2.x no longer takes
/// points.
pub(super) fn lower_bound(text: &str) -> Option<i64> {
    // The series key that stands before it has its spaces escaped, so it cannot hold these words.
    let (_, after) = split_once(text, "Retention Policy Lower Bound at ")?;
    let time: jiff::Timestamp = after[..find_any(after, &[',', ' '])?].parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Returns the number of points that the server says it has dropped, 0 where it says nothing.
///
/// It is said at the very end, after what is quoted, so that no line of ours can say it.
pub(super) fn reported_dropped(text: &str) -> u64 {
    let text = text.trim_end();
    let tail = (0..=text.len().saturating_sub(LONGEST_END)).rev().find(|at| text.is_char_boundary(*at));
    let tail = &text[tail.unwrap_or(0)..];
    let Some(at) = rfind(tail, DROPPED) else { return 0 };
    let count = &tail[at + DROPPED.len()..];
    let (count, rest) = count.split_at(end_of_digits(count));
    if rest.is_empty() || rest.starts_with(" for database: ") { count.parse().unwrap_or(0) } else { 0 }
}

fn line_without_quotes(line: &str, names: bool) -> String {
    if let Some((before, _, after)) = unparsable(line) {
        return format!("{}'…'{}", outside_quotes(before, names), outside_quotes(after, names));
    }
    if let Some((before, after)) = split_once(line, TELEGRAF) {
        let why = split_once(after, ": \"").map_or(after, |(why, _)| why);
        return format!("{}{TELEGRAF}{}", outside_quotes(before, names), outside_quotes(why, names));
    }
    // 2.x goes on with the whole series key of the oldest and of the newest point, without quotes.
    let said = split_once(line, " - oldest point ").map_or(line, |(said, _)| said);
    outside_quotes(said, names)
}

/// Returns what stands before a quoted line, the line without its quotes, and what stands after
/// them.
fn unparsable(line: &str) -> Option<(&str, &str, &str)> {
    let start = find(line, UNPARSABLE)? + UNPARSABLE.len();
    // The line may itself hold `': `, the reason that follows does not.
    let end = rfind(&line[start..], "': ").map_or(line.len(), |end| start + end);
    Some((&line[..start - 1], &line[start..end], line[end..].strip_prefix('\'').unwrap_or("")))
}

/// Returns the first line of what VictoriaMetrics quotes.
fn victoria_line(text: &str) -> Option<String> {
    let (_, quoted) = split_once(text, VICTORIA)?;
    let mut line = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        looked_at(character.len_utf8());
        match character {
            '"' => break,
            '\\' => match characters.next() {
                Some(literal @ ('"' | '\\')) => line.push(literal),
                // The end of the line, or a character that none of our lines holds.
                _ => break,
            },
            other => line.push(other),
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Returns the text with its quoted pieces replaced by `…`.
fn outside_quotes(text: &str, names: bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = find_any(rest, &QUOTES) {
        let (before, from_quote) = rest.split_at(start);
        let quote = from_quote.chars().next().unwrap_or('"');
        let inside = &from_quote[1..];
        kept.push_str(before);
        if quote == '\'' && before.ends_with(char::is_alphanumeric) {
            kept.push(quote);
            rest = inside;
            continue;
        }
        let named = NAMED.iter().any(|word| before.trim_end_matches([' ', '=', ':']).ends_with(word));
        let closing = quote.to_string();
        // A value may hold the quote itself, so that only the last one in the line surely ends it.
        let end = if named { find(inside, &closing) } else { rfind(inside, &closing) };
        let (quoted, after) = end.map_or((inside, ""), |end| (&inside[..end], &inside[end + 1..]));
        let show = named && names && quoted.len() <= LONGEST_NAME;
        kept.push(quote);
        kept.push_str(if show { quoted } else { "…" });
        kept.push(quote);
        rest = after;
    }
    kept + rest
}

/// Bytes of an answer that are judged and printed.
const JUDGED: usize = 4 * 1024;
/// Different lines of them that are kept.
const MAX_DISTINCT: usize = 8;
const QUOTES: [char; 3] = ['"', '\'', '`'];
const DROPPED: &str = "dropped=";
/// Bytes at the end of an answer that can hold the number of dropped points and the names of
/// database and policy.
const LONGEST_END: usize = 512;
const UNPARSABLE: &str = "unable to parse '";
const TELEGRAF: &str = "metric parse error: ";
const VICTORIA: &str = "incorrect influx line \"";
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
mod tests;
