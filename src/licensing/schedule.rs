//! When the licence is checked: at start, and at the beginning of each local day.

use std::{collections::VecDeque, time::Duration};

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};

use crate::error::Error;

/// Decides for a moment of wall time whether a check is due. It contains no timer: the caller
/// decides how often to ask.
///
/// It compares local *dates* instead of counting hours. Days of 23 and 25 hours, days that begin at
/// 01:00, days that a zone skips, clocks that are set, and machines that were suspended over
/// midnight are then the same case: the date differs.
#[derive(Debug)]
pub(crate) struct Schedule {
    zone: TimeZone,
    /// The dates that were checked, the latest check last. The last date alone does not suffice. A
    /// clock that is set back to yesterday would cause a second check for yesterday, and then a
    /// second one for today. The greatest date alone does not suffice either: after a minute in a
    /// wrong future there would be no check until then.
    checked: VecDeque<Date>,
    longest_pause: Duration,
}

impl Schedule {
    /// Creates the schedule for midnight in this zone. No day is checked yet, so a check is due at
    /// once.
    pub(crate) fn new(zone: TimeZone, longest_pause: Duration) -> Self {
        Self { zone, checked: VecDeque::new(), longest_pause }
    }

    /// Returns true once for each local date. The date then counts as checked, even if the check
    /// fails.
    pub(crate) fn due(&mut self, now: Timestamp) -> bool {
        let date = self.date(now);
        if self.checked.iter().rev().any(|checked| *checked == date) {
            return false;
        }
        if self.checked.len() == REMEMBERED_DATES {
            self.checked.pop_front();
        }
        self.checked.push_back(date);
        true
    }

    /// Returns how long to wait before the next call: until the date changes, but at most the
    /// longest pause. Timers stand still while a machine is suspended, and do not notice when the
    /// clock is set.
    pub(crate) fn pause(&self, now: Timestamp) -> Duration {
        let change = self.next_date(now).map(|next| now.duration_until(next));
        let pause = change.and_then(|span| Duration::try_from(span).ok()).unwrap_or(self.longest_pause);
        pause.clamp(SHORTEST_PAUSE, self.longest_pause)
    }

    /// Returns the first moment after `now` that has another local date.
    fn next_date(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.date(now);
        let tomorrow = self.zone.to_ambiguous_timestamp(today.tomorrow().ok()?.at(0, 0, 0, 0));
        // Midnight may occur twice, and the first one may have passed: America/St_Johns went from
        // 00:01 back to 23:01.
        let midnight = [tomorrow.earlier(), tomorrow.later()]
            .into_iter()
            .filter_map(Result::ok)
            .filter(|midnight| *midnight > now && self.date(*midnight) != today)
            .min()?;
        // It may not occur at all, if the clock jumps over it. The date then changes at the jump.
        self.zone
            .following(now)
            .map(|transition| transition.timestamp())
            .take_while(|transition| *transition < midnight)
            .find(|transition| self.date(*transition) != today)
            .or(Some(midnight))
    }

    fn date(&self, now: Timestamp) -> Date {
        self.zone.to_datetime(now).date()
    }
}

/// Returns the zone of this IANA name, or the system's.
pub(crate) fn time_zone(name: Option<&str>) -> Result<TimeZone, Error> {
    let Some(name) = name else {
        return Ok(TimeZone::try_system().unwrap_or_else(|error| {
            tracing::warn!(
                target: "tower_influx",
                %error,
                "system time zone unknown: the licence is checked at midnight UTC; set `licensing.time_zone`, or \
                 install the time zone data of the system (tzdata)"
            );
            TimeZone::UTC
        }));
    };
    TimeZone::get(name).map_err(|_| {
        let remedy = if tz::db().is_definitively_empty() {
            "this system has no time zone data: install its package, usually called `tzdata`"
        } else {
            "unknown time zone: use an IANA name such as `Europe/Berlin`, or leave it out for that of the system"
        };
        Error::setting("licensing.time_zone", name.escape_debug(), remedy)
    })
}

