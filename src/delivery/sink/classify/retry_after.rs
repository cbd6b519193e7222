//! The `Retry-After` header: seconds, or a date in any of HTTP's three formats.

use std::time::{Duration, SystemTime};

use jiff::{Timestamp, civil::DateTime, fmt::strtime, tz::TimeZone};

/// Parses how long the server asks to wait. Returns `None` for an invalid value, and zero for a
/// date in the past.
pub(super) fn parse(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if text.len() > LONGEST_TEXT {
        return None;
    }
    let wait = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => SystemTime::from(date(text)?).duration_since(now).unwrap_or_default(),
    };
    Some(wait.min(LONGEST))
}

fn date(text: &str) -> Option<Timestamp> {
    if let Ok(zoned) = jiff::fmt::rfc2822::parse(text) {
        return Some(zoned.timestamp());
    }
    // Both formats are obsolete, but HTTP requires recipients to parse them.
    let time = OBSOLETE.iter().find_map(|form| strtime::parse(form, text).ok()?.to_datetime().ok());
    time.and_then(|time: DateTime| Some(time.to_zoned(TimeZone::UTC).ok()?.timestamp()))
}

const OBSOLETE: [&str; 2] = ["%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y"];
/// The longest format of a date has half as many bytes.
const LONGEST_TEXT: usize = 64;
/// A longer wait would overflow clocks, and no server means one.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_all_three_dates_are_read() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_770);
        let parse = |text: &str| parse(text, now).map(|wait| wait.as_secs());
        assert_eq!(parse("120"), Some(120));
        assert_eq!(parse(" 0 "), Some(0));
        assert_eq!(parse("Sun, 06 Nov 1994 08:49:37 GMT"), Some(7));
        assert_eq!(parse("Sunday, 06-Nov-94 08:49:37 GMT"), Some(7));
        assert_eq!(parse("Sun Nov  6 08:49:37 1994"), Some(7));
        assert_eq!(parse("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        assert_eq!(parse("18446744073709551615"), Some(86_400));
        assert_eq!(parse("soon"), None);
        assert_eq!(parse("-3"), None);
        assert_eq!(parse("1.5"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse(&format!("{:064}", 120)), Some(120));
        assert_eq!(parse(&format!("{:065}", 120)), None);
    }

    #[test]
    fn a_header_of_any_length_costs_no_more_than_a_date() {
        let pieces = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, ", " GMT", "(", ")", "120"];
        crate::work::assert_linear(&pieces, |text| {
            parse(text, SystemTime::UNIX_EPOCH);
            let short: String = text.chars().take(LONGEST_TEXT / 4).collect();
            parse(&short, SystemTime::UNIX_EPOCH);
        });
    }
}
