//! The current values of this process and of its tokio runtime.

use std::time::Duration;

use tokio::runtime::Handle;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod kernel;

/// Values at one moment. Those that the system does not provide are `None`.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ProcessValues {
    /// CPU time of all threads since the start, in user and kernel mode together.
    pub(crate) cpu_time: Option<Duration>,
    /// In bytes.
    pub(crate) resident_memory: Option<u64>,
    /// In bytes.
    pub(crate) virtual_memory: Option<u64>,
    pub(crate) threads: Option<u64>,
    pub(crate) open_files: Option<u64>,
    /// `None` also if there is no limit.
    pub(crate) max_open_files: Option<u64>,
    /// Time since 1970.
    pub(crate) start_time: Option<Duration>,
    pub(crate) runtime: RuntimeValues,
    /// Why a value is missing although the system provides it.
    pub(crate) error: Option<String>,
}

/// Values of a tokio runtime.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RuntimeValues {
    pub(crate) workers: u64,
    pub(crate) alive_tasks: u64,
    /// Tasks in the queue that all workers share, without those in the workers' own queues.
    pub(crate) queue_depth: u64,
    /// Time of all workers since the start of the runtime.
    pub(crate) busy_time: Duration,
}

impl ProcessValues {
    /// Reads all values. This takes tens of microseconds. Linux before 6.2 has to list the open
    /// files, so many of them take longer.
    pub(crate) fn read(runtime: &Handle) -> Self {
        let mut values = Self { runtime: RuntimeValues::read(runtime), ..Self::default() };
        #[cfg(any(target_os = "linux", target_os = "android"))]
        kernel::read(&mut values);
        values
    }
}

impl RuntimeValues {
    fn read(runtime: &Handle) -> Self {
        let metrics = runtime.metrics();
        let workers = metrics.num_workers();
        Self {
            workers: workers as u64,
            alive_tasks: metrics.num_alive_tasks() as u64,
            queue_depth: metrics.global_queue_depth() as u64,
            busy_time: (0..workers).map(|worker| metrics.worker_total_busy_duration(worker)).sum(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{fs::File, thread, time::SystemTime};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 3)]
    async fn the_values_are_those_of_the_given_runtime() {
        let tasks: Vec<_> = (0..5).map(|_| tokio::spawn(std::future::pending::<()>())).collect();
        let values = RuntimeValues::read(&Handle::current());
        assert_eq!((values.workers, values.alive_tasks), (3, 5));
        tasks.iter().for_each(tokio::task::JoinHandle::abort);
        let busy = tokio::spawn(async {
            let start = std::time::Instant::now();
            while start.elapsed() < Duration::from_millis(30) {
                std::hint::spin_loop();
            }
        });
        busy.await.expect("ends");
        // A worker updates its busy time when it becomes idle.
        let start = std::time::Instant::now();
        while RuntimeValues::read(&Handle::current()).busy_time < Duration::from_millis(30) {
            assert!(start.elapsed() < Duration::from_secs(30), "the busy time stands still");
            tokio::task::yield_now().await;
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn the_values_of_the_kernel_follow_what_this_process_does() {
        let before = ProcessValues::read(&Handle::current());
        assert_eq!(before.error, None);
        let files: Vec<_> = (0..200).map(|_| File::open("/dev/null").expect("opens")).collect();
        let (end, wait) = std::sync::mpsc::channel::<()>();
        let thread = thread::spawn(move || wait.recv());
        let memory = vec![1u8; 64 * 1024 * 1024];
        let after = ProcessValues::read(&Handle::current());
        // Other tests of this process open and close files at the same time, but not as many.
        let more = |read: fn(&ProcessValues) -> Option<u64>| {
            read(&after).expect("a value") as i64 - read(&before).expect("a value") as i64
        };
        assert!(more(|values| values.open_files) > 100, "{before:?} {after:?}");
        assert!(more(|values| values.resident_memory) > 32 * 1024 * 1024, "{before:?} {after:?}");
        assert!(after.virtual_memory > after.resident_memory, "{after:?}");
        assert!(after.threads >= Some(2), "{after:?}");
        assert!(after.max_open_files >= after.open_files, "{after:?}");
        assert!(after.cpu_time > Some(Duration::ZERO) && after.cpu_time >= before.cpu_time, "{after:?}");
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
        let age = now.as_secs_f64() - after.start_time.expect("a start").as_secs_f64();
        assert!((-2.0..3600.0).contains(&age), "started {age} s ago");
        drop((files, memory, end));
        thread.join().expect("ends").expect_err("nothing was sent");
    }
}
