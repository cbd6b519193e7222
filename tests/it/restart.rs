//! A monitor that starts where another one of the same process has ended continues with its spool.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::{Builder, Runtime};
use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::SpoolSettings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
};

use crate::support::locks;

struct Away;

impl Sink for Away {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        Box::pin(async { Err(WriteError::transient("away")) })
    }

    fn describe(&self) -> String {
        "away".to_owned()
    }
}

#[derive(Clone, Copy, Debug)]
enum Runs {
    InAThread,
    OnTheRuntime,
}

fn start(spool: &Path, runs: Runs) -> Monitor {
    let mut settings = Settings::new("restart");
    settings.spool = Some(SpoolSettings::new(spool));
    settings.rollup.interval = Some(Duration::from_secs(3_600));
    let builder = Monitor::builder(settings).sink(Away).add_sink("archive", Away);
    match runs {
        Runs::InAThread => builder,
        Runs::OnTheRuntime => builder.on_current_runtime(),
    }
    .start()
    .expect("starts")
}

fn runtimes() -> [(&'static str, Runtime); 2] {
    [
        ("one thread", Builder::new_current_thread().enable_all().build().expect("builds")),
        ("two threads", Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("builds")),
    ]
}

/// How the monitor before ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    /// A handle outlives it, for example in a router.
    ShutDown,
    Dropped,
}

async fn restart(spool: PathBuf, runs: Runs, ends: Ends) {
    let (mut handles, mut first, mut expected) = (Vec::new(), Vec::new(), 0);
    for round in 0..10 {
        let monitor = start(&spool, runs);
        let (recovered, found) = (monitor.stats().ledger.recovered, locks::directories(&spool));
        if round == 0 {
            first.clone_from(&found);
        }
        assert_eq!(found, first, "{runs:?}, {ends:?}, {round}");
        // Nothing is ever written, so each point is left once for each destination.
        assert_eq!(recovered, expected, "{runs:?}, {ends:?}, {round}");
        monitor.record(&DataPoint::new("jobs").with_field("number", 1));
        expected += 2;
        if ends == Ends::ShutDown {
            let report = monitor.shutdown(Duration::from_secs(5)).await;
            assert_eq!(report.spooled, expected, "{report}");
            let stats = monitor.stats();
            assert_eq!(
                (stats.ledger.spooled, stats.spool.map(|spool| spool.files > 0)),
                (report.spooled, Some(true))
            );
            handles.push(monitor);
        } else {
            drop(monitor);
        }
        for directory in &first {
            locks::wait_until_free(directory).await;
        }
    }
    assert_eq!(first.len(), 3, "of points, rollups and the archive: {first:?}");
}

#[test]
fn a_monitor_has_the_directories_of_the_one_that_ended_before() {
    // On a runtime of the application, the task ends at some time after the last handle.
    let members = [
        (Runs::InAThread, Ends::ShutDown),
        (Runs::InAThread, Ends::Dropped),
        (Runs::OnTheRuntime, Ends::ShutDown),
    ];
    for (name, runtime) in runtimes() {
        for (runs, ends) in members {
            let spools = [(); 2].map(|()| tempfile::tempdir().expect("a directory"));
            let [main, task] = spools.each_ref().map(|spool| restart(spool.path().to_owned(), runs, ends));
            runtime.block_on(main);
            let task = runtime.spawn(task);
            runtime.block_on(task).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }
}
