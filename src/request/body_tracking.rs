//! The exchange of a body under way, and its end when the monitor is shut down first.

use std::{
    cell::RefCell,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    thread,
};

use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::{Mutex, MutexGuard};

use super::{
    classify::{BodyEnding, BodyOutcome},
    exchange::{Exchange, Judged},
};
use crate::{delivery::buffer::Open, record::recorder::Recorder};

/// The result of polling a body.
type PolledFrame<B> = Poll<Option<Result<Frame<<B as Body>::Data>, <B as Body>::Error>>>;

/// Whether a body is tracked.
#[derive(Debug)]
pub(super) enum Tracked {
    /// The body has ended, or is not tracked.
    Not,
    /// The body is under way. The monitor ends it when it is shut down.
    Open(BodyHandle),
}

/// The body's own handle to its exchange. If it is dropped before the body's end, the body is
/// recorded as dropped.
#[derive(Debug)]
pub(super) struct BodyHandle(Arc<OpenBody>);

/// A body under way, shared by the body and its monitor.
///
/// It is reused after the body has ended, together with its entry in the monitor's list. Otherwise
/// each body would cost two allocations.
#[derive(Debug)]
struct OpenBody {
    /// `None` after the end. Locked while the body is polled.
    tracking: AssertUnwindSafe<Mutex<Option<Tracking>>>,
    /// The monitor is shut down: whoever holds the lock must end the body.
    is_ending: AtomicBool,
    /// The number of the monitor.
    monitor: u64,
}

impl BodyHandle {
    fn new(tracking: Tracking, recorder: &Recorder) -> Self {
        let spare = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            let at = spare.iter().rposition(|open| open.monitor == recorder.number)?;
            Some(spare.swap_remove(at))
        });
        if let Some(open) = spare.ok().flatten() {
            *open.lock() = Some(tracking);
            return Self(open);
        }
        let tracking = AssertUnwindSafe(Mutex::new(Some(tracking)));
        let is_ending = AtomicBool::new(false);
        let open = Arc::new(OpenBody { tracking, is_ending, monitor: recorder.number });
        recorder.buffer.add_open(Arc::downgrade(&open) as Weak<dyn Open>);
        Self(open)
    }

    pub(super) fn poll_frame<B: Body>(
        &self,
        inner: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> (PolledFrame<B>, bool) {
        self.0.poll_frame(inner, context)
    }
}

impl Drop for BodyHandle {
    fn drop(&mut self) {
        // Recorded without the lock and outside the list, since that runs code of the application.
        let tracking = self.0.lock().take();
        drop(tracking);
        let _ = SPARE.try_with(|spare| {
            let mut spare = spare.borrow_mut();
            if spare.len() < MAX_SPARE {
                spare.push(Arc::clone(&self.0));
            }
        });
    }
}

impl OpenBody {
    fn lock(&self) -> MutexGuard<'_, Option<Tracking>> {
        self.tracking.lock()
    }

    fn poll_frame<B: Body>(&self, inner: Pin<&mut B>, context: &mut Context<'_>) -> (PolledFrame<B>, bool) {
        let mut guard = self.lock();
        let Some(tracking) = &mut *guard else { return (inner.poll_frame(context), true) };
        let (polled, mut ended) = tracking.poll_frame(inner, context);
        if !ended && self.is_ending.load(Ordering::Acquire) {
            tracking.finish(BodyEnding::Unfinished, None);
            ended = true;
        }
        if ended {
            *guard = None;
        }
        (polled, ended)
    }
}

impl Open for OpenBody {
    fn end(&self) {
        self.is_ending.store(true, Ordering::Release);
        for _ in 0..TRIES {
            let Some(mut guard) = self.tracking.try_lock() else {
                // The body is being polled, which takes a moment. That poll then ends it.
                thread::yield_now();
                continue;
            };
            if let Some(mut tracking) = guard.take() {
                tracking.finish_early(BodyEnding::Unfinished);
            }
            return;
        }
    }
}

/// The exchange of a body under way. If it is dropped before the end, the body is recorded as
/// dropped.
///
/// A server reads no more than the length that the head or the body has declared. So a body that
/// does not know its own end, such as a file that is read piece by piece, is dropped without having
/// ended. It still counts as complete, since all of it was handed over.
#[derive(Debug)]
pub(super) struct Tracking {
    exchange: Exchange,
    /// `Some` until the end.
    judged: Option<Judged>,
    bytes: u64,
    length: Option<u64>,
}

impl Tracking {
    pub(super) fn new(exchange: Exchange, judged: Judged, length: Option<u64>) -> Self {
        Self { exchange, judged: Some(judged), bytes: 0, length }
    }

    /// Registers the body with the monitor, which may end it, too.
    pub(super) fn share(self) -> Tracked {
        let recorder = self.exchange.config().and_then(|config| config.recorder.clone());
        recorder.map_or(Tracked::Not, |recorder| Tracked::Open(BodyHandle::new(self, &recorder)))
    }

    /// Polls the body as part of its request. Returns true if it has ended and is recorded.
    pub(super) fn poll_frame<B: Body>(
        &mut self,
        mut inner: Pin<&mut B>,
        context: &mut Context<'_>,
    ) -> (PolledFrame<B>, bool) {
        let Poll::Ready(frame) = self.poll(|| inner.as_mut().poll_frame(context)) else {
            return (Poll::Pending, false);
        };
        let ended = match &frame {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += bytes::Buf::remaining(data) as u64;
                }
                let trailers = frame.trailers_ref();
                // After its last frame a body need not be polled again.
                (trailers.is_some() || inner.is_end_stream()).then_some((BodyEnding::Complete, trailers))
            }
            Some(Err(_)) => Some((BodyEnding::Error, None)),
            None => Some((BodyEnding::Complete, None)),
        };
        if let Some((ending, trailers)) = ended {
            self.finish(ending, trailers);
        }
        let has_ended = ended.is_some();
        (Poll::Ready(frame), has_ended)
    }

    /// Polls the body. A panic counts as a failed body.
    fn poll<R>(&mut self, poll: impl FnOnce() -> R) -> R {
        let mut polling = Polling { tracking: self, returned: false };
        let entered = polling.tracking.exchange.enter_body();
        let result = poll();
        drop(entered);
        polling.returned = true;
        result
    }

    pub(super) fn finish(&mut self, ending: BodyEnding, trailers: Option<&HeaderMap>) {
        let Some(judged) = self.judged.take() else { return };
        self.exchange.finish_body(judged, &BodyOutcome { ending, trailers }, self.bytes);
    }

    /// Ends the exchange before the body's end. The body is still complete if all of it was handed
    /// over.
    fn finish_early(&mut self, ending: BodyEnding) {
        self.finish(if self.length == Some(self.bytes) { BodyEnding::Complete } else { ending }, None);
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.finish_early(BodyEnding::Dropped);
    }
}

/// Detects a panic: `returned` is still false when it is dropped.
struct Polling<'a> {
    tracking: &'a mut Tracking,
    returned: bool,
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        if !self.returned {
            self.tracking.finish(BodyEnding::Error, None);
        }
    }
}

thread_local!(static SPARE: RefCell<Vec<Arc<OpenBody>>> = const { RefCell::new(Vec::new()) });

/// Unused entries that a thread keeps.
const MAX_SPARE: usize = 64;
/// How often ending is tried while the body is being polled: some milliseconds at most.
const TRIES: usize = 1_000;
