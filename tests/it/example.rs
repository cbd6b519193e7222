//! The example `luna_licenses`, as a stranger runs it: a process that is asked over HTTP and ended by SIGTERM.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use crate::{
    stored::influx_behind_nginx,
    support::{
        http::Http,
        live::{self, INFLUXD, NGINX, VICTORIA_METRICS},
        process::{Process, free_port},
        service::{Planned, drive, expected},
        victoria::Victoria,
    },
};

/// The running example.
struct Example {
    process: Process,
    url: String,
    directory: tempfile::TempDir,
}

/// What its last line says.
#[derive(Debug, PartialEq, Eq)]
struct LastLine {
    accepted: u64,
    written: u64,
    rejected: u64,
    dropped: u64,
    spooled: u64,
}

impl Example {
    /// Starts it in a directory of its own, with a configuration file if one is given.
    async fn start(configuration: Option<&str>) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = format!("127.0.0.1:{}", free_port());
        let mut command = Command::new(program());
        command.args(["--listen", &address]).env_remove("RUST_LOG");
        if let Some(text) = configuration {
            fs::write(directory.path().join("config.toml"), text).expect("a writable directory");
            command.args(["--config", "config.toml"]);
        }
        let process = Process::start("example", &mut command, directory.path());
        let url = format!("http://{address}");
        Http::new().wait_for(&format!("{url}/monitoring/stats")).await;
        Self { process, url, directory }
    }

    /// Ends it as a container is ended, and reads its last line.
    async fn terminate(&mut self) -> LastLine {
        let status = self.process.terminate(Duration::from_secs(20)).await;
        let output = fs::read_to_string(self.directory.path().join("example.log")).expect("its output");
        assert!(status.success(), "{status}: {output}");
        let line = output.lines().rfind(|line| line.starts_with("monitoring: ")).expect("the last line");
        let words: Vec<_> = line.split([' ', ',']).collect();
        let number = |name: &str| {
            let place =
                words.iter().position(|word| *word == name).unwrap_or_else(|| panic!("{name}: {line}"));
            words[place + 1].parse().unwrap_or_else(|error| panic!("{error}: {line}"))
        };
        LastLine {
            accepted: number("accepted"),
            written: number("written"),
            rejected: number("rejected"),
            dropped: number("dropped"),
            spooled: number("spooled"),
        }
    }
}

/// Builds it if it is not there or old: `cargo test` has just done so, `cargo test --test it` has not.
fn program() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // This test is target/debug/deps/it-…
    let tests = std::env::current_exe().expect("the path of this test");
    let profile = tests.parent().and_then(Path::parent).expect("the folder of the profile");
    let program = profile.join("examples").join("luna_licenses");
    let source = ["src", "examples", "Cargo.toml"].map(|path| newest(&root.join(path)));
    let built = fs::metadata(&program).and_then(|file| file.modified()).ok();
    if built < source.into_iter().max().flatten() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", "luna_licenses"]).current_dir(root);
        assert!(build.status().expect("cargo starts").success(), "the example does not build");
    }
    program
}

/// When the last change was made to a file or to anything in a folder.
fn newest(path: &Path) -> Option<SystemTime> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|entry| newest(&entry.path())).max(),
        Err(_) => fs::metadata(path).and_then(|file| file.modified()).ok(),
    }
}

/// A thousand requests of all kinds that the example knows.
fn plan() -> Vec<Planned> {
    let planned = |path: String, route, status, error_code| Planned {
        method: http::Method::GET,
        path,
        route,
        status,
        error_code,
    };
    (0..1_000)
        .map(|number| match number {
            0..4 => planned("/slow".to_owned(), "GET:/slow", 200, None),
            number if number % 5 == 0 => {
                planned("/items/0".to_owned(), "GET:/items/{id}", 404, Some("11009"))
            }
            number if number % 5 == 1 => planned(format!("/{number}"), "GET:unmatched", 404, Some("11005")),
            number if number % 5 == 2 => planned("/version".to_owned(), "GET:/version", 200, None),
            number => planned(format!("/items/{number}"), "GET:/items/{id}", 200, None),
        })
        .collect()
}

