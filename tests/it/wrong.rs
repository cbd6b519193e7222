//! A wrong port, token or bucket: the service answers as always, the state shows the fault, and
//! after its correction nothing is lost.

use std::time::Duration;

use axum::body::Body;
use http::Request;
use tokio::time::{Instant, sleep};
use tower::ServiceExt;
use tower_influx::{
    Monitor, Settings,
    settings::{InfluxApi, InfluxClient, SpoolSettings, Token},
    stats::{Blocked, DeliveryState},
};

use crate::{
    stored::{Way, influx_behind_nginx},
    support::{
        influx::{Influx, InfluxOptions},
        live::{self, INFLUXD, NGINX},
        nginx::Fault,
        service::app,
    },
};

const BUCKET: &str = "monitoring";
const REQUESTS: u64 = 500;

/// Sends requests whose answers do not depend on the monitoring.
async fn use_service(monitor: &Monitor) {
    let app = app(monitor).with_state(());
    for _ in 0..REQUESTS {
        let request = Request::get("/version").body(Body::empty()).expect("a valid request");
        assert!(app.clone().oneshot(request).await.expect("a router does not fail").status().is_success());
    }
}

async fn wait_for(monitor: &Monitor, what: &str, reached: impl Fn(&tower_influx::stats::Stats) -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let stats = monitor.stats();
        assert!(stats.balances(), "{stats}");
        if reached(&stats) {
            return;
        }
        assert!(Instant::now() < deadline, "{what} did not come: {stats:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_starts_later_receives_everything() {
    if !live::ready("a_server_that_starts_later_receives_everything", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::PROXIED {
        a_server_that_starts_later_receives_everything_by(way).await;
    }
}

async fn a_server_that_starts_later_receives_everything_by(way: Way) {
    let (influx, mut nginx) = influx_behind_nginx().await;
    nginx.stop();
    let monitor = Monitor::start(way.settings(&influx, &nginx))
        .expect("what only the network tells is no error at start");
    assert!(monitor.probe().await.expect_err("nobody listens").is_server());
    use_service(&monitor).await;
    wait_for(&monitor, "a pause", |stats| stats.delivery.state == DeliveryState::Backoff).await;
    let stats = monitor.stats();
    assert!(stats.delivery.last_error.is_some_and(|text| !text.contains("a-token")), "the error is told");
    assert_eq!((stats.ledger.written, stats.ledger.dropped_total()), (0, 0));
    nginx.resume_service().await;
    wait_for(&monitor, "delivery", |stats| stats.ledger.written == REQUESTS).await;
    wait_for(&monitor, "health", |stats| stats.delivery.state == DeliveryState::Healthy).await;
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_is_reported_and_a_reload_with_the_right_one_loses_nothing() {
    if !live::ready(
        "a_wrong_token_is_reported_and_a_reload_with_the_right_one_loses_nothing",
        &[INFLUXD, NGINX],
    ) {
        return;
    }
    for way in Way::PROXIED {
        a_wrong_token_is_reported_and_a_reload_with_the_right_one_loses_nothing_by(way).await;
    }
}

async fn a_wrong_token_is_reported_and_a_reload_with_the_right_one_loses_nothing_by(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    let right = way.settings(&influx, &nginx);
    let mut wrong = right.clone();
    wrong.influx.token = Token::from("wrong-and-secret");
    let monitor = Monitor::start(wrong).expect("what only the network tells is no error at start");
    let error = monitor.probe().await.expect_err("the token is wrong");
    assert!(error.is_server() && !format!("{error} {error:?}").contains("wrong-and-secret"), "{error}");
    use_service(&monitor).await;
    let blocked = DeliveryState::Blocked(Blocked::Authorization);
    wait_for(&monitor, "the state", |stats| stats.delivery.state == blocked).await;
    assert!(!format!("{:?}", monitor.stats()).contains("wrong-and-secret"));
    let refused = nginx.log().iter().filter(|one| one.status == 401).count();
    assert!(refused <= 4, "a blocked sink is asked seldom, not {refused} times");
    monitor.reload(right).await.expect("the settings are good");
    wait_for(&monitor, "delivery", |stats| stats.ledger.written == REQUESTS).await;
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_refused_for_a_while_loses_nothing() {
    if !live::ready("a_token_refused_for_a_while_loses_nothing", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::PROXIED {
        a_token_refused_for_a_while_loses_nothing_by(way).await;
    }
}

async fn a_token_refused_for_a_while_loses_nothing_by(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    nginx.set_fault(Fault::Unauthorized);
    let monitor = Monitor::start(way.settings(&influx, &nginx)).expect("the settings are good");
    use_service(&monitor).await;
    let blocked = DeliveryState::Blocked(Blocked::Authorization);
    wait_for(&monitor, "the state", |stats| stats.delivery.state == blocked).await;
    nginx.heal();
    // A flush tries at once what would otherwise be tried within half a minute.
    let report = monitor.flush().await.expect("the monitor runs");
    assert_eq!((report.written, report.waiting), (REQUESTS, 0), "{report}");
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_is_created_later_gets_everything() {
    if !live::ready("a_bucket_that_is_created_later_gets_everything", &[INFLUXD, NGINX]) {
        return;
    }
    for way in Way::ALL {
        a_bucket_that_is_created_later_gets_everything_by(way).await;
    }
}

async fn a_bucket_that_is_created_later_gets_everything_by(way: Way) {
    let (influx, nginx) = influx_behind_nginx().await;
    let mut settings = way.settings(&influx, &nginx);
    settings.influx.bucket = "later".to_owned();
    let monitor = Monitor::start(settings).expect("what only the network tells is no error at start");
    use_service(&monitor).await;
    let blocked = DeliveryState::Blocked(Blocked::Target);
    wait_for(&monitor, "the state", |stats| stats.delivery.state == blocked).await;
    influx.create_database("later").await;
    let report = monitor.flush().await.expect("the monitor runs");
    assert_eq!((report.written, report.waiting), (REQUESTS, 0), "{report}");
    assert_eq!(influx.count("later", "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

/// It is answered with 500, which is transient in all other cases.
#[tokio::test(flavor = "multi_thread")]
async fn a_retention_policy_that_is_created_later_gets_everything() {
    if !live::ready("a_retention_policy_that_is_created_later_gets_everything", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    let mut settings = Way::Direct.settings(&influx, &nginx);
    settings.influx.retention_policy = Some("later".to_owned());
    let monitor = Monitor::start(settings).expect("what only the network tells is no error at start");
    use_service(&monitor).await;
    let blocked = DeliveryState::Blocked(Blocked::Target);
    wait_for(&monitor, "the state", |stats| stats.delivery.state == blocked).await;
    influx
        .query("", &format!("CREATE RETENTION POLICY later ON {BUCKET} DURATION INF REPLICATION 1 DEFAULT"))
        .await;
    let report = monitor.flush().await.expect("the monitor runs");
    assert_eq!((report.written, report.waiting), (REQUESTS, 0), "{report}");
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn version_1_wants_the_right_user_and_password() {
    if !live::ready("version_1_wants_the_right_user_and_password", &[INFLUXD]) {
        return;
    }
    let password = "a password, \"quoted\" & more";
    let credentials = Some(("somebody".to_owned(), password.to_owned()));
    let influx = Influx::start_with(InfluxOptions { credentials, max_body_size: None }).await;
    influx.create_database(BUCKET).await;
    let mut settings = crate::stored::settings(&influx.url());
    settings.influx.client = InfluxClient::Reqwest;
    settings.influx.api = InfluxApi::V1;
    settings.influx.token = Token::default();
    (settings.influx.username, settings.influx.password) = ("somebody".to_owned(), Token::from("wrong"));
    let monitor = Monitor::start(settings.clone()).expect("what only the network tells is no error at start");
    use_service(&monitor).await;
    let blocked = DeliveryState::Blocked(Blocked::Authorization);
    wait_for(&monitor, "the state", |stats| stats.delivery.state == blocked).await;
    settings.influx.password = Token::from(password);
    monitor.reload(settings).await.expect("the settings are good");
    wait_for(&monitor, "delivery", |stats| stats.ledger.written == REQUESTS).await;
    assert_eq!(influx.count(BUCKET, "requests", "execution_time").await, REQUESTS);
    monitor.shutdown(Duration::from_secs(5)).await;
}

/// A mistake that can be found without the network is an error at start. It names the setting and
/// the correct value.
#[tokio::test]
async fn mistakes_that_need_no_network_to_find_are_errors_at_start() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("a-file");
    std::fs::write(&file, "").expect("a writable directory");
    let influx = || crate::stored::settings("http://127.0.0.1:8086");
    let changed = |change: fn(&mut Settings)| {
        let mut settings = influx();
        change(&mut settings);
        settings
    };
    for (settings, names) in [
        (changed(|settings| settings.influx.url = "localhost:8086".to_owned()), ["url", "http://"]),
        (changed(|settings| settings.influx.url = "ftp://localhost".to_owned()), ["url", "http"]),
        (changed(|settings| settings.influx.url = "http://me:secret@host".to_owned()), ["url", "username"]),
        (changed(|settings| settings.influx.url = "https://host".to_owned()), ["https", "rustls-tls"]),
        (changed(|settings| settings.influx.bucket = String::new()), ["bucket", "bucket"]),
        (changed(|settings| settings.influx.token = Token::from("two\nlines")), ["token", "token"]),
        (changed(|settings| settings.service = String::new()), ["service", "service"]),
        (changed(|settings| settings.max_in_flight = 0), ["max_in_flight", "1"]),
    ] {
        let error = Monitor::start(settings.clone()).expect_err("these settings cannot work");
        assert!(error.is_setting(), "{error}");
        assert!(names.iter().all(|name| error.to_string().contains(name)), "{names:?}: {error}");
        assert!(
            !format!("{error} {error:?}").contains("secret") && !error.to_string().contains("two\n"),
            "{error}"
        );
    }
    // A file is in the place of the directory, so not even root can write there.
    let mut settings = Settings::new("service");
    settings.file.directory = file.join("points");
    let error = Monitor::start(settings).expect_err("there cannot be files");
    assert!((error.is_io() || error.is_setting()) && error.to_string().contains("a-file"), "{error}");
    let mut settings = influx();
    settings.spool = Some(SpoolSettings::new(file.join("spool")));
    let error = Monitor::start(settings).expect_err("there cannot be a spool");
    assert!((error.is_io() || error.is_setting()) && error.to_string().contains("a-file"), "{error}");
    let mut settings = influx();
    settings.influx.token = Token::default();
    settings.influx.token_file = Some(file.join("token"));
    let error = Monitor::start(settings).expect_err("there is no token");
    assert!(error.to_string().contains("token_file") && error.to_string().contains("a-file"), "{error}");
}
