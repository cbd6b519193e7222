//! Reads section `[monitoring]` of a configuration in any format of serde: which key sets which
//! field, and its aliases.
//!
//! This module defines the form of a value. Whether a value works is checked by `check`, since
//! settings are also created in code.

use std::net::Ipv6Addr;

use serde::{Deserialize, Deserializer, de};

use super::{
    FilterSettings, InfluxApi, InfluxAuthorization, InfluxClient, InfluxSettings, KeepRequests,
    LicensingSettings, Limits, MetricNames, MetricsSettings, Overflow, ProcessSettings, RequestSettings,
    RollupHistogram, RollupSettings, Settings, SpoolMode, SpoolSettings, Storage,
    defaults::{HOST, PORT, SCHEME},
    duration::duration,
    node::Node,
    section::{Given, Section},
    size::size,
    value::{path, secret, switch, table, text, texts, whole, word},
};
use crate::error::Error;

impl<'de> Deserialize<'de> for Settings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let settings = match Node::deserialize(deserializer)? {
            Node::Table(entries) => read(&mut Section::new(entries)),
            Node::Null => read(&mut Section::new(Vec::new())),
            other => {
                return Err(de::Error::custom(format!(
                    "the settings of the monitoring: found {}; write a table of keys and values",
                    other.kind()
                )));
            }
        };
        settings.map_err(de::Error::custom)
    }
}

/// Reads the whole section.
pub(super) fn read(section: &mut Section) -> Result<Settings, Error> {
    let mut settings = Settings::new("");
    section.read(&["service"], text, &mut settings.service)?;
    section.read(&["enabled", "send_data_for_monitoring"], switch, &mut settings.enabled)?;
    let stored = section.read(&["storage", "storage_type"], storage, &mut settings.storage)?;
    section.read_optional(&["instance"], text, &mut settings.instance)?;
    section.read(&["tags"], |given| table(given, text), &mut settings.tags)?;
    section.read(&["request_id"], switch, &mut settings.request_id)?;
    section.read(&["trace_id"], switch, &mut settings.trace_id)?;
    section.read(&["own_points"], switch, &mut settings.own_points)?;

    section.read(&["flush_interval", "flushing_period"], duration, &mut settings.flush_interval)?;
    section.read(&["batch_size"], whole, &mut settings.batch_size)?;
    section.read(&["batch_bytes"], size, &mut settings.batch_bytes)?;
    section.read(&["buffer_size"], size, &mut settings.buffer_size)?;
    section.read(&["overflow"], overflow, &mut settings.overflow)?;
    section.read(&["retry_interval"], duration, &mut settings.retry_interval)?;
    section.read(&["max_retry_interval"], duration, &mut settings.max_retry_interval)?;
    section.read(&["max_retry_time"], duration, &mut settings.max_retry_time)?;
    section.read(&["max_in_flight"], whole, &mut settings.max_in_flight)?;
    section.read(&["strip_refused_extras"], switch, &mut settings.strip_refused_extras)?;
    section.read_optional(&["rejected_directory"], path, &mut settings.rejected_directory)?;

    section.read(&["directory"], path, &mut settings.file.directory)?;
    section.read(&["max_file_size"], size, &mut settings.file.max_file_size)?;
    section.read(&["max_total_size"], size, &mut settings.file.max_total_size)?;
    let server = read_influx(section, &mut settings.influx)?;

    section.table(&["limits"], |limits| read_limits(limits, &mut settings.limits))?;
    section.table(&["filter"], |filter| read_filter(filter, &mut settings.filter))?;
    section.table(&["requests"], |requests| read_requests(requests, &mut settings.requests))?;
    section.table(&["metrics"], |metrics| read_metrics(metrics, &mut settings.metrics))?;
    section.table(&["rollup"], |rollup| read_rollup(rollup, &mut settings.rollup))?;
    section.table(&["process"], |process| read_process(process, &mut settings.process))?;
    section.table(&["licensing"], |licensing| read_licensing(licensing, &mut settings.licensing))?;
    settings.spool = section.table(&["spool"], read_spool)?;
    section.finish()?;

    if !stored && server {
        // Otherwise a configured server without `storage = "influx"` would be ignored, and points
        // would pile up in files.
        settings.storage = Storage::Influx;
    }
    Ok(settings)
}

