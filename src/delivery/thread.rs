//! The thread that delivery runs on, apart from the threads of the application.
//!
//! A task of the application's runtime stands still whenever the thread it was woken on is blocked,
//! and ends when that runtime does. Delivery must do neither.

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

/// Where delivery runs.
#[derive(Clone, Debug)]
pub(crate) struct DeliveryRuntime {
    pub(crate) handle: Handle,
    /// `None` on a runtime of the application's.
    guard: Option<Arc<ThreadGuard>>,
}

/// A runtime whose thread has not begun yet, so that nothing ends before all is spawned.
pub(crate) struct DeliveryThread {
    runtime: BackgroundRuntime,
    running: Sender<()>,
    guard: Arc<ThreadGuard>,
}

/// Waits for nothing when it is dropped. A plain runtime waits for what blocks, and panics where
/// that must not be waited for: a start that fails is such a place.
struct BackgroundRuntime(Option<Runtime>);

impl DeliveryRuntime {
    /// Creates a runtime of the application's.
    pub(crate) fn of_application(handle: &Handle) -> Self {
        Self { handle: handle.clone(), guard: None }
    }

    /// Checks that sockets can be used. As with timers, tokio does not tell, but panics at the
    /// first one: in the middle of a write.
    ///
    /// # Errors
    ///
    /// A runtime that was built without `enable_io`.
    #[cfg(any(feature = "influxdb2", feature = "reqwest"))]
    pub(crate) fn check_io(&self) -> Result<(), Error> {
        let _entered = self.handle.enter();
        let socket = std::net::UdpSocket::bind(("127.0.0.1", 0));
        // A machine without such an address has its servers elsewhere.
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

    /// Returns whether delivery has a thread of its own, and so the clock of the system.
    pub(crate) fn has_thread(&self) -> bool {
        self.guard.is_some()
    }
}

/// Held by every handle of what runs on the thread. The last one waits a moment for its end: the
/// process may end next, and what is being stored then would be lost.
#[derive(Debug)]
struct ThreadGuard {
    /// Fails once the thread has ended: nothing is ever sent.
    ended: Mutex<Receiver<()>>,
    thread: Mutex<Option<ThreadId>>,
}

impl DeliveryThread {
    /// Makes the runtime.
    ///
    /// # Errors
    ///
    /// The system gives no further file descriptors.
    pub(crate) fn new() -> Result<(Self, DeliveryRuntime), Error> {
        let runtime = Builder::new_current_thread()
            .enable_all()
            // Disks and name servers that hang take one each.
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

    /// Starts the thread. It ends with this future; what hangs then is not waited for.
    ///
    /// # Errors
    ///
    /// The system gives no further threads.
    pub(crate) fn run(self, until: impl Future<Output = ()> + Send + 'static) -> Result<(), Error> {
        let Self { runtime, running, guard } = self;
        let thread = thread::Builder::new().name(NAME.to_owned()).spawn(move || {
            // Gone at the end, also by a panic.
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
        // Without a thread the runtime is gone already, and with it all that ran there.
        if ours.is_some_and(|ours| ours != thread::current().id()) {
            let ended = self.ended.get_mut();
            let _: Result<(), RecvTimeoutError> = ended.recv_timeout(LAST_MOMENT);
        }
    }
}

/// Rings after a time by a thread of its own: where a runtime has no timers, or something blocks
/// the thread that keeps them, nothing else would.
pub(crate) struct Alarm {
    rung: oneshot::Receiver<()>,
    /// Ends the thread when the alarm is dropped.
    _cancel: Sender<()>,
}

impl Alarm {
    pub(crate) fn after(time: Duration) -> Self {
        let (ring, rung) = oneshot::channel();
        let (cancel, cancelled) = channel::<()>();
        // Without a thread it never rings, and what it watches is waited for.
        let _ = thread::Builder::new().name(format!("{NAME}-alarm")).spawn(move || {
            if cancelled.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
                let _ = ring.send(());
            } else {
                // Nobody listens any more.
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
/// How long the end of the last handle may take.
const LAST_MOMENT: Duration = Duration::from_secs(1);
