//! Two simulated years in different zones: one point at start, and one at the first moment of each
//! local day.

use std::{sync::Arc, time::Duration};

use jiff::{
    ToSpan,
    civil::{Date, DateTime, date},
};

use super::{Clock, DAY, MINUTE, Points, fine, pass, settings, zone};
use crate::licensing::Licensing;

/// Runs two years from a local time in the afternoon, and compares the dates with the calendar.
/// Returns the checks that were not at 00:00.
async fn two_years(name: &str, start: &str, skipped: &[Date]) -> Vec<DateTime> {
    let Some(zone) = zone(name) else { return Vec::new() };
    let clock = Clock::at(start, &zone);
    let points = Arc::new(Points::default());
    // Steps of a minute would take a million iterations a zone. Midnight is found by the timer, not
    // by the step.
    let licensing = Licensing::new(fine).clock(clock.wall()).longest_pause(Duration::from_secs(37 * MINUTE));
    let recorder = Arc::clone(&points);
    let watch = licensing.spawn_with(&settings(name), "luna-licenses", recorder).expect("settings are right");
    let first = zone.to_datetime(clock.now());
    for _ in 0..2 * 365 {
        pass(DAY).await;
    }
    let last = zone.to_datetime(clock.now());
    drop(watch);

    let times = points.local_times(&zone);
    let mut expected = Vec::new();
    let mut day = first.date();
    while day <= last.date() {
        if !skipped.contains(&day) {
            expected.push(day);
        }
        day = day.tomorrow().expect("in range");
    }
    assert_eq!(
        times.iter().map(|time| time.date()).collect::<Vec<_>>(),
        expected,
        "one point a day in {name}"
    );
    assert_eq!(times[0], first, "the first point is at start");
    times.into_iter().skip(1).filter(|time| *time != time.date().at(0, 0, 0, 0)).collect()
}

/// Without zone data nothing ran, and there is nothing to compare.
fn assert_late(name: &str, late: &[DateTime], expected: &[DateTime]) {
    if zone(name).is_some() {
        assert_eq!(late, expected, "days of {name} that do not begin at 00:00");
    }
}

#[tokio::test(start_paused = true)]
async fn utc() {
    assert_late("UTC", &two_years("UTC", "2025-06-15T13:37:00", &[]).await, &[]);
}

#[tokio::test(start_paused = true)]
async fn berlin() {
    assert_late("Europe/Berlin", &two_years("Europe/Berlin", "2025-06-15T13:37:00", &[]).await, &[]);
}

#[tokio::test(start_paused = true)]
async fn new_york() {
    assert_late("America/New_York", &two_years("America/New_York", "2025-06-15T13:37:00", &[]).await, &[]);
}

#[tokio::test(start_paused = true)]
async fn sao_paulo_began_summer_time_at_midnight() {
    let late = two_years("America/Sao_Paulo", "2017-01-15T13:37:00", &[]).await;
    assert_late("America/Sao_Paulo", &late, &[at_one(2017, 10, 15), at_one(2018, 11, 4)]);
}

#[tokio::test(start_paused = true)]
async fn beirut_begins_summer_time_at_midnight() {
    let late = two_years("Asia/Beirut", "2020-01-15T13:37:00", &[]).await;
    assert_late("Asia/Beirut", &late, &[at_one(2020, 3, 29), at_one(2021, 3, 28)]);
}

#[tokio::test(start_paused = true)]
async fn cairo_begins_summer_time_at_midnight() {
    let late = two_years("Africa/Cairo", "2023-06-15T13:37:00", &[]).await;
    assert_late("Africa/Cairo", &late, &[at_one(2024, 4, 26), at_one(2025, 4, 25)]);
}

#[tokio::test(start_paused = true)]
async fn havana_has_both_changes_at_midnight() {
    let late = two_years("America/Havana", "2019-06-15T13:37:00", &[]).await;
    assert_late("America/Havana", &late, &[at_one(2020, 3, 8), at_one(2021, 3, 14)]);
}

#[tokio::test(start_paused = true)]
async fn apia_skips_a_day() {
    let late = two_years("Pacific/Apia", "2011-01-15T13:37:00", &[date(2011, 12, 30)]).await;
    assert_late("Pacific/Apia", &late, &[]);
}

#[tokio::test(start_paused = true)]
async fn kwajalein_skips_a_day() {
    let late = two_years("Pacific/Kwajalein", "1992-06-15T13:37:00", &[date(1993, 8, 21)]).await;
    assert_late("Pacific/Kwajalein", &late, &[]);
}

#[tokio::test(start_paused = true)]
async fn lord_howe_changes_by_half_an_hour() {
    assert_late(
        "Australia/Lord_Howe",
        &two_years("Australia/Lord_Howe", "2025-06-15T13:37:00", &[]).await,
        &[],
    );
}

#[tokio::test(start_paused = true)]
async fn kathmandu_is_off_by_quarters() {
    assert_late("Asia/Kathmandu", &two_years("Asia/Kathmandu", "2025-06-15T13:37:00", &[]).await, &[]);
}

#[tokio::test(start_paused = true)]
async fn st_johns_went_back_over_midnight() {
    // At 00:01 the clocks went back to 23:01 of the day before. Midnight came twice, the second
    // time for a day that had begun already.
    let late = two_years("America/St_Johns", "2008-01-15T13:37:00", &[]).await;
    assert_late("America/St_Johns", &late, &[]);
}

fn at_one(year: i16, month: i8, day: i8) -> DateTime {
    date(year, month, day).at(0, 0, 0, 0).checked_add(1.hour()).expect("in range")
}
