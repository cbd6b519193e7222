//! Formats numbers and states for people.

use std::time::Duration;

use jiff::Timestamp;

use crate::stats::{DeliveryState, Stats};

/// Formats a count as `1,234,567`.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats requests a second, with significant digits only.
pub(super) fn rate(rate: f64) -> String {
    match rate {
        0.0 => "0".to_owned(),
        ..0.01 => "< 0.01".to_owned(),
        ..1.0 => format!("{rate:.2}"),
        ..100.0 => format!("{rate:.1}"),
        _ => count(rate.round() as u64),
    }
}

/// Formats a share of 0 to 1 as a percentage.
pub(super) fn percent(share: f64) -> String {
    match share * 100.0 {
        0.0 => "0 %".to_owned(),
        ..0.1 => "< 0.1 %".to_owned(),
        percent @ ..10.0 => format!("{percent:.1} %"),
        // A share just below 1 must not be shown as 100 %.
        percent @ 99.5..100.0 => format!("{:.1} %", percent.min(99.9)),
        percent => format!("{percent:.0} %"),
    }
}

/// Formats a short time: `850 µs`, `2.1 ms`, `1.4 s`.
pub(super) fn seconds(seconds: f64) -> String {
    let three = |value: f64, unit: &str| match value {
        ..9.95 => format!("{value:.1} {unit}"),
        _ => format!("{value:.0} {unit}"),
    };
    match seconds {
        ..0.000_999_5 => format!("{:.0} µs", seconds * 1e6),
        ..0.999_5 => three(seconds * 1e3, "ms"),
        ..120.0 => three(seconds, "s"),
        _ => span(seconds as u64),
    }
}

/// Formats a value with [`seconds`], or a dash without one.
pub(super) fn maybe_seconds(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), seconds)
}

/// Formats a long time: `45 s`, `9 min 20 s`, `11 h 5 min`, `3 days`.
pub(super) fn span(seconds: u64) -> String {
    let two = |large: u64, large_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{large} {large_unit}"),
        _ => format!("{large} {large_unit} {small} {small_unit}"),
    };
    match seconds {
        ..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..172_800 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Formats a size as `1.4 MB`.
pub(super) fn bytes(bytes: u64) -> String {
    match bytes as f64 {
        ..1e3 => format!("{bytes} B"),
        size @ ..1e6 => format!("{:.1} kB", size / 1e3),
        size @ ..1e9 => format!("{:.1} MB", size / 1e6),
        size => format!("{:.1} GB", size / 1e9),
    }
}

/// Formats a time as `12:03:05`, in UTC.
pub(super) fn time_of_day(seconds: f64) -> String {
    stamp(seconds, "%H:%M:%S")
}

/// Formats a time as `12:03`, in UTC.
pub(super) fn hour_and_minute(seconds: u64) -> String {
    stamp(seconds as f64, "%H:%M")
}

/// Formats a date as `2026-06-03 12:03`, in UTC.
pub(super) fn date(seconds: u64) -> String {
    stamp(seconds as f64, "%Y-%m-%d %H:%M")
}

fn stamp(seconds: f64, format: &str) -> String {
    Timestamp::from_second(seconds as i64)
        .map_or_else(|_| "?".to_owned(), |time| time.strftime(format).to_string())
}

/// How serious a state is: the name of a class of the style sheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Level {
    Good,
    Warning,
    Bad,
    Unknown,
}

impl std::fmt::Display for Level {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Good => "good",
            Self::Warning => "warning",
            Self::Bad => "bad",
            Self::Unknown => "unknown",
        })
    }
}