/// How many dates are remembered. A clock that is set back by more than a year repeats the checks
/// of that time.
const REMEMBERED_DATES: usize = 400;
/// How often wall time is checked.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Timers have no finer resolution. A zero pause would spin when the clock is slewed just before
/// midnight.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use jiff::civil::{DateTime, date};

    use super::*;
    use crate::licensing::tests::zone;

    /// Returns the local times of the checks within `hours`. The driver uses only the schedule and
    /// wakes at odd intervals. So it finds the first moment of a day only if the schedule returns
    /// it.
    fn checks(zone: &TimeZone, start: Timestamp, hours: i64) -> Vec<DateTime> {
        let mut schedule = Schedule::new(zone.clone(), Duration::from_secs(37 * 60));
        let mut now = start;
        let end = now + jiff::SignedDuration::from_hours(hours);
        let mut checks = Vec::new();
        while now < end {
            if schedule.due(now) {
                checks.push(zone.to_datetime(now));
            }
            now += schedule.pause(now);
        }
        checks
    }

    #[test]
    fn a_day_begins_at_a_jump_that_starts_before_midnight() {
        let Some(zone) = zone("America/Toronto") else { return };
        // At 23:30 the clocks went to 00:30 of the next day.
        let expected = [
            date(1919, 3, 30).at(12, 0, 0, 0),
            date(1919, 3, 31).at(0, 30, 0, 0),
            date(1919, 4, 1).at(0, 0, 0, 0),
        ];
        let start = zone.to_timestamp(expected[0]).expect("in range");
        assert_eq!(checks(&zone, start, 40), expected);
    }

    #[test]
    fn a_day_that_came_twice_is_checked_once() {
        let Some(zone) = zone("Pacific/Kwajalein") else { return };
        // The zone moved across the date line: Tuesday, 30 September 1969, came twice.
        let expected = [
            date(1969, 9, 30).at(12, 0, 0, 0),
            date(1969, 10, 1).at(0, 0, 0, 0),
            date(1969, 10, 2).at(0, 0, 0, 0),
        ];
        // The first of both noons.
        let start = zone.to_ambiguous_timestamp(expected[0]).earlier().expect("in range");
        assert_eq!(checks(&zone, start, 12 + 23 + 24 + 1), expected);
    }

    #[test]
    fn of_two_midnights_the_future_one_counts() {
        let Some(zone) = zone("America/St_Johns") else { return };
        // At 00:01 the clocks went back to 23:01 of the day before. The service starts after that.
        let start = "2008-11-02T02:45:00Z".parse().expect("a time");
        let expected = [date(2008, 11, 1).at(23, 15, 0, 0), date(2008, 11, 2).at(0, 0, 0, 0)];
        assert_eq!(checks(&zone, start, 24), expected);
    }

    #[test]
    fn the_memory_of_dates_is_bounded() {
        let mut schedule = Schedule::new(TimeZone::UTC, LONGEST_PAUSE);
        let day = jiff::SignedDuration::from_hours(24);
        let mut now = Timestamp::UNIX_EPOCH;
        for _ in 0..10 * REMEMBERED_DATES {
            assert!(schedule.due(now));
            now += day;
        }
        assert_eq!(schedule.checked.len(), REMEMBERED_DATES);
        let back = i32::try_from(REMEMBERED_DATES).expect("small");
        assert!(!schedule.due(now - day * back), "the oldest date that is remembered");
        assert!(schedule.due(now - day * (back + 1)), "one day older");
    }

    #[test]
    fn the_limits_of_time_cause_no_panic() {
        let Some(zone) = zone("Pacific/Apia") else { return };
        for zone in [zone, TimeZone::UTC] {
            let mut schedule = Schedule::new(zone, LONGEST_PAUSE);
            for now in [Timestamp::MIN, Timestamp::MAX] {
                assert!(schedule.due(now));
                assert!(schedule.pause(now) <= LONGEST_PAUSE);
            }
        }
    }
}
