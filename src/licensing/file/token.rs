//! Parses a licence: a JSON Web Token in the compact form, signed with Ed25519 only.
//!
//! This is own code on top of `ed25519-dalek` instead of a JWT crate, since those support
//! algorithms that must be refused here. In particular, `jsonwebtoken` 11 uses one cryptography
//! provider for the whole process, chosen by features. It panics when an application and a library
//! choose different ones. Its pure-Rust provider depends on `rsa`, which has an advisory without a
//! fix (RUSTSEC-2023-0071). The remaining code is small: two dots, base64, one algorithm.

use std::{collections::BTreeMap, fmt};

use base64ct::{Base64UrlUnpadded, Encoding};
use jiff::Timestamp;
use serde::Deserialize;

use super::PublicKey;
use crate::point::Value;

/// The content of a licence, which only the holder of the private key can have signed.
#[derive(Debug, PartialEq)]
pub(super) struct License {
    pub(super) subject: String,
    pub(super) products: Vec<String>,
    pub(super) not_before: Option<Timestamp>,
    pub(super) expires: Timestamp,
    pub(super) limits: BTreeMap<String, Value<'static>>,
}

/// Why a text is not a valid licence.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LicenseFault {
    /// It does not have the form of a licence.
    Malformed(String),
    /// It is signed with another algorithm, or not signed.
    Algorithm(String),
    /// It was changed, or signed with another key.
    Signature,
}

impl License {
    /// Parses and verifies a licence. Only the name of the algorithm is read before the signature
    /// is verified.
    pub(super) fn verify(token: &[u8], key: &PublicKey) -> Result<Self, LicenseFault> {
        let malformed = |what: &str| LicenseFault::Malformed(what.to_owned());
        if token.is_empty() {
            return Err(malformed("it is empty"));
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(malformed("a licence is three parts of base64 with dots between them"));
        };

        let header_json = decode(header).ok_or_else(|| malformed("its first part is not base64"))?;
        let header_read: JoseHeader = serde_json::from_slice(&header_json)
            .map_err(|_| malformed("its first part is not a header of a JSON Web Token"))?;
        if !ALGORITHMS.contains(&&*header_read.alg) {
            return Err(LicenseFault::Algorithm(header_read.alg.chars().take(SHOWN_ALGORITHM).collect()));
        }
        if header_read.crit.is_some() {
            return Err(malformed("it demands extensions (`crit`) that are not known here"));
        }
        let signature = decode(signature).ok_or_else(|| malformed("its signature is not base64"))?;
        let signature = <&[u8; 64]>::try_from(signature.as_slice())
            .map_err(|_| malformed("its signature has not the length of an Ed25519 signature"))?;
        let message = &token[..header.len() + 1 + claims.len()];
        if !key.verifies(message, signature) {
            return Err(LicenseFault::Signature);
        }

        let claims = decode(claims).ok_or_else(|| malformed("its second part is not base64"))?;
        let claims: Claims = serde_json::from_slice(&claims).map_err(|error| {
            LicenseFault::Malformed(format!("its claims are not those of a licence: {error}"))
        })?;
        claims.try_into()
    }
}

/// Decodes strict base64: without padding, and with exactly one encoding for the same bytes.
fn decode(part: &[u8]) -> Option<Vec<u8>> {
    Base64UrlUnpadded::decode_vec(std::str::from_utf8(part).ok()?).ok()
}

#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    crit: Option<serde_json::Value>,
}

/// The claims with registered names. Others are ignored, as the standard demands.
#[derive(Deserialize)]
struct Claims {
    sub: String,
    aud: Audience,
    nbf: Option<f64>,
    exp: f64,
    #[serde(default)]
    limits: BTreeMap<String, Limit>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a limit is a number, a text, `true` or `false`")]
enum Limit {
    Integer(i64),
    Float(f64),
    Boolean(bool),
    String(String),
}

impl TryFrom<Claims> for License {
    type Error = LicenseFault;

    fn try_from(claims: Claims) -> Result<Self, LicenseFault> {
        if claims.limits.len() > MAX_LIMITS {
            return Err(LicenseFault::Malformed(format!("it has more than {MAX_LIMITS} limits")));
        }
        let limits = claims.limits.into_iter().map(|(name, limit)| {
            let value = match limit {
                Limit::Integer(number) => number.into(),
                Limit::Float(number) => number.into(),
                Limit::Boolean(truth) => truth.into(),
                Limit::String(text) => text.into(),
            };
            (name, value)
        });
        Ok(Self {
            subject: claims.sub,
            products: match claims.aud {
                Audience::One(product) => vec![product],
                Audience::Many(products) => products,
            },
            not_before: claims.nbf.map(|seconds| time("nbf", seconds)).transpose()?,
            expires: time("exp", claims.exp)?,
            limits: limits.collect(),
        })
    }
}

/// Converts seconds since the epoch, without their fraction.
fn time(claim: &str, seconds: f64) -> Result<Timestamp, LicenseFault> {
    // The conversion saturates, and a saturated value is out of range for a time.
    let time = Timestamp::from_second(seconds.floor() as i64);
    time.map_err(|_| LicenseFault::Malformed(format!("its claim `{claim}` is not a time in seconds")))
}

impl fmt::Display for LicenseFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(what) => write!(formatter, "is not a licence: {what}"),
            Self::Algorithm(name) => {
                write!(formatter, "is signed with `{}`; only `EdDSA` is accepted", name.escape_debug())
            }
            Self::Signature => {
                formatter.write_str("has a wrong signature: it was changed, or issued with another key")
            }
        }
    }
}

/// Two names of the same algorithm: the first by RFC 8037, the second by RFC 9864, which replaces
/// it.
const ALGORITHMS: [&str; 2] = ["EdDSA", "Ed25519"];
/// Each of them becomes a field of every point.
const MAX_LIMITS: usize = 32;
const SHOWN_ALGORITHM: usize = 32;
