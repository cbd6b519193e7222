//! Each fault has a message of its own, and no faulty licence is accepted.

use std::fs;

use ed25519_dalek::{
    SigningKey, pkcs8::EncodePrivateKey, pkcs8::EncodePublicKey, pkcs8::spki::der::pem::LineEnding,
};
use serde_json::{Value as Json, json};

use super::super::token::License;
use super::{LicenseFixture, SUMMER, claims, encode, issue, public_key, sign, sign_bytes, signing_key};
use crate::licensing::{LicenseCheck, LicenseFile, LicenseStatus, PublicKey};

/// Returns the only error of a file with this content, without the path.
async fn error_of(content: impl AsRef<[u8]>) -> String {
    let fixture = LicenseFixture::new();
    let state = fixture.put(content).check(SUMMER).await;
    assert_eq!(state.status(), LicenseStatus::Error);
    assert_eq!(state.warnings(), [""; 0]);
    let [error] = state.errors() else { panic!("not one error: {state:?}") };
    error.replace(&fixture.path().display().to_string(), "PATH")
}

async fn error_of_claims(change: impl FnOnce(&mut Json)) -> String {
    let mut claims = claims();
    change(&mut claims);
    error_of(issue(&claims)).await
}

#[tokio::test]
async fn a_file_that_cannot_be_read() {
    let fixture = LicenseFixture::new();
    let missing = fixture.check(SUMMER).await;
    assert_eq!(missing.errors(), [format!("there is no licence file `{}`", fixture.path().display())]);
    assert_eq!(missing.days_left(), None);
    fs::create_dir(fixture.path()).expect("made");
    let directory = fixture.check(SUMMER).await;
    let expected =
        format!("the licence file `{}` cannot be read: it is not a regular file", fixture.path().display());
    assert_eq!(directory.errors(), [expected]);
    let huge = error_of(vec![b'a'; 64 * 1024 + 1]).await;
    assert_eq!(huge, "the licence file `PATH` cannot be read: it is larger than 65536 bytes");
}

