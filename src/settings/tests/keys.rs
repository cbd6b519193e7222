//! Every key reaches its setting, under each of its names, in each case, from each format.

use std::{collections::BTreeMap, time::Duration};

use serde_json::json;

use super::{known, parsed, with};
use crate::settings::{
    FileSettings, FilterSettings, InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings, KeepRequests,
    LicensingSettings, Limits, MetricNames, MetricsSettings, Overflow, ProcessSettings, RequestSettings,
    RollupHistogram, RollupSettings, Settings, SpoolMode, SpoolSettings, Storage, Token,
};

/// A value for each key that is not its default, as text.
const OTHER: [(&str, &str); 46] = [
    ("service", "other"),
    ("enabled", "false"),
    ("storage", "influx"),
    ("instance", "seven"),
    ("request_id", "false"),
    ("trace_id", "true"),
    ("own_points", "true"),
    ("directory", "/tmp/points"),
    ("max_file_size", "1MiB"),
    ("max_total_size", "2MiB"),
    ("url", "http://influxdb:1234"),
    ("host", "influxdb"),
    ("port", "1234"),
    ("ssl", "true"),
    ("organization", "acme"),
    ("bucket", "monitoring"),
    ("token", "hunter2"),
    ("token_file", "/run/token"),
    ("client", "reqwest"),
    ("api", "v3"),
    ("authorization", "bearer"),
    ("username", "me"),
    ("password", "hunter3"),
    ("retention_policy", "short"),
    ("accept_partial", "false"),
    ("no_sync", "true"),
    ("certificate_authority", "/etc/ca.pem"),
    ("gzip", "true"),
    ("connect_timeout", "6s"),
    ("timeout", "31s"),
    ("flush_interval", "2s"),
    ("batch_size", "6000"),
    ("batch_bytes", "1MiB"),
    ("buffer_size", "64MiB"),
    ("overflow", "drop-newest"),
    ("retry_interval", "1s"),
    ("max_retry_interval", "1m"),
    ("max_retry_time", "2h"),
    ("max_in_flight", "4"),
    ("strip_refused_extras", "false"),
    ("rejected_directory", "/tmp/rejected"),
    ("spool.directory", "/tmp/spool"),
    ("spool.mode", "ahead"),
    ("spool.max_size", "2GiB"),
    ("spool.max_files", "5"),
    ("spool.max_age", "1d"),
];
const OTHER_IN_TABLES: [(&str, &str); 18] = [
    ("limits.tag_bytes", "2KiB"),
    ("limits.field_bytes", "32KiB"),
    ("limits.extras", "8"),
    ("limits.tag_values", "0"),
    ("limits.rollup_keys", "7"),
    ("metrics.names", "luna"),
    ("process.interval", "10s"),
    ("requests.keep", "failed"),
    ("requests.slow", "1s"),
    ("rollup.interval", "10s"),
    ("rollup.tags", "tenant"),
    ("rollup.histogram", "off"),
    ("filter.ignore", "/health"),
    ("filter.allow", "GET:/items"),
    ("licensing.time_zone", "Europe/Berlin"),
    ("licensing.timeout", "5s"),
    ("licensing.grace_period", "1d"),
    ("licensing.warning_days", "30"),
];

fn others() -> BTreeMap<&'static str, &'static str> {
    OTHER.into_iter().chain(OTHER_IN_TABLES).collect()
}

#[test]
fn every_key_reaches_its_setting_under_each_name_and_in_each_case() {
    let others = others();
    for (key, names) in known() {
        let prefix = key.strip_suffix(names[0]).expect("a key ends in its name");
        let value = others.get(key.as_str()).map(|text| json!(text)).unwrap_or_else(|| json!({ "a": "b" }));
        let expected = with(&key, value.clone()).unwrap_or_else(|error| panic!("{error}"));
        let untouched = with("request_id", json!(true)).expect("the least");
        assert_ne!(expected, untouched, "{key} changes nothing");
        for name in names {
            for written in [(*name).to_owned(), name.to_uppercase(), name[..1].to_uppercase() + &name[1..]] {
                assert_eq!(
                    with(&format!("{prefix}{written}"), value.clone()).as_ref(),
                    Ok(&expected),
                    "{prefix}{written}"
                );
            }
        }
        let may_be_missing = key != "spool.directory";
        assert_eq!(with(&key, json!(null)).is_ok(), may_be_missing, "{key}: a null counts as not given");
    }
}

