//! A reload changes everything in the new settings, or nothing.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tower_influx::{
    DataPoint, Monitor, Settings,
    settings::SpoolSettings,
    sink::{Batch, Sink, SinkFuture, WriteError, Written},
};

use crate::support::locks;

/// A sink that accepts points unless it is unavailable.
#[derive(Clone, Default)]
struct Server(Arc<AtomicBool>);

impl Server {
    fn away() -> Self {
        Self(Arc::new(AtomicBool::new(true)))
    }
}

impl Sink for Server {
    fn write<'a>(&'a self, _: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        let away = self.0.load(Ordering::Relaxed);
        Box::pin(
            async move { if away { Err(WriteError::transient("away")) } else { Ok(Written::default()) } },
        )
    }

    fn describe(&self) -> String {
        "server".to_owned()
    }
}

fn settings(spool: &Path) -> Settings {
    let mut settings = Settings::new("reload");
    settings.flush_interval = Duration::from_millis(10);
    settings.spool = Some(SpoolSettings::new(spool));
    settings
}

fn start(settings: &Settings, server: &Server) -> Monitor {
    Monitor::builder(settings.clone()).sink(server.clone()).start().expect("starts")
}

fn record(monitor: &Monitor, points: i64) {
    for number in 0..points {
        monitor.record(&DataPoint::new("jobs").with_field("number", number));
    }
}

/// Leaves points of a process that has ended.
async fn leave(spool: &Path, points: i64) {
    let monitor = start(&settings(spool), &Server::away());
    record(&monitor, points);
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.spooled, points as u64, "{report}");
}