#[tokio::test]
async fn a_text_that_is_not_a_licence() {
    let (header, body) = (encode(br#"{"alg":"EdDSA"}"#), encode(b"{}"));
    for (content, expected) in [
        (String::new(), "it is empty"),
        ("\n".to_owned(), "it is empty"),
        ("license".to_owned(), "a licence is three parts of base64 with dots between them"),
        ("a.b.c.d".to_owned(), "a licence is three parts of base64 with dots between them"),
        ("a b.c.d".to_owned(), "its first part is not base64"),
        ("ä.c.d".to_owned(), "its first part is not base64"),
        (format!("{}.c.d", encode(b"{}")), "its first part is not a header of a JSON Web Token"),
        (format!("{}.c.d", encode(b"\xff")), "its first part is not a header of a JSON Web Token"),
        (format!("{header}.{body}.=="), "its signature is not base64"),
        (format!("{header}.{body}."), "its signature has not the length of an Ed25519 signature"),
        (
            format!("{header}.{body}.{}", encode(&[0; 65])),
            "its signature has not the length of an Ed25519 signature",
        ),
        (
            sign(&json!({"alg": "EdDSA", "crit": ["x"]}), &claims()),
            "it demands extensions (`crit`) that are not known here",
        ),
    ] {
        assert_eq!(
            error_of(&content).await,
            format!("the licence file `PATH` is not a licence: {expected}"),
            "{content:?}"
        );
    }
}

#[tokio::test]
async fn claims_that_are_not_those_of_a_licence() {
    let no_claims = "the licence file `PATH` is not a licence: its claims are not those of a licence: ";
    for name in ["sub", "aud", "exp"] {
        let error = error_of_claims(|claims| drop(claims.as_object_mut().expect("a map").remove(name))).await;
        assert!(error.starts_with(&format!("{no_claims}missing field `{name}`")), "{error}");
    }
    for (name, value) in [
        ("sub", json!(1)),
        ("aud", json!({})),
        ("exp", json!("2027-01-01")),
        ("nbf", json!(true)),
        ("limits", json!([])),
        ("limits", json!({"faces": [1]})),
    ] {
        let error = error_of_claims(|claims| claims[name] = value).await;
        assert!(error.starts_with(no_claims), "{name}: {error}");
    }
    let twice = sign_bytes(br#"{"alg":"EdDSA"}"#, br#"{"sub":"a","aud":"b","exp":1,"exp":9999999999}"#);
    assert!(error_of(twice).await.contains("duplicate field `exp`"));
    assert!(error_of(sign_bytes(br#"{"alg":"EdDSA"}"#, b"[1,2")).await.starts_with(no_claims));
    for end in [json!(1e300), json!(-1e300), json!(i64::MAX)] {
        let error = error_of_claims(|claims| claims["exp"] = end).await;
        assert_eq!(
            error,
            "the licence file `PATH` is not a licence: its claim `exp` is not a time in seconds"
        );
    }
    let limits: serde_json::Map<_, _> = (0..33).map(|number| (number.to_string(), json!(1))).collect();
    let error = error_of_claims(|claims| claims["limits"] = limits.into()).await;
    assert_eq!(error, "the licence file `PATH` is not a licence: it has more than 32 limits");
}

#[tokio::test]
async fn other_algorithms() {
    // Uses the public key of RFC 8037 as the secret of an HMAC, and no signature at all.
    let key = PublicKey::from_base64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("a sound key");
    for (name, token) in [
        (
            "HS256",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJBY21lIiwiYXVkIjoibHVuYS1saWNlbnNlcyIsImV4cCI6NDEwMjQ0NDgwMH0.\
             _wuKnIPQ6Jzw83QvMiVlzBqRnW3R-mi9RcLmpuzcgnA",
        ),
        (
            "HS512",
            "eyJhbGciOiJIUzUxMiJ9.eyJzdWIiOiJBY21lIiwiYXVkIjoibHVuYS1saWNlbnNlcyIsImV4cCI6NDEwMjQ0NDgwMH0.\
             WqRF_4DBkgtDxC_czYNDgvC8w_K8VLXUIyq_KYN-g4hDKX9Ll0cVFgHIGjpnB-othT-HYae5tIGW0QbMqBuO5A",
        ),
        (
            "none",
            "eyJhbGciOiJub25lIn0.eyJzdWIiOiJBY21lIiwiYXVkIjoibHVuYS1saWNlbnNlcyIsImV4cCI6NDEwMjQ0NDgwMH0.",
        ),
    ] {
        let fixture = LicenseFixture::new();
        let path = fixture.put(token).path();
        let state = LicenseFile::new(&path, key.clone(), "luna-licenses").check().await.expect("a state");
        let path = path.display();
        let expected = format!("the licence file `{path}` is signed with `{name}`; only `EdDSA` is accepted");
        assert_eq!(state.errors(), [expected]);
    }
    // These are refused even with a valid signature.
    for name in ["none", "None", "eddsa", "ES256", "RS256", "Ed448", ""] {
        let error = error_of(sign(&json!({"alg": name}), &claims())).await;
        assert_eq!(
            error,
            format!("the licence file `PATH` is signed with `{name}`; only `EdDSA` is accepted")
        );
    }
    let error = error_of(sign(&json!({"alg": "x\n".repeat(99)}), &claims())).await;
    assert!(error.len() < 200 && !error.contains('\n'), "{error}");
}

#[tokio::test]
async fn a_signature_of_another_key() {
    let expected =
        "the licence file `PATH` has a wrong signature: it was changed, or issued with another key";
    let fixture = LicenseFixture::new();
    let other = SigningKey::from_bytes(&[8; 32]);
    let key = PublicKey::from_bytes(other.verifying_key().as_bytes()).expect("a sound key");
    let path = fixture.put(issue(&claims())).path();
    let state = LicenseFile::new(&path, key, "luna-licenses").check().await.expect("a state");
    assert_eq!(state.errors(), [expected.replace("PATH", &path.display().to_string())]);
    assert_eq!(state.days_left(), None);
    // Parts of two valid licences do not make a third one.
    let mut longer = claims();
    longer["exp"] = json!(9_999_999_999_i64);
    let (one, two) = (issue(&claims()), issue(&longer));
    let (head, _) = two.rsplit_once('.').expect("dots");
    let (_, signature) = one.rsplit_once('.').expect("dots");
    assert_eq!(error_of(format!("{head}.{signature}")).await, expected);
}

#[tokio::test]
async fn a_licence_for_another_product_or_another_time() {
    let error = error_of_claims(|claims| claims["aud"] = json!(["luna-api", "luna-faces"])).await;
    assert_eq!(error, "the licence is for `luna-api`, `luna-faces`, not for `luna-licenses`");
    assert!(error_of_claims(|claims| claims["aud"] = json!("luna-licenses2")).await.contains("not for"));
    assert!(error_of_claims(|claims| claims["aud"] = json!([])).await.contains("not for"));
    let error = error_of_claims(|claims| claims["nbf"] = json!(super::seconds("2026-08-01T00:00:00Z"))).await;
    assert_eq!(error, "the licence is not valid before 2026-08-01T00:00:00Z");
    let error = error_of_claims(|claims| claims["exp"] = json!(super::seconds("2026-06-01T00:00:00Z"))).await;
    assert_eq!(error, "the licence expired at 2026-06-01T00:00:00Z");
}

#[test]
fn keys_in_every_form() {
    let key = signing_key().verifying_key();
    let pem = key.to_public_key_pem(LineEnding::LF).expect("encoded");
    let directory = tempfile::TempDir::new().expect("a directory");
    let path = directory.path().join("key.pem");
    for text in [
        pem.clone(),
        encode(key.as_bytes()),
        format!("{}=\n", encode(key.as_bytes()).replace('_', "/").replace('-', "+")),
    ] {
        fs::write(&path, &text).expect("written");
        assert_eq!(PublicKey::from_file(&path).expect("a sound key"), public_key(), "{text}");
    }
    assert_eq!(PublicKey::from_pem(&pem).expect("a sound key"), public_key());
}

#[test]
fn keys_that_cannot_be_used() {
    let private = signing_key().to_pkcs8_pem(LineEnding::LF).expect("encoded");
    let error = PublicKey::from_pem(&private).expect_err("a private key");
    assert!(error.is_setting() && error.to_string().contains("this is a private key"), "{error}");
    assert!(!format!("{error}{error:?}").contains(private.lines().nth(1).expect("a body")));
    for text in
        ["", "-----BEGIN PUBLIC KEY-----", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
    {
        assert!(PublicKey::from_pem(text).expect_err("no key").is_setting(), "{text}");
    }
    for text in ["", "AAAA", "not base64!", &encode(&[1; 33])] {
        assert!(PublicKey::from_base64(text).expect_err("no key").is_setting(), "{text}");
    }
    // The neutral element, for which every message has a valid signature.
    let mut weak = [0; 32];
    weak[0] = 1;
    assert!(PublicKey::from_bytes(&weak).expect_err("weak").to_string().contains("weak"));
    assert!(PublicKey::from_file("/nowhere/key.pem").expect_err("no file").is_io());
}

#[test]
fn the_cost_of_a_licence_and_of_a_key_is_linear_in_its_length() {
    let key = public_key();
    let pieces = ["A", "==", "{", "[", "{\"alg\":", "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"];
    crate::work::assert_linear(&pieces, |text| {
        let _ = License::verify(text.as_bytes(), &key);
        let _ = License::verify(format!("{}.{}.A", encode(text.as_bytes()), text).as_bytes(), &key);
        let _ = License::verify(sign_bytes(br#"{"alg":"EdDSA"}"#, text.as_bytes()).as_bytes(), &key);
        let _ = (PublicKey::from_base64(text), PublicKey::from_pem(text));
    });
}

#[cfg(unix)]
#[test]
fn an_endless_key_file_is_read_up_to_a_bound() {
    let held = allocation_counter::measure(|| {
        assert!(PublicKey::from_file("/dev/zero").expect_err("no key").is_setting());
    });
    assert!(held.bytes_max < 1 << 20, "{held:?}");
}
