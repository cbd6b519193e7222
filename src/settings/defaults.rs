//! The default values of the settings.

use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) const SCHEME: &str = "http";
pub(super) const HOST: &str = "localhost";
pub(super) const PORT: u16 = 8086;
pub(super) const URL: &str = "http://localhost:8086";
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);

pub(super) const DIRECTORY: &str = "monitoring-data";
pub(super) const MAX_FILE_SIZE: u64 = 64 * MIB as u64;
pub(super) const MAX_TOTAL_SIZE: u64 = 1024 * MIB as u64;

pub(super) const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
pub(super) const BATCH_SIZE: usize = 50_000;
pub(super) const BATCH_BYTES: usize = 4 * MIB;
/// The initial size of request bodies. Memory and spool must have room for at least one.
pub(super) const START_BYTES: usize = 768 * KIB;
pub(super) const BUFFER_SIZE: usize = 32 * MIB;
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(500);
pub(super) const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);
pub(super) const MAX_RETRY_TIME: Duration = Duration::from_secs(60 * 60);
pub(super) const MAX_IN_FLIGHT: usize = 16;

pub(super) const TAG_BYTES: usize = KIB;
pub(super) const FIELD_BYTES: usize = 16 * KIB;
pub(super) const EXTRAS: usize = 64;
pub(super) const ROLLUP_KEYS: usize = 1_000;
pub(super) const TAG_VALUES: usize = 1_000;

pub(super) const SPOOL_MAX_SIZE: u64 = 1024 * MIB as u64;
pub(super) const SPOOL_MAX_FILES: usize = 100_000;
pub(super) const SPOOL_MAX_AGE: Duration = DAY.saturating_mul(7);

pub(super) const LICENSE_TIMEOUT: Duration = Duration::from_secs(30);
/// More than two days, so that two checks at midnight may fail in a row.
pub(super) const LICENSE_GRACE_PERIOD: Duration = Duration::from_secs(3 * 24 * 60 * 60);
pub(super) const LICENSE_WARNING_DAYS: i64 = 14;
