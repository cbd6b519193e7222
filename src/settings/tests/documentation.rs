//! Tests `docs/settings.md` against the code: every key, its aliases, its default and the form of
//! its value.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{known, with};
use crate::settings::{Settings, Storage};

struct DocumentedKey {
    key: String,
    value: String,
    default: String,
    others: BTreeSet<String>,
}

#[test]
fn every_key_of_the_code_is_documented_and_the_other_way_round() {
    let code: BTreeSet<(String, BTreeSet<String>)> = known()
        .into_iter()
        .map(|(key, names)| (key, names[1..].iter().map(|name| (*name).to_owned()).collect()))
        .collect();
    let documented: BTreeSet<_> = rows().into_iter().map(|row| (row.key, row.others)).collect();
    let missing: Vec<_> = code.difference(&documented).collect();
    let invented: Vec<_> = documented.difference(&code).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "not documented: {missing:?}; not in the code: {invented:?}"
    );
}

#[test]
fn every_documented_default_is_that_of_the_code() {
    let mut compared = 0;
    for DocumentedKey { key, default, .. } in rows() {
        match default.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            Some(written) => {
                // Everything is given as text, as in an environment.
                let given = with(&key, json!(written)).unwrap_or_else(|error| panic!("{key}: {error}"));
                assert_eq!(given, untouched(&key), "{key} defaults to {written}");
            }
            None => {
                assert!(["none", "required"].contains(&default.as_str()), "{key}: {default}");
                assert!(
                    is_nothing(&key, &untouched(&key)),
                    "{key} has a default, the documentation says {default}"
                );
            }
        }
        compared += 1;
    }
    assert_eq!(compared, known().len());
}

#[test]
fn every_value_is_written_as_documented() {
    for DocumentedKey { key, value, .. } in rows() {
        let accepts = |value| assert_eq!(with(&key, value).err(), None, "{key}");
        let refuses = |wrong: Value| assert!(with(&key, wrong.clone()).is_err(), "{key} takes {wrong}");
        match value.as_str() {
            "text" => {
                accepts(json!("localhost"));
                refuses(json!(["a"]));
            }
            "path" => {
                accepts(json!("relative/or/not"));
                refuses(json!({}));
            }
            "switch" => {
                for written in
                    [json!(true), json!(false), json!(1), json!(0), json!("true"), json!("0"), json!("False")]
                {
                    accepts(written);
                }
                for wrong in [json!(2), json!("yes"), json!("5s"), json!([])] {
                    refuses(wrong);
                }
            }
            "number" => {
                accepts(json!(7));
                accepts(json!("7"));
                for wrong in [json!(-1), json!(1.5), json!("1s"), json!("64KiB"), json!(true)] {
                    refuses(wrong);
                }
            }
            "duration" => {
                for written in
                    [json!(1), json!(0.5), json!("1"), json!("500ms"), json!("1s"), json!("2m"), json!("7d")]
                {
                    accepts(written);
                }
                for wrong in [json!(-1), json!(-0.5), json!("64KiB"), json!(true), json!("soon")] {
                    refuses(wrong);
                }
            }
            "size" => {
                for written in [json!(65_536), json!("65536"), json!("64KiB"), json!("64MB"), json!("1.5GiB")]
                {
                    accepts(written);
                }
                for wrong in [json!(-1), json!(1.5), json!("1s"), json!("64M"), json!(true)] {
                    refuses(wrong);
                }
            }
            "list" => {
                accepts(json!(["/a", "/b"]));
                accepts(json!("/a, /b"));
                refuses(json!({}));
            }
            "histogram" => {
                for written in [json!("fine"), json!("OFF"), json!([0.005, "10ms"]), json!("5ms, 10ms")] {
                    accepts(written);
                }
                for wrong in [json!("coarse"), json!(5), json!({}), json!("1ms, soon"), json!([-1])] {
                    refuses(wrong);
                }
            }
            "table" => {
                accepts(json!({ "a": "b" }));
                refuses(json!("a"));
                refuses(json!({ "a": {} }));
            }
            words => {
                let words: Vec<_> = words.split(", ").map(|word| word.trim_matches('`')).collect();
                assert!(words.len() > 1, "{key}: {value} is no kind of value");
                for word in &words {
                    accepts(json!(word));
                    accepts(json!(word.to_uppercase()));
                    accepts(json!(word.replace('-', "_")));
                }
                let message = with(&key, json!("another")).expect_err("not one of the words");
                assert!(words.iter().all(|word| message.contains(&format!("`{word}`"))), "{message}");
            }
        }
    }
}

