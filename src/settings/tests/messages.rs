//! Every message about keys and their values: what is wrong, with which key and value, and what
//! would be right.

use super::{assert_messages, refused};
use crate::settings::{InfluxClient, Settings, Storage};

#[test]
fn keys() {
    assert_eq!(
        refused(""),
        "setting `service`: missing or empty; name the service, for instance `service = \"shop\"`"
    );
    assert_messages(
        "service = 'shop'",
        &[
            (
                "flsh_interval = 1",
                "setting `flsh_interval`: there is no such key; the nearest is `flush_interval`",
            ),
            ("TOKN = 'hunter2'", "setting `TOKN`: there is no such key; the nearest is `token`"),
            (
                "[spool]\ndirectory = 'a'\nmax_bytes = 1",
                "setting `spool.max_bytes`: there is no such key; the nearest is `spool.max_files`",
            ),
            (
                "[influx]\nurl = 'a'",
                "setting `influx`: there is no such table; write its keys directly into the section",
            ),
            (
                "token = 'hunter2'\nTOKEN = 'hunter3'",
                "setting `token`: the same key as `TOKEN`, which is given too; leave one of them out",
            ),
            (
                "flush_interval = 1\nflushing_period = 1",
                "setting `flushing_period`: the same key as `flush_interval`, which is given too; leave one of them out",
            ),
            ("spool = 'a'", "setting `spool`: found text; write a table of keys and values"),
            (
                "[spool]",
                "setting `spool.directory`: missing; name the directory where batches wait, or leave out the whole table `spool`",
            ),
            (
                "url = 'http://a'\nport = 1",
                "setting `port`: cannot be combined with `url`, which holds the same; give only `url`, or `host`, `port` and `ssl`",
            ),
        ],
    );
    let twice: Result<Settings, _> = serde_json::from_str(r#"{ "service": "a", "service": "b" }"#);
    let message = twice.expect_err("a key twice").to_string();
    assert!(message.starts_with("setting `service`: given twice; leave one of them out"), "{message}");
    let list: Result<Settings, _> = serde_json::from_str("[]");
    let message = list.expect_err("no table").to_string();
    assert!(
        message.starts_with("the settings of the monitoring: found a list; write a table of keys and values"),
        "{message}"
    );
}

#[test]
fn values() {
    assert_messages(
        "service = 'shop'",
        &[
            ("enabled = 'perhaps'", "setting `enabled` is `perhaps`: write `true` or `false`"),
            ("enabled = 2", "setting `enabled` is `2`: write `true` or `false`"),
            ("batch_size = -1", "setting `batch_size` is `-1`: write a whole number, 0 or more"),
            ("batch_size = 1.5", "setting `batch_size` is `1.5`: write a whole number, 0 or more"),
            ("batch_size = []", "setting `batch_size`: found a list; write a whole number, 0 or more"),
            ("port = 65536", "setting `port` is `65536`: write a whole number, 1 to 65535"),
            (
                "flush_interval = '1y'",
                "setting `flush_interval` is `1y`: write a number of seconds, or a number with its unit, such as `500ms`, `1s`, `2m`, `1h` or `7d`",
            ),
            (
                "buffer_size = '64M'",
                "setting `buffer_size` is `64M`: write a number of bytes, or a number with its unit, such as `64KiB`, `64MiB`, `64MB` or `1GiB`",
            ),
            (
                "storage = 'ClickHouse'",
                "setting `storage` is `ClickHouse`: points are not written to ClickHouse; write `influx` or `file` or `none`",
            ),
            (
                "storage_type = 'influxdb'",
                "setting `storage_type` is `influxdb`: write `influx` or `file` or `none`",
            ),
            ("api = 2", "setting `api` is `2`: write `auto` or `v1` or `v2` or `v3`"),
            ("bucket = true", "setting `bucket` is `true`: it must be text; write it in quotes"),
            ("bucket = {}", "setting `bucket`: found a table; write text"),
            ("token = 7", "setting `token`: found a number; write it as text, in quotes"),
            (
                "headers = { X-A = ['hunter2'] }",
                "setting `headers.X-A`: found a list; write it as text, in quotes",
            ),
            ("filter.ignore = [['a']]", "setting `filter.ignore[0]`: found a list; write text"),
            ("filter.ignore = 7", "setting `filter.ignore` is `7`: write a list of texts"),
            (
                "host = 'http://a'",
                "setting `host`: not a plain host name or address; write one such as `localhost`, or give the whole URL as `url`",
            ),
            (
                "host = 'me:hunter2@a'",
                "setting `host`: not a plain host name or address; write one such as `localhost`, or give the whole URL as `url`",
            ),
        ],
    );
}

#[test]
fn ranges() {
    assert_messages(
        "service = 'shop'",
        &[
            ("flush_interval = 0", "setting `flush_interval` is `0s`: write 10ms to 1h"),
            ("flush_interval = '2h'", "setting `flush_interval` is `2h`: write 10ms to 1h"),
            ("batch_size = 0", "setting `batch_size` is `0`: write 1 to 1000000"),
            ("batch_bytes = 1", "setting `batch_bytes` is `1`: write 64KiB to 32MiB"),
            (
                "buffer_size = '64KiB'",
                "setting `buffer_size` is `64KiB`: memory must hold at least one batch; write 768KiB or more",
            ),
            (
                "batch_bytes = '2MiB'\nbuffer_size = '1MiB'",
                "setting `buffer_size` is `1MiB`: memory must hold at least one batch; write 2MiB or more",
            ),
            ("retry_interval = 0", "setting `retry_interval` is `0s`: write 10ms to 1h"),
            (
                "retry_interval = '1m'",
                "setting `retry_interval` is `1m`: cannot be longer than `max_retry_interval`, which is 30s",
            ),
            ("max_retry_interval = '2d'", "setting `max_retry_interval` is `2d`: write 10ms to 1d"),
            (
                "max_retry_interval = '2h'",
                "setting `max_retry_interval` is `2h`: cannot be longer than `max_retry_time`, which is 1h",
            ),
            ("max_retry_time = '366d'", "setting `max_retry_time` is `366d`: write 10ms to 365d"),
            ("max_in_flight = 0", "setting `max_in_flight` is `0`: write 1 to 16"),
            ("max_in_flight = 17", "setting `max_in_flight` is `17`: write 1 to 16"),
            ("max_file_size = 1", "setting `max_file_size` is `1`: write 64KiB or more"),
            (
                "max_total_size = '1MiB'",
                "setting `max_total_size` is `1MiB`: all files together must hold at least one; write `max_file_size` (64MiB) or more",
            ),
            ("limits.tag_bytes = 1", "setting `limits.tag_bytes` is `1`: write 64 to 16KiB"),
            ("limits.field_bytes = '1MiB'", "setting `limits.field_bytes` is `1MiB`: write 64 to 20KiB"),
            ("limits.extras = 1001", "setting `limits.extras` is `1001`: write 0 to 1000"),
            ("limits.tag_values = 1000001", "setting `limits.tag_values` is `1000001`: write 0 to 1000000"),
            (
                "spool = { directory = 'a', max_size = '1MiB' }",
                "setting `spool.max_size` is `1MiB`: two batches must fit; write 1536KiB or more",
            ),
            (
                "batch_bytes = '2MiB'\nspool = { directory = 'a', max_size = '3MiB' }",
                "setting `spool.max_size` is `3MiB`: two batches must fit; write 4MiB or more",
            ),
            (
                "spool = { directory = 'a', max_files = 0 }",
                "setting `spool.max_files` is `0`: write 1 to 10000000",
            ),
            ("spool = { directory = 'a', max_age = 0 }", "setting `spool.max_age` is `0s`: write 1s to 365d"),
            ("licensing.grace_period = '31d'", "setting `licensing.grace_period` is `31d`: write 0s to 30d"),
            ("licensing.timeout = 0", "setting `licensing.timeout` is `0s`: write 10ms to 1h"),
            (
                "licensing.warning_days = 3651",
                "setting `licensing.warning_days` is `3651`: write 0 to 3650 days",
            ),
            ("limits.rollup_keys = 0", "setting `limits.rollup_keys` is `0`: write 1 to 10000"),
            ("process.interval = 0", "setting `process.interval` is `0s`: write 1s to 1h"),
            ("process.interval = '2h'", "setting `process.interval` is `2h`: write 1s to 1h"),
            ("rollup.interval = 0", "setting `rollup.interval` is `0s`: write 100ms to 1h"),
            (
                "rollup.histogram = ['5ms', '5ms']",
                "setting `rollup.histogram` is `5ms`: boundaries must increase, and this one follows `5ms`",
            ),
            ("rollup.histogram = [0]", "setting `rollup.histogram` is `0s`: write 1µs to 1d"),
            ("rollup.histogram = []", "setting `rollup.histogram`: 0 boundaries; write 1 to 169, or `off`"),
            ("rollup.tags = 'a, b, c, d, e, f, g, h, i'", "setting `rollup.tags`: 9 tags; write 8 at most"),
            (
                "rollup.tags = 'route'",
                "setting `rollup.tags` is `route`: every rollup has the standard tags already; name extra tags of handlers",
            ),
            (
                "rollup.tags = 'count'",
                "setting `rollup.tags` is `count`: every rollup has a field of this name; give the tag of handlers another one",
            ),
            (
                "rollup.tags = 'bucket_0.5'",
                "setting `rollup.tags` is `bucket_0.5`: every rollup has a field of this name; give the tag of handlers another one",
            ),
            (
                "rollup.tags = 'trace_id'",
                "setting `rollup.tags` is `trace_id`: layers add a field of this name to requests; give the tag of handlers another one",
            ),
            (
                "rollup.tags = [\"a\\nb\"]",
                "setting `rollup.tags` is `a\\nb`: the name holds a control character; remove it",
            ),
            (
                "rollup.interval = 10\ntags = { kept = 'a' }",
                "setting `tags.kept`: every rollup has a field of this name; choose another one",
            ),
            (
                "tags = { trace_id = 'a' }",
                "setting `tags.trace_id`: layers add a field of this name to requests; choose another one",
            ),
            ("rollup.tags = 'a, a'", "setting `rollup.tags` is `a`: given twice; leave one of them out"),
            (
                "tags = { region = 'eu' }\nrollup.tags = 'region'",
                "setting `rollup.tags` is `region`: `tags` gives every point this tag already; name extra tags of handlers",
            ),
            (
                "requests.keep = 'failed'",
                "setting `requests.keep` is `failed`: the other requests would not be counted; set `rollup.interval`, for instance to `10s`, or `metrics.names`",
            ),
            (
                "rollup.interval = 10\nrequests.keep = 'slow'",
                "setting `requests.keep` is `slow`: it needs `requests.slow`, from which time on a request is slow; write `500ms`, for instance",
            ),
            (
                "rollup.interval = 10\nrequests.slow = 1",
                "setting `requests.slow` is `1s`: it has no effect unless `requests.keep` is `slow`; set that, or leave this key out",
            ),
            (
                "licensing.time_zone = 'Europe/Berlim'",
                "setting `licensing.time_zone` is `Europe/Berlim`: unknown time zone; write an IANA name such as `Europe/Berlin` or `UTC`, or leave the key out",
            ),
        ],
    );
}

#[test]
fn names() {
    assert_eq!(
        refused("service = ' '"),
        "setting `service`: missing or empty; name the service, for instance `service = \"shop\"`"
    );
    let long = "x".repeat(1_025);
    let shown = format!("{}…", "x".repeat(100));
    assert_eq!(
        refused(&format!("service = '{long}'")),
        format!("setting `service` is `{shown}`: 1025 bytes long; write 1024 at most")
    );
    let long_tags: String =
        (0..7).map(|index| format!("tags.t{index} = '{}'\n", ", =".repeat(300))).collect();
    let control = "holds a line break or another control character, which tags do not allow; remove it";
    let route = "write `METHOD:/template`, such as `GET:/items/{id}`, or `/template` for every method";
    assert_messages(
        "service = 'shop'",
        &[
            (
                "instance = ''",
                "setting `instance`: empty, which InfluxDB treats as a missing tag; give it a value or leave the key out",
            ),
            ("instance = \"a\\nb\"", &format!("setting `instance` is `a\\nb`: {control}")),
            (
                "tags.region = ''",
                "setting `tags.region`: empty, which InfluxDB treats as a missing tag; give it a value or leave the key out",
            ),
            ("tags.region = \"\\u0007\"", &format!("setting `tags.region` is `\\u{{7}}`: {control}")),
            ("tags.'' = 'a'", "setting `tags.`: the name is empty; give the tag a name"),
            (
                &format!("tags.{} = 'a'", "k".repeat(257)),
                &format!(
                    "setting `tags.{}…`: the name has more than 256 bytes; write a shorter one",
                    "k".repeat(100)
                ),
            ),
            ("tags.\"a\\nb\" = 'a'", "setting `tags.a\\nb`: the name holds a control character; remove it"),
            ("tags.time = 'a'", "setting `tags.time`: InfluxDB reserves this name; choose another one"),
            (
                "tags.service = 'a'",
                "setting `tags.service`: a standard tag; set the key `service`, outside of `tags`",
            ),
            (
                "tags.instance = 'a'",
                "setting `tags.instance`: a standard tag; set the key `instance`, outside of `tags`",
            ),
            (
                "tags.route = 'a'",
                "setting `tags.route`: the points have a tag or field of this name already; choose another one",
            ),
            (
                "tags.warnings = 'a'",
                "setting `tags.warnings`: the points have a tag or field of this name already; choose another one",
            ),
            (
                &long_tags,
                "setting `tags`: names and values have 12628 bytes together as they are written to InfluxDB; write 6144 at most",
            ),
            ("filter.ignore = ['health']", &format!("setting `filter.ignore[0]` is `health`: {route}")),
            (
                "filter.allow = ['/a', 'GET:items']",
                &format!("setting `filter.allow[1]` is `GET:items`: {route}"),
            ),
            (
                "filter.allow = ['/api/**']",
                "setting `filter.allow[0]` is `/api/**`: a `*` stands for the rest of a template, and only at its end; write \
                 `/api/*`",
            ),
            (
                "filter.ignore = ['GET:/a/*/b']",
                "setting `filter.ignore[0]` is `GET:/a/*/b`: a `*` stands for the rest of a template, and only at its end; \
                 write `GET:/a/*`",
            ),
            (
                "filter.allow = ['GET:/api/{*rest}*']",
                "setting `filter.allow[0]` is `GET:/api/{*rest}*`: `{*rest}` stands for the rest of a path already, and \
                 ends a template; write `GET:/api/{*rest}` for this route, or `GET:/api/*` for all that begin so",
            ),
            ("filter.allow = ['GET /items']", &format!("setting `filter.allow[0]` is `GET /items`: {route}")),
            (
                "filter.allow = ['get:/items']",
                "setting `filter.allow[0]` is `get:/items`: methods are written in capital letters; write `GET:/items`",
            ),
            (
                "filter.allow = ['PURGE:/items']",
                "setting `filter.allow[0]` is `PURGE:/items`: points have no such method; write one of GET, POST, PUT, DELETE, HEAD, \
                 OPTIONS, PATCH, CONNECT, TRACE, OTHER, which stands for all others",
            ),
        ],
    );
}

#[test]
fn unused_settings_are_not_checked() {
    let mut settings = Settings::new("shop");
    settings.influx.url = "nonsense".to_owned();
    settings.validate().expect("files need no server");
    settings.storage = Storage::Influx;
    settings.influx.client = InfluxClient::Reqwest;
    settings.validate().expect_err("now it is needed");
    settings.enabled = false;
    settings.validate().expect("nothing is recorded");
}
