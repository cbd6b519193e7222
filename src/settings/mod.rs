//! The settings of a deployment: section `[monitoring]` of an application's configuration.

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use crate::Token;

/// Everything about a deployment. What belongs to the code (classifier, route function, header name) is set on the layer.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Settings {
    /// Value of the tag `service` of every request's points. Required.
    pub service: String,
    /// Whether anything is recorded at all. Defaults to true. The reference calls it `send_data_for_monitoring`.
    pub enabled: bool,
    /// Where the points go. Defaults to [`Storage::File`].
    pub storage: Storage,
    /// Value of the tag `instance` of every point, which keeps replicas of one service apart. Defaults to none.
    pub instance: Option<String>,
    /// Further tags of every point. Defaults to none.
    pub tags: BTreeMap<String, String>,
    /// Whether points carry the field `request_id`, most of what compresses badly. Defaults to true.
    pub request_id: bool,
    /// The InfluxDB server, for [`Storage::Influx`].
    pub influx: InfluxSettings,
    /// The line-protocol files, for [`Storage::File`].
    pub file: FileSettings,
    /// How long points are collected before they are sent. Defaults to 1 second, with a tenth of jitter.
    pub flush_interval: Duration,
    /// Lines of a full batch. Defaults to 5,000, as InfluxData advises.
    pub batch_size: usize,
    /// Bytes of a full batch before compression. Defaults to 768 KiB, since nginx refuses bodies above 1 MiB by default.
    pub batch_bytes: usize,
    /// Bytes of points kept in memory. Defaults to 32 MiB.
    pub buffer_size: usize,
    /// What goes when memory is full. Defaults to [`Overflow::DropOldest`].
    pub overflow: Overflow,
    /// The first pause after a failed write; it doubles with each further failure, with full jitter. Defaults to 500 ms.
    pub retry_interval: Duration,
    /// The longest pause between tries. Defaults to 30 seconds.
    pub max_retry_interval: Duration,
    /// How long a point may wait in memory before it is dropped. Defaults to 1 hour. There is no bound on tries.
    pub max_retry_time: Duration,
    /// Batches on the wire at once, 1 to 16. Defaults to 1; 2 to 4 suit InfluxDB 3, which answers after about a second.
    pub max_in_flight: usize,
    /// Directory for lines that the server refused for good. Defaults to none: they are counted and gone.
    pub rejected_directory: Option<PathBuf>,
    /// Bounds of what handlers add.
    pub limits: Limits,
    /// Batches that wait on disk. Defaults to none: what waits, waits in memory.
    pub spool: Option<SpoolSettings>,
    /// Request templates and methods that are not recorded, or the only ones that are.
    pub filter: FilterSettings,
    /// The licence check.
    pub licensing: LicensingSettings,
    /// Whether the monitoring writes points about itself, in the series `monitoring`. Defaults to false.
    pub own_points: bool,
}

/// Where points go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// To an InfluxDB server, or whatever speaks its write API.
    Influx,
    /// To line-protocol files, which `influx write` can import.
    #[default]
    File,
}

/// What goes when memory is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Overflow {
    /// The oldest points go: what happens now is worth more.
    #[default]
    DropOldest,
    /// New points are refused.
    DropNewest,
}