/// Drives it, and returns how many requests and how many failures there were. What the example writes of itself, such as
/// its licence, is not among them.
async fn use_example(example: &Example) -> (u64, u64) {
    let plan = plan();
    let (requests, errors) = expected(&plan);
    drive(&example.url, plan, 8).await;
    (requests.values().sum(), errors.values().sum())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_files() {
    let mut example = Example::start(None).await;
    let (requests, failures) = use_example(&example).await;
    let stats = Http::new().get(&format!("{}/monitoring/stats", example.url)).await.expect("the stats");
    let accepted = stats.json()["accepted"].as_u64().expect("the stats are the ledger");
    let last = example.terminate().await;
    assert_eq!(last.accepted, accepted);
    assert_eq!(last, LastLine { accepted, written: accepted, rejected: 0, dropped: 0, spooled: 0 });

    let (mut lines, mut keys) = (Vec::new(), BTreeSet::new());
    let folder = fs::read_dir(example.directory.path().join("monitoring-data")).expect("the files");
    for file in folder {
        let file = file.expect("a readable entry").path();
        if file.extension().is_some_and(|extension| extension == "lp") {
            let text = fs::read_to_string(&file).expect("a file of text");
            lines.extend(text.lines().filter(|line| !line.starts_with('#')).map(str::to_owned));
        }
    }
    for line in &lines {
        let parsed: Vec<_> =
            influxdb_line_protocol::parse_lines(line).collect::<Result<_, _>>().expect("InfluxData's parser");
        assert_eq!(parsed.len(), 1, "{line}");
        let key = (parsed[0].series.to_string(), parsed[0].timestamp.expect("a timestamp"));
        assert!(keys.insert(key), "another point has this measurement, tags and time: {line}");
    }
    let count = |series: &str| lines.iter().filter(|line| line.starts_with(series)).count() as u64;
    assert_eq!((count("requests,"), count("errors,")), (requests, failures));
    assert_eq!(lines.len() as u64, accepted);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_influxdb() {
    if !live::ready("the_example_writes_every_request_to_influxdb", &[INFLUXD, NGINX]) {
        return;
    }
    let (influx, nginx) = influx_behind_nginx().await;
    let mut example = Example::start(Some(&configuration(&nginx.url()))).await;
    let (requests, failures) = use_example(&example).await;
    let last = example.terminate().await;
    assert_eq!((last.written, last.rejected, last.dropped, last.spooled), (last.accepted, 0, 0, 0));
    assert_eq!(influx.count("monitoring", "requests", "execution_time").await, requests);
    assert_eq!(influx.count("monitoring", "errors", "request_id").await, failures);
    let (expected_requests, expected_errors) = expected(&plan());
    let by_route = influx.count_by("monitoring", "requests", "execution_time", "route").await;
    for (route, count) in by_route {
        let expected: u64 =
            expected_requests.iter().filter(|(key, _)| key.0 == route).map(|(_, count)| count).sum();
        assert_eq!(count, expected, "{route}");
    }
    let by_code = influx.count_by("monitoring", "errors", "request_id", "error_code").await;
    let expected: u64 =
        expected_errors.iter().filter(|(key, _)| key.2 == "11009").map(|(_, count)| count).sum();
    assert_eq!(by_code["11009"], expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_writes_every_request_to_victoria_metrics() {
    if !live::ready("the_example_writes_every_request_to_victoria_metrics", &[VICTORIA_METRICS]) {
        return;
    }
    let victoria = Victoria::start().await;
    let mut example = Example::start(Some(&configuration(&victoria.url()))).await;
    let (requests, failures) = use_example(&example).await;
    let last = example.terminate().await;
    assert_eq!((last.written, last.rejected, last.dropped, last.spooled), (last.accepted, 0, 0, 0));
    let count = victoria.wait_for_count("requests_execution_time", requests as usize).await;
    assert_eq!(count as u64, requests);
    let count = victoria.wait_for_count("errors_request_id", failures as usize).await;
    assert_eq!(count as u64, failures);
    assert_eq!(victoria.invalid_rows().await, 0);
}

/// A settings file with the names of the reference beside our own.
fn configuration(url: &str) -> String {
    format!(
        r#"
[monitoring]
send_data_for_monitoring = 1
storage_type = "influx"
flushing_period = 1
url = "{url}"
organization = "luna"
bucket = "monitoring"
token = "a-token"
"#
    )
}
