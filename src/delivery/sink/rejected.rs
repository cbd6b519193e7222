//! Files for lines that the server permanently refused.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::SystemTime,
};

use tokio::{
    runtime::Handle,
    sync::{Mutex, Semaphore},
    task,
};

use crate::{
    delivery::{batch::Batch, sink::rotation::RotatingFiles},
    error::Error,
    fs_ext,
    stats::{Counter, RejectReason},
};

/// Writes refused lines into files named `rejected-20260603T101112Z-0000-89abcdef-0.lp`. People can
/// then see what was refused, fix it and import it.
///
/// The files are valid line protocol. A comment before each group of lines gives the time, the
/// reason and the server's message. Each file has at most 16 MiB, all together 256 MiB; beyond that
/// the oldest are deleted.
///
/// The ledger counts these lines as rejected already, so writing them never delays anything. Lines
/// are counted and discarded if 8 MiB already wait for the disk, or if the disk fails.
#[derive(Debug)]
pub(crate) struct RejectedFiles {
    shared: Arc<RejectedShared>,
}

#[derive(Debug)]
struct RejectedShared {
    directory: PathBuf,
    files: Arc<Mutex<RotatingFiles>>,
    /// One permit for each KiB that may wait.
    room: Arc<Semaphore>,
    lost: Counter,
    failing: AtomicBool,
}

impl RejectedFiles {
    /// Creates the directory, and checks that it can be written.
    pub(crate) fn new(directory: &Path, service: &str) -> Result<Self, Error> {
        let mut files = RotatingFiles::new(directory, PREFIX, service, MAX_FILE_SIZE, MAX_TOTAL_SIZE);
        files.prepare("rejected_directory")?;
        Ok(Self {
            shared: Arc::new(RejectedShared {
                directory: directory.to_owned(),
                files: Arc::new(Mutex::new(files)),
                room: Arc::new(Semaphore::new(ROOM as usize)),
                lost: Counter::default(),
                failing: AtomicBool::new(false),
            }),
        })
    }

    /// Writes rejected lines to the file. Never waits and never fails. `message` is the server's
    /// message, and must hold no secret.
    pub(crate) fn write(&self, lines: &Batch, reason: RejectReason, message: &str) {
        let now = SystemTime::now();
        let (comment, lines, shared) = (comment(now, lines, reason, message), lines.clone(), &self.shared);
        let kib = u32::try_from(lines.bytes().len() / 1024 + 1).unwrap_or(ROOM).min(ROOM);
        let (Ok(runtime), Ok(permit)) =
            (Handle::try_current(), Arc::clone(&shared.room).try_acquire_many_owned(kib))
        else {
            shared.lose(&lines, "too much waits for the disk");
            return;
        };
        let shared = Arc::clone(shared);
        runtime.spawn(async move {
            // Files are written one after the other. Otherwise a disk that hangs would hold a
            // thread for each call.
            let mut files = Arc::clone(&shared.files).lock_owned().await;
            let ended =
                task::spawn_blocking(move || match files.append(now, &[comment.as_bytes(), lines.bytes()]) {
                    Ok(()) => shared.failing.store(false, Ordering::Relaxed),
                    Err(error) => shared.lose(&lines, &error.to_string()),
                });
            let _ = ended.await;
            drop(permit);
        });
    }

    /// Waits until all lines handed over before are in the files or lost.
    pub(crate) async fn finish(&self) {
        let _ = self.shared.room.acquire_many(ROOM).await;
    }

    /// Returns the number of rejected points that were not written to a file.
    #[cfg(test)]
    pub(crate) fn lost(&self) -> u64 {
        self.shared.lost.count()
    }
}

impl RejectedShared {
    fn lose(&self, lines: &Batch, why: &str) {
        self.lost.add(lines.len() as u64);
        if !self.failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                target: "tower_influx",
                directory = %self.directory.display(),
                why,
                "rejected points cannot be stored in `rejected_directory`: they are counted as rejected, and \
                 their lines are lost; free disk space, or make the directory writable"
            );
        }
    }
}

fn comment(now: SystemTime, lines: &Batch, reason: RejectReason, message: &str) -> String {
    let (stamp, points) = (fs_ext::stamp(now), lines.len());
    let message: String = message
        .chars()
        .map(|character| if character.is_control() { ' ' } else { character })
        .take(MAX_MESSAGE)
        .collect();
    format!("# {stamp} rejected points={points} reason={reason} {message}\n")
}