/// Reads the settings of the server. Returns whether an address or a bucket is given.
pub(super) fn read_influx(section: &mut Section, influx: &mut InfluxSettings) -> Result<bool, Error> {
    let server = read_address(section, influx)?;
    section.read(&["organization", "org"], text, &mut influx.organization)?;
    let bucket = section.read(&["bucket", "database"], text, &mut influx.bucket)?;
    section.read(&["token"], secret, &mut influx.token)?;
    section.read_optional(&["token_file"], path, &mut influx.token_file)?;
    section.read(&["client"], client, &mut influx.client)?;
    section.read(&["api"], api, &mut influx.api)?;
    section.read(&["username"], text, &mut influx.username)?;
    section.read(&["password"], secret, &mut influx.password)?;
    section.read(&["authorization"], authorization, &mut influx.authorization)?;
    section.read_optional(&["retention_policy"], text, &mut influx.retention_policy)?;
    section.read(&["accept_partial"], switch, &mut influx.accept_partial)?;
    section.read(&["no_sync"], switch, &mut influx.no_sync)?;
    section.read(&["headers"], |given| table(given, secret), &mut influx.headers)?;
    section.read_optional(&["certificate_authority"], path, &mut influx.certificate_authority)?;
    section.read_optional(&["gzip"], switch, &mut influx.gzip)?;
    section.read(&["connect_timeout"], duration, &mut influx.connect_timeout)?;
    section.read(&["timeout"], duration, &mut influx.timeout)?;
    Ok(server || bucket)
}

/// Reads the URL, as one key or as the three keys of the reference. Returns whether an address is
/// given.
fn read_address(section: &mut Section, influx: &mut InfluxSettings) -> Result<bool, Error> {
    let url = section.read(&["url"], text, &mut influx.url)?;
    let host_key = section.take(&["host"])?;
    let port_key = section.take(&["port"])?;
    let ssl_key = section.take(&["ssl", "use_ssl"])?;
    let parts = [&host_key, &port_key, &ssl_key];
    let Some(first) = parts.into_iter().flatten().next() else { return Ok(url) };
    if url {
        let remedy = "cannot be combined with `url`, which holds the same; give only `url`, or `host`, `port` and `ssl`";
        return Err(Error::setting_without_value(&first.name, remedy));
    }
    let named = host_key.is_some();
    let host = host_key.map_or_else(|| Ok(HOST.to_owned()), host)?;
    let port = port_key.map_or(Ok(PORT), port)?;
    let scheme = if ssl_key.map_or(Ok(false), switch)? { "https" } else { SCHEME };
    influx.url = format!("{scheme}://{host}:{port}");
    Ok(named)
}

/// Reads a plain host name or address.
fn host(given: Given) -> Result<String, Error> {
    let remedy =
        "not a plain host name or address; write one such as `localhost`, or give the whole URL as `url`";
    let Given { name, node } = given;
    let host = text(Given { name: name.clone(), node })?;
    if host.parse::<Ipv6Addr>().is_ok() {
        return Ok(format!("[{host}]"));
    }
    let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let bare = bracketed.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
        || (!host.is_empty()
            && !host.contains(|letter: char| ":/@?#[]\\".contains(letter) || letter.is_whitespace()));
    // The value is not printed: with an `@` or a `?` it may contain a password.
    if bare { Ok(host) } else { Err(Error::setting_without_value(&name, remedy)) }
}

/// Reads a port number.
fn port(given: Given) -> Result<u16, Error> {
    let Given { name, node } = given;
    whole(Given { name: name.clone(), node: node.clone() })
        .map_err(|_| Given { name, node }.refuse("write a whole number, 1 to 65535"))
}

pub(super) fn read_limits(section: &mut Section, limits: &mut Limits) -> Result<(), Error> {
    section.read(&["tag_bytes"], size, &mut limits.tag_bytes)?;
    section.read(&["field_bytes"], size, &mut limits.field_bytes)?;
    section.read(&["extras"], whole, &mut limits.extras)?;
    section.read(&["tag_values"], whole, &mut limits.tag_values)?;
    section.read(&["rollup_keys"], whole, &mut limits.rollup_keys)?;
    Ok(())
}

pub(super) fn read_filter(section: &mut Section, filter: &mut FilterSettings) -> Result<(), Error> {
    section.read(&["ignore"], texts, &mut filter.ignore)?;
    section.read(&["allow"], texts, &mut filter.allow)?;
    Ok(())
}

pub(super) fn read_requests(section: &mut Section, requests: &mut RequestSettings) -> Result<(), Error> {
    section.read(&["keep"], keep, &mut requests.keep)?;
    section.read_optional(&["slow"], duration, &mut requests.slow)?;
    Ok(())
}

pub(super) fn read_metrics(section: &mut Section, metrics: &mut MetricsSettings) -> Result<(), Error> {
    section.read_optional(&["names"], names, &mut metrics.names)?;
    Ok(())
}

