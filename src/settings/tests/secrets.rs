//! Reading and checking any section neither panics nor prints a secret.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::known;
use crate::settings::{InfluxSettings, Settings};

const SECRET: &str = "hunter2hunter2";

/// Returns everything that is visible of a section.
fn output(section: &Value) -> String {
    match serde_json::from_value::<Settings>(section.clone()) {
        Ok(settings) => {
            let checked = settings.validate().map_err(|error| format!("{error} {error:?}"));
            format!("{settings:?} {settings:#?} {checked:?} {:?}", settings.influx.checked_url())
        }
        Err(error) => format!("{error} {error:?}"),
    }
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "[0-9]{0,30}[.]?[0-9]{0,30} ?(ms|s|m|h|d|B|KiB|MB|TiB)?".prop_map(Value::from),
        "(http|https|ftp)?(://)?[a-z:@/?#\\[\\]0-9]{0,20}".prop_map(Value::from),
        "(GET|get|G T)?:?/?[a-z{}é\\n]{0,10}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map(any_key(), inner, 0..4)
                .prop_map(|table| Value::Object(table.into_iter().collect())),
        ]
    })
}

/// Mostly existing keys, in some case, so that values of every kind reach every reader.
fn any_key() -> impl Strategy<Value = String> {
    let names: Vec<String> =
        known().iter().flat_map(|(_, names)| names.iter().map(|name| (*name).to_owned())).collect();
    prop_oneof![
        8 => proptest::sample::select(names.clone()),
        2 => proptest::sample::select(names).prop_map(|name| name.to_uppercase()),
        2 => proptest::sample::select(vec!["tags", "headers", "limits", "spool", "filter", "licensing"]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

fn any_section() -> impl Strategy<Value = Map<String, Value>> {
    proptest::collection::hash_map(any_key(), any_value(), 0..8).prop_map(|table| table.into_iter().collect())
}

/// Returns where a secret may be set, and how it may be wrong there.
fn with_secret() -> impl Strategy<Value = Map<String, Value>> {
    let around =
        (any::<String>(), any::<String>()).prop_map(|(before, after)| format!("{before}{SECRET}{after}"));
    let value = around.prop_flat_map(|text| {
        prop_oneof![
            Just(json!(text)),
            Just(json!([text])),
            Just(json!({ "a": text })),
            Just(json!({ "token": [text] })),
        ]
    });
    let key =
        proptest::sample::select(vec!["token", "TOKEN", "password", "tokn", "passwrd", "headers", "secret"]);
    let user = ("(http|https|ftp|)", "(://|:/|:|//|)", "[a-z/?#@:]{0,5}", "[a-z/?#@:]{0,5}").prop_map(
        |(scheme, slashes, before, after)| {
            json!(format!("{scheme}{slashes}{before}:{SECRET}{after}@influxdb:8086"))
        },
    );
    let query = "(http://a|localhost:8086|a)[/a-z]{0,4}[?#][a-z=&]{0,5}"
        .prop_map(|start| json!(format!("{start}{SECRET}")));
    prop_oneof![
        (key, value).prop_map(|(key, value)| Map::from_iter([(key.to_owned(), value)])),
        user.clone().prop_map(|url| Map::from_iter([("url".to_owned(), url)])),
        user.prop_map(|host| Map::from_iter([("host".to_owned(), host)])),
        query.prop_map(|url| Map::from_iter([("url".to_owned(), url)])),
    ]
}

proptest! {
    #[test]
    fn no_section_panics(section in any_section()) {
        output(&Value::Object(section));
    }

    #[test]
    fn no_section_that_is_read_whole_panics(mut section in any_section()) {
        // Leaves out the unknown keys, which would end the reading early.
        let names = known();
        section.retain(|key, _| names.iter().any(|(_, names)| names[0] == key));
        section.insert("service".to_owned(), json!("shop"));
        output(&Value::Object(section));
    }

    #[test]
    fn no_secret_is_printed(others in any_section(), secret in with_secret()) {
        for start in [Map::new(), others] {
            let mut section = start;
            section.insert("service".to_owned(), json!("shop"));
            section.insert("storage".to_owned(), json!("influx"));
            section.extend(secret.clone());
            let output = output(&Value::Object(section));
            prop_assert!(!output.contains(SECRET), "{}", output);
        }
    }

    #[test]
    fn good_settings_with_secrets_print_none(token in "[!-~]{0,20}hunter2hunter2[!-~]{0,20}") {
        let mut settings = Settings::new("shop");
        settings.influx.token = token.as_str().into();
        settings.influx.password = token.as_str().into();
        settings.influx.headers.insert("X-A".to_owned(), token.as_str().into());
        let output = format!("{settings:?}{settings:#?}");
        prop_assert!(!output.contains(SECRET), "{}", output);
    }
}

#[test]
fn a_url_with_a_user_is_not_shown_even_before_validation() {
    let mut settings = Settings::new("shop");
    settings.influx.url = format!("http://me:{SECRET}@influxdb:8086");
    assert!(!format!("{settings:?}").contains(SECRET));
    assert!(format!("{settings:?}").contains("url: \"[redacted]\""));
}

/// A variable that was not replaced is the same text for all replicas, and a wrong token for every
/// server.
#[test]
fn a_variable_that_nothing_has_replaced_is_refused_with_its_key() {
    let texts: &[(&str, Value, &str)] = &[
        ("service", json!("${SERVICE}"), "service"),
        ("instance", json!("${HOSTNAME}"), "instance"),
        ("instance", json!("shop-${HOSTNAME:-0}"), "instance"),
        ("url", json!("http://${INFLUX_HOST}:8086"), "url"),
        ("bucket", json!("${_BUCKET1}"), "bucket"),
        ("directory", json!("/data/${POD}"), "directory"),
        ("tags", json!({"zone": "${ZONE}"}), "tags.zone"),
        ("filter", json!({"ignore": ["/a", "${ROUTE}"]}), "filter.ignore[1]"),
        ("filter", json!({"ignore": "/a,${ROUTE}"}), "filter.ignore"),
        ("spool", json!({"directory": "${SPOOL}"}), "spool.directory"),
        // As Kubernetes leaves it where it does not know the variable.
        ("instance", json!("$(POD_NAME)"), "instance"),
        ("url", json!("http://$(INFLUX_HOST):8086"), "url"),
    ];
    for (key, value, name) in texts {
        let mut section = json!({"service": "shop"});
        section[*key] = value.clone();
        let error = serde_json::from_value::<Settings>(section).expect_err("refused").to_string();
        assert!(error.starts_with(&format!("setting `{name}` is `")), "{error}");
        assert!(error.contains("was not replaced by its value"), "{error}");
    }
    for value in ["${TOKEN}", "Bearer ${TOKEN}", "${TOKEN:-none}", "$(TOKEN)"] {
        for section in [
            json!({"service": "shop", "token": value}),
            json!({"service": "shop", "headers": {"authorization": value}}),
        ] {
            let error = serde_json::from_value::<Settings>(section).expect_err("refused").to_string();
            assert!(error.contains("was not replaced") && !error.contains("TOKEN"), "{error}");
        }
    }
    for value in [
        "a$b", "${", "${}", "${a b}", "$HOME", "{id}", "${1}", "$(", "$()", "$(a b)", "$(1)", "$(A}", "${A)",
        "$(A:-b)", "(a)",
    ] {
        let section = json!({"service": value, "token": "a${b}c"});
        serde_json::from_value::<Settings>(section).expect("no variable");
    }
}

#[test]
fn the_cost_of_a_value_is_linear_in_its_length() {
    let pieces =
        ["${", "${A", "${A:", "}", "$(", "$(A", ")", "http://", "@", "/", "*", "{", "ms", "KiB", "1"];
    let read = |section: Value| {
        let settings = serde_json::from_value::<Settings>(section);
        let _ = settings.map(|settings| settings.validate().map_err(|error| error.to_string()));
    };
    for key in ["service", "instance", "url", "token", "bucket", "timeout", "retention_policy"] {
        crate::work::assert_linear(&pieces, |text| {
            read(json!({"service": "shop", "url": "http://localhost", "bucket": "b", key: text}));
        });
    }
    crate::work::assert_linear(&pieces, |text| {
        read(json!({"service": "shop", "tags": {"a": text, text: "a"}, "headers": {text: text}}));
        read(json!({"service": "shop", "filter": {"deny": [text]}, "spool": {"directory": text}}));
        read(json!({text: 1}));
    });
}

/// The path leads to an endless file.
#[cfg(unix)]
#[test]
fn little_is_read_of_a_file_that_never_ends() {
    let settings = InfluxSettings { token_file: Some("/dev/zero".into()), ..InfluxSettings::default() };
    let held = allocation_counter::measure(|| assert!(settings.current_token().is_err()));
    assert!(held.bytes_max < 1 << 20, "{held:?}");
}
