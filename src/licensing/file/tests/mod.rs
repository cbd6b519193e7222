//! Tests that issue, judge and tamper with licences.

mod faults;
mod tamper;

use std::{fs, path::PathBuf, sync::Arc};

use base64ct::{Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signer, SigningKey};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tempfile::TempDir;

use super::{LicenseFile, PublicKey};
use crate::licensing::{LicenseCheck, LicenseState, wall_clock::WallClock};

/// Returns the private key of these tests, which is used nowhere else.
fn signing_key() -> SigningKey {
    SigningKey::from_bytes(&[7; 32])
}

fn public_key() -> PublicKey {
    PublicKey::from_bytes(signing_key().verifying_key().as_bytes()).expect("a sound key")
}

fn encode(part: &[u8]) -> String {
    Base64UrlUnpadded::encode_string(part)
}

/// Signs claims with any header.
fn sign(header: &Json, claims: &Json) -> String {
    sign_bytes(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

fn sign_bytes(header: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", encode(header), encode(claims));
    let signature = signing_key().sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", encode(&signature))
}

fn issue(claims: &Json) -> String {
    sign(&json!({"alg": "EdDSA", "typ": "JWT"}), claims)
}

/// Returns the claims of a licence that ends on 1 January 2027.
fn claims() -> Json {
    json!({
        "sub": "Acme", "aud": "luna-licenses", "nbf": seconds("2026-01-01T00:00:00Z"),
        "exp": seconds("2027-01-01T00:00:00Z"), "limits": {"faces": 1000, "matcher": true},
    })
}

fn seconds(time: &str) -> i64 {
    time.parse::<Timestamp>().expect("a time").as_second()
}

/// A licence file in a directory of its own, checked on a given day.
struct LicenseFixture {
    directory: TempDir,
}

impl LicenseFixture {
    fn new() -> Self {
        Self { directory: TempDir::new().expect("a directory") }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("license.jwt")
    }

    fn put(&self, content: impl AsRef<[u8]>) -> &Self {
        fs::write(self.path(), content).expect("written");
        self
    }

    fn file(&self, now: &str) -> LicenseFile {
        let now: Timestamp = now.parse().expect("a time");
        LicenseFile::new(self.path(), public_key(), "luna-licenses").clock(WallClock::new(move || now))
    }

    async fn check(&self, now: &str) -> LicenseState {
        self.file(now).check().await.expect("faults are states")
    }
}

const SUMMER: &str = "2026-07-01T12:00:00Z";

#[tokio::test]
async fn a_good_licence_is_in_order() {
    let state = LicenseFixture::new().put(issue(&claims())).check(SUMMER).await;
    let expected = LicenseState::new(183)
        .with_field("license_subject", "Acme".to_owned())
        .with_field("limit_faces", 1000_i64)
        .with_field("limit_matcher", true);
    assert_eq!(state, expected);
}

#[tokio::test]
async fn white_space_around_a_licence_is_ignored() {
    let state = LicenseFixture::new().put(format!("\n {}\r\n\n", issue(&claims()))).check(SUMMER).await;
    assert_eq!(state.errors(), [""; 0]);
}

#[tokio::test]
async fn an_ending_licence_is_a_warning_and_an_ended_one_an_error() {
    let fixture = LicenseFixture::new();
    fixture.put(issue(&claims()));
    let warned = |days: &str| vec![format!("the licence ends at 2027-01-01T00:00:00Z, {days}")];
    for (now, days_left, warnings, errors) in [
        ("2026-12-17T23:59:59Z", 14, vec![], vec![]),
        ("2026-12-18T00:00:00Z", 14, warned("in 14 days"), vec![]),
        ("2026-12-18T00:00:01Z", 13, warned("in 13 days"), vec![]),
        ("2026-12-30T12:00:00Z", 1, warned("in 1 day"), vec![]),
        ("2026-12-31T23:59:59Z", 0, warned("within a day"), vec![]),
        ("2027-01-01T00:00:00Z", 0, vec![], vec!["the licence expired at 2027-01-01T00:00:00Z"]),
        ("2027-01-01T00:00:01Z", -1, vec![], vec!["the licence expired at 2027-01-01T00:00:00Z"]),
        ("2027-01-11T00:00:00Z", -10, vec![], vec!["the licence expired at 2027-01-01T00:00:00Z"]),
    ] {
        let state = fixture.check(now).await;
        assert_eq!(state.days_left(), Some(days_left), "{now}");
        assert_eq!(state.warnings(), warnings, "{now}");
        assert_eq!(state.errors(), errors, "{now}");
    }
}

#[tokio::test]
async fn warning_days_come_from_the_settings_unless_set_in_code() {
    let fixture = LicenseFixture::new();
    fixture.put(issue(&claims()));
    let warned = async |mut file: LicenseFile, setting: i64| {
        file.configure(&crate::settings::LicensingSettings { warning_days: setting, ..Default::default() });
        !file.check().await.expect("faults are states").warnings().is_empty()
    };
    let (hundred_before, ten_before) = ("2026-09-23T00:00:00Z", "2026-12-22T00:00:00Z");
    assert!(!warned(fixture.file(hundred_before), 14).await);
    assert!(warned(fixture.file(hundred_before), 100).await);
    assert!(warned(fixture.file(hundred_before).with_warning_days(100), 14).await);
    assert!(warned(fixture.file(ten_before), 14).await);
    assert!(!warned(fixture.file(ten_before), 0).await);
    assert!(!warned(fixture.file(ten_before).with_warning_days(0), 14).await);
    assert!(warned(fixture.file(hundred_before), i64::MAX).await);
}

#[tokio::test]
async fn a_licence_is_replaced_by_replacing_the_file() {
    let fixture = LicenseFixture::new();
    let file = fixture.put("nonsense").file(SUMMER);
    assert_eq!(file.check().await.expect("a state").errors().len(), 1);
    fixture.put(issue(&claims()));
    assert_eq!(file.check().await.expect("a state").errors().len(), 0);
}

#[tokio::test]
async fn several_products_fractions_and_unknown_claims_are_accepted() {
    let mut claims = claims();
    claims["aud"] = json!(["luna-api", "luna-licenses"]);
    claims["exp"] = json!(1798761600.75);
    claims["nbf"] = Json::Null;
    claims["iss"] = json!("vendor");
    claims["limits"] = json!({"ratio": 0.5, "edition": "gold", "huge": u64::MAX});
    let state = LicenseFixture::new().put(issue(&claims)).check(SUMMER).await;
    let expected = LicenseState::new(183)
        .with_field("license_subject", "Acme".to_owned())
        .with_field("limit_edition", "gold".to_owned())
        .with_field("limit_huge", u64::MAX as f64)
        .with_field("limit_ratio", 0.5);
    assert_eq!(state, expected);
}

#[tokio::test]
async fn both_names_of_the_algorithm_are_accepted() {
    let token = sign(&json!({"alg": "Ed25519"}), &claims());
    assert_eq!(LicenseFixture::new().put(token).check(SUMMER).await.errors(), [""; 0]);
}

#[tokio::test]
async fn a_licence_file_is_a_check_for_a_watch() {
    let fixture = LicenseFixture::new();
    fixture.put(issue(&claims()));
    let recorder = Arc::new(crate::licensing::tests::Points::default());
    let licensing = crate::licensing::Licensing::new(fixture.file(SUMMER)).time_zone("UTC");
    let watch =
        licensing.spawn_with(&Default::default(), "luna-licenses", recorder).expect("settings are right");
    watch.first().await.expect("the check ends");
    assert_eq!(watch.latest().expect("there is one").state().days_left(), Some(183));
    fixture.put("nonsense");
    assert_eq!(watch.check_now().await.expect("it runs").state().days_left(), None);
}
