//! Issues a licence for [`LicenseFile`](tower_influx::licensing::LicenseFile), as a vendor does. A
//! small program for tests and demonstrations.
//!
//! ```text
//! cargo run --example issue_license -- --key vendor.pem --subject "Acme" --product luna-licenses --days 365 \
//!     --limit faces=1000 --out license.jwt
//! ```
//!
//! The first call creates the private key if its file does not exist. **The private key stays with
//! the vendor**: whoever has it can issue licences. The service needs only the public key, which is
//! printed. The customer gets only the licence.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool talks to its user")]

use std::{
    error::Error,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::ExitCode,
    time::SystemTime,
};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Parser;
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding},
};
use serde_json::{Map, Value, json};

/// Issues a licence, to standard output or into a file.
#[derive(Parser)]
#[command(name = "issue_license")]
struct Arguments {
    /// Private key in PEM format, created if the file does not exist; stays with the vendor
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The customer
    #[arg(long, value_name = "NAME")]
    subject: String,
    /// The product: the name that the service passes to `LicenseFile`; can be repeated
    #[arg(long = "product", value_name = "NAME", required = true)]
    products: Vec<String>,
    /// Days from now until the licence ends; negative for a licence that has ended
    #[arg(long, value_name = "N", default_value_t = 365, allow_negative_numbers = true)]
    days: i64,
    /// Days from now until the licence becomes valid
    #[arg(long, value_name = "N", default_value_t = 0, allow_negative_numbers = true)]
    from_days: i64,
    /// A limit: a number, true, false or a text; can be repeated
    #[arg(long = "limit", value_name = "NAME=VALUE", value_parser = limit)]
    limits: Vec<(String, Value)>,
    /// The file for the licence, instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

const DAY: i64 = 24 * 60 * 60;

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn Error>> {
    let key = load_or_make(&arguments.key)?;
    let now = i64::try_from(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs())?;
    let in_days = |days: i64| now.saturating_add(days.saturating_mul(DAY));
    let license = issue(
        &key,
        &json!({
            "sub": arguments.subject,
            "aud": arguments.products,
            "iat": now,
            "nbf": in_days(arguments.from_days),
            "exp": in_days(arguments.days),
            "limits": Map::from_iter(arguments.limits),
        }),
    );
    match &arguments.out {
        Some(path) => replace(path, &license)?,
        None => println!("{license}"),
    }
    eprintln!("The public key, for the service:\n{}", key.verifying_key().to_public_key_pem(LineEnding::LF)?);
    eprintln!("The private key in `{}` stays with the vendor.", arguments.key.display());
    Ok(())
}

/// Returns a JSON Web Token in compact form: header, claims and their signature, each in base64.
fn issue(key: &SigningKey, claims: &Value) -> String {
    let encode = Base64UrlUnpadded::encode_string;
    let message =
        format!("{}.{}", encode(br#"{"alg":"EdDSA","typ":"JWT"}"#), encode(claims.to_string().as_bytes()));
    let signature = key.sign(message.as_bytes()).to_bytes();
    format!("{message}.{}", encode(&signature))
}

fn load_or_make(path: &Path) -> Result<SigningKey, Box<dyn Error>> {
    if path.exists() {
        return SigningKey::from_pkcs8_pem(&fs::read_to_string(path)?)
            .map_err(|error| format!("`{}` holds no Ed25519 private key: {error}", path.display()).into());
    }
    let mut seed = [0; 32];
    getrandom::fill(&mut seed)?;
    let key = SigningKey::from_bytes(&seed);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // Without the public key: OpenSSL 3.0 cannot read a file that contains both keys.
    let pem = KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_pem(LineEnding::LF)?;
    options.open(path)?.write_all(pem.as_bytes())?;
    eprintln!("Made a new private key in `{}`.", path.display());
    Ok(key)
}

/// Replaces the file by renaming, so that a service that reads it at the same time sees either the
/// whole old licence or the whole new one.
fn replace(path: &Path, license: &str) -> Result<(), Box<dyn Error>> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, format!("{license}\n"))?;
    fs::rename(&temporary, path)?;
    eprintln!("The licence is in `{}`.", path.display());
    Ok(())
}

fn limit(argument: &str) -> Result<(String, Value), &'static str> {
    let (name, text) = argument.split_once('=').ok_or("it needs NAME=VALUE")?;
    let plain = |value: &Value| value.is_number() || value.is_boolean();
    let value = serde_json::from_str(text).ok().filter(plain);
    Ok((name.to_owned(), value.unwrap_or_else(|| Value::from(text))))
}
