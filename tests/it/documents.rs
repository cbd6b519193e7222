//! Every code block in the documents is checked: by a doc test, a parser or a server. Exceptions
//! are listed here with their reason.

use std::time::{Duration, SystemTime};

use config::{Config, FileFormat};
use serde::Deserialize;
use tower_influx::Settings;

use crate::support::{
    influx::Influx,
    live::{self, INFLUXD},
    source::{File, root, rust_files, text_files},
};

struct Block {
    document: String,
    language: String,
    text: String,
}

#[test]
fn every_block_of_code_is_checked() {
    let sources: Vec<File> = rust_files("src").into_iter().chain(rust_files("tests")).collect();
    let includes = |room: &str, document: &str| {
        let name = document.rsplit('/').next().unwrap_or(document);
        sources.iter().any(|file| file.path.starts_with(room) && file.text.contains(&format!("{name}\"")))
    };
    let mut count = 0;
    for Block { document, language, text } in blocks() {
        match language.split(',').next().unwrap_or_default() {
            // InfluxDB 3 has SQL, and InfluxQL is another language: `.ci/run` runs these.
            "sql datafusion" => {
                let script = File::read(".ci/sql.py").text;
                assert!(document.starts_with("docs/") && script.contains("```sql datafusion"), "{document}");
            }
            // `influxdb.cardinality` has its range as an argument.
            "flux" => assert!(
                document.starts_with("docs/")
                    && (text.contains("|> range(") || text.contains("influxdb.cardinality(")),
                "{document}: `.ci/dashboards.mjs` reads queries below docs/ with a `range`: {text}"
            ),
            "rust" => assert!(
                includes("src/", &document),
                "{document} has Rust, but is no doc test: include it where the documentation is built"
            ),
            "sql" => assert!(
                includes("tests/", &document),
                "{document} has SQL, but no live test runs it: add one to tests/it"
            ),
            "toml" => assert_settings(&document, &text),
            "json" => {
                let value: serde_json::Value =
                    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{document}: {error}\n{text}"));
                if let Some(section) = value.get("monitoring") {
                    let read = Settings::deserialize(section);
                    assert!(read.is_ok(), "{document}: {}\n{text}", read.expect_err("just seen"));
                }
            }
            "console" => assert_commands(&document, &text),
            // Commands of other projects; output, drawings, and queries that only their server can
            // read.
            "sh" | "yaml" | "text" => assert!(
                !text.contains("|> range(") && !text.contains("SELECT "),
                "{document}: a query in a block of `{language}` is run by nothing: {text}"
            ),
            other => panic!("{document} has a block of `{other}`: say in this test what holds it"),
        }
        count += 1;
    }
    assert!(count > 20, "only {count} blocks were found: adjust this test");
}

/// The queries of `docs/schema.md`, over a request, a failed request and a licence check.
#[tokio::test(flavor = "multi_thread")]
async fn documented_queries_of_the_schema_work_in_influxdb_1() {
    if !live::ready("documented_queries_of_the_schema_work_in_influxdb_1", &[INFLUXD]) {
        return;
    }
    let influx = Influx::start().await;
    influx.create_database("monitoring").await;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let stamp = (now - Duration::from_secs(10)).as_nanos();
    let tags = "route=GET:/items/{id},service=luna-licenses";
    let lines = format!(
        "requests,{tags},status_code=200 execution_time=0.25,request_id=\"a\" {stamp}\n\
         requests,{tags},status_code=404 execution_time=0.5,request_id=\"b\" {}\n\
         errors,error_code=11009,{tags},status_code=404 request_id=\"b\" {}\n\
         licensing,license_status=ok,service=luna-licenses license_period_rest=30i,warnings=\"\",errors=\"\" {stamp}\n",
        stamp + 1,
        stamp + 1
    );
    assert_eq!(influx.write("monitoring", lines).await.status, 204);

    let queries: Vec<Block> = blocks()
        .into_iter()
        .filter(|block| block.document == "docs/schema.md" && block.language == "sql")
        .collect();
    let expected = [serde_json::json!(2.0 / 60.0), 1.into(), "b".into(), 30.into()];
    assert_eq!(queries.len(), expected.len());
    for (query, expected) in queries.iter().zip(expected) {
        let result = influx.query("monitoring", &query.text).await;
        assert_eq!(result["series"][0]["values"][0][1], expected, "{}: {result}", query.text);
    }
}

/// Asserts that the text is a section of settings, read by two readers, or valid dependencies.
fn assert_settings(document: &str, text: &str) {
    // The file exists only on the reader's machine.
    let text = &text.replace("token_file =", "token =");
    let table: toml::Table = text.parse().unwrap_or_else(|error| panic!("{document}: {error}"));
    if let Some(dependencies) = table.get("dependencies") {
        let manifest: toml::Table = File::read("Cargo.toml").text.parse().expect("cargo reads it, too");
        let features = manifest["features"].as_table().expect("a table");
        let wanted = dependencies["tower-influx"].get("features").and_then(|value| value.as_array());
        for feature in wanted.into_iter().flatten() {
            let known = feature.as_str().is_some_and(|feature| features.contains_key(feature));
            assert!(known, "{document}: there is no feature {feature:?}");
        }
        return;
    }
    let section = table.get("monitoring").and_then(|value| value.as_table()).unwrap_or(&table);
    let settings =
        Settings::deserialize(section.clone()).unwrap_or_else(|error| panic!("{document}: {error}"));
    settings.validate().unwrap_or_else(|error| panic!("{document}: {error}"));
    let config = Config::builder().add_source(config::File::from_str(text, FileFormat::Toml)).build();
    let config = config.unwrap_or_else(|error| panic!("{document}: {error}"));
    let layered: Result<Settings, _> =
        if table.contains_key("monitoring") { config.get("monitoring") } else { config.try_deserialize() };
    let layered = layered.unwrap_or_else(|error| panic!("{document}, by `config`: {error}"));
    assert_eq!(format!("{layered:?}"), format!("{settings:?}"), "{document}");
}

/// Asserts that the examples and manifests of cargo commands exist.
fn assert_commands(document: &str, text: &str) {
    for command in text.lines().filter_map(|line| line.strip_prefix("$ ")) {
        let words: Vec<&str> = command.split_whitespace().collect();
        assert_eq!(words[0], "cargo", "{document}: say in this test what holds `{command}`");
        let after = |option: &str| words.iter().position(|word| *word == option).map(|at| words[at + 1]);
        if let Some(example) = after("--example") {
            let exists = [format!("examples/{example}.rs"), format!("examples/{example}/main.rs")];
            assert!(exists.iter().any(|path| root().join(path).exists()), "{document}: no example {example}");
        }
        if let Some(manifest) = after("--manifest-path") {
            assert!(root().join(manifest).exists(), "{document}: no {manifest}");
        }
    }
}

/// Returns the blocks of the README files and of `docs`.
fn blocks() -> Vec<Block> {
    let documents = text_files().into_iter().filter(|file| {
        file.path.ends_with(".md") && (file.path.ends_with("README.md") || file.path.starts_with("docs/"))
    });
    let mut blocks = Vec::new();
    for File { path, text } in documents {
        let mut open: Option<Block> = None;
        for line in text.lines() {
            match (line.trim_start().strip_prefix("```"), &mut open) {
                (Some(language), None) => {
                    open = Some(Block {
                        document: path.clone(),
                        language: language.into(),
                        text: String::new(),
                    });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (None, Some(block)) => block.text += &format!("{line}\n"),
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{path}: a block does not end");
    }
    blocks
}
