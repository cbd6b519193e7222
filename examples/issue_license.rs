//! Issues a licence for [`LicenseFile`](tower_influx::licensing::LicenseFile): what a vendor does,
//! kept small for tests and demonstrations.
//!
//! ```text
//! cargo run --example issue_license -- --key vendor.pem --subject "Acme" --product luna-licenses --days 365 \
//!     --limit faces=1000 --out license.jwt
//! ```
//!
//! The private key is made at the first call if its file does not exist. **It stays with the
//! vendor**: whoever has it can issue licences. The service needs its public half only, which is
//! printed, and the customer gets the licence alone.
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
use ed25519_dalek::{
    Signer, SigningKey,
    pkcs8::{DecodePrivateKey, EncodePrivateKey, EncodePublicKey, KeypairBytes, spki::der::pem::LineEnding},
};
use serde_json::{Map, Value, json};

const USAGE: &str = "\
usage: issue_license --key FILE --subject NAME --product NAME [--product NAME]... [--days N] [--from-days N]
                     [--limit NAME=VALUE]... [--out FILE]

  --key FILE          private key in PEM; made if it is not there; stays with the vendor
  --subject NAME      who the licence is for
  --product NAME      what it is for: the name that the service gives to LicenseFile
  --days N            ends N days from now; negative for one that is over; 365 if not given
  --from-days N       is valid from N days from now on; 0 if not given
  --limit NAME=VALUE  a number, true, false or a text
  --out FILE          where the licence goes; to standard output if not given";

const DAY: i64 = 24 * 60 * 60;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let Some(arguments) = Arguments::read(std::env::args().skip(1))? else {
        println!("{USAGE}");
        return Ok(());
    };
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
            "limits": arguments.limits,
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

/// A JSON Web Token in the compact form: header, claims and the signature of both, each in base64.
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
    // Without the public half: OpenSSL 3.0 reads no key that has both.
    let pem = KeypairBytes { secret_key: key.to_bytes(), public_key: None }.to_pkcs8_pem(LineEnding::LF)?;
    options.open(path)?.write_all(pem.as_bytes())?;
    eprintln!("Made a new private key in `{}`.", path.display());
    Ok(key)
}

/// By renaming, so that a service that reads meanwhile sees the old licence or the new one and no
/// half.
fn replace(path: &Path, license: &str) -> Result<(), Box<dyn Error>> {
    let temporary = path.with_extension("new");
    fs::write(&temporary, format!("{license}\n"))?;
    fs::rename(&temporary, path)?;
    eprintln!("The licence is in `{}`.", path.display());
    Ok(())
}

struct Arguments {
    key: PathBuf,
    subject: String,
    products: Vec<String>,
    days: i64,
    from_days: i64,
    limits: Map<String, Value>,
    out: Option<PathBuf>,
}

impl Arguments {
    /// `None` when help is asked for.
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Option<Self>, Box<dyn Error>> {
        let (mut key, mut subject, mut out) = (None, None, None);
        let (mut products, mut limits) = (Vec::new(), Map::new());
        let (mut days, mut from_days) = (365, 0);
        while let Some(name) = arguments.next() {
            if name == "--help" {
                return Ok(None);
            }
            let value = arguments.next().ok_or_else(|| format!("{name} needs a value\n\n{USAGE}"))?;
            let number =
                || value.parse().map_err(|_| format!("{name} needs a number of days, not `{value}`"));
            match name.as_str() {
                "--key" => key = Some(PathBuf::from(value)),
                "--subject" => subject = Some(value),
                "--product" => products.push(value),
                "--days" => days = number()?,
                "--from-days" => from_days = number()?,
                "--limit" => {
                    let (name, text) = value.split_once('=').ok_or("--limit needs NAME=VALUE")?;
                    let plain = |value: &Value| value.is_number() || value.is_boolean();
                    let limit = serde_json::from_str(text).ok().filter(plain);
                    limits.insert(name.to_owned(), limit.unwrap_or_else(|| Value::from(text)));
                }
                "--out" => out = Some(PathBuf::from(value)),
                _ => return Err(format!("{name} is not known\n\n{USAGE}").into()),
            }
        }
        let missing = |name: &str| format!("{name} is missing\n\n{USAGE}");
        if products.is_empty() {
            return Err(missing("--product").into());
        }
        Ok(Some(Self {
            key: key.ok_or_else(|| missing("--key"))?,
            subject: subject.ok_or_else(|| missing("--subject"))?,
            products,
            days,
            from_days,
            limits,
            out,
        }))
    }
}