/// Describes the state of delivery: its level, a short name, and the consequence for the points.
pub(super) fn delivery(stats: &Stats, now: u64) -> (Level, &'static str, String) {
    let delivery = &stats.delivery;
    let kept = "The points are kept";
    let retry = delivery.backoff_until.and_then(|until| until.duration_since(std::time::UNIX_EPOCH).ok());
    let retry = match retry.map(|until| until.saturating_sub(Duration::from_secs(now)).as_secs()) {
        Some(wait) => format!("the next try is in {}", span(wait.max(1))),
        None => "the next try is under way".to_owned(),
    };
    match delivery.state {
        DeliveryState::Healthy if delivery.sink.is_empty() => (
            Level::Unknown,
            "Monitoring is off",
            "Nothing is recorded: the settings have it disabled.".to_owned(),
        ),
        DeliveryState::Healthy if delivery.writes.total() == 0 => {
            (Level::Good, "Ready", "No points have been stored yet.".to_owned())
        }
        DeliveryState::Healthy => {
            (Level::Good, "Points are being stored", "Every point taken is on its way.".to_owned())
        }
        DeliveryState::Backoff => (
            Level::Warning,
            "Storage does not answer",
            format!("{kept} and are sent when it is back; {retry}."),
        ),
        // Matched by name: the reasons are types of the sinks, which this module does not know.
        DeliveryState::Blocked(_) => match delivery.state.as_str() {
            "blocked: authorization" => (
                Level::Bad,
                "Storage refuses us",
                format!("{kept}, but somebody has to check the token or the user; {retry}."),
            ),
            "blocked: target" => (
                Level::Bad,
                "The database or bucket is missing",
                format!("{kept}, but somebody has to create it or correct its name; {retry}."),
            ),
            _ => (
                Level::Bad,
                "Storage cannot be used",
                format!("{kept}, but somebody has to check the settings; {retry}."),
            ),
        },
        DeliveryState::Draining => {
            (Level::Good, "Catching up", "Storage is back, and what waited on disk is being sent.".to_owned())
        }
        DeliveryState::Closing | DeliveryState::Closed => (
            Level::Warning,
            "Shutting down",
            "The monitoring is ending; later requests are not recorded.".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!([0.0, 0.001, 0.25, 12.34, 12_345.6].map(rate), ["0", "< 0.01", "0.25", "12.3", "12,346"]);
        assert_eq!(
            [0.0, 0.0001, 0.0123, 0.5, 0.9999, 1.0].map(percent),
            ["0 %", "< 0.1 %", "1.2 %", "50 %", "99.9 %", "100 %"]
        );
        assert_eq!(
            [0.000_012, 0.000_999_9, 0.0021, 0.0999, 0.999_9, 1.44, 30.0, 7200.0].map(seconds),
            ["12 µs", "1.0 ms", "2.1 ms", "100 ms", "1.0 s", "1.4 s", "30 s", "2 h"]
        );
        assert_eq!(
            [5, 60, 560, 3600, 39_900, 300_000].map(span),
            ["5 s", "1 min", "9 min 20 s", "1 h", "11 h 5 min", "3 days"]
        );
        assert_eq!([12, 1_400, 1_400_000].map(bytes), ["12 B", "1.4 kB", "1.4 MB"]);
        assert_eq!(
            (time_of_day(43_385.9), hour_and_minute(43_385), date(0)),
            ("12:03:05".to_owned(), "12:03".to_owned(), "1970-01-01 00:00".to_owned())
        );
        assert_eq!(time_of_day(1e300), "?");
    }

    #[test]
    fn every_state_has_words_and_a_level() {
        let told = |state| {
            let mut stats = Stats::default();
            stats.delivery.sink = "files".to_owned();
            stats.delivery.writes.transient = 1;
            stats.delivery.state = state;
            let (level, word, _) = delivery(&stats, 0);
            (level, word)
        };
        use crate::stats::Blocked;
        assert_eq!(told(DeliveryState::Healthy), (Level::Good, "Points are being stored"));
        assert_eq!(told(DeliveryState::Backoff), (Level::Warning, "Storage does not answer"));
        assert_eq!(told(DeliveryState::Blocked(Blocked::Authorization)), (Level::Bad, "Storage refuses us"));
        assert_eq!(
            told(DeliveryState::Blocked(Blocked::Target)),
            (Level::Bad, "The database or bucket is missing")
        );
        assert_eq!(
            told(DeliveryState::Blocked(Blocked::Configuration)),
            (Level::Bad, "Storage cannot be used")
        );
        assert_eq!(delivery(&Stats::default(), 0).1, "Monitoring is off");
    }
}
