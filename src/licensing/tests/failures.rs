//! Failed checks: repeated with growing pauses, while the last result counts for a limited time.

use std::{
    future,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::time::Instant;

use super::{Clock, DAY, HOUR, MINUTE, Points, clock, pass, points, settings};
use crate::{
    error::Error,
    licensing::{LicenseState, LicenseStatus, LicenseWatch, Licensing},
};

/// A licence server that can be unavailable.
#[derive(Clone, Default)]
struct Server(Arc<Mutex<AnswerState>>);

#[derive(Default)]
struct AnswerState {
    answer: Option<LicenseState>,
    away: Away,
    asked: Vec<Instant>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Away {
    #[default]
    No,
    Refusing,
    Silent,
    Panicking,
}

const AWAY: [Away; 3] = [Away::Refusing, Away::Silent, Away::Panicking];

impl Server {
    fn answering(state: LicenseState) -> Self {
        let server = Self::default();
        server.set(state, Away::No);
        server
    }

    fn set(&self, state: LicenseState, away: Away) {
        let mut own = self.0.lock().expect("no panic under the lock");
        (own.answer, own.away) = (Some(state), away);
    }

    fn away(&self, away: Away) {
        self.0.lock().expect("no panic under the lock").away = away;
    }

    /// Returns the times of all checks since the last call.
    fn asked(&self) -> Vec<Instant> {
        std::mem::take(&mut self.0.lock().expect("no panic under the lock").asked)
    }

    fn watch(&self, grace_days: u64, clock: &Clock, points: &Arc<Points>) -> LicenseWatch {
        let server = self.clone();
        let check = move || {
            let (answer, away) = {
                let mut own = server.0.lock().expect("no panic under the lock");
                own.asked.push(Instant::now());
                (own.answer.clone(), own.away)
            };
            async move {
                match away {
                    Away::No => Ok(answer.expect("an answer")),
                    Away::Refusing => Err("connection refused"),
                    Away::Silent => future::pending().await,
                    Away::Panicking => panic!("as asked"),
                }
            }
        };
        let licensing = Licensing::new(check).grace_period(Duration::from_secs(grace_days * DAY));
        let recorder = Arc::clone(points);
        licensing.clock(clock.wall()).spawn_with(&settings("UTC"), "s", recorder).expect("settings are right")
    }
}

fn status(watch: &LicenseWatch) -> LicenseStatus {
    watch.latest().expect("a result").status()
}

/// Returns the statuses of all points.
fn recorded(points: &Points) -> Vec<&'static str> {
    points.all().iter().map(|point| point.license().status().as_str()).collect()
}

#[tokio::test(start_paused = true)]
async fn an_outage_over_midnight_is_a_warning_and_over_with_the_next_try() {
    for away in AWAY {
        let (server, points) = (Server::answering(LicenseState::new(100)), points());
        let watch = server.watch(3, &clock(), &points);
        pass(12 * HOUR - 1).await;
        server.away(away);
        pass(6 * MINUTE).await;
        let license = watch.latest().expect("a result");
        assert_eq!((license.status(), license.state().days_left()), (LicenseStatus::Warning, Some(100)));
        let [warning] = license.state().warnings() else { panic!("one warning") };
        assert!(warning.ends_with("; the result is that of 2026-05-04T12:00:00Z"), "{warning}");
        server.away(Away::No);
        pass(15 * MINUTE).await;
        assert_eq!(status(&watch), LicenseStatus::Ok, "{away:?}");
        assert_eq!(recorded(&points), ["ok", "warning", "ok"], "tries that fail alike leave one point");
        pass(DAY).await;
        assert_eq!(recorded(&points), ["ok", "warning", "ok", "ok"]);
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_result_a_failure_is_an_error_until_a_try_succeeds() {
    for away in AWAY {
        let (server, points) = (Server::answering(LicenseState::new(100)), points());
        server.away(away);
        let watch = server.watch(3, &clock(), &points);
        pass(MINUTE).await;
        assert_eq!((status(&watch), recorded(&points)), (LicenseStatus::Error, vec!["error"]));
        server.away(Away::No);
        pass(5 * MINUTE).await;
        assert_eq!((status(&watch), recorded(&points)), (LicenseStatus::Ok, vec!["error", "ok"]), "{away:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn pauses_double_up_to_a_quarter_of_an_hour_and_midnight_starts_them_over() {
    let (server, points) = (Server::answering(LicenseState::new(100)), points());
    server.away(Away::Refusing);
    let _watch = server.watch(0, &clock(), &points);
    pass(12 * HOUR - 1).await;
    let gaps = |asked: Vec<Instant>| -> Vec<u64> {
        asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs()).collect()
    };
    let asked = gaps(server.asked());
    for (number, gap) in asked.iter().enumerate() {
        let longest = (10 << number.min(10)).min(15 * MINUTE);
        assert!((longest / 2..=longest).contains(gap), "{number}: {gap} of {longest} s");
    }
    assert!((45..120).contains(&asked.len()), "{}", asked.len());
    pass(MINUTE).await;
    let asked = gaps(server.asked());
    assert!(asked.len() >= 2 && asked[0] <= 10, "{asked:?}");
    assert_eq!(recorded(&points), ["error", "error"], "start and midnight");
}

#[tokio::test(start_paused = true)]
async fn the_last_result_counts_no_longer_than_the_grace_period_nor_the_licence() {
    for (grace, days_left, kept) in [(0, 100, 0), (1, 100, 1), (3, 100, 3), (3, 1, 2), (3, 0, 1), (3, -5, 3)]
    {
        let (server, points) = (Server::answering(LicenseState::new(days_left)), points());
        let watch = server.watch(grace, &clock(), &points);
        pass(MINUTE).await;
        server.away(Away::Refusing);
        // From noon to shortly before noon, and then past it.
        for day in 0..5 {
            pass(DAY - 20 * MINUTE).await;
            let expected = if day < kept {
                (LicenseStatus::Warning, Some(days_left - day))
            } else {
                (LicenseStatus::Error, None)
            };
            let license = watch.latest().expect("a result");
            let found = (license.status(), license.state().days_left());
            assert_eq!(found, expected, "grace {grace}, {days_left} days left, day {day}");
            pass(20 * MINUTE).await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_result_ends_within_seconds_of_the_grace_period_and_of_the_licence() {
    for (grace, days_left, ends_after) in [(1, 100, DAY), (3, 100, 3 * DAY), (3, 0, DAY), (3, 1, 2 * DAY)] {
        // Not at noon, when each day starts with short pauses.
        let (server, points) = (Server::answering(LicenseState::new(days_left)), points());
        let watch = server.watch(grace, &clock(), &points);
        pass(HOUR).await;
        watch.check_now().await.expect("runs");
        server.away(Away::Refusing);
        pass(ends_after - MINUTE).await;
        assert_eq!(status(&watch), LicenseStatus::Warning, "grace {grace}, {days_left} days left");
        pass(MINUTE + 15).await;
        assert_eq!(status(&watch), LicenseStatus::Error, "grace {grace}, {days_left} days left");
    }
}

#[tokio::test(start_paused = true)]
async fn a_check_that_finds_errors_is_not_a_failure() {
    let over = LicenseState::new(-1).with_error("the licence is over");
    let (server, points) = (Server::answering(over.clone()), points());
    let watch = server.watch(3, &clock(), &points);
    pass(12 * HOUR - 1).await;
    assert_eq!(server.asked().len(), 1, "a check that ran is not tried again");
    server.away(Away::Refusing);
    pass(MINUTE).await;
    assert_eq!(status(&watch), LicenseStatus::Error, "an error stays one");
    assert_eq!(watch.latest().expect("a result").state().errors(), over.errors());
    assert_eq!(recorded(&points), ["error", "error"]);
}

#[tokio::test(start_paused = true)]
async fn a_check_on_demand_records_a_point_and_success_ends_the_retries() {
    let (server, points) = (Server::answering(LicenseState::new(9)), points());
    server.away(Away::Refusing);
    let watch = server.watch(3, &clock(), &points);
    pass(1).await;
    assert_eq!(watch.check_now().await.expect("runs").status(), LicenseStatus::Error);
    assert_eq!(recorded(&points), ["error", "error"]);
    server.away(Away::No);
    assert_eq!(watch.check_now().await.expect("runs").status(), LicenseStatus::Ok);
    server.asked();
    pass(HOUR).await;
    assert_eq!(server.asked().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_is_set_shortens_or_keeps_the_grace() -> Result<(), Error> {
    let (server, points, clock) = (Server::answering(LicenseState::new(100)), points(), clock());
    let watch = server.watch(3, &clock, &points);
    pass(MINUTE).await;
    server.away(Away::Refusing);
    clock.jump(-10 * DAY as i64);
    assert_eq!(watch.check_now().await?.status(), LicenseStatus::Warning, "no result is older than now");
    clock.jump(20 * DAY as i64);
    assert_eq!(watch.check_now().await?.status(), LicenseStatus::Error);
    Ok(())
}
