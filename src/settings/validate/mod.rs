//! Validation of settings without the network, before a point is lost because of them.

use std::{fs, path::Path, time::Duration};

mod credentials;
mod influx;
mod names;
mod process;
mod rollup;
mod url;

#[cfg(any(test, feature = "reqwest"))]
pub(crate) use url::socket_path;

use super::{
    FileSettings, LicensingSettings, Limits, Settings, SpoolSettings, Storage,
    defaults::{BATCH_BYTES, START_BYTES},
    duration, size,
};
use crate::error::Error;

impl Settings {
    /// Checks everything that can be checked without the network: ranges, names, the URL, and that
    /// files can be read.
    ///
    /// [`Monitor::start`](crate::Monitor::start) does the same. Call this method to check a
    /// configuration without starting a monitor. With `enabled = false` nothing is checked. Of
    /// `influx` and `file`, only the one that [`Storage`] selects is checked.
    ///
    /// # Errors
    ///
    /// The first invalid setting, with its key, its value and what would be valid. Secrets are
    /// never printed.
    pub fn validate(&self) -> Result<(), Error> {
        if !self.enabled {
            return Ok(());
        }
        names::validate(self)?;
        self.validate_delivery()?;
        self.limits.validate()?;
        self.licensing.validate()?;
        rollup::validate(self)?;
        process::validate(self)?;
        match self.storage {
            Storage::Influx => self.influx.validate()?,
            Storage::File => self.file.validate()?,
            Storage::None => {}
        }
        if let Some(spool) = &self.spool {
            spool.validate(self.needed_batch_bytes())?;
        }
        self.validate_directories()
    }

    fn validate_delivery(&self) -> Result<(), Error> {
        validate_flush_interval(self.flush_interval)?;
        numbers("batch_size", self.batch_size, 1, MAX_BATCH_SIZE)?;
        let batch = self.needed_batch_bytes();
        sizes("batch_bytes", batch as u64, LONGEST_LINE, self.buffer_size as u64)
            .map_err(|error| if batch > self.buffer_size { self.batch_above_buffer() } else { error })?;
        durations("retry_interval", self.retry_interval, SHORTEST, HOUR)?;
        durations("max_retry_interval", self.max_retry_interval, SHORTEST, DAY)?;
        durations("max_retry_time", self.max_retry_time, SHORTEST, YEAR)?;
        ordered("retry_interval", self.retry_interval, "max_retry_interval", self.max_retry_interval)?;
        ordered("max_retry_interval", self.max_retry_interval, "max_retry_time", self.max_retry_time)?;
        numbers("max_in_flight", self.max_in_flight, 1, 16)
    }

    /// Returns the bytes of a batch that must fit into memory and spool. The default is an upper
    /// bound that less memory lowers. A configured value must fit.
    fn needed_batch_bytes(&self) -> usize {
        if self.batch_bytes == BATCH_BYTES { START_BYTES } else { self.batch_bytes }
    }

    fn batch_above_buffer(&self) -> Error {
        let batch = size::DisplaySize(self.needed_batch_bytes() as u64);
        let remedy = format!("memory must hold at least one batch; write {batch} or more");
        Error::setting("buffer_size", size::DisplaySize(self.buffer_size as u64), remedy)
    }

    /// Checks that no two parts use the same directory.
    fn validate_directories(&self) -> Result<(), Error> {
        let file = (self.storage == Storage::File).then_some(("directory", self.file.directory.as_path()));
        let rejected = self.rejected_directory.as_deref().map(|directory| ("rejected_directory", directory));
        let spool = self.spool.as_ref().map(|spool| ("spool.directory", spool.directory.as_path()));
        let directories: Vec<_> = [file, rejected, spool].into_iter().flatten().collect();
        for (index, (name, directory)) in directories.iter().enumerate() {
            validate_directory(name, directory)?;
            for (other, same) in &directories[..index] {
                if same == directory {
                    let remedy = format!("`{other}` is the same directory; name another one");
                    return Err(Error::setting(name, directory.display(), remedy));
                }
            }
        }
        Ok(())
    }
}

impl FileSettings {
    pub(crate) fn validate(&self) -> Result<(), Error> {
        sizes("max_file_size", self.max_file_size, LONGEST_LINE, u64::MAX)?;
        if self.max_total_size < self.max_file_size {
            let file = size::DisplaySize(self.max_file_size);
            let remedy =
                format!("all files together must hold at least one; write `max_file_size` ({file}) or more");
            return Err(Error::setting("max_total_size", size::DisplaySize(self.max_total_size), remedy));
        }
        Ok(())
    }
}

impl Limits {
    fn validate(&self) -> Result<(), Error> {
        sizes("limits.tag_bytes", self.tag_bytes as u64, 64, 16 * KIB)?;
        sizes("limits.field_bytes", self.field_bytes as u64, 64, 20 * KIB)?;
        numbers("limits.extras", self.extras, 0, 1_000)?;
        numbers("limits.tag_values", self.tag_values, 0, 1_000_000)
    }
}

