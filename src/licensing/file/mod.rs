//! [`LicenseFile`]: the check of a signed licence file.

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use tokio::task;

use self::token::License;
use super::{LicenseCheck, LicenseCheckFuture, LicenseState, wall_clock::WallClock};
use crate::settings::LicensingSettings;

mod key;
mod token;

#[cfg(test)]
mod tests;

pub use key::PublicKey;

/// A licence in a file, as a JSON Web Token that is signed with Ed25519. Use it as the check of
/// [`Licensing`](super::Licensing).
///
/// The file is read at every check, so a licence can be replaced by replacing the file. A licence
/// that ends soon has a warning. Each of these faults is an error in the [`LicenseState`], with its
/// own message:
///
/// - the file is missing or cannot be read,
/// - the licence is malformed, signed with another algorithm, or has a wrong signature,
/// - the licence is for another product, not yet valid, or has ended.
///
/// The point also has the field `license_subject`, and one field for each limit of the licence,
/// with the prefix `limit_`. Signatures are verified strictly. Ed25519 is the only supported
/// algorithm.
#[derive(Clone, Debug)]
pub struct LicenseFile {
    path: PathBuf,
    key: PublicKey,
    product: String,
    warning_days: Option<i64>,
    clock: WallClock,
}

impl LicenseFile {
    /// Creates a check of the licence file at `path`. The licence must be for `product`, and signed
    /// with the private key that belongs to `key`.
    pub fn new(path: impl Into<PathBuf>, key: PublicKey, product: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            key,
            product: product.into(),
            warning_days: None,
            clock: WallClock::system(),
        }
    }

    /// Sets the number of days before the end of the licence from which there is a warning. 0 turns
    /// the warning off. Defaults to the setting `licensing.warning_days`, which is 14 by default.
    #[must_use]
    pub fn with_warning_days(mut self, days: i64) -> Self {
        self.warning_days = Some(days);
        self
    }

    #[cfg(test)]
    fn clock(mut self, clock: WallClock) -> Self {
        self.clock = clock;
        self
    }

    fn state(&self, content: io::Result<Vec<u8>>) -> LicenseState {
        let path = self.path.display();
        let content = match content {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return LicenseState::unknown(format!("there is no licence file `{path}`"));
            }
            Err(error) => {
                return LicenseState::unknown(format!("the licence file `{path}` cannot be read: {error}"));
            }
        };
        // A licence that was sent by mail and saved by hand may be surrounded by line breaks, which
        // are not part of it.
        match License::verify(content.trim_ascii(), &self.key) {
            Ok(license) => self.judge(license),
            Err(fault) => LicenseState::unknown(format!("the licence file `{path}` {fault}")),
        }
    }

    fn judge(&self, license: License) -> LicenseState {
        if !license.products.contains(&self.product) {
            return LicenseState::unknown(format!(
                "the licence is for `{}`, not for `{}`",
                license.products.join("`, `").escape_debug(),
                self.product
            ));
        }
        let now = self.clock.now();
        let seconds_left = license.expires.as_second().saturating_sub(now.as_second());
        let days_left = seconds_left.div_euclid(SECONDS_A_DAY);
        let warning_days = self.warning_days.unwrap_or(LicensingSettings::default().warning_days);
        let mut state = LicenseState::new(days_left).with_field("license_subject", license.subject);
        if now >= license.expires {
            state = state.with_error(format!("the licence expired at {}", license.expires));
        } else if seconds_left <= warning_days.saturating_mul(SECONDS_A_DAY) {
            state = state.with_warning(format!(
                "the licence ends at {}, {}",
                license.expires,
                in_days(days_left)
            ));
        }
        if let Some(not_before) = license.not_before.filter(|not_before| now < *not_before) {
            state = state.with_error(format!("the licence is not valid before {not_before}"));
        }
        license
            .limits
            .into_iter()
            .fold(state, |state, (name, limit)| state.with_field(format!("limit_{name}"), limit))
    }
}

impl LicenseCheck for LicenseFile {
    fn check(&self) -> LicenseCheckFuture<'_> {
        Box::pin(async move {
            let path = self.path.clone();
            let content = task::spawn_blocking(move || read(&path)).await?;
            Ok(self.state(content))
        })
    }

    fn configure(&mut self, settings: &LicensingSettings) {
        self.warning_days.get_or_insert(settings.warning_days);
    }
}

/// Reads a file of bounded size. Only regular files are accepted: a pipe would block the thread for
/// ever, and with it the end of the process.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(MAX_FILE_SIZE + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_FILE_SIZE {
        return Err(io::Error::other(format!("it is larger than {MAX_FILE_SIZE} bytes")));
    }
    Ok(content)
}

fn in_days(days: i64) -> String {
    match days {
        0 => "within a day".to_owned(),
        1 => "in 1 day".to_owned(),
        days => format!("in {days} days"),
    }
}

const SECONDS_A_DAY: i64 = 24 * 60 * 60;
const MAX_FILE_SIZE: u64 = 64 * 1024;
