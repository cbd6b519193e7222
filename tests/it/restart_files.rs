//! Files of points and of rejected lines keep their bounds when monitors follow each other in one
//! process, while handles of the earlier ones are still alive.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::{FileSettings, Storage},
    sink::{Batch, FileSink, MemorySink, Sink, SinkFuture, WriteError, Written},
};

const MOST: u64 = 128 * 1024;

/// Refuses all points for good.
struct Refusing;

impl Sink for Refusing {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async { Err(WriteError::refused("refused")) })
    }

    fn describe(&self) -> String {
        "refusing".to_owned()
    }
}

/// What writes the files.
#[derive(Clone, Copy, Debug)]
enum Files {
    Storage,
    Passed,
    Added,
    /// For rejected lines of all destinations.
    Rejected,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    InAThread,
    OnTheRuntime,
    /// The runtime is dropped without a shutdown.
    RuntimeDropped,
}

fn start(directory: &Path, files: Files, ends: Ends) -> Monitor {
    let mut settings = Settings::new("restart");
    settings.rollup.interval = Some(Duration::from_secs(3_600));
    let mut file = FileSettings::default();
    (file.directory, file.max_file_size, file.max_total_size) = (directory.to_owned(), MOST / 2, MOST);
    let sink = || FileSink::new(&file, "restart").expect("starts");
    let builder = match files {
        Files::Storage => {
            (settings.storage, settings.file) = (Storage::File, file);
            Monitor::builder(settings)
        }
        Files::Passed => Monitor::builder(settings).sink(sink()),
        Files::Added => Monitor::builder(settings).sink(MemorySink::new()).add_sink("files", sink()),
        Files::Rejected => {
            settings.rejected_directory = Some(directory.to_owned());
            Monitor::builder(settings).sink(Refusing).add_sink("archive", Refusing)
        }
    };
    match ends {
        Ends::InAThread => builder,
        Ends::OnTheRuntime | Ends::RuntimeDropped => builder.on_current_runtime(),
    }
    .start()
    .expect("starts")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(directory)
        .expect("a directory")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.is_file())
        .collect();
    found.sort();
    found
}

async fn wait_for_files(directory: &Path, most: usize) {
    for _ in 0..1_000 {
        if files(directory).len() == most {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?}, and not {most}", files(directory));
}

fn assert_bounded(directory: &Path) {
    let found = files(directory);
    let total: u64 = found.iter().map(|path| path.metadata().expect("is there").len()).sum();
    assert!((1..=MOST).contains(&total), "{total} bytes of {found:?}");
}

fn one_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("builds")
}

#[test]
fn a_monitor_counts_and_deletes_the_files_of_the_one_that_ended_before() {
    let long = "x".repeat(40 * 1024);
    for files_of in [Files::Storage, Files::Passed, Files::Added, Files::Rejected] {
        for ends in [Ends::InAThread, Ends::OnTheRuntime, Ends::RuntimeDropped] {
            let (directory, mut handles) = (tempfile::tempdir().expect("a directory"), Vec::new());
            for round in 0..10 {
                let runtime = one_thread();
                let monitor = runtime.block_on(async {
                    let monitor = start(directory.path(), files_of, ends);
                    monitor.record(&DataPoint::new("jobs").with_field("text", long.as_str()));
                    monitor.flush().await.expect("runs");
                    if matches!(files_of, Files::Rejected) {
                        // They are written in the background.
                        wait_for_files(directory.path(), round + 1).await;
                    }
                    if ends != Ends::RuntimeDropped {
                        let report = monitor.shutdown(Duration::from_secs(5)).await;
                        assert_eq!(
                            (report.dropped, report.spooled),
                            (0, 0),
                            "{files_of:?}, {ends:?}: {report}"
                        );
                    }
                    monitor
                });
                drop(runtime);
                let sink = monitor.stats().delivery.sink;
                assert!(!sink.is_empty() && sink != "none", "{files_of:?}, {ends:?}: {sink}");
                handles.push(monitor);
                let locks = files(&directory.path().join(".locks"));
                assert_eq!(locks.len(), 1, "{files_of:?}, {ends:?}, {round}: {locks:?}");
            }
            if !matches!(files_of, Files::Rejected) {
                assert_bounded(directory.path());
            }
        }
    }
}

#[tokio::test]
async fn a_reload_begins_a_new_file_and_the_earlier_ones_count() {
    let directory = tempfile::tempdir().expect("a directory");
    let monitor = start(directory.path(), Files::Storage, Ends::InAThread);
    let mut settings = Settings::new("restart");
    settings.rollup.interval = Some(Duration::from_secs(3_600));
    (settings.storage, settings.file.directory) = (Storage::File, directory.path().to_owned());
    (settings.file.max_file_size, settings.file.max_total_size) = (MOST / 2, MOST);
    let record = async |bytes: usize| {
        monitor.record(&DataPoint::new("jobs").with_field("text", "x".repeat(bytes)));
        monitor.flush().await.expect("runs");
    };
    for wanted in [1, 2] {
        record(1).await;
        record(1).await;
        assert_eq!(files(directory.path()).len(), wanted);
        monitor.reload(settings.clone()).await.expect("as it is");
    }
    for _ in 0..10 {
        record(40 * 1024).await;
        monitor.reload(settings.clone()).await.expect("as it is");
    }
    assert_bounded(directory.path());
    monitor.shutdown(Duration::from_secs(5)).await;
}
