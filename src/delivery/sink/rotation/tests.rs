//! Rotation, bounds, and several processes in one directory.

use std::fs;

use super::*;
use crate::{fs_ext::faults, test_log::logged};
use std::time::Duration;

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs_ext::list(directory).expect("lists").into_iter().map(|file| file.name).collect();
    names.sort();
    names
}

#[test]
fn a_file_ends_with_its_size_and_with_the_utc_day() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 10, 1 << 20);
    let mut append = |second, text: &str| files.append(at(second), &[text.as_bytes()]).expect("appends");
    append(0, "12345\n");
    append(1, "789\n");
    append(2, "a\n");
    append(86_399, "b\n");
    append(86_400, "c\n");
    append(86_399, "d\n");
    append(86_399, "longer than a file\n");
    let contents: Vec<_> = names(directory.path())
        .iter()
        .map(|name| (name.clone(), fs::read_to_string(directory.path().join(name)).expect("reads")))
        .collect();
    let expected = [
        ("points-19700101T000000Z-0000-ac6a4ca2-0.lp", "12345\n789\n"),
        ("points-19700101T000002Z-0000-ac6a4ca2-0.lp", "a\nb\n"),
        ("points-19700101T235959Z-0000-ac6a4ca2-0.lp", "d\n"),
        ("points-19700101T235959Z-0001-ac6a4ca2-0.lp", "longer than a file\n"),
        ("points-19700102T000000Z-0000-ac6a4ca2-0.lp", "c\n"),
    ];
    assert_eq!(contents, expected.map(|(name, text)| (name.to_owned(), text.to_owned())));
}

#[test]
fn the_oldest_are_deleted_and_foreign_files_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let foreign = [
        "points-19700101T000000Z-0000-ac6a4ca2-0.lp.bak",
        "points-19700101T000000Z-00000-ac6a4ca2-0.lp",
        "points-19700101T000000-0000.lp",
        "rejected-19700101T000000Z-0000-ac6a4ca2-0.lp",
        "points-.lp",
        "notes.lp",
    ];
    for name in foreign {
        fs::write(directory.path().join(name), vec![b'#'; 8192]).expect("writes");
    }
    fs::create_dir(directory.path().join("points-19700101T000000Z-0001-ac6a4ca2-0.lp")).expect("creates");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 4, 3 * BLOCK);
    for second in 1..10 {
        files.append(at(second), &[b"abc\n"]).expect("appends");
    }
    let owner = files.owner.as_ref().expect("has appended");
    let ours: Vec<_> = files.files(owner).expect("lists").0.into_iter().map(|file| file.name).collect();
    assert_eq!(ours, [7, 8, 9].map(|second| format!("points-19700101T00000{second}Z-0000-ac6a4ca2-0.lp")));
    assert!(foreign.iter().all(|name| directory.path().join(name).exists()));
}

#[test]
fn a_file_that_another_process_is_writing_is_not_deleted() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut first = RotatingFiles::new(directory.path(), "points", "shop", 4, BLOCK);
    let mut second = RotatingFiles::new(directory.path(), "points", "shop", 4, BLOCK);
    first.append(at(1), &[b"a"]).expect("appends");
    second.append(at(1), &[b"b"]).expect("appends");
    second.append(at(2), &[b"abcd"]).expect("appends");
    first.append(at(2), &[b"a\n"]).expect("appends");
    let contents: Vec<_> = names(directory.path())
        .iter()
        .map(|name| fs::read_to_string(directory.path().join(name)).expect("reads"))
        .collect();
    assert_eq!(contents, ["aa\n", "abcd"]);
}