#[test]
fn every_toml_snippet_is_a_section_that_passes_the_check() {
    let snippets: Vec<_> =
        DOCUMENT.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(snippets.len(), 4);
    for snippet in snippets {
        let document: toml::Table = toml::from_str(snippet).expect("TOML");
        let section = document.get("monitoring").expect("the section");
        let mut settings: Settings =
            section.clone().try_into().unwrap_or_else(|error| panic!("{snippet}\n{error}"));
        settings.influx.token_file = None;
        settings.validate().unwrap_or_else(|error| panic!("{snippet}\n{error}"));
    }
}

#[test]
fn a_section_of_the_luna_services_is_accepted_as_it_is() {
    let page = include_str!("../../../docs/migrating.md");
    let json = page.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).expect("a section");
    let document: Value = serde_json::from_str(json).expect("JSON");
    let section = document["monitoring"].as_object().expect("a table").clone();
    let lower: serde_json::Map<String, Value> =
        section.iter().map(|(key, value)| (key.to_lowercase(), value.clone())).collect();
    for section in [section, lower] {
        let mut settings: Settings = serde_json::from_value(section.into()).expect("every key has a meaning");
        assert!(settings.validate().is_err_and(|error| error.to_string().contains("`service`")));
        settings.service = "luna-licenses".to_owned();
        settings.validate().expect("what was not in the section is the name");
        let mut expected = Settings::new("luna-licenses");
        expected.storage = Storage::Influx;
        expected.influx.url = "http://127.0.0.1:8086".to_owned();
        expected.influx.organization = "luna".to_owned();
        expected.influx.bucket = "luna_monitoring".to_owned();
        expected.influx.token = "written-by-a-secret-store".into();
        assert_eq!(settings, expected);
    }
}

/// Returns what `with` returns without the key. For a host it sets the storage, which `with` fixes.
fn untouched(key: &str) -> Settings {
    match key {
        "service" => Settings::new(""),
        _ if key.starts_with("spool.") => with("spool.mode", json!("on-failure")).expect("a spool"),
        _ => with("enabled", json!(true)).expect("the least"),
    }
}

/// Returns whether a setting is empty.
fn is_nothing(key: &str, settings: &Settings) -> bool {
    let influx = &settings.influx;
    match key {
        "service" => settings.service.is_empty(),
        "instance" => settings.instance.is_none(),
        "tags" => settings.tags.is_empty(),
        "organization" => influx.organization.is_empty(),
        "bucket" => influx.bucket.is_empty(),
        "token" => influx.token.is_empty(),
        "token_file" => influx.token_file.is_none(),
        "username" => influx.username.is_empty(),
        "password" => influx.password.is_empty(),
        "retention_policy" => influx.retention_policy.is_none(),
        "headers" => influx.headers.is_empty(),
        "certificate_authority" => influx.certificate_authority.is_none(),
        "gzip" => influx.gzip.is_none(),
        "rejected_directory" => settings.rejected_directory.is_none(),
        "spool.directory" => Settings::new("shop").spool.is_none(),
        "filter.ignore" => settings.filter.ignore.is_empty(),
        "filter.allow" => settings.filter.allow.is_empty(),
        "metrics.names" => settings.metrics.names.is_none(),
        "process.interval" => settings.process.interval.is_none(),
        "requests.slow" => settings.requests.slow.is_none(),
        "rollup.interval" => settings.rollup.interval.is_none(),
        "rollup.tags" => settings.rollup.tags.is_empty(),
        "licensing.time_zone" => settings.licensing.time_zone.is_none(),
        _ => false,
    }
}

/// Returns the rows of all tables that have five columns and a key in the first one.
fn rows() -> Vec<DocumentedKey> {
    let rows: Vec<DocumentedKey> = DOCUMENT
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
            let [key, value, default, others, effect] = cells[..] else { panic!("not five columns: {line}") };
            assert!(effect.ends_with('.'), "a sentence says the effect: {line}");
            DocumentedKey {
                key: key.trim_matches('`').to_owned(),
                value: value.to_owned(),
                default: default.to_owned(),
                others: others
                    .split(", ")
                    .filter(|o| !o.is_empty())
                    .map(|o| o.trim_matches('`').to_owned())
                    .collect(),
            }
        })
        .collect();
    assert!(!rows.is_empty());
    rows
}

const DOCUMENT: &str = include_str!("../../../docs/settings.md");
