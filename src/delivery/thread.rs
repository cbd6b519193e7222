//! The thread for delivery, separate from the threads of the application.
//!
//! A task on the application's runtime stalls whenever the thread that it was woken on is blocked,
//! and ends with that runtime. Delivery must do neither.

use std::{
    future::Future,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    },
    thread::{self, ThreadId},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};

use crate::error::Error;

/// The runtime that delivery runs on.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryRuntime {
    pub(crate) handle: Handle,
    /// `None` on a runtime of the application.
    guard: Option<Arc<ThreadGuard>>,
}

/// A runtime whose thread has not started yet, so that nothing ends before everything is spawned.
pub(crate) struct DeliveryThread {
    runtime: BackgroundRuntime,
    running: Sender<()>,
    guard: Arc<ThreadGuard>,
}

/// Does not wait when it is dropped. A plain runtime waits for its blocking tasks, and panics if it
/// is dropped in an async context. A failing start may do that.
struct BackgroundRuntime(Option<Runtime>);

impl DeliveryRuntime {
    /// Uses a runtime of the application.
    pub(crate) fn of_application(handle: &Handle) -> Self {
        Self { handle: handle.clone(), guard: None }
    }

    /// Checks that sockets can be used. Without this check tokio panics at the first socket, in the
    /// middle of a write.
    ///
    /// # Errors
    ///
    /// Fails if the runtime was built without `enable_io`.
    #[cfg(any(feature = "influxdb2", feature = "reqwest"))]
    pub(crate) fn check_io(&self) -> Result<(), Error> {
        let _entered = self.handle.enter();
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0));
        // Without this address nothing can be checked; its servers are on other hosts.
        let Ok(socket) = socket.and_then(|socket| socket.set_nonblocking(true).map(|()| socket)) else {
            return Ok(());
        };
        let registered = std::panic::catch_unwind(|| drop(tokio::net::UdpSocket::from_std(socket)));
        registered.map_err(|_| Error::runtime(NO_IO))
    }

    #[cfg(not(any(feature = "influxdb2", feature = "reqwest")))]
    pub(crate) fn check_io(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Returns whether delivery has a thread of its own, and therefore real time.
    pub(crate) fn has_thread(&self) -> bool {
        self.guard.is_some()
    }
}

/// Shared by every handle to the thread. The last one waits briefly for the thread to end: the
/// process may exit next, and a batch that is being stored would be lost.
#[derive(Debug)]
struct ThreadGuard {
    /// Disconnects when the thread has ended. Nothing is ever sent.
    ended: Mutex<Receiver<()>>,
    thread: Mutex<Option<ThreadId>>,
}

impl DeliveryThread {
    /// Creates the runtime.
    ///
    /// # Errors
    ///
    /// Fails if the system has no further file descriptors.
    pub(crate) fn new() -> Result<(Self, DeliveryRuntime), Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Disks and name servers that hang occupy one thread each.
            .max_blocking_threads(BLOCKING_THREADS)
            .thread_name(NAME)
            .build()
            .map_err(|error| Error::runtime(format!("no runtime can be made for delivery: {error}")))?;
        let (running, ended) = channel();
        let guard = Arc::new(ThreadGuard { ended: Mutex::new(ended), thread: Mutex::new(None) });
        let handle = runtime.handle().clone();
        let thread = Self { runtime: BackgroundRuntime(Some(runtime)), running, guard: Arc::clone(&guard) };
        Ok((thread, DeliveryRuntime { handle, guard: Some(guard) }))
    }

    /// Starts the thread. It ends with this future, without waiting for blocked tasks.
    ///
    /// # Errors
    ///
    /// Fails if the system has no further threads.
    pub(crate) fn run(self, until: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Self { runtime, running, guard } = self;
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            // Dropped at the end of the thread, also after a panic.
            let _running = running;
            runtime.block_on(until);
        });
        let thread = thread
            .map_err(|error| Error::runtime(format!("no thread can be started for delivery: {error}")))?;
        *guard.thread.lock() = Some(thread.thread().id());
        Ok(())
    }
}

impl BackgroundRuntime {
    fn block_on(&self, future: impl Future<Output = ()>) {
        if let Some(runtime) = &self.0 {
            runtime.block_on(future);
        }
    }
}

impl Drop for BackgroundRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for ThreadGuard {
    fn drop(&mut self) {
        let ours = self.thread.get_mut();
        // If no thread was started, the runtime is already dropped with all its tasks.
        if ours.is_some_and(|ours| ours != thread::current().id()) {
            let ended = self.ended.get_mut();
            let _: Result<(), RecvTimeoutError> = ended.recv_timeout(LAST_MOMENT);
        }
    }
}

/// An alarm clock with a thread of its own. It works where a runtime has no timers, or where
/// something blocks the thread that drives them.
pub(crate) struct Alarm {
    rung: oneshot::Receiver<()>,
    /// Ends the thread when the alarm is dropped.
    _cancel: Sender<()>,
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Self {
        let (ring, rung) = oneshot::channel();
        let (cancel, cancelled) = channel::<()>();
        // If the thread cannot be started, the alarm never rings, and its caller waits without a
        // limit.
        let _ = thread::Builder::new().name(format!("{NAME}-alarm")).spawn(move || {
            if cancelled.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                let _ = ring.send(());
            } else {
                // The alarm was dropped.
                drop(ring);
            }
        });
        Self { rung, _cancel: cancel }
    }

    pub(crate) async fn ring(mut self) {
        if (&mut self.rung).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

const NO_IO: &str =
    "delivery needs the I/O of the tokio runtime, and it has none: build it with `enable_all`";
const NAME: &str = "tower-influx";
const BLOCKING_THREADS: usize = 32;
/// How long the drop of the last handle may wait.
const LAST_MOMENT: Duration = Duration::from_secs(1);