#[test]
fn a_section_with_every_key_is_read_whole() {
    let settings = parsed(EVERY_KEY);
    let expected = Settings {
        service: "shop".to_owned(),
        enabled: false,
        storage: Storage::Influx,
        instance: Some("one".to_owned()),
        tags: BTreeMap::from([("region".to_owned(), "eu".to_owned()), ("rack".to_owned(), "7".to_owned())]),
        request_id: false,
        trace_id: true,
        influx: InfluxSettings {
            url: "https://influxdb:1234".to_owned(),
            organization: "acme".to_owned(),
            bucket: "monitoring".to_owned(),
            token: Token::new("hunter2"),
            token_file: Some("/run/token".into()),
            client: InfluxClient::Reqwest,
            api: InfluxApi::V3,
            username: "me".to_owned(),
            password: Token::new("hunter3"),
            authorization: InfluxAuthorization::Basic,
            retention_policy: Some("short".to_owned()),
            accept_partial: false,
            no_sync: true,
            headers: BTreeMap::from([("X-Scope".to_owned(), Token::new("hunter4"))]),
            certificate_authority: Some("/etc/ca.pem".into()),
            gzip: Some(false),
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_millis(2_500),
        },
        file: FileSettings {
            directory: "/tmp/points".into(),
            max_file_size: 1_000_000,
            max_total_size: 3 * 1024 * 1024,
        },
        flush_interval: Duration::from_millis(250),
        batch_size: 10,
        batch_bytes: 65_536,
        buffer_size: 1024 * 1024,
        overflow: Overflow::DropNewest,
        retry_interval: Duration::from_secs(2),
        max_retry_interval: Duration::from_secs(120),
        max_retry_time: Duration::from_secs(2 * 86_400),
        max_in_flight: 3,
        strip_refused_extras: false,
        rejected_directory: Some("/tmp/rejected".into()),
        limits: Limits { tag_bytes: 100, field_bytes: 2_048, extras: 5, tag_values: 0, rollup_keys: 9 },
        spool: Some(SpoolSettings {
            directory: "/tmp/spool".into(),
            mode: SpoolMode::Ahead,
            max_size: 2 * 1024 * 1024 * 1024,
            max_files: 9,
            max_age: Duration::from_secs(3_600),
        }),
        filter: FilterSettings {
            ignore: vec!["/health".to_owned()],
            allow: vec!["GET:/items/{id}".to_owned()],
        },
        requests: RequestSettings { keep: KeepRequests::Slow, slow: Some(Duration::from_millis(500)) },
        metrics: MetricsSettings { names: Some(MetricNames::OpenTelemetry) },
        rollup: RollupSettings {
            interval: Some(Duration::from_secs(10)),
            tags: vec!["tenant".to_owned()],
            histogram: RollupHistogram::Boundaries(vec![Duration::from_millis(5), Duration::from_secs(1)]),
        },
        process: ProcessSettings { interval: Some(Duration::from_secs(30)) },
        licensing: LicensingSettings {
            time_zone: Some("UTC".to_owned()),
            timeout: Duration::from_secs(4),
            grace_period: Duration::from_secs(2 * 86_400),
            warning_days: 30,
        },
        own_points: true,
    };
    assert_eq!(settings, expected);
}

#[test]
fn missing_keys_keep_their_defaults() {
    assert_eq!(parsed("service = 'shop'"), Settings::new("shop"));
    parsed("service = 'shop'").validate().expect("the defaults are good");
    let empty_tables = "service = 'shop'\n[limits]\n[filter]\n[requests]\n[rollup]\n[process]\n[licensing]\n[tags]\n[headers]";
    assert_eq!(parsed(empty_tables), Settings::new("shop"));
    assert!(!parsed("enabled = false").enabled, "what records nothing needs no name");
}

#[test]
fn the_section_of_the_reference_is_accepted() {
    let json = r#"{
        "SERVICE": "luna-licenses", "SEND_DATA_FOR_MONITORING": 1, "STORAGE_TYPE": "INFLUX", "FLUSHING_PERIOD": 1,
        "USE_SSL": 0, "HOST": "127.0.0.1", "PORT": 8086, "ORGANIZATION": "luna", "BUCKET": "luna_monitoring", "TOKEN": "kofqt4Pfqjn6o"
    }"#;
    let settings: Settings = serde_json::from_str(json).expect("a section of the reference");
    settings.validate().expect("good settings");
    let mut expected = Settings::new("luna-licenses");
    expected.storage = Storage::Influx;
    expected.influx.url = "http://127.0.0.1:8086".to_owned();
    expected.influx.organization = "luna".to_owned();
    expected.influx.bucket = "luna_monitoring".to_owned();
    expected.influx.token = Token::new("kofqt4Pfqjn6o");
    assert_eq!(settings, expected);
}

