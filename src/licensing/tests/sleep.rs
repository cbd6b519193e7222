//! Clocks that are set, and machines that are suspended over midnight.

use std::sync::Arc;

use jiff::civil::date;

use super::{Clock, DAY, HOUR, MINUTE, Points, fine, pass, spawn, zone};

const BERLIN: &str = "Europe/Berlin";

#[tokio::test(start_paused = true)]
async fn a_sleep_over_midnight_is_noticed_within_a_minute_of_waking() {
    let Some(zone) = zone(BERLIN) else { return };
    let clock = Clock::at("2026-05-04T18:00:00", &zone);
    let points = Arc::new(Points::default());
    let _watch = spawn(fine, BERLIN, &clock, &points).expect("settings are right");
    pass(10).await;
    // Three midnights pass while timers stand still.
    clock.jump(3 * DAY as i64);
    pass(MINUTE).await;
    let times = points.local_times(&zone);
    assert_eq!(times.len(), 2, "one point for the day of waking, none for the days slept through: {times:?}");
    assert_eq!(times[1].date(), date(2026, 5, 7));
    pass(DAY).await;
    assert_eq!(points.local_times(&zone)[2], date(2026, 5, 8).at(0, 0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_back_repeats_no_day() {
    let Some(zone) = zone(BERLIN) else { return };
    let clock = Clock::at("2026-05-04T18:00:00", &zone);
    let points = Arc::new(Points::default());
    let _watch = spawn(fine, BERLIN, &clock, &points).expect("settings are right");
    pass(2 * DAY).await;
    assert_eq!(points.count(), 3);
    // Goes back to a day on which the licence was checked, and through its midnight.
    clock.jump(-2 * DAY as i64);
    pass(DAY + HOUR).await;
    assert_eq!(points.count(), 3, "the 4th and 5th were checked before");
    pass(DAY).await;
    assert_eq!(points.count(), 3, "so was the 6th");
    pass(DAY).await;
    assert_eq!(points.local_times(&zone)[3], date(2026, 5, 7).at(0, 0, 0, 0));
    // Goes back to a day before the start.
    clock.jump(-10 * DAY as i64);
    pass(MINUTE).await;
    assert_eq!(points.local_times(&zone)[4].date(), date(2026, 4, 27));
}

#[tokio::test(start_paused = true)]
async fn a_minute_in_a_wrong_future_does_not_stop_the_checks() {
    let Some(zone) = zone(BERLIN) else { return };
    let clock = Clock::at("2026-05-04T18:00:00", &zone);
    let points = Arc::new(Points::default());
    let _watch = spawn(fine, BERLIN, &clock, &points).expect("settings are right");
    pass(10).await;
    clock.jump(3650 * DAY as i64);
    pass(2 * MINUTE).await;
    clock.jump(-3650 * DAY as i64);
    pass(DAY).await;
    let dates: Vec<_> = points.local_times(&zone).into_iter().map(|time| time.date()).collect();
    assert_eq!(dates, [date(2026, 5, 4), date(2036, 5, 1), date(2026, 5, 5)]);
}

#[tokio::test(start_paused = true)]
async fn a_clock_set_over_midnight_by_hand_is_noticed_within_a_minute() {
    let Some(zone) = zone(BERLIN) else { return };
    let clock = Clock::at("2026-05-04T12:00:00", &zone);
    let points = Arc::new(Points::default());
    let _watch = spawn(fine, BERLIN, &clock, &points).expect("settings are right");
    pass(10).await;
    clock.jump(13 * HOUR as i64);
    pass(MINUTE).await;
    assert_eq!(points.count(), 2);
    clock.jump(-13 * HOUR as i64);
    pass(11 * HOUR).await;
    assert_eq!(points.count(), 2);
    pass(2 * HOUR).await;
    assert_eq!(points.count(), 2, "the 5th was checked while the clock was ahead");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_hour_over_midnight_makes_no_second_point() {
    let Some(zone) = zone("America/Havana") else { return };
    // On 2025-11-02 the clocks go from 01:00 back to 00:00.
    let clock = Clock::at("2025-11-01T23:00:00", &zone);
    let points = Arc::new(Points::default());
    let _watch = spawn(fine, "America/Havana", &clock, &points).expect("settings are right");
    pass(27 * HOUR).await;
    let expected = [
        date(2025, 11, 1).at(23, 0, 0, 0),
        date(2025, 11, 2).at(0, 0, 0, 0),
        date(2025, 11, 3).at(0, 0, 0, 0),
    ];
    assert_eq!(points.local_times(&zone), expected);
}
