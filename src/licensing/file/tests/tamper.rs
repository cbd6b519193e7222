//! A changed licence is never accepted, whatever was changed.

use proptest::prelude::*;
use serde_json::json;

use super::{LicenseFile, claims, issue, public_key};
use crate::licensing::{
    LicenseStatus, PublicKey,
    file::token::{License, LicenseFault},
};

fn accepted(token: &[u8]) -> bool {
    License::verify(token, &public_key()).is_ok()
}

#[test]
fn the_example_of_the_standard_is_verified() {
    // RFC 8037, appendix A.4: a valid signature of a text that is not a licence.
    let key = PublicKey::from_base64("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").expect("a sound key");
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
                 hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    let fault = License::verify(token.as_bytes(), &key).expect_err("no claims");
    assert!(matches!(&fault, LicenseFault::Malformed(what) if what.starts_with("its claims")), "{fault:?}");
    assert_eq!(
        License::verify(token.as_bytes(), &public_key()).expect_err("another key"),
        LicenseFault::Signature
    );
}

#[test]
fn a_licence_of_another_library_is_read() {
    // Issued by PyJWT 2 with a key in the format of OpenSSL 3.0.
    let key = PublicKey::from_pem(
        "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAW6vcbo7qgulyUPrJStrZ8/2WzOILTjM6e6YbXRue8pU=\n-----END PUBLIC KEY-----\n",
    );
    let token = "eyJhbGciOiJFZERTQSIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJweSIsImF1ZCI6Imx1bmEtbGljZW5zZXMiLCJleHAiOjQxMDI0NDQ4MDB9.\
                 mLi02n8WIenWrmaQuFWm96IG2mQdeKObkqt2371uC90hBXeNaASZnt1eZjGgIdOPrMamf9wC1hOkyxpPQTXDAg";
    let license = License::verify(token.as_bytes(), &key.expect("a sound key")).expect("a good licence");
    assert_eq!((license.subject.as_str(), license.expires.as_second()), ("py", 4_102_444_800));
}

#[test]
fn each_byte_changed_to_each_other() {
    let token =
        issue(&json!({"sub": "Acme", "aud": "luna-licenses", "exp": 1_798_761_600, "limits": {"n": 1}}));
    assert!(accepted(token.as_bytes()), "unchanged it is good");
    let mut changed = token.into_bytes();
    for position in 0..changed.len() {
        let good = changed[position];
        for byte in (0..=u8::MAX).filter(|byte| *byte != good) {
            changed[position] = byte;
            assert!(!accepted(&changed), "byte {position} changed from {good} to {byte}");
        }
        changed[position] = good;
    }
}

#[test]
fn each_byte_removed_doubled_or_swapped() {
    let token = issue(&claims()).into_bytes();
    assert!(accepted(&token), "unchanged it is good");
    for position in 0..token.len() {
        let mut shorter = token.clone();
        shorter.remove(position);
        assert!(!accepted(&shorter), "without byte {position}");
        assert!(!accepted(&token[..position]), "cut off at {position}");
        assert!(!accepted(&token[position + 1..]), "begun after {position}");
        let mut longer = token.clone();
        longer.insert(position, token[position]);
        assert!(!accepted(&longer), "byte {position} twice");
        let mut swapped = token.clone();
        swapped.swap(position, (position + 1) % token.len());
        assert!(swapped == token || !accepted(&swapped), "byte {position} swapped with the next");
    }
}

/// White space may surround the licence in a file, and nothing else.
#[test]
fn each_bit_of_the_file_flipped() {
    let file = LicenseFile::new("license.jwt", public_key(), "luna-licenses");
    let token = issue(&json!({"sub": "Acme", "aud": "luna-licenses", "exp": 99_999_999_999_i64}));
    let content = format!("{token}\n").into_bytes();
    let status = |content: &[u8]| file.state(Ok(content.to_vec())).status();
    assert_eq!(status(&content), LicenseStatus::Ok);
    for bit in 0..content.len() * 8 {
        let mut flipped = content.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let same = flipped.trim_ascii() == token.as_bytes();
        assert!(same || status(&flipped) == LicenseStatus::Error, "bit {bit}");
    }
}

proptest! {
    #[test]
    fn nothing_is_a_licence_by_chance(content in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(!accepted(&content));
    }

    #[test]
    fn nothing_of_the_form_is_a_licence_by_chance(
        header in r#"\{"alg":"(EdDSA|none)"(,"typ":"JWT")?\}"#,
        claims in prop::collection::vec(any::<u8>(), 0..100),
        signature in prop::array::uniform32(any::<u8>()),
    ) {
        let signature = [signature, signature].concat();
        let parts = [header.as_bytes(), &claims, &signature].map(super::encode);
        prop_assert!(!accepted(parts.join(".").as_bytes()));
    }

    /// Judging a signed licence never panics, whatever its numbers.
    #[test]
    fn signed_numbers_of_any_size_are_judged(
        end in prop_oneof![any::<i64>().prop_map(|end| json!(end)), any::<f64>().prop_map(|end| json!(end))],
        warning_days in any::<i64>(),
    ) {
        let file = LicenseFile::new("license.jwt", public_key(), "luna-licenses").with_warning_days(warning_days);
        let token = issue(&json!({"sub": "", "aud": "luna-licenses", "exp": end, "nbf": end}));
        let _ = file.state(Ok(token.into_bytes()));
    }
}