#[test]
fn a_deleted_or_replaced_file_is_created_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("points");
    let mut files = RotatingFiles::new(&path, "points", "shop", 100, 1 << 20);
    files.append(at(1), &[b"a\n"]).expect("appends");
    let name = path.join(&names(&path)[0]);
    fs::rename(&name, path.join("moved")).expect("moves");
    fs::write(&name, "other\n").expect("writes");
    files.append(at(1), &[b"b\n"]).expect("appends");
    assert_eq!(fs::read_to_string(&name).expect("reads"), "other\n");
    assert_eq!(
        fs::read_to_string(path.join("points-19700101T000001Z-0001-ac6a4ca2-0.lp")).expect("reads"),
        "b\n"
    );

    fs::remove_dir_all(&path).expect("removes");
    files.append(at(2), &[b"c\n"]).expect("appends");
    assert_eq!(names(&path), ["points-19700101T000002Z-0000-ac6a4ca2-0.lp"]);
}

#[test]
fn a_truncated_file_is_appended_to_without_a_hole() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 100, 1 << 20);
    files.append(at(1), &[b"abcdef\n"]).expect("appends");
    let name = directory.path().join(&names(directory.path())[0]);
    File::options().write(true).open(&name).expect("opens").set_len(0).expect("truncates");
    files.append(at(1), &[b"b\n"]).expect("appends");
    assert_eq!(fs::read(&name).expect("reads"), b"b\n");
}

#[test]
fn a_failed_first_write_leaves_no_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 100, 1 << 20);
    let fault = faults::inject(directory.path(), faults::Operation::Write(1), 28);
    files.append(at(1), &[b"#\n", b"abc\n"]).expect_err("full");
    assert_eq!(names(directory.path()), [""; 0]);
    drop(fault);
    files.append(at(1), &[b"#\n", b"abc\n"]).expect("appends");
    assert_eq!(names(directory.path()).len(), 1);
}

fn count(directory: &Path, label: &str) -> usize {
    names(directory).iter().filter(|name| name.ends_with(&format!("-{label}.lp"))).count()
}

#[test]
fn the_bound_of_one_process_deletes_no_finished_file_of_another() {
    let (shop, other) = (owner::hash("shop"), owner::hash("other"));
    for prefix in ["points", "rejected"] {
        let directory = tempfile::tempdir().expect("a directory");
        let new = |service| RotatingFiles::new(directory.path(), prefix, service, 4, 2 * BLOCK);
        let (mut first, mut replica, mut foreign) = (new("shop"), new("shop"), new("other"));
        for second in 1..5 {
            for files in [&mut first, &mut replica, &mut foreign] {
                files.append(at(second), &[b"abc\n"]).expect("appends");
            }
        }
        let counts = || {
            [format!("{shop:08x}-0"), format!("{shop:08x}-1"), format!("{other:08x}-0")]
                .map(|label| count(directory.path(), &label))
        };
        assert_eq!(counts(), [2, 2, 2], "{prefix}: each has its own bound");
        drop((replica, foreign));
        first.append(at(6), &[b"abc\n"]).expect("appends");
        assert_eq!(counts(), [1, 1, 2], "{prefix}: what ended processes of the service left is counted, too");
    }
}

#[test]
fn a_deleted_lock_is_noticed_and_created_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 4, 1 << 20);
    files.append(at(1), &[b"abc\n"]).expect("appends");
    let lock = directory.path().join(".locks/points-ac6a4ca2-0");
    fs::remove_file(&lock).expect("is there");
    files.append(at(2), &[b"abc\n"]).expect("appends");
    assert!(lock.exists());
    assert_eq!(count(directory.path(), "ac6a4ca2-0"), 2);
}

