//! Finds what servers quote from our own lines. Quotes are removed from everything that is printed
//! or matched, and used to find the refused lines.
//!
//! A quoted line contains tag values, which must not appear in a log. A client of the service may
//! have chosen them: a route named `database is required` must not count as the server's own words.

use super::scan::{end_of_digits, find, find_any, looked_at, rfind, split_once};

/// Returns the beginning of a text that is classified and printed: a few KiB of whole lines.
///
/// A cut line may end inside a quote. Text that a client of the service has chosen would then count
/// as the server's own words. So a cut line is left out. Of a single long line, only the part
/// before its first quote is kept.
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

/// Returns the text without anything that comes from points, each distinct line once.
///
/// With `names`, the names of fields, columns, measurements, buckets and the like are kept for
/// people to read. Without, no quoted text is kept.
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

/// Returns the lines that a server quotes as unparsable, as far as it quotes them.
///
/// InfluxDB 1.x and 2.x quote each of them. VictoriaMetrics quotes everything from the first one
/// on, as a Go string.
pub(super) fn quoted_lines(text: &str) -> Vec<String> {
    let quoted: Vec<String> =
        text.lines().filter_map(|line| unparsable(line).map(|(_, quoted, _)| quoted.to_owned())).collect();
    if quoted.is_empty() { victoria_line(text).into_iter().collect() } else { quoted }
}

/// Returns the line, counted from 0, at which Telegraf's parser stopped:
/// `metric parse error: expected field at 2:9: "…"`.
pub(super) fn telegraf_line(text: &str) -> Option<usize> {
    let (_, after) = split_once(text, TELEGRAF)?;
    // Telegraf's own words contain no quote.
    let place = &after[..find_any(after, &['"', '(', '\n']).unwrap_or(after.len())];
    let (number, _) = place[rfind(place, " at ")? + " at ".len()..].split_once(':')?;
    number.parse::<usize>().ok()?.checked_sub(1)
}

/// Returns the measurement and field of a type conflict or of a forbidden name:
/// `input field "f" on measurement "m" is type …`,
/// `input field "time" on measurement "m" is invalid`.
pub(super) fn conflicting_field(text: &str) -> Option<(&str, &str)> {
    let (_, after) = split_once(text, "input field \"")?;
    let (field, after) = split_once(after, "\" on measurement \"")?;
    let (measurement, rest) = split_once(after, "\" is ")?;
    // "too long" refers to one value, not to the field.
    (rest.starts_with("type ") || rest.starts_with("invalid")).then_some((measurement, field))
}

/// Returns the time, in nanoseconds since the epoch, before which InfluxDB 2.x accepts no points.
pub(super) fn lower_bound(text: &str) -> Option<i64> {
    // The series key before it has escaped spaces, so it cannot contain these words.
    let (_, after) = split_once(text, "Retention Policy Lower Bound at ")?;
    let time: jiff::Timestamp = after[..find_any(after, &[',', ' '])?].parse().ok()?;
    i64::try_from(time.as_nanosecond()).ok()
}

/// Returns the number of points that the server reports as dropped, or 0 without a report.
///
/// The number stands at the very end, after the quotes, so no line of ours can forge it.
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
    // 2.x continues with the whole series keys of the oldest and the newest point, unquoted.
    let said = split_once(line, " - oldest point ").map_or(line, |(said, _)| said);
    outside_quotes(said, names)
}

/// Returns the text before a quoted line, the line without its quotes, and the text after them.
fn unparsable(line: &str) -> Option<(&str, &str, &str)> {
    let start = find(line, UNPARSABLE)? + UNPARSABLE.len();
    // The line may itself contain `': `. The reason that follows does not.
    let end = rfind(&line[start..], "': ").map_or(line.len(), |end| start + end);
    Some((&line[..start - 1], &line[start..end], line[end..].strip_prefix('\'').unwrap_or("")))
}

/// Returns the first line that VictoriaMetrics quotes.
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
                // The line ends here, or here is a character that none of our lines contains.
                _ => break,
            },
            other => line.push(other),
        }
    }
    (!line.is_empty()).then_some(line)
}

/// Returns the text with its quoted parts replaced by `…`.
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
        // A value may contain the quote itself, so only the last quote in the line certainly ends
        // it.
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

/// Bytes of an answer that are classified and printed.
const JUDGED: usize = 4 * 1024;
/// Distinct lines of an answer that are kept.
const MAX_DISTINCT: usize = 8;
const QUOTES: [char; 3] = ['"', '\'', '`'];
const DROPPED: &str = "dropped=";
/// Bytes at the end of an answer that can hold the number of dropped points and the names of the
/// database and the policy.
const LONGEST_END: usize = 512;
const UNPARSABLE: &str = "unable to parse '";
const TELEGRAF: &str = "metric parse error: ";
const VICTORIA: &str = "incorrect influx line \"";
/// The words before quoted names in the servers' messages. No tag value follows such a word.
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
