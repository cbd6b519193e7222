//! When the licence is checked: at start and once on each local day, as soon as it begins.

use std::{collections::VecDeque, time::Duration};

use jiff::{
    Timestamp,
    civil::Date,
    tz::{self, TimeZone},
};

use crate::Error;

/// Says for a moment of wall time whether a check is due. It holds no timer: whoever asks decides how often.
///
/// It compares local *dates* instead of counting hours. So days of 23 and 25 hours, days that begin at 01:00, days that a
/// zone skips, clocks that are set and machines that slept over midnight are all the same case: the date is another one.
#[derive(Debug)]
pub(crate) struct Schedule {
    zone: TimeZone,
    /// The dates that were checked, the latest check last. One date alone would not do: a clock that is set back to
    /// yesterday would cause a second check for yesterday, and then a second one for today. Only the greatest date would
    /// not do either: after a minute in a wrong future there would be no check until then.
    checked: VecDeque<Date>,
    longest_pause: Duration,
}

impl Schedule {
    /// The schedule for midnight in this zone, with no day checked yet: the first question is answered with yes.
    pub(crate) fn new(zone: TimeZone, longest_pause: Duration) -> Self {
        Self { zone, checked: VecDeque::new(), longest_pause }
    }

    /// True once for each local date. The date then counts as checked, whatever becomes of the check.
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

    /// How long to wait before asking again: until the date changes, but not longer than the longest pause, since
    /// timers stand still while a machine sleeps and know nothing of a clock that is set.
    pub(crate) fn pause(&self, now: Timestamp) -> Duration {
        let change = self.next_date(now).map(|next| now.duration_until(next));
        let pause = change.and_then(|span| Duration::try_from(span).ok()).unwrap_or(self.longest_pause);
        pause.clamp(SHORTEST_PAUSE, self.longest_pause)
    }

    /// The first moment after `now` that has another local date.
    fn next_date(&self, now: Timestamp) -> Option<Timestamp> {
        let today = self.date(now);
        let tomorrow = self.zone.to_ambiguous_timestamp(today.tomorrow().ok()?.at(0, 0, 0, 0));
        // Midnight may come twice, and the first one may be over: America/Havana goes from 01:00 back to 00:00.
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

/// The zone of this IANA name, or the system's.
pub(crate) fn time_zone(name: Option<&str>) -> Result<TimeZone, Error> {
    let Some(name) = name else {
        return Ok(TimeZone::try_system().unwrap_or_else(|error| {
            tracing::warn!(
                target: "tower_influx",
                %error,
                "the system's time zone is not known: the licence is checked at midnight UTC; \
                 set `licensing.time_zone` or install the system's time zone data (tzdata)"
            );
            TimeZone::UTC
        }));
    };
    TimeZone::get(name).map_err(|_| {
        let remedy = if tz::db().is_definitively_empty() {
            "this system has no time zone data: install its package, mostly called tzdata"
        } else {
            "no such time zone is known here: use an IANA name such as `Europe/Berlin`, or leave it out for the system's"
        };
        Error::setting("licensing.time_zone", name.escape_debug(), remedy)
    })
}

/// How many dates are remembered: a clock that is set back by more than a year repeats the checks of that time.
const REMEMBERED_DATES: usize = 400;
/// How often wall time is looked at.
pub(crate) const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Timers are no finer, and a pause of nothing would spin when the clock is slewed just before midnight.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
