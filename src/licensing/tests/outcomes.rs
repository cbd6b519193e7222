//! The point of each check, also if the check fails, hangs or panics.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use super::{DAY, Points, clock, fine, pass, points, settings, spawn};
use crate::{
    error::Error,
    licensing::{LicenseCheck, LicenseCheckFuture, LicenseState, LicenseStatus, Licensing},
    point::{Point, Value},
};

#[tokio::test(start_paused = true)]
async fn the_point_has_the_schema_and_the_extras() {
    let points = points();
    let check = || async {
        let state = LicenseState::new(-3).with_warning("a").with_warning("b").with_error("c");
        Ok::<_, Error>(
            state
                .with_tag("edition", "gold")
                .with_field("seats", 12_i64)
                .with_tag("service", "x")
                .with_field("errors", "x"),
        )
    };
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    let (measurement, tags, fields) = last(&points);
    assert_eq!(measurement, "licensing");
    assert_eq!(
        tags,
        [pair("service", "luna-licenses"), pair("license_status", "error"), pair("edition", "gold")]
    );
    let expected: [(String, Value<'_>); 4] = [
        pair("license_period_rest", -3_i64),
        pair("warnings", "a; b"),
        pair("errors", "c"),
        pair("seats", 12_i64),
    ];
    assert_eq!(fields, expected);
}

#[tokio::test(start_paused = true)]
async fn without_messages_the_strings_are_empty() {
    let (_, points) = state_of(fine).await;
    let expected: [(String, Value<'_>); 3] =
        [pair("license_period_rest", 100_i64), pair("warnings", ""), pair("errors", "")];
    assert_eq!(last(&points).2, expected);
    assert_eq!(last(&points).1[1], pair("license_status", "ok"));
}

#[tokio::test(start_paused = true)]
async fn point_and_result_serialize() {
    let points = points();
    let check = || async {
        let state = LicenseState::new(3)
            .with_warning("w")
            .with_tag("edition", "gold")
            .with_field("seats", 12_i64)
            .with_field("errors", 1);
        Ok::<_, Error>(state)
    };
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check ends");
    let point = points.all()[0].clone();
    let time = point.time().expect("a stamp of its own").as_nanos();
    let expected = json!({
        "time": time,
        "measurement": "licensing",
        "tags": {"service": "luna-licenses", "license_status": "warning", "edition": "gold"},
        "fields": {"license_period_rest": 3, "warnings": "w", "errors": "", "seats": 12},
    });
    assert_eq!(serde_json::to_value(&point).expect("plain values"), expected);
    let expected = json!({
        "license_status": "warning",
        "license_period_rest": 3,
        "warnings": ["w"],
        "errors": [],
        "tags": {"edition": "gold"},
        "fields": {"seats": 12, "errors": 1},
        "checked_at": 1_777_896_000,
    });
    assert_eq!(
        serde_json::to_value(&*watch.latest().expect("there is one")).expect("plain values"),
        expected
    );
    watch.check_now().await.expect("the watch runs");
    assert!(
        points.all()[1].time() > Some(time.into()),
        "no point overwrites another, even at the same wall time"
    );
}

#[test]
fn the_status_follows_from_the_messages() {
    let state = LicenseState::new(-1);
    assert_eq!(state.status(), LicenseStatus::Ok);
    assert_eq!(state.clone().with_warning("w").status(), LicenseStatus::Warning);
    assert_eq!(state.clone().with_error("e").status(), LicenseStatus::Error);
    assert_eq!(state.with_error("e").with_warning("w").status(), LicenseStatus::Error);
    assert_eq!(LicenseState::unknown("e").status(), LicenseStatus::Error);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_fails_is_an_error_point() {
    let (state, points) =
        state_of(|| future::ready(Err::<LicenseState, _>("the licence server is away"))).await;
    assert_eq!(state, LicenseState::unknown("the licence check failed: the licence server is away"));
    let expected: [(String, Value<'_>); 3] = [
        pair("license_period_rest", 0_i64),
        pair("warnings", ""),
        pair("errors", "the licence check failed: the licence server is away"),
    ];
    assert_eq!(last(&points).2, expected);
}

#[tokio::test(start_paused = true)]
async fn a_check_that_hangs_is_an_error_point() {
    let (state, _) = state_of(future::pending::<Result<LicenseState, Error>>).await;
    assert_eq!(state, LicenseState::unknown("the licence check gave no answer within 30s"));
}

#[tokio::test(start_paused = true)]
async fn a_check_that_panics_is_an_error_point() {
    let panicking = || async {
        if true {
            panic!("no {}", "licence")
        }
        Ok::<_, Error>(LicenseState::new(1))
    };
    let (state, _) = state_of(panicking).await;
    assert_eq!(state, LicenseState::unknown("the licence check panicked: no licence"));
    // This one panics before the first await, when the future is created.
    let (state, _) = state_of(|| -> future::Ready<Result<LicenseState, Error>> { panic!("at once") }).await;
    assert_eq!(state, LicenseState::unknown("the licence check panicked: at once"));
}

#[tokio::test(start_paused = true)]
async fn a_check_can_be_a_type() {
    struct Seats;
    impl LicenseCheck for Seats {
        fn check(&self) -> LicenseCheckFuture<'_> {
            Box::pin(async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(LicenseState::new("7".parse()?))
            })
        }
    }
    assert_eq!(state_of(Seats).await.0, LicenseState::new(7));
}

#[test]
fn a_check_that_blocks_its_thread_times_out_on_a_runtime_with_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    let runtime = runtime.expect("a runtime");
    let over = Arc::new(AtomicBool::new(false));
    let blocked = Arc::clone(&over);
    let check = move || {
        while !blocked.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        fine()
    };
    let points = points();
    runtime.block_on(async {
        let licensing = Licensing::new(check).timeout(Duration::from_millis(1));
        let watch = licensing.spawn_with(&settings("UTC"), "s", points).expect("settings are right");
        watch.first().await.expect("the time-out is a result");
        assert_eq!(watch.latest().expect("there is one").status(), LicenseStatus::Error);
    });
    over.store(true, Ordering::SeqCst);
}

type Pairs<V> = Vec<(String, V)>;

/// Returns the measurement, tags and fields of the last point.
fn last(points: &Points) -> (String, Pairs<String>, Pairs<Value<'static>>) {
    let points = points.all();
    let point = points.last().expect("a point was recorded");
    let (mut tags, mut fields) = (Vec::new(), Vec::new());
    point.visit_tags(&mut |key, value| tags.push((key.to_owned(), value.to_owned())));
    point.visit_fields(&mut |key, value| fields.push((key.to_owned(), value.into_owned())));
    (point.measurement().to_owned(), tags, fields)
}

fn pair<V>(key: &str, value: impl Into<V>) -> (String, V) {
    (key.to_owned(), value.into())
}

async fn state_of<C: LicenseCheck>(check: C) -> (LicenseState, Arc<Points>) {
    let points = points();
    let watch = spawn(check, "UTC", &clock(), &points).expect("settings are right");
    watch.first().await.expect("the check at start ends");
    let state = watch.latest().expect("there is a first result").state().clone();
    pass(DAY).await;
    assert_eq!(points.count(), 2, "the next day is checked whatever became of the first check");
    (state, points)
}
