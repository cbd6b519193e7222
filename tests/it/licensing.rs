//! Licence checks through a real monitor, and their points in a real InfluxDB.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use serde_json::{Value as Json, json};
use tower_influx::{
    Error, Monitor, Settings,
    licensing::{LicenseCheck, LicenseFile, LicenseState, LicenseStatus, LicenseWatch, Licensing, PublicKey},
    point::Value,
    settings::Storage,
    sink::MemorySink,
};

use crate::support::{
    example::program,
    influx::Influx,
    live::{self, INFLUXD, NGINX},
    nginx::{Nginx, Upstream},
};

fn in_memory() -> (Monitor, MemorySink) {
    let sink = MemorySink::new();
    let monitor = Monitor::builder(Settings::new("luna-licenses")).sink(sink.clone()).start();
    (monitor.expect("the defaults are right"), sink)
}

async fn thirty_days() -> Result<LicenseState, Error> {
    Ok(LicenseState::new(30))
}

#[tokio::test]
async fn the_first_check_is_recorded_before_the_service_goes_on() {
    let (monitor, sink) = in_memory();
    let watch = Licensing::new(thirty_days).spawn_checked(&monitor).await.expect("settings are right");
    assert_eq!(watch.latest().expect("checked").status(), LicenseStatus::Ok);
    monitor.flush().await.expect("the monitor runs");
    let points = sink.measurement("licensing");
    let [point] = &points[..] else { panic!("not one point: {points:?}") };
    assert_eq!((point.tag("service"), point.tag("license_status")), (Some("luna-licenses"), Some("ok")));
    assert_eq!(point.field("license_period_rest").and_then(Value::as_i64), Some(30));
    assert_eq!(point.field("warnings").and_then(Value::as_str), Some(""));
    assert_eq!(point.field("errors").and_then(Value::as_str), Some(""));
    let stats = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!((stats.written, stats.dropped), (1, 0));
}

#[tokio::test]
async fn an_unknown_zone_is_an_error_at_start() {
    let mut settings = Settings::new("luna-licenses");
    settings.licensing.time_zone = Some("Europe/Atlantis".to_owned());
    let error = Monitor::builder(settings).sink(MemorySink::new()).start().expect_err("no such zone");
    assert!(error.to_string().contains("`licensing.time_zone` is `Europe/Atlantis`"), "{error}");
    let (monitor, _) = in_memory();
    let licensing = Licensing::new(thirty_days).time_zone("Europe/Atlantis");
    let error = licensing.spawn(&monitor).expect_err("no such zone");
    assert!(error.to_string().contains("`licensing.time_zone` is `Europe/Atlantis`"), "{error}");
}

#[tokio::test]
async fn after_shutdown_nothing_is_checked() {
    let (monitor, _) = in_memory();
    let watch = Licensing::new(thirty_days).spawn_checked(&monitor).await.expect("settings are right");
    monitor.shutdown(Duration::from_secs(5)).await;
    assert!(watch.check_now().await.expect_err("the monitor is shut down").is_closed());
    assert_eq!(watch.latest().expect("it stays readable").state().days_left(), Some(30));
    assert_eq!(monitor.stats().recorder.refused_closed, 0);
}

#[tokio::test]
async fn a_watch_does_not_keep_a_dropped_monitor_alive() {
    let (monitor, sink) = in_memory();
    let watch = Licensing::new(thirty_days).spawn_checked(&monitor).await.expect("settings are right");
    monitor.flush().await.expect("the monitor runs");
    drop(monitor);
    assert!(watch.check_now().await.expect_err("the monitor is gone").is_closed());
    assert_eq!(sink.len(), 1);
}

