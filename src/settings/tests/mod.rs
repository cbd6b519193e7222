//! Tests of whole sections: from text to settings or messages.

mod documentation;
mod keys;
mod messages;
mod secrets;
mod server_messages;

use serde_json::{Map, Value, json};

use super::{
    FilterSettings, LicensingSettings, Limits, MetricsSettings, ProcessSettings, RequestSettings,
    RollupSettings, Settings,
    deserialize::{
        read, read_filter, read_licensing, read_limits, read_metrics, read_process, read_requests,
        read_rollup, read_spool,
    },
    node::Node,
    section::{Names, Section},
};

fn parsed(text: &str) -> Settings {
    toml::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// Returns the error message of a section, from the reader or the validation.
fn refused(text: &str) -> String {
    match toml::from_str::<Settings>(text) {
        Ok(settings) => match settings.validate() {
            Ok(()) => panic!("nothing is wrong with: {text}"),
            Err(error) => {
                assert!(error.is_setting() || error.is_io());
                format!("{error:#}")
            }
        },
        Err(error) => error.message().to_owned(),
    }
}

fn assert_messages(start: &str, cases: &[(&str, &str)]) {
    for (text, message) in cases {
        assert_eq!(refused(&format!("{start}\n{text}")), *message, "{text}");
    }
}

/// Sets a key as the documentation writes it, such as `spool.mode`, in a section with all required
/// keys.
fn with(key: &str, value: Value) -> Result<Settings, String> {
    let mut section = json!({ "service": "shop", "storage": "file" });
    let (table, key) = key.split_once('.').map_or((None, key), |(table, key)| (Some(table), key));
    let target: &mut Map<String, Value> = match table {
        None => section.as_object_mut().expect("a table"),
        Some(table) => {
            let directory = json!({ "directory": "/var/lib/shop/spool" });
            section[table] = if table.eq_ignore_ascii_case("spool") { directory } else { json!({}) };
            section[table].as_object_mut().expect("a table")
        }
    };
    let key_names = key.to_ascii_lowercase();
    target.retain(|present, _| !key_names.starts_with(present.as_str()));
    target.insert(key.to_owned(), value);
    serde_json::from_value(section).map_err(|error| error.to_string())
}

/// Returns every key that the code knows, with its aliases, as the documentation writes them.
fn known() -> Vec<(String, Names)> {
    let prefixed = |prefix: &'static str, section: &Section| -> Vec<(String, Names)> {
        section.known().iter().map(|names| (format!("{prefix}{}", names[0]), *names)).collect()
    };
    let mut root = Section::new(vec![("service".to_owned(), Node::Text("shop".to_owned()))]);
    read(&mut root).expect("the least that can be written");
    let mut keys = prefixed("", &root);
    keys.retain(|(key, _)| !TABLES.contains(&key.as_str()));

    let mut spool = Section::new(vec![("directory".to_owned(), Node::Text("spool".to_owned()))]);
    read_spool(&mut spool).expect("a directory is enough");
    keys.extend(prefixed("spool.", &spool));
    let mut limits = Section::new(Vec::new());
    read_limits(&mut limits, &mut Limits::default()).expect("all have defaults");
    keys.extend(prefixed("limits.", &limits));
    let mut filter = Section::new(Vec::new());
    read_filter(&mut filter, &mut FilterSettings::default()).expect("all have defaults");
    keys.extend(prefixed("filter.", &filter));
    let mut licensing = Section::new(Vec::new());
    read_licensing(&mut licensing, &mut LicensingSettings::default()).expect("all have defaults");
    keys.extend(prefixed("licensing.", &licensing));
    let mut requests = Section::new(Vec::new());
    read_requests(&mut requests, &mut RequestSettings::default()).expect("all have defaults");
    keys.extend(prefixed("requests.", &requests));
    let mut metrics = Section::new(Vec::new());
    read_metrics(&mut metrics, &mut MetricsSettings::default()).expect("all have defaults");
    keys.extend(prefixed("metrics.", &metrics));
    let mut rollup = Section::new(Vec::new());
    read_rollup(&mut rollup, &mut RollupSettings::default()).expect("all have defaults");
    keys.extend(prefixed("rollup.", &rollup));
    let mut process = Section::new(Vec::new());
    read_process(&mut process, &mut ProcessSettings::default()).expect("all have defaults");
    keys.extend(prefixed("process.", &process));
    keys
}

/// Tables with keys of their own, which are headings in the documentation.
const TABLES: [&str; 8] =
    ["limits", "filter", "licensing", "metrics", "process", "requests", "rollup", "spool"];
