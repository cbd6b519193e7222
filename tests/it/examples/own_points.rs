//! The background job: its points are compared with the folder that it reads, and with its output.

use std::fs;

use crate::support::example::{Example, LastLine};

#[tokio::test(flavor = "multi_thread")]
async fn own_points_are_those_of_the_job() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let folder = directory.path().join("folder");
    fs::create_dir(&folder).expect("a writable directory");
    fs::write(folder.join("one"), "12345").expect("a writable directory");
    fs::write(folder.join("two"), "123").expect("a writable directory");
    let mut example = Example::start_in("own_points", directory, |command| {
        command.args(["folder", "0.05"]);
    });
    let (found, failed) = ("folder: 2 files of 8 bytes", "folder: No such file or directory");
    let count = |output: &str, text: &str| output.lines().filter(|line| line.starts_with(text)).count();
    example.wait_until("three measurements", |output| count(output, found) >= 3).await;
    fs::rename(&folder, folder.with_file_name("away")).expect("a writable directory");
    example.wait_until("two failures", |output| count(output, failed) >= 2).await;
    let end = example.terminate().await;

    let points = example.points();
    let (measured, failures) = (&points["folders"], &points["failures"]);
    assert_eq!(end, LastLine::all_written((measured.len() + failures.len()) as u64));
    let output = example.output();
    assert_eq!((measured.len(), failures.len()), (count(&output, found), count(&output, failed)));
    for point in measured {
        assert_eq!((point.tag("service"), point.tag("folder")), ("own_points", "folder"));
        assert_eq!((point.fields["files"].as_i64(), point.fields["bytes"].as_i64()), (Some(2), Some(8)));
        assert!(point.fields["seconds"].is_f64(), "{point:?}");
    }
    for point in failures {
        assert_eq!((point.tag("job"), point.tag("kind")), ("folders", "NotFound"));
        assert_eq!(point.fields["message"], "No such file or directory (os error 2)");
    }
}
