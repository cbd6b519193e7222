//! Runs the examples as a user does: as processes that receive requests over the network and are
//! ended by SIGTERM.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::{Command, ExitStatus},
    sync::{Mutex, PoisonError},
    time::{Duration, SystemTime},
};

use influxdb_line_protocol::{FieldValue, parse_lines};
use serde_json::Value;
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use super::{influx::Stored, process::Process};

/// A running example.
#[derive(Debug)]
pub(crate) struct Example {
    process: Process,
    // Dropped after the process that writes there.
    directory: TempDir,
}

/// The contents of the last line that an example prints.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LastLine {
    pub(crate) accepted: u64,
    pub(crate) written: u64,
    pub(crate) rejected: u64,
    pub(crate) dropped: u64,
    pub(crate) spooled: u64,
}

impl LastLine {
    /// Returns the line of an example that has lost no point and left none in the spool.
    pub(crate) fn all_written(accepted: u64) -> Self {
        Self { accepted, written: accepted, rejected: 0, dropped: 0, spooled: 0 }
    }
}

impl Example {
    /// Starts an example in its own directory.
    pub(crate) fn start(name: &str, arguments: &[&str]) -> Self {
        Self::start_in(name, tempfile::tempdir().expect("a temporary directory"), |command| {
            command.args(arguments);
        })
    }

    /// Starts an example in this directory, which is removed at its end.
    pub(crate) fn start_in(name: &str, directory: TempDir, prepare: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(program(name));
        command.env_remove("RUST_LOG");
        prepare(&mut command);
        let process = Process::start("example", &mut command, directory.path());
        Self { process, directory }
    }

    /// Returns the directory in which it runs.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the directory of an example that has ended, for the next one.
    pub(crate) fn into_directory(self) -> TempDir {
        self.directory
    }

    /// Returns everything that it has printed.
    pub(crate) fn output(&self) -> String {
        fs::read_to_string(self.directory.path().join("example.log")).expect("its output")
    }

    /// Returns the address on which it says that it listens.
    pub(crate) async fn url(&mut self) -> String {
        let marker = "on http://";
        self.wait_until("it listens", |output| output.contains(marker)).await;
        let output = self.output();
        let rest = output.split_once(marker).map_or("", |(_, rest)| rest);
        // The sentence may continue after the address.
        let address = rest.split([' ', '\n', ',']).next().unwrap_or_default();
        format!("http://{}", address.trim_end_matches('.'))
    }

    /// Waits until its output fulfils a condition. Only whole lines are checked.
    pub(crate) async fn wait_until(&mut self, what: &str, mut right: impl FnMut(&str) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let output = self.output();
            if right(output.rsplit_once('\n').map_or("", |(whole, _)| whole)) {
                return;
            }
            if let Some(status) = self.process.ended() {
                panic!("{status} before {what}: {output}");
            }
            assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}: {output}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.wait(PATIENCE).await
    }

    /// Ends it by SIGTERM, as a container runtime does, and reads its last line.
    pub(crate) async fn terminate(&mut self) -> LastLine {
        let status = self.process.terminate(PATIENCE).await;
        let output = self.output();
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

    /// Returns the points in its files, by measurement. Fails if a line is not a point, or if a
    /// point would overwrite another one.
    pub(crate) fn points(&self) -> BTreeMap<String, Vec<Stored>> {
        let folder = fs::read_dir(self.directory.path().join("monitoring-data")).expect("the files");
        let files = folder.map(|entry| entry.expect("a readable entry").path());
        let texts: Vec<_> = files
            .filter(|file| file.extension().is_some_and(|extension| extension == "lp"))
            .map(|file| fs::read_to_string(file).expect("a file of text"))
            .collect();
        read_points(&texts.concat())
    }
}

/// Parses line protocol with InfluxData's own parser.
pub(crate) fn read_points(text: &str) -> BTreeMap<String, Vec<Stored>> {
    let (mut points, mut keys) = (BTreeMap::<_, Vec<_>>::new(), BTreeSet::new());
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let parsed: Vec<_> = parse_lines(line).collect::<Result<_, _>>().expect("InfluxData's parser");
        let [parsed] = &parsed[..] else { panic!("not one point: {line}") };
        let time = parsed.timestamp.expect("a timestamp");
        let key = (parsed.series.to_string(), time);
        assert!(keys.insert(key), "another point has this measurement, tags and time: {line}");
        let tags = parsed.series.tag_set.iter().flatten();
        let point = Stored {
            time,
            tags: tags.map(|(key, value)| (key.to_string(), value.to_string())).collect(),
            fields: parsed.field_set.iter().map(|(key, value)| (key.to_string(), json(value))).collect(),
        };
        points.entry(parsed.series.measurement.to_string()).or_default().push(point);
    }
    points
}

fn json(value: &FieldValue<'_>) -> Value {
    match value {
        FieldValue::I64(number) => (*number).into(),
        FieldValue::U64(number) => (*number).into(),
        FieldValue::F64(number) => (*number).into(),
        FieldValue::String(text) => text.to_string().into(),
        FieldValue::Boolean(truth) => (*truth).into(),
    }
}

/// Builds the example if it is missing or outdated. `cargo test` has just built it; `cargo test
/// --test it` has not.
pub(crate) fn program(name: &str) -> PathBuf {
    // One at a time. Otherwise cargo itself waits for the lock, and prints that again and again.
    static BUILDING: Mutex<()> = Mutex::new(());
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // This test is target/debug/deps/it-…
    let tests = std::env::current_exe().expect("the path of this test");
    let profile = tests.parent().and_then(Path::parent).expect("the folder of the profile");
    let program = profile.join("examples").join(name);
    let own = root.join(format!("examples/{name}.rs"));
    let source = [root.join("src"), root.join("Cargo.toml"), root.join("examples/shutdown"), own];
    let built = fs::metadata(&program).and_then(|file| file.modified()).ok();
    if built < source.iter().filter_map(|path| newest(path)).max() {
        let mut build = Command::new(env!("CARGO"));
        build.args(["build", "--quiet", "--example", name]).current_dir(root);
        assert!(build.status().expect("cargo starts").success(), "the example does not build");
    }
    program
}

/// Returns the time of the last change to a file, or to anything in a folder.
fn newest(path: &Path) -> Option<SystemTime> {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().filter_map(|entry| newest(&entry.path())).max(),
        Err(_) => fs::metadata(path).and_then(|file| file.modified()).ok(),
    }
}

const PATIENCE: Duration = Duration::from_secs(60);
