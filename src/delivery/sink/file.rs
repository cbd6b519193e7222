//! A sink that writes batches into line-protocol files, for services without a database.

use std::{io, path::PathBuf, sync::Arc, time::SystemTime};

use tokio::{sync::Mutex, task};

use crate::{
    delivery::{
        batch::Batch,
        directory,
        sink::{Sink, SinkFuture, WriteError, Written, rotation::RotatingFiles},
    },
    error::Error,
    fs_ext,
    settings::FileSettings,
};

/// Writes line-protocol files: the sink of [`Storage::File`](crate::settings::Storage::File).
///
/// ```no_run
/// use tower_influx::{settings::FileSettings, sink::FileSink};
///
/// # fn main() -> Result<(), tower_influx::Error> {
/// let mut settings = FileSettings::default();
/// settings.directory = "/var/lib/my-service/points".into();
/// let files = FileSink::new(&settings, "my-service")?;
/// # drop(files);
/// # Ok(())
/// # }
/// ```
///
/// Batches are appended to files with names such as `points-20260603T101112Z-0000-89abcdef-0.lp`.
/// [`FileSettings`] has the directory and the sizes.
///
/// # Rotation
///
/// A new file is started when the sink is created, when the UTC day changes, and before a file
/// would become larger than `max_file_size`. Only a single batch above that size makes a larger
/// file. The sink is created at the start and at each [reload](crate::Monitor::reload).
///
/// Before a file is started, the oldest files are deleted until it fits into `max_total_size`. A
/// file counts as at least 4 KiB. Only files of this sink, and of earlier ones of the same service
/// that were dropped or whose process has ended, are counted and deleted.
///
/// # Durability
///
/// A batch counts as written when the operating system has accepted it. So it survives every end of
/// the process, but not a power failure in the seconds before the system writes it to disk. A batch
/// that does not fit, for example on a full disk, is removed from the file again, and the flusher
/// keeps it.
///
/// # Import
///
/// `influx write --bucket BUCKET --precision ns --file FILE` of 2.x imports a file unchanged. So
/// does a POST request to the write endpoint. `influx -import -precision ns -path FILE` of 1.x
/// needs an existing database, and two lines before the content: `# DML` and
/// `# CONTEXT-DATABASE: NAME`. This was tested with 1.6.7.
#[derive(Debug)]
pub struct FileSink {
    directory: PathBuf,
    // An async lock: a write that hangs in the file system holds one thread, and later writes wait
    // without a thread.
    files: Arc<Mutex<RotatingFiles>>,
}

impl FileSink {
    /// Creates the directory, and checks that files can be written there. `service` is the service
    /// that the files belong to: only files of one service are counted and deleted for
    /// `max_total_size`.
    ///
    /// # Errors
    ///
    /// - A size is invalid ([`Error::is_setting`]).
    /// - The directory cannot be created or written, is a symbolic link, or can be written by every
    ///   user ([`Error::is_io`]).
    ///
    /// A full disk is not an error here. Writes fail until there is space.
    pub fn new(settings: &FileSettings, service: &str) -> Result<Self, Error> {
        settings.validate()?;
        let FileSettings { directory, max_file_size, max_total_size } = settings;
        let mut files = RotatingFiles::new(directory, PREFIX, service, *max_file_size, *max_total_size);
        files.prepare("directory")?;
        Ok(Self { directory: directory.clone(), files: Arc::new(Mutex::new(files)) })
    }

    async fn off_thread(
        &self,
        work: impl FnOnce(&mut RotatingFiles) -> io::Result<()> + Send + 'static,
    ) -> Result<(), WriteError> {
        let mut files = Arc::clone(&self.files).lock_owned().await;
        let done = task::spawn_blocking(move || work(&mut files)).await;
        let error = match done {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(error)) => error.to_string(),
            Err(ended) => ended.to_string(),
        };
        Err(WriteError::transient(format!(
            "no points can be written in {}: {error}",
            self.directory.display()
        )))
    }
}

impl Sink for FileSink {
    fn write<'a>(&'a self, batch: &'a Batch) -> SinkFuture<'a, Result<Written, WriteError>> {
        let bytes = batch.bytes().clone();
        Box::pin(async move {
            let size = bytes.len() as u64;
            self.off_thread(move |files| files.append(SystemTime::now(), &[&bytes])).await?;
            Ok(Written::new(size))
        })
    }

