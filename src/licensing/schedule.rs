//! When the licence is checked: at start and once on each local day, as soon as it begins.

use std::{collections::VecDeque, time::Duration};

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};

use crate::error::Error;

/// Says for a moment of wall time whether a check is due. It holds no timer: whoever asks decides
/// how often.
///
/// It compares local *dates* instead of counting hours. So days of 23 and 25 hours, days that begin
/// at 01:00, days that a zone skips, clocks that are set and machines that slept over midnight are
/// all the same case: the date is another one.
#[derive(Debug)]
pub(crate) struct Schedule {
    zone: TimeZone,
    /// The dates that were checked, the latest check last. One date alone would not do: a clock
    /// that is set back to yesterday would cause a second check for yesterday, and then a second
    /// one for today. Only the greatest date would not do either: after a minute in a wrong future
    /// there would be no check until then.
    checked: VecDeque<Date>,
    longest_pause: Duration,
}

impl Schedule {
    /// Creates the schedule for midnight in this zone, with no day checked yet: the first question
    /// is answered with yes.
    pub(crate) fn new(zone: TimeZone, longest_pause: Duration) -> Self {
        Self { zone, checked: VecDeque::new(), longest_pause }
    }

    /// Returns true once for each local date. The date then counts as checked, whatever becomes of
    /// the check.
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

    /// Returns how long to wait before asking again: until the date changes, but not longer than
    /// the longest pause, since timers stand still while a machine sleeps and know nothing of a
    /// clock that is set.
    pub(crate) fn pause(&self, now: Timestamp) -> Duration {
        let change = self.next_date(now).map(|next| now.duration_until(next));
        let pause = change.and_then(|span| Duration::try_from(span).ok()).unwrap_or(self.longest_pause);
        pause.clamp(SHORTEST_PAUSE, self.longest_pause)
    }

    /// Returns the first moment after `now` that has another local date.
    fn next_date(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.date(now);
        let tomorrow = self.zone.to_ambiguous_timestamp(today.tomorrow().ok()?.at(0, 0, 0, 0));
        // Midnight may come twice, and the first one may be over: America/St_Johns went from 00:01
        // back to 23:01.
        let midnight = [tomorrow.earlier(), tomorrow.later()]
            .into_iter()
            .filter_map(Result::ok)
            .filter(|midnight| *midnight > now && self.date(*midnight) != today)
            .min()?;
        // Or not at all, where the clock jumps over it: the jump is then where the date changes.
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

/// Finds the zone of this IANA name, or the system's.
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

/// How many dates are remembered: a clock that is set back by more than a year repeats the checks
/// of that time.
const REMEMBERED_DATES: usize = 400;
/// How often wall time is looked at.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Timers are no finer, and a pause of nothing would spin when the clock is slewed just before
/// midnight.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use jiff::civil::{DateTime, date};

    use super::*;
    use crate::licensing::tests::zone;

    /// Returns the local times of the checks within so many hours, by a driver that knows the
    /// schedule only and wakes in odd intervals, so that it meets the first moment of a day by
    /// being told, not by chance.
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
    fn a_jump_that_begins_before_midnight_is_where_the_day_begins() {
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
        // The zone changed sides of the date line: 30 September 1969 was a Tuesday, twice.
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
    fn of_two_midnights_the_one_that_is_to_come_counts() {
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
    fn the_ends_of_time_are_no_trouble() {
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