async fn wait_for(monitor: &Monitor, what: &str, is: impl Fn(&tower_influx::stats::Stats) -> bool) {
    for _ in 0..2_000 {
        if is(&monitor.stats()) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{what}: {}", monitor.stats());
}

/// Returns the directories of processes.
fn directories(spool: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(spool).expect("a directory").map(|entry| entry.expect("readable").path());
    entries.filter(|path| path.join("lock").exists()).collect()
}

#[tokio::test]
async fn a_reload_that_fails_changes_nothing_whatever_the_reason() {
    let root = tempfile::tempdir().expect("a directory");
    let (first, second, file) =
        (root.path().join("first"), root.path().join("second"), root.path().join("file"));
    fs::write(&file, "").expect("writes");
    leave(&second, 3).await;
    let mut running = settings(&first);
    running.rollup.interval = Some(Duration::from_secs(3_600));
    let server = Server::away();
    let monitor = start(&running, &server);
    type Break = fn(&mut Settings, &Path);
    let wrong: [(&str, Break); 6] = [
        ("a fixed one", |settings, _| settings.own_points = true),
        ("a range", |settings, _| settings.batch_size = 0),
        ("rejected", |settings, file| settings.rejected_directory = Some(file.to_owned())),
        ("the spool", |settings, file| settings.spool = Some(SpoolSettings::new(file.join("spool")))),
        ("a directory of all", |settings, file| {
            use std::os::unix::fs::PermissionsExt;
            let open = file.with_file_name("open");
            fs::create_dir_all(&open).expect("creates");
            fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("may");
            settings.spool = Some(SpoolSettings::new(open));
        }),
        // It is opened after the points' own spool, which contains files.
        ("the spool of rollups", |settings, _| {
            let rollups = settings.spool.as_ref().expect("set").directory.join("rollups");
            fs::write(rollups, "").expect("writes");
        }),
    ];
    for (what, break_it) in wrong {
        for _ in 0..3 {
            let mut new = running.clone();
            new.spool = Some(SpoolSettings::new(&second));
            break_it(&mut new, &file);
            monitor.reload(new).await.expect_err(what);
            let stats = monitor.stats();
            assert!(stats.balances() && stats.ledger.recovered == 0, "{what}: {stats}");
        }
        record(&monitor, 1);
    }
    wait_for(&monitor, "delivery goes on in the first spool", |stats| stats.ledger.spooled == 6).await;
    assert_eq!(directories(&first).len(), 1);
    fs::remove_file(second.join("rollups")).expect("removes");
    let mut new = running.clone();
    new.spool = Some(SpoolSettings::new(&second));
    monitor.reload(new).await.expect("nothing is wrong with it");
    wait_for(&monitor, "once", |stats| stats.ledger.recovered == 3).await;
    server.0.store(false, Ordering::Relaxed);
    monitor.probe().await.expect("it is back");
    wait_for(&monitor, "all of both", |stats| stats.ledger.written >= 9 && stats.ledger.spooled == 0).await;
    let report = monitor.shutdown(Duration::from_secs(5)).await;
    assert_eq!(report.recovered, 3, "{report}");
    let refused = monitor.reload(running).await.expect_err("it is over");
    assert!(refused.is_closed() && monitor.stats().ledger.recovered == 3, "{refused}");
}

#[tokio::test]
async fn new_bounds_apply_to_the_same_spool() {
    let root = tempfile::tempdir().expect("a directory");
    let server = Server::away();
    let mut changed = settings(root.path());
    let monitor = start(&changed, &server);
    for round in 0..1_100 {
        changed.spool.as_mut().expect("set").max_files = 10 + round % 2;
        monitor.reload(changed.clone()).await.expect("another bound");
    }
    assert_eq!(directories(root.path()).len(), 1);
    for round in 0..30 {
        record(&monitor, 1);
        let report = monitor.flush().await.expect("runs");
        assert_eq!(report.dropped, 0, "{round}: {report:?}");
        // One file for each, since the sink is unavailable. A batch that has failed twice stays in
        // memory for its next attempt, which may be a minute away.
        wait_for(&monitor, "stored", |stats| stats.ledger.buffered == 0 && stats.ledger.in_flight <= 1).await;
    }
    let stats = monitor.stats();
    assert!(
        stats.balances() && stats.spool.as_ref().is_some_and(|spool| (10..=11).contains(&spool.files)),
        "{stats}"
    );
    monitor.shutdown(Duration::from_secs(5)).await;
}

#[tokio::test]
async fn a_spool_that_is_configured_again_is_the_earlier_one() {
    let root = tempfile::tempdir().expect("a directory");
    let (first, second) = (root.path().join("first"), root.path().join("second"));
    let server = Server::away();
    let monitor = start(&settings(&first), &server);
    for round in 1..=20 {
        for spool in [&second, &first] {
            record(&monitor, 1);
            wait_for(&monitor, "stored", |stats| stats.ledger.buffered + stats.ledger.in_flight == 0).await;
            monitor.reload(settings(spool)).await.expect("another place");
        }
        let stats = monitor.stats();
        let spool = stats.spool.clone().expect("there is one");
        assert_eq!((stats.ledger.spooled, spool.files > 0), (round * 2, true), "{stats}");
        assert_eq!((directories(&first).len(), directories(&second).len()), (1, 1), "{round}");
    }
    let files = monitor.stats().spool.expect("there is one").files;
    let on_disk = |spool: &Path| -> usize {
        let directory = directories(spool).remove(0);
        fs::read_dir(directory)
            .expect("a directory")
            .filter(|file| {
                file.as_ref().expect("readable").path().extension().is_some_and(|ending| ending == "lp")
            })
            .count()
    };
    assert_eq!(files as usize, on_disk(&first) + on_disk(&second), "both are in the statistics");
    server.0.store(false, Ordering::Relaxed);
    monitor.probe().await.expect("it is back");
    wait_for(&monitor, "all of both", |stats| stats.ledger.written == 40).await;
    monitor.reload(settings(&first)).await.expect("as it is");
    // Nothing is left in the other directory: a new process gets the first one there, as soon as
    // the last file is deleted in the background.
    locks::wait_until_free(&directories(&second)[0]).await;
    let other = start(&settings(&second), &server);
    assert_eq!(directories(&second).len(), 1);
    other.shutdown(Duration::from_secs(5)).await;
    assert!(monitor.shutdown(Duration::from_secs(5)).await.in_time);
}