/// How to reach InfluxDB.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InfluxSettings {
    /// `http://` or `https://`, host and port. Defaults to `http://localhost:8086`. Set this or `host`, `port` and `ssl`.
    pub url: String,
    /// The organization, for 2.x. Defaults to none.
    pub organization: String,
    /// The bucket, which 1.x and 3.x call the database. Required for [`Storage::Influx`].
    pub bucket: String,
    /// The token. Defaults to none. Set this or `token_file`.
    pub token: Token,
    /// A file that holds the token, read at start and again when the server refuses it. Defaults to none.
    pub token_file: Option<PathBuf>,
    /// Which client sends. Defaults to [`Client::Influxdb2`] where that feature is on.
    pub client: Client,
    /// Which endpoint is spoken, with [`Client::Http`]. Defaults to [`Api::V2`].
    pub api: Api,
    /// User and password, for 1.x with [`Client::Http`]. Default to none.
    pub username: String,
    /// See `username`.
    pub password: Token,
    /// How the token is sent, with [`Client::Http`]: defaults to [`Authorization::Token`].
    pub authorization: Authorization,
    /// Retention policy, for [`Api::V1`]. Defaults to the database's own default.
    pub retention_policy: Option<String>,
    /// [`Api::V3`]: whether good lines of a batch with bad ones are written. Defaults to true.
    pub accept_partial: bool,
    /// [`Api::V3`]: whether the server answers before the points are durable. Defaults to false.
    pub no_sync: bool,
    /// Further headers of every request, with [`Client::Http`]. Default to none. Values are treated as secrets.
    pub headers: BTreeMap<String, Token>,
    /// A file of PEM certificates that are trusted beside the usual ones, with [`Client::Http`]. Defaults to none.
    pub certificate_authority: Option<PathBuf>,
    /// Whether bodies of 1 KiB and more are compressed. Defaults to true, except towards this very host.
    pub gzip: Option<bool>,
    /// How long connecting may take. Defaults to 5 seconds.
    pub connect_timeout: Duration,
    /// How long a whole write may take. Defaults to 30 seconds.
    pub timeout: Duration,
}

/// Which client sends to InfluxDB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Client {
    /// The `influxdb2` crate, feature `influxdb2`.
    Influxdb2,
    /// Today's HTTP stack, feature `http`.
    Http,
}

/// Which write endpoint is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Api {
    /// `/write?db=`, InfluxDB 1.x.
    V1,
    /// `/api/v2/write`, InfluxDB 2.x, also spoken by 1.8, 3.x, VictoriaMetrics and Telegraf.
    #[default]
    V2,
    /// `/api/v3/write_lp`, InfluxDB 3.x.
    V3,
}

/// How the token is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Authorization {
    /// `Authorization: Token …`, InfluxData's own.
    #[default]
    Token,
    /// `Authorization: Bearer …`.
    Bearer,
    /// `Authorization: Basic …`, made of `username` and `password`.
    Basic,
}

/// Line-protocol files.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct FileSettings {
    /// Where the files are. Defaults to `monitoring-data` under the working directory.
    pub directory: PathBuf,
    /// Bytes after which a new file is begun; one is begun each day as well. Defaults to 64 MiB.
    pub max_file_size: u64,
    /// Bytes of all files together; the oldest go first. Defaults to 1 GiB.
    pub max_total_size: u64,
}

/// Bounds of what handlers and own points add.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Bytes of a tag's value; a longer one is cut and counted. Defaults to 1 KiB.
    pub tag_bytes: usize,
    /// Bytes of a string field; a longer one is cut and counted. Defaults to 16 KiB.
    pub field_bytes: usize,
    /// Extra tags and fields of one request together; more are left out and counted. Defaults to 64.
    pub extras: usize,
    /// Distinct values of an extra tag or of `error_code`; more become an overflow value. 0 is no bound. Defaults to 1,000.
    pub tag_values: usize,
}

/// Batches that wait on disk.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SpoolSettings {
    /// Where they wait. Required.
    pub directory: PathBuf,
    /// When they go there. Defaults to [`SpoolMode::OnFailure`].
    pub mode: SpoolMode,
    /// Bytes of all files. Defaults to 1 GiB.
    pub max_size: u64,
    /// Number of files. Defaults to 100,000.
    pub max_files: usize,
    /// How long a batch may wait. Defaults to 7 days.
    pub max_age: Duration,
}

/// When batches go to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SpoolMode {
    /// When they could not be written: a crash loses what is in memory.
    #[default]
    OnFailure,
    /// Before they are sent: a crash loses at most one flush interval.
    Ahead,
}

/// Which requests are recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FilterSettings {
    /// Routes that are not recorded: `METHOD:/template`, or `/template` for every method. Defaults to none.
    pub ignore: Vec<String>,
    /// The only routes that are recorded. Defaults to none, which means all.
    pub allow: Vec<String>,
}