#[cfg(unix)]
#[test]
fn directories_that_others_may_write_are_refused_with_a_remedy() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    for setting in ["directory", "rejected_directory"] {
        let root = tempfile::tempdir().expect("a directory");
        let (open, link, file) =
            (root.path().join("open"), root.path().join("link"), root.path().join("file"));
        fs::create_dir(&open).expect("creates");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("may");
        symlink(root.path(), &link).expect("links");
        fs::write(&file, "").expect("writes");
        let pipe = root.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
        for (path, why) in
            [(&open, "every user may write"), (&link, "symbolic link"), (&file, "exists"), (&pipe, "exists")]
        {
            let mut files = RotatingFiles::new(path, "points", "shop", 4, BLOCK);
            let error = files.prepare(setting).expect_err("cannot be used");
            let text = format!("{error:#}");
            assert!(
                error.is_io() && text.contains(&format!("`{setting}` is `{}`", path.display())),
                "{text}"
            );
            assert!(text.contains(why) && text.contains("name a directory"), "{text}");
        }
        let inside = open.join("inside");
        RotatingFiles::new(&inside, "points", "shop", 4, BLOCK).prepare(setting).expect("of this user alone");
    }
}

#[test]
fn a_full_disk_does_not_prevent_a_start_whichever_operation_fails() {
    use faults::Operation;
    for operation in [Operation::CreateDirectory, Operation::Create, Operation::Write(0)] {
        let root = tempfile::tempdir().expect("a directory");
        let path = root.path().join("points");
        let mut files = RotatingFiles::new(&path, "points", "shop", 4, 1 << 20);
        let fault = faults::inject(root.path(), operation, 28);
        files.prepare("directory").expect("starts");
        files.append(at(1), &[b"abc\n"]).expect_err("full");
        drop(fault);
        files.append(at(2), &[b"abc\n"]).expect("room again");
        assert_eq!(count(&path, "ac6a4ca2-0"), 1, "{operation:?}");
    }
    // The directory exists, and only its lock file has no space.
    let root = tempfile::tempdir().expect("a directory");
    let _fault = faults::inject(&root.path().join(".locks"), Operation::Create, 28);
    RotatingFiles::new(root.path(), "points", "shop", 4, BLOCK).prepare("directory").expect("starts");
}

#[test]
fn the_cost_of_a_name_is_linear_in_its_length() {
    let pieces = ["points-", "19700101T000000Z-", "0000-", "ac6a4ca2-0", ".lp"];
    crate::work::assert_linear(&pieces, |name| _ = label("points", name));
}

/// Anything but a full disk: a lock that cannot be made will not come by itself.
#[test]
fn a_directory_without_a_lock_is_refused_at_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let _fault = faults::inject(&directory.path().join(".locks"), faults::Operation::Create, 5);
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 10, 1 << 20);
    let error = files.prepare("directory").expect_err("no lock can be made");
    assert!(error.is_io() && error.to_string().contains("`directory`"), "{error}");
}

#[test]
fn what_is_deleted_for_room_is_logged_with_its_size_and_nothing_else_is() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 5_000, 20_000);
    let mut append =
        |second, bytes: usize| logged(|| files.append(at(second), &[&vec![b'x'; bytes]]).expect("appends"));
    // A small file counts as a block.
    assert_eq!([append(1, 10), append(2, 4_991), append(3, 5_000)], [""; 3]);
    let log = append(4, 12_000);
    let fields = format!(" files=2 bytes={}\n", BLOCK + 4_991);
    assert!(log.ends_with(&fields) && log.lines().count() == 1 && log.contains("INFO"), "{log}");
}

#[test]
fn a_file_that_cannot_be_created_fails_with_the_reason_of_the_disk() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 4, 1 << 20);
    files.append(at(1), &[b"abc\n"]).expect("appends");
    let _full = faults::inject(directory.path(), faults::Operation::Create, 28);
    assert_eq!(files.append(at(2), &[b"abc\n"]).expect_err("full").raw_os_error(), Some(28));
}

#[test]
fn a_process_that_has_its_label_needs_no_further_lock() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut files = RotatingFiles::new(directory.path(), "points", "shop", 4, 1 << 20);
    files.append(at(1), &[b"abc\n"]).expect("appends");
    let _fault = faults::inject(&directory.path().join(".locks"), faults::Operation::Lock, 5);
    files.append(at(2), &[b"abc\n"]).expect("its lock is still held");
    assert_eq!(count(directory.path(), "ac6a4ca2-0"), 2);
}
