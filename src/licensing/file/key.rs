//! [`PublicKey`]: the key that verifies licence files.

use std::{fs::File, io::Read, path::Path};

use base64ct::{Base64, Base64UrlUnpadded, Encoding};
use ed25519_dalek::{Signature, VerifyingKey, pkcs8::DecodePublicKey};

use crate::error::Error;

/// The Ed25519 public key of the issuer of licences.
///
/// The key is not secret, but it must be genuine: whoever can replace it can issue licences. So a
/// key in the code is safer than a key in a file beside the licence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Creates a key from its 32 bytes.
    ///
    /// # Errors
    ///
    /// The bytes are not an Ed25519 key, or are a weak key ([`Error::is_setting`]).
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, Error> {
        let key = VerifyingKey::from_bytes(bytes)
            .map_err(|_| Error::license_key("its bytes are not an Ed25519 key"))?;
        Self::checked(key)
    }

    /// Decodes a key from its 32 bytes in base64, in the standard or the URL-safe alphabet. The
    /// member `x` of a JSON Web Key has this format.
    ///
    /// # Errors
    ///
    /// The text is not base64 of a key ([`Error::is_setting`]).
    pub fn from_base64(text: &str) -> Result<Self, Error> {
        let text = text.trim();
        let bytes = Base64UrlUnpadded::decode_vec(text).or_else(|_| Base64::decode_vec(text));
        let bytes = bytes.map_err(|_| Error::license_key("it is neither PEM nor base64"))?;
        let bytes = <&[u8; 32]>::try_from(bytes.as_slice());
        Self::from_bytes(bytes.map_err(|_| Error::license_key("an Ed25519 key in base64 has 32 bytes"))?)
    }

    /// Parses a key in PEM format, which starts with `-----BEGIN PUBLIC KEY-----`.
    ///
    /// # Errors
    ///
    /// The text is not PEM, another kind of key, or a private key ([`Error::is_setting`]).
    pub fn from_pem(text: &str) -> Result<Self, Error> {
        if text.contains("PRIVATE KEY-----") {
            return Err(Error::license_key(
                "this is a private key: it belongs to whoever issues the licences and to nobody else; use the public one",
            ));
        }
        let key = VerifyingKey::from_public_key_pem(text.trim());
        Self::checked(
            key.map_err(|error| Error::license_key(format!("it is not an Ed25519 key in PEM: {error}")))?,
        )
    }

    /// Reads a key from a file, in PEM format or as base64. The call blocks, so use it once at
    /// start.
    ///
    /// # Errors
    ///
    /// - The file cannot be read ([`Error::is_io`]).
    /// - The file contains no valid key ([`Error::is_setting`]).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut text = String::new();
        // An endless file must not fill the memory.
        let read = File::open(path).and_then(|file| file.take(MAX_KEY_FILE).read_to_string(&mut text));
        read.map_err(|error| {
            Error::io(
                format_args!("the public key for licences cannot be read from `{}`", path.display()),
                error,
            )
        })?;
        if text.contains("-----BEGIN") { Self::from_pem(&text) } else { Self::from_base64(&text) }
    }

    /// Returns whether this key made this signature. The check is strict: each licence has exactly
    /// one valid signature. Weak keys, and signatures that fit several licences, are refused.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verify_strict(message, &Signature::from_bytes(signature)).is_ok()
    }

    fn checked(key: VerifyingKey) -> Result<Self, Error> {
        if key.is_weak() {
            return Err(Error::license_key("it is a weak key, for which anybody can make signatures"));
        }
        Ok(Self(key))
    }
}

/// Larger than any key, in whatever format.
const MAX_KEY_FILE: u64 = 64 * 1024;
