//! Several processes on one directory, including dead and killed ones.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
};

use super::*;

const ROOT: &str = "TOWER_INFLUX_TEST_SPOOL";
const COUNT: &str = "TOWER_INFLUX_TEST_SPOOL_COUNT";

/// Stores batches, and prints their number after each.
#[tokio::test]
#[ignore = "run as a child by the other tests of this file"]
async fn child() {
    let (Ok(root), Ok(count)) = (std::env::var(ROOT), std::env::var(COUNT)) else { return };
    let mut fixture = Fixture::new(Path::new(&root));
    let mut out = io::stdout();
    for sequence in 1..=count.parse().expect("a number") {
        fixture.store(sequence, 2).await;
        io::Write::write_all(&mut out, format!("stored {sequence}\n").as_bytes()).expect("the parent reads");
    }
    io::Write::write_all(&mut out, b"done\n").expect("the parent reads");
    // Runs until the parent kills it or ends.
    let _ = io::stdin().read_line(&mut String::new());
}

struct ChildProcess(Child);

impl Drop for ChildProcess {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl ChildProcess {
    fn spawn(root: &Path, count: u64) -> Self {
        let child = Command::new(std::env::current_exe().expect("has a path"))
            .args(["--exact", "--ignored", "delivery::spool::tests::processes::child", "--nocapture"])
            .env(ROOT, root)
            .env(COUNT, count.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("spawns");
        Self(child)
    }

    /// Reads the numbers that the child prints until `stop` returns true, and returns the last one.
    fn stored(&mut self, mut stop: impl FnMut(u64) -> bool) -> u64 {
        let mut stored = 0;
        for line in BufReader::new(self.0.stdout.as_mut().expect("is piped")).lines() {
            let line = line.expect("reads");
            match line.split_once("stored ") {
                Some((_, number)) => stored = number.parse().expect("a number"),
                None if line.ends_with("done") => break,
                None => continue,
            }
            if stop(stored) {
                break;
            }
        }
        stored
    }
}

#[tokio::test]
async fn processes_do_not_touch_each_other_and_adopt_the_batches_of_dead_ones() {
    let root = tempfile::tempdir().expect("a directory");
    let mut first = ChildProcess::spawn(root.path(), 3);
    assert_eq!(first.stored(|_| false), 3);
    let mut fixture = Fixture::new(root.path());
    let mut second = ChildProcess::spawn(root.path(), 2);
    assert_eq!(second.stored(|_| false), 2);
    fixture.store(9, 1).await;
    fixture.spool.maintain(true).await;
    assert_eq!((fixture.ledger().recovered, fixture.spool.counts().files), (0, 1), "both are alive");

    drop(first);
    fixture.spool.maintain(true).await;
    fixture.spool.maintain(true).await;
    assert_eq!((fixture.ledger().recovered, fixture.ledger().spooled), (6, 7));
    drop(second);
    let mut fixture = fixture.restart();
    assert_eq!((fixture.ledger().recovered, fixture.spool.counts().files), (11, 6));
    let mut sent = fixture.send_all().await;
    sent.sort_unstable();
    assert_eq!(sent, [1, 1, 2, 2, 3, 9]);
    let directories = fs::read_dir(root.path()).expect("lists").count();
    assert_eq!(directories, 3, "the directories of the dead are used again, not multiplied");
}

#[tokio::test]
async fn a_killed_process_loses_no_batch_that_was_reported_as_stored() {
    let root = tempfile::tempdir().expect("a directory");
    let mut expected = 0;
    for round in 0..20 {
        let mut process = ChildProcess::spawn(root.path(), 1000);
        // The child has stored an unknown number more when it is killed.
        expected += process.stored(|stored| stored > round % 7);
        drop(process);
    }
    let mut fixture = Fixture::new(root.path());
    let counts = fixture.spool.counts();
    assert!(counts.files as u64 >= expected, "{} of {expected}", counts.files);
    assert_eq!((counts.corrupt, counts.errors, fixture.ledger().recovered), (0, 0, counts.points));
    assert_eq!(fixture.send_all().await.len(), counts.files);
}

/// Runs as a user without the right to read everything. Root always has it.
#[cfg(unix)]
#[tokio::test]
async fn files_without_read_permission_are_left_alone() {
    use std::os::unix::fs::{PermissionsExt, chown};
    let root = tempfile::tempdir().expect("a directory");
    let mut fixture = Fixture::new(root.path());
    fixture.store(1, 1).await;
    fixture.store(2, 1).await;
    let directory = fixture.spool.process_directory().directory();
    drop(fixture);
    let nobody = 65_534;
    let is_root =
        chown(root.path(), Some(nobody), None).is_ok() && chown(&directory, Some(nobody), None).is_ok();
    let unreadable = files(&directory).remove(0);
    if is_root {
        chown(&files(&directory)[1], Some(nobody), None).expect("may");
        chown(directory.join(process_directory::LOCK), Some(nobody), None).expect("may");
    } else {
        fs::set_permissions(&unreadable, fs::Permissions::from_mode(0o0)).expect("may");
    }
    if !is_root {
        let fixture = Fixture::new(root.path());
        assert_eq!((fixture.spool.counts().files, fixture.spool.counts().errors), (1, 1));
        assert!(unreadable.exists());
        return;
    }
    let output = {
        use std::os::unix::process::CommandExt;
        Command::new(std::env::current_exe().expect("has a path"))
            .args(["--exact", "--ignored", "delivery::spool::tests::processes::reader", "--nocapture"])
            .env(ROOT, root.path())
            .uid(nobody)
            .output()
    };
    match output {
        Ok(output) => {
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(text.contains("files 1 errors 1"), "{text}{}", String::from_utf8_lossy(&output.stderr));
            assert!(unreadable.exists());
        }
        // The test's own binary may lie where that user has no access.
        Err(error) => {
            let message = format!("NOT RUN: a spool with an unreadable file ({error})\n");
            let _ = io::Write::write_all(&mut io::stderr(), message.as_bytes());
        }
    }
}

/// Opens the spool as another user.
#[test]
#[ignore = "run as a child by the other tests of this file"]
fn reader() {
    let Ok(root) = std::env::var(ROOT) else { return };
    let fixture = Fixture::new(Path::new(&root));
    let counts = fixture.spool.counts();
    let text = format!("files {} errors {}\n", counts.files, counts.errors);
    io::Write::write_all(&mut io::stdout(), text.as_bytes()).expect("the parent reads");
}