const PREFIX: &str = "rejected";
const MAX_FILE_SIZE: u64 = 16 * 1024 * 1024;
const MAX_TOTAL_SIZE: u64 = 256 * 1024 * 1024;
/// The amount of lines that may wait for the disk, in KiB.
const ROOM: u32 = 8 * 1024;
/// In characters.
const MAX_MESSAGE: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{fs_ext::faults, test_log::logged};
    use bytes::Bytes;
    use std::fs;

    fn batch(text: &str) -> Batch {
        let lines = text.matches('\n').count();
        Batch::new(Bytes::copy_from_slice(text.as_bytes()), lines, 0, SystemTime::now())
    }

    fn stored(directory: &Path) -> String {
        let files = fs_ext::list(directory).expect("lists");
        files.iter().map(|file| fs::read_to_string(&file.path).expect("reads")).collect()
    }

    #[tokio::test]
    async fn lines_follow_a_comment_that_no_message_can_break_out_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        rejected.write(&batch("a v=1 1\n"), RejectReason::FieldType, "conflict\nb v=2 2\r\n");
        rejected.write(&batch("c v=3 3\nd v=4 4\n"), RejectReason::Other, &"ä".repeat(1000));
        rejected.finish().await;
        let text = stored(directory.path());
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(lines[0].ends_with("Z rejected points=1 reason=field_type conflict b v=2 2  "), "{text}");
        assert_eq!(lines[1], "a v=1 1");
        assert!(lines[2].starts_with("# ") && lines[2].chars().count() < 300);
        assert_eq!(lines[3..], ["c v=3 3", "d v=4 4"]);
        assert!(text.ends_with('\n') && rejected.lost() == 0);
    }

    #[tokio::test]
    async fn lines_that_the_disk_refuses_are_counted_and_no_half_line_stays() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        rejected.write(&batch("a v=1 1\n"), RejectReason::Other, "");
        rejected.finish().await;
        let before = stored(directory.path());
        let full = faults::inject(directory.path(), faults::Operation::Write(5), 28);
        rejected.write(&batch("b v=1 1\nc v=1 1\n"), RejectReason::Other, "");
        rejected.finish().await;
        assert_eq!((rejected.lost(), stored(directory.path())), (2, before));
        drop(full);
        rejected.write(&batch("d v=1 1\n"), RejectReason::Other, "");
        rejected.finish().await;
        assert!(stored(directory.path()).ends_with("d v=1 1\n"));
    }

    #[tokio::test]
    async fn lines_waiting_for_the_disk_are_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        // Holds the lock, as if the disk hung.
        let hanging = Arc::clone(&rejected.shared.files).lock_owned().await;
        let half = batch(&format!("a v=\"{}\" 1\n", "x".repeat(5 * 1024 * 1024)));
        rejected.write(&half, RejectReason::TooLarge, "");
        rejected.write(&half, RejectReason::TooLarge, "");
        rejected.write(&batch("b v=1 1\n"), RejectReason::Other, "");
        assert_eq!(rejected.lost(), 1);
        drop(hanging);
        rejected.finish().await;
        assert_eq!(stored(directory.path()).lines().filter(|line| !line.starts_with('#')).count(), 2);
    }

    #[tokio::test]
    async fn a_file_and_all_files_together_are_bounded() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        let piece = batch(&format!("a v=\"{}\" 1\n", "x".repeat(7 * 1024 * 1024)));
        let mut largest = 0;
        for _ in 0..40 {
            rejected.write(&piece, RejectReason::TooLarge, "");
            rejected.finish().await;
            let files = fs_ext::list(directory.path()).expect("lists");
            let lengths: Vec<u64> = files.iter().map(|file| file.length).collect();
            largest = largest.max(lengths.iter().sum());
            assert!(lengths.iter().all(|length| *length <= MAX_FILE_SIZE), "{lengths:?}");
        }
        assert!(largest <= MAX_TOTAL_SIZE && largest > MAX_TOTAL_SIZE / 2, "{largest}");
        assert_eq!(rejected.lost(), 0);
    }

    #[test]
    fn a_failing_disk_is_logged_once_until_it_works_again() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        let lines = batch("a v=1 1\nb v=1 1\n");
        for lost in [6, 12] {
            let log = logged(|| (0..3).for_each(|_| rejected.write(&lines, RejectReason::Other, "")));
            assert_eq!((log.matches("WARN").count(), rejected.lost()), (1, lost), "{log}");
            assert!(log.contains("`rejected_directory`"), "{log}");
            runtime.block_on(async {
                rejected.write(&lines, RejectReason::Other, "");
                rejected.finish().await;
            });
        }
    }

    #[test]
    fn without_a_runtime_lines_are_counted_and_a_bad_directory_is_reported_at_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let rejected = RejectedFiles::new(directory.path(), "shop").expect("starts");
        rejected.write(&batch("a v=1 1\n"), RejectReason::Other, "");
        assert_eq!(rejected.lost(), 1);
        let file = directory.path().join("file");
        fs::write(&file, "").expect("writes");
        let error = RejectedFiles::new(&file, "shop").expect_err("not a directory");
        assert!(error.is_io() && error.to_string().contains("rejected_directory"), "{error}");
    }
}