/// The licence check.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LicensingSettings {
    /// IANA name of the time zone whose midnight counts, such as `Europe/Berlin`. Defaults to the system's.
    pub time_zone: Option<String>,
    /// How long a check may take before it counts as failed. Defaults to 30 seconds.
    pub timeout: Duration,
    /// Days before the end from which a licence file gives a warning. Defaults to 14.
    pub warning_days: i64,
}

impl Settings {
    /// The defaults, for a service of this name: points go to files under `monitoring-data`.
    pub fn new(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            enabled: true,
            storage: Storage::default(),
            instance: None,
            tags: BTreeMap::new(),
            request_id: true,
            influx: InfluxSettings::default(),
            file: FileSettings::default(),
            flush_interval: FLUSH_INTERVAL,
            batch_size: BATCH_SIZE,
            batch_bytes: BATCH_BYTES,
            buffer_size: BUFFER_SIZE,
            overflow: Overflow::default(),
            retry_interval: RETRY_INTERVAL,
            max_retry_interval: MAX_RETRY_INTERVAL,
            max_retry_time: MAX_RETRY_TIME,
            max_in_flight: MAX_IN_FLIGHT,
            rejected_directory: None,
            limits: Limits::default(),
            spool: None,
            filter: FilterSettings::default(),
            licensing: LicensingSettings::default(),
            own_points: false,
        }
    }
}

impl Default for InfluxSettings {
    fn default() -> Self {
        Self {
            url: URL.to_owned(),
            organization: String::new(),
            bucket: String::new(),
            token: Token::default(),
            token_file: None,
            client: Client::default(),
            api: Api::default(),
            username: String::new(),
            password: Token::default(),
            authorization: Authorization::default(),
            retention_policy: None,
            accept_partial: true,
            no_sync: false,
            headers: BTreeMap::new(),
            certificate_authority: None,
            gzip: None,
            connect_timeout: CONNECT_TIMEOUT,
            timeout: TIMEOUT,
        }
    }
}

impl Default for Client {
    fn default() -> Self {
        if cfg!(feature = "http") && !cfg!(feature = "influxdb2") { Self::Http } else { Self::Influxdb2 }
    }
}

impl Default for FileSettings {
    fn default() -> Self {
        Self { directory: DIRECTORY.into(), max_file_size: MAX_FILE_SIZE, max_total_size: MAX_TOTAL_SIZE }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { tag_bytes: TAG_BYTES, field_bytes: FIELD_BYTES, extras: EXTRAS, tag_values: TAG_VALUES }
    }
}

impl SpoolSettings {
    /// The defaults, in this directory.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            mode: SpoolMode::default(),
            max_size: SPOOL_MAX_SIZE,
            max_files: SPOOL_MAX_FILES,
            max_age: SPOOL_MAX_AGE,
        }
    }
}

impl Default for LicensingSettings {
    fn default() -> Self {
        Self { time_zone: None, timeout: LICENSE_TIMEOUT, warning_days: LICENSE_WARNING_DAYS }
    }
}

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

const URL: &str = "http://localhost:8086";
const DIRECTORY: &str = "monitoring-data";
const MAX_FILE_SIZE: u64 = 64 * MIB as u64;
const MAX_TOTAL_SIZE: u64 = 1024 * MIB as u64;
const FLUSH_INTERVAL: Duration = Duration::from_secs(1);
const BATCH_SIZE: usize = 5_000;
const BATCH_BYTES: usize = 768 * KIB;
const BUFFER_SIZE: usize = 32 * MIB;
const RETRY_INTERVAL: Duration = Duration::from_millis(500);
const MAX_RETRY_INTERVAL: Duration = Duration::from_secs(30);
const MAX_RETRY_TIME: Duration = Duration::from_secs(60 * 60);
const MAX_IN_FLIGHT: usize = 1;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
const TAG_BYTES: usize = KIB;
const FIELD_BYTES: usize = 16 * KIB;
const EXTRAS: usize = 64;
const TAG_VALUES: usize = 1_000;
const SPOOL_MAX_SIZE: u64 = 1024 * MIB as u64;
const SPOOL_MAX_FILES: usize = 100_000;
const SPOOL_MAX_AGE: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const LICENSE_TIMEOUT: Duration = Duration::from_secs(30);
const LICENSE_WARNING_DAYS: i64 = 14;