#[tokio::test]
async fn a_disabled_monitor_checks_and_records_nothing() {
    let checks = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&checks);
    let check = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        thirty_days()
    };
    let watch = Licensing::new(check).spawn_checked(&Monitor::disabled()).await.expect("nothing is wrong");
    watch.check_now().await.expect("it runs");
    assert_eq!(checks.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn the_example_issues_valid_licences() {
    let example = program("issue_license");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let issue = |arguments: &str| {
        let mut command = Command::new(&example);
        command.args(arguments.split(' ')).current_dir(&directory);
        let output = command.output().expect("it runs");
        (output.status.success(), String::from_utf8(output.stderr).expect("text"))
    };
    let common = "--key vendor.pem --out license.jwt --subject Acme --product other --product luna-licenses";
    let (issued, said) = issue(&format!("{common} --days 40 --limit faces=1000 --limit edition=gold"));
    assert!(issued && said.contains("The private key in `vendor.pem` stays with the vendor."), "{said}");
    let pem = &said[said.find("-----BEGIN").expect("it prints the public key")..];
    let pem = &pem[..pem.rfind("-----").expect("an end") + 5];
    let key = PublicKey::from_pem(pem).expect("a sound key");
    let file = LicenseFile::new(directory.path().join("license.jwt"), key, "luna-licenses");
    let state = file.check().await.expect("a state");
    assert_eq!(state.status(), LicenseStatus::Ok, "{state:?}");
    // 40 only within the second of issuing.
    assert!(matches!(state.days_left(), Some(39 | 40)), "{state:?}");
    let limits: BTreeMap<_, _> = state.fields().collect();
    assert_eq!(
        (limits["limit_faces"].as_i64(), limits["limit_edition"].as_str()),
        (Some(1000), Some("gold"))
    );
    // Uses the same key again.
    assert!(issue(&format!("{common} --days -1")).0);
    assert!(matches!(file.check().await.expect("a state").days_left(), Some(-2 | -1)));
    assert!(issue(&format!("{common} --from-days 2")).0);
    assert!(file.check().await.expect("a state").errors()[0].starts_with("the licence is not valid before "));
    assert!(!issue("--key vendor.pem --subject Acme").0, "without a product");
    assert!(!issue(&format!("{common} --days many")).0);
}

/// Writes a licence signed with the key of these tests, which ends in `days`.
fn put_license(path: &Path, days: i64) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims: Json = json!({
        // A minute more, so that the number of whole days does not change if the test is slow.
        "sub": "Acme", "aud": "luna-licenses", "exp": now as i64 + days * 86_400 + 60, "limits": {"faces": 1000},
    });
    let encode = Base64UrlUnpadded::encode_string;
    let message = format!("{}.{}", encode(br#"{"alg":"EdDSA"}"#), encode(claims.to_string().as_bytes()));
    let signature = encode(&signing_key().sign(message.as_bytes()).to_bytes());
    fs::write(path, format!("{message}.{signature}\n")).expect("a writable temporary directory");
}

fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[9; 32])
}

fn license_file(path: &Path) -> LicenseFile {
    let key = PublicKey::from_bytes(signing_key().verifying_key().as_bytes()).expect("a sound key");
    LicenseFile::new(path, key, "luna-licenses")
}

async fn status(watch: &LicenseWatch) -> LicenseStatus {
    watch.check_now().await.expect("the watch runs").status()
}

#[tokio::test(flavor = "multi_thread")]
async fn licences_of_every_state_are_points_in_influxdb() {
    if !live::ready("licences_of_every_state_are_points_in_influxdb", &[INFLUXD, NGINX]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let nginx = Nginx::before(Upstream::Influx(influx.port()), "a-token").await;
    let mut settings = Settings::new("luna-licenses");
    settings.storage = Storage::Influx;
    settings.influx.url = nginx.url();
    settings.influx.bucket = "monitoring".to_owned();
    settings.influx.token = "a-token".into();
    settings.instance = Some("one".to_owned());
    settings.licensing.warning_days = 10;
    let monitor = Monitor::start(settings).expect("settings are right");

    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("license.jwt");
    put_license(&path, 30);
    let licensing = Licensing::new(license_file(&path)).time_zone("Asia/Kathmandu");
    let watch = licensing.spawn_checked(&monitor).await.expect("settings are right");
    assert_eq!(watch.latest().expect("checked").status(), LicenseStatus::Ok);
    put_license(&path, 9);
    assert_eq!(status(&watch).await, LicenseStatus::Warning);
    put_license(&path, -2);
    assert_eq!(status(&watch).await, LicenseStatus::Error);
    fs::remove_file(&path).expect("it is there");
    assert_eq!(status(&watch).await, LicenseStatus::Error);
    let report = monitor.shutdown(Duration::from_secs(10)).await;
    assert_eq!((report.written, report.dropped), (4, 0), "{report}");

    let points = influx.points("monitoring", "licensing").await;
    let seen: Vec<_> = points
        .iter()
        .map(|point| (point.tag("license_status"), point.fields["license_period_rest"].as_i64()))
        .collect();
    assert_eq!(seen, [("ok", Some(30)), ("warning", Some(9)), ("error", Some(-2)), ("error", Some(0))]);
    for point in &points {
        let names: Vec<_> = point.tags.keys().map(String::as_str).collect();
        assert_eq!(names, ["instance", "license_status", "service"]);
        assert_eq!((point.tag("instance"), point.tag("service")), ("one", "luna-licenses"));
    }
    let text = |index: usize, field: &str| points[index].fields[field].as_str().expect("a string").to_owned();
    assert_eq!((text(0, "warnings"), text(0, "errors")), (String::new(), String::new()));
    assert!(text(1, "warnings").ends_with(", in 9 days") && text(1, "errors").is_empty());
    assert!(text(2, "errors").starts_with("the licence expired at ") && text(2, "warnings").is_empty());
    assert_eq!(text(3, "errors"), format!("there is no licence file `{}`", path.display()));
    assert_eq!(text(0, "license_subject"), "Acme");
    let expected = [
        ("errors", "string"),
        ("license_period_rest", "integer"),
        ("license_subject", "string"),
        ("limit_faces", "integer"),
        ("warnings", "string"),
    ];
    let expected: BTreeMap<_, _> = expected.map(|(key, kind)| (key.to_owned(), kind.to_owned())).into();
    assert_eq!(influx.field_types("monitoring", "licensing").await, expected);
}