pub(super) fn read_rollup(section: &mut Section, rollup: &mut RollupSettings) -> Result<(), Error> {
    section.read_optional(&["interval"], duration, &mut rollup.interval)?;
    section.read(&["tags"], texts, &mut rollup.tags)?;
    section.read(&["histogram"], histogram, &mut rollup.histogram)?;
    Ok(())
}

pub(super) fn read_process(section: &mut Section, process: &mut ProcessSettings) -> Result<(), Error> {
    section.read_optional(&["interval"], duration, &mut process.interval)?;
    Ok(())
}

pub(super) fn read_licensing(section: &mut Section, licensing: &mut LicensingSettings) -> Result<(), Error> {
    section.read_optional(&["time_zone"], text, &mut licensing.time_zone)?;
    section.read(&["timeout"], duration, &mut licensing.timeout)?;
    section.read(&["grace_period"], duration, &mut licensing.grace_period)?;
    section.read(&["warning_days"], whole, &mut licensing.warning_days)?;
    Ok(())
}

pub(super) fn read_spool(section: &mut Section) -> Result<SpoolSettings, Error> {
    let mut spool = SpoolSettings::new("");
    if !section.read(&["directory"], path, &mut spool.directory)? {
        let remedy = "missing; name the directory where batches wait, or leave out the whole table `spool`";
        return Err(Error::setting_without_value("spool.directory", remedy));
    }
    section.read(&["mode"], mode, &mut spool.mode)?;
    section.read(&["max_size"], size, &mut spool.max_size)?;
    section.read(&["max_files"], whole, &mut spool.max_files)?;
    section.read(&["max_age"], duration, &mut spool.max_age)?;
    Ok(spool)
}

fn storage(given: Given) -> Result<Storage, Error> {
    if matches!(&given.node, Node::Text(text) if text.trim().eq_ignore_ascii_case("clickhouse")) {
        return Err(given.refuse("points are not written to ClickHouse; write `influx` or `file` or `none`"));
    }
    word(given, &[("influx", Storage::Influx), ("file", Storage::File), ("none", Storage::None)])
}

fn names(given: Given) -> Result<MetricNames, Error> {
    word(given, &[("opentelemetry", MetricNames::OpenTelemetry), ("luna", MetricNames::Luna)])
}

fn keep(given: Given) -> Result<KeepRequests, Error> {
    let words = [
        ("all", KeepRequests::All),
        ("slow", KeepRequests::Slow),
        ("failed", KeepRequests::Failed),
        ("none", KeepRequests::None),
    ];
    word(given, &words)
}

/// Reads a word, or boundaries as a list or as comma-separated text.
fn histogram(given: Given) -> Result<RollupHistogram, Error> {
    let name = given.name.clone();
    let nodes = match &given.node {
        Node::List(nodes) => nodes.clone(),
        Node::Text(text) if text.contains(|letter: char| letter.is_ascii_digit()) => {
            text.split(',').map(|part| Node::Text(part.trim().to_owned())).collect()
        }
        _ => return word(given, &[("fine", RollupHistogram::Fine), ("off", RollupHistogram::Off)]),
    };
    let boundaries = nodes.into_iter().enumerate();
    let boundaries =
        boundaries.map(|(index, node)| duration(Given { name: format!("{name}[{index}]"), node }));
    boundaries.collect::<Result<_, _>>().map(RollupHistogram::Boundaries)
}

fn overflow(given: Given) -> Result<Overflow, Error> {
    word(given, &[("drop-oldest", Overflow::DropOldest), ("drop-newest", Overflow::DropNewest)])
}

fn client(given: Given) -> Result<InfluxClient, Error> {
    // The name of `reqwest` in 0.1.
    if matches!(&given.node, Node::Text(text) if text.trim().eq_ignore_ascii_case("http")) {
        return Ok(InfluxClient::Reqwest);
    }
    word(given, &[("influxdb2", InfluxClient::Influxdb2), ("reqwest", InfluxClient::Reqwest)])
}

fn api(given: Given) -> Result<InfluxApi, Error> {
    word(
        given,
        &[("auto", InfluxApi::Auto), ("v1", InfluxApi::V1), ("v2", InfluxApi::V2), ("v3", InfluxApi::V3)],
    )
}

fn authorization(given: Given) -> Result<InfluxAuthorization, Error> {
    let words = [
        ("token", InfluxAuthorization::Token),
        ("bearer", InfluxAuthorization::Bearer),
        ("basic", InfluxAuthorization::Basic),
    ];
    word(given, &words)
}

fn mode(given: Given) -> Result<SpoolMode, Error> {
    word(given, &[("on-failure", SpoolMode::OnFailure), ("ahead", SpoolMode::Ahead)])
}