    fn probe(&self) -> SinkFuture<'_, Result<(), WriteError>> {
        Box::pin(self.off_thread(|files| {
            directory::create(files.directory())?;
            fs_ext::probe(files.directory())
        }))
    }

    fn describe(&self) -> String {
        format!("files in {}", self.directory.display())
    }

    fn target(&self) -> String {
        let absolute = std::path::absolute(&self.directory).unwrap_or_else(|_| self.directory.clone());
        format!("file:{}", absolute.display())
    }
}

const PREFIX: &str = "points";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{delivery::sink::WriteErrorKind, fs_ext::faults};
    use bytes::Bytes;
    use std::{fs, path::Path};

    fn settings(directory: &Path) -> FileSettings {
        FileSettings { directory: directory.to_owned(), ..FileSettings::default() }
    }

    fn batch(text: &str) -> Batch {
        let lines = text.matches('\n').count();
        Batch::new(Bytes::copy_from_slice(text.as_bytes()), lines, 0, SystemTime::now())
    }

    /// Returns the contents of all files, sorted by name.
    fn stored(directory: &Path) -> Vec<String> {
        let mut files = fs_ext::list(directory).expect("lists");
        files.sort_by(|left, right| left.name.cmp(&right.name));
        files.iter().map(|file| fs::read_to_string(&file.path).expect("reads")).collect()
    }

    #[tokio::test]
    async fn batches_follow_each_other_in_one_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let sink = FileSink::new(&settings(&directory.path().join("new/er")), "shop").expect("starts");
        sink.probe().await.expect("writable");
        assert_eq!(stored(&directory.path().join("new/er")), [""; 0], "no empty file before the first batch");
        assert_eq!(sink.write(&batch("a v=1 1\n")).await.expect("writes").wire_bytes, 8);
        sink.write(&batch("b v=2 2\nc v=3 3\n")).await.expect("writes");
        assert_eq!(stored(&directory.path().join("new/er")), ["a v=1 1\nb v=2 2\nc v=3 3\n"]);
    }

    #[test]
    fn the_target_is_the_directory_and_never_changes() {
        let sink =
            FileSink::new(&settings(&tempfile::tempdir().expect("a directory").path().join("a")), "shop");
        let (sink, said) = (sink.expect("starts"), "files in ");
        let directory = sink.describe().strip_prefix(said).map(str::to_owned).expect("names it");
        assert!(directory.ends_with("/a") && sink.target() == format!("file:{directory}"), "{directory}");
    }

    #[tokio::test]
    async fn a_new_process_never_appends_to_an_earlier_file() {
        let directory = tempfile::tempdir().expect("a directory");
        for number in 0..3 {
            let sink = FileSink::new(&settings(directory.path()), "shop").expect("starts");
            sink.write(&batch(&format!("a v={number} 1\n"))).await.expect("writes");
        }
        assert_eq!(stored(directory.path()), ["a v=0 1\n", "a v=1 1\n", "a v=2 1\n"]);
    }

    #[tokio::test]
    async fn a_batch_that_fits_only_partly_is_kept_and_leaves_no_half_line() {
        let directory = tempfile::tempdir().expect("a directory");
        let sink = FileSink::new(&settings(directory.path()), "shop").expect("starts");
        sink.write(&batch("a v=1 1\n")).await.expect("writes");
        let full = faults::inject(directory.path(), faults::Operation::Write(3), 28);
        let error = sink.write(&batch("b v=2 2\n")).await.expect_err("full");
        assert_eq!(error.kind, WriteErrorKind::Transient);
        assert!(error.message().contains("No space left"), "{error}");
        assert_eq!(sink.probe().await.expect_err("full").kind, WriteErrorKind::Transient);
        assert_eq!(stored(directory.path())[..1], ["a v=1 1\n"]);
        drop(full);
        sink.write(&batch("b v=2 2\n")).await.expect("room again");
        assert_eq!(stored(directory.path()), ["a v=1 1\nb v=2 2\n"]);
    }

    #[test]
    fn an_unusable_directory_is_reported_at_start() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        fs::write(&path, "").expect("writes");
        let error = FileSink::new(&settings(&path), "shop").expect_err("not a directory");
        assert!(error.is_io() && error.to_string().contains("`directory`"), "{error}");
        assert!(error.to_string().contains(&path.display().to_string()), "{error}");

        let read_only = directory.path().join("read-only");
        let _fault = faults::inject(&read_only, faults::Operation::Create, 30);
        assert!(FileSink::new(&settings(&read_only), "shop").expect_err("read-only").is_io(), "shop");
    }
}