#[test]
fn texts_of_an_environment_are_read_like_typed_values() {
    let typed = parsed(
        "service = 'shop'\nenabled = true\nport = 1234\nbatch_size = 10\nflush_interval = 0.5\nbatch_bytes = 65536",
    );
    let texts: BTreeMap<&str, &str> = BTreeMap::from([
        ("SERVICE", "shop"),
        ("ENABLED", "True"),
        ("PORT", " 1234 "),
        ("BATCH_SIZE", "10"),
        ("FLUSH_INTERVAL", "0.5"),
        ("BATCH_BYTES", "65536"),
    ]);
    let deserializer =
        serde::de::value::MapDeserializer::<_, serde::de::value::Error>::new(texts.into_iter());
    assert_eq!(serde::Deserialize::deserialize(deserializer), Ok(typed));
}

#[test]
fn a_configured_server_selects_the_storage_influx() {
    let storage = |text: &str| parsed(&format!("service = 'shop'\n{text}")).storage;
    assert_eq!(storage(""), Storage::File);
    assert_eq!(storage("url = 'http://influxdb:8086'"), Storage::Influx);
    assert_eq!(storage("host = 'influxdb'"), Storage::Influx);
    assert_eq!(storage("bucket = 'monitoring'"), Storage::Influx);
    assert_eq!(storage("bucket = 'monitoring'\nstorage = 'file'"), Storage::File);
    assert_eq!(storage("ssl = false\nport = 1"), Storage::File);
}

#[test]
fn host_port_and_ssl_make_the_url() {
    let url = |text: &str| parsed(&format!("service = 'shop'\n{text}")).influx.url;
    assert_eq!(url("host = 'influxdb'"), "http://influxdb:8086");
    assert_eq!(url("port = 1"), "http://localhost:1");
    assert_eq!(url("use_ssl = 1"), "https://localhost:8086");
    assert_eq!(url("host = '::1'\nport = '99'"), "http://[::1]:99");
    assert_eq!(url("host = '[::1]'"), "http://[::1]:8086");
    assert_eq!(url("host = '10.0.0.7'\nssl = 'true'"), "https://10.0.0.7:8086");
}

const EVERY_KEY: &str = r#"
service = "shop"
enabled = 0
storage = "influx"
instance = "one"
request_id = "false"
trace_id = "true"
own_points = true
directory = "/tmp/points"
max_file_size = "1MB"
max_total_size = "3MiB"
url = "https://influxdb:1234"
organization = "acme"
bucket = "monitoring"
token = "hunter2"
token_file = "/run/token"
client = "reqwest"
api = "v3"
username = "me"
password = "hunter3"
authorization = "basic"
retention_policy = "short"
accept_partial = false
no_sync = true
certificate_authority = "/etc/ca.pem"
gzip = false
connect_timeout = 1
timeout = 2.5
flush_interval = "250ms"
batch_size = 10
batch_bytes = 65536
buffer_size = "1MiB"
overflow = "drop_newest"
retry_interval = "2s"
max_retry_interval = "2m"
max_retry_time = "2d"
max_in_flight = 3
strip_refused_extras = false
rejected_directory = "/tmp/rejected"

[tags]
region = "eu"
rack = 7

[headers]
X-Scope = "hunter4"

[limits]
tag_bytes = 100
field_bytes = "2KiB"
extras = 5
tag_values = 0
rollup_keys = 9

[spool]
directory = "/tmp/spool"
mode = "ahead"
max_size = "2GiB"
max_files = 9
max_age = "1h"

[filter]
ignore = ["/health"]
allow = "GET:/items/{id}"

[requests]
keep = "SLOW"
slow = 0.5

[metrics]
names = "OpenTelemetry"

[rollup]
interval = "10s"
tags = "tenant"
histogram = ["5ms", 1]

[process]
interval = 30

[licensing]
time_zone = "UTC"
timeout = 4
grace_period = "2d"
warning_days = "30"
"#;

#[test]
fn the_client_reqwest_keeps_its_old_name() {
    for name in ["reqwest", "http", " HTTP "] {
        let settings = parsed(&format!("service = 'shop'\nclient = '{name}'"));
        assert_eq!(settings.influx.client, InfluxClient::Reqwest, "{name}");
    }
}