impl SpoolSettings {
    fn validate(&self, batch_bytes: usize) -> Result<(), Error> {
        // A batch that does not fit would evict all others and then itself.
        let least = (batch_bytes as u64).saturating_mul(2);
        if self.max_size < least {
            let remedy = format!("two batches must fit; write {} or more", size::DisplaySize(least));
            return Err(Error::setting("spool.max_size", size::DisplaySize(self.max_size), remedy));
        }
        numbers("spool.max_files", self.max_files, 1, 10_000_000)?;
        durations("spool.max_age", self.max_age, Duration::from_secs(1), YEAR)
    }
}

impl LicensingSettings {
    fn validate(&self) -> Result<(), Error> {
        durations("licensing.timeout", self.timeout, SHORTEST, HOUR)?;
        durations("licensing.grace_period", self.grace_period, Duration::ZERO, LONGEST_GRACE)?;
        if !(0..=MAX_WARNING_DAYS).contains(&self.warning_days) {
            let remedy = format!("write 0 to {MAX_WARNING_DAYS} days");
            return Err(Error::setting("licensing.warning_days", self.warning_days, remedy));
        }
        let Some(name) = &self.time_zone else { return Ok(()) };
        if jiff::tz::TimeZone::get(name).is_ok() {
            return Ok(());
        }
        let remedy = if jiff::tz::db().is_definitively_empty() {
            "this system has no time zone data; install its package, usually called `tzdata`, or leave the key out"
        } else {
            "unknown time zone; write an IANA name such as `Europe/Berlin` or `UTC`, or leave the key out"
        };
        Err(Error::setting("licensing.time_zone", super::value::shown(name), remedy))
    }
}

/// Checks a directory. A missing one is created when it is needed. An existing one may be found
/// unusable now.
fn validate_directory(name: &str, directory: &Path) -> Result<(), Error> {
    if directory.as_os_str().is_empty() {
        return Err(Error::setting_without_value(name, "empty; name a directory"));
    }
    // If a file is in the place of any part of the path, it is the nearest existing ancestor.
    let existing = directory.ancestors().find(|part| !part.as_os_str().is_empty() && part.exists());
    let Some(existing) = existing else { return Ok(()) };
    if !existing.is_dir() {
        let remedy = format!("`{}` is not a directory; name another place", existing.display());
        return Err(Error::setting(name, directory.display(), remedy));
    }
    if existing == directory {
        fs::read_dir(directory).map_err(|error| {
            let what =
                format!("setting `{name}` is `{}`, but must be a readable directory", directory.display());
            Error::io(what, error)
        })?;
    }
    Ok(())
}

/// Checks the only setting that can be changed on its own.
pub(crate) fn validate_flush_interval(interval: Duration) -> Result<(), Error> {
    durations("flush_interval", interval, SHORTEST, HOUR)
}

fn durations(name: &str, value: Duration, least: Duration, most: Duration) -> Result<(), Error> {
    if value >= least && value <= most {
        return Ok(());
    }
    let remedy = format!("write {} to {}", duration::DisplayDuration(least), duration::DisplayDuration(most));
    Err(Error::setting(name, duration::DisplayDuration(value), remedy))
}

fn sizes(name: &str, value: u64, least: u64, most: u64) -> Result<(), Error> {
    if value >= least && value <= most {
        return Ok(());
    }
    let remedy = if most == u64::MAX {
        format!("write {} or more", size::DisplaySize(least))
    } else {
        format!("write {} to {}", size::DisplaySize(least), size::DisplaySize(most))
    };
    Err(Error::setting(name, size::DisplaySize(value), remedy))
}

fn numbers(name: &str, value: usize, least: usize, most: usize) -> Result<(), Error> {
    if value >= least && value <= most {
        return Ok(());
    }
    Err(Error::setting(name, value, format!("write {least} to {most}")))
}

fn ordered(name: &str, value: Duration, greater: &str, bound: Duration) -> Result<(), Error> {
    if value <= bound {
        return Ok(());
    }
    let remedy = format!("cannot be longer than `{greater}`, which is {}", duration::DisplayDuration(bound));
    Err(Error::setting(name, duration::DisplayDuration(value), remedy))
}

const KIB: u64 = 1024;
const LONGEST_LINE: u64 = 64 * KIB;
const MAX_BATCH_SIZE: usize = 1_000_000;
const MAX_WARNING_DAYS: i64 = 3_650;
const LONGEST_GRACE: Duration = DAY.saturating_mul(30);
const SHORTEST: Duration = Duration::from_millis(10);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const YEAR: Duration = DAY.saturating_mul(365);
